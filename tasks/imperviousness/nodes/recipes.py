"""Layers made block by block: the function of each (docs/dev/algorithms.md, sections 4 to 11).

Every recipe is a pure function of a block of its inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr

from imperv.calibration import Calibration, apply_calibration, sealing_mask
from imperv.grids import Block, factor
from imperv.layers.aggregation import aggregate_fraction, aggregate_mean, aggregate_mean_change
from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.layers.catalogue.node import MEMBER_SD
from imperv.layers.change import classify_change, encode_change, mean_difference, split_change
from imperv.layers.confidence import confidence
from imperv.layers.rmsd import rmsd
from imperv.tasks.errors import WorkError
from imperv.tasks.imperviousness.settings import Parameters
from imperv.tasks.job import BlockReport, Job, Made, attributes, report, summarise, without_data
from imperv.tasks.memory import block_bytes

OUTSIDE = 255

CLCPLUS_OUTSIDE = 253
"""First of the CLCplus codes that mean outside: 253 sea buffer, 254, 255."""

EITHER = {"IMD_MSK_now": ("CLCP_now", "CLCP_proxy")}
"""Alternative inputs: one is enough."""


@dataclass(frozen=True)
class Inputs:
    """Blocks of the inputs of a layer, by symbol; the parameters; and the calibration where there is one."""

    arrays: Mapping[str, np.ndarray]
    parameters: Parameters
    calibration: Calibration | None = None

    def __getitem__(self, symbol: str) -> np.ndarray:
        return self.arrays[symbol]


Recipe = Callable[[Inputs], np.ndarray]


def _ndvi_p0(period: str) -> Recipe:
    return lambda i: i[f"PP_{period}"][0]


def _percent(binary: np.ndarray) -> np.ndarray:
    """A 0/1 mask as 0/100 percent."""
    percent = binary * np.uint8(100)
    percent[binary == OUTSIDE] = OUTSIDE
    return percent


def _imd_msk_then(i: Inputs) -> np.ndarray:
    return sealing_mask(i["CLCP_then"], i["IMD_then"], threshold=i.parameters.calibration.threshold)


def _imd_msk_now(i: Inputs) -> np.ndarray:
    given, proxy = (i.arrays.get(name) for name in EITHER["IMD_MSK_now"])
    if given is None or proxy is None:
        clcplus = i["CLCP_proxy" if given is None else "CLCP_now"]
    else:
        # The proxy's codes are 1 sealed, 0 not, whatever the class of CLC+. The sea needs no proxy.
        clcplus = np.where(given > CLCPLUS_OUTSIDE, proxy, given)
    return sealing_mask(clcplus, i["RIMD"], threshold=i.parameters.calibration.threshold)


def _imd_now(i: Inputs) -> np.ndarray:
    if i.calibration is None:
        raise WorkError("IMD_now needs a calibration")
    return apply_calibration(i.calibration, i["NDVI_p0_now"], i["IMD_MSK_now"])


def _ibu_now(i: Inputs) -> np.ndarray:
    density = i["IBUD_now"]
    built = (density >= i.parameters.built_up.threshold).astype("uint8")
    return np.where(density == OUTSIDE, np.uint8(OUTSIDE), built)


def _change(then: str, now: str, support: bool, percent: Callable[[np.ndarray], np.ndarray]) -> Recipe:
    """Real change at 20 m, or with `support` technical change."""

    def recipe(i: Inputs) -> np.ndarray:
        d, s0, s1, valid = mean_difference(percent(i[then]), percent(i[now]), 2)
        real = split_change(d, i["CHM_resampled"] > 0, i.parameters.change)  # NaN, unknown, counts as no change
        return encode_change(d - real if support else real, s0, s1, valid)

    return recipe


def _as_is(array: np.ndarray) -> np.ndarray:
    return array


def _mean(symbol: str, factor: int, percent: Callable[[np.ndarray], np.ndarray] = _as_is) -> Recipe:
    return lambda i: aggregate_mean(percent(i[symbol]), factor)


def _mean_change(symbol: str) -> Recipe:
    return lambda i: aggregate_mean_change(i[symbol], 5)


def _classes(status: str, change: str) -> Recipe:
    return lambda i: classify_change(i[status], i[change])


def _confidence(symbol: str) -> Recipe:
    return lambda i: confidence(i[symbol], np.isfinite(i[symbol]))


RECIPES: dict[str, Recipe] = {
    "NDVI_p0_then": _ndvi_p0("then"),
    "NDVI_p0_now": _ndvi_p0("now"),
    "RMSD": lambda i: rmsd(i["PP_then"], i["PP_now"]),
    "CHM_resampled": lambda i: aggregate_fraction(i["CHM"], 2),
    "RIMD_sd": lambda i: i["RIMD"],
    "RIBUD_sd": lambda i: i["RIBUD"],
    "IMD_MSK_then": _imd_msk_then,
    "IMD_MSK_now": _imd_msk_now,
    "IMD_now": _imd_now,
    "IBUD_now": lambda i: i["RIBUD"],
    "IBU_now": _ibu_now,
    "IMD_then_mean": _mean("IMD_then", 2),
    "IMD_now_mean": _mean("IMD_now", 2),
    "IBU_then_mean": _mean("IBU_then", 2, _percent),
    "IBU_now_mean": _mean("IBU_now", 2, _percent),
    "IBUD_now_resampled": _mean("IBUD_now", 10),
    "IMD_now_resampled": _mean("IMD_now", 10),
    "SBU_then": _mean("IBU_then", 10, _percent),
    "SBU": _mean("IBU_now", 10, _percent),
    "IMDC": _change("IMD_then", "IMD_now", False, _as_is),
    "IMDCS": _change("IMD_then", "IMD_now", True, _as_is),
    "IMDC_resampled": _mean_change("IMDC"),
    "IMDCS_resampled": _mean_change("IMDCS"),
    "IMCC": _classes("IMD_then_mean", "IMDC"),
    "IMCCS": _classes("IMD_then_mean", "IMDCS"),
    "IBUDC": _change("IBU_then", "IBU_now", False, _percent),
    "IBUDCS": _change("IBU_then", "IBU_now", True, _percent),
    "IBUC": _classes("IBU_then_mean", "IBUDC"),
    "IBUCS": _classes("IBU_then_mean", "IBUDCS"),
    "SBUC": _mean_change("IBUDC"),
    "SBUCS": _mean_change("IBUDCS"),
    "SBCC": _classes("SBU_then", "SBUC"),
    "SBCCS": _classes("SBU_then", "SBUCS"),
    "IMDCL": _confidence("RIMD_sd"),
    "IBUCL": _confidence("RIBUD_sd"),
}
"""Function of each layer."""


def _variable(symbol: str, consumer: str) -> str:
    """Stored array that a layer reads of one of its inputs."""
    if CATALOGUE[symbol].stem == "PP":
        return "harmonics"
    if consumer in ("RIMD_sd", "RIBUD_sd"):
        return MEMBER_SD
    return CATALOGUE[symbol].variables[0].name


@dataclass(frozen=True)
class _Source:
    """A stored input of a layer."""

    array: zarr.Array
    resolution: float
    planes: int
    """Number of coefficients that are read, from the first on; 0 where the array has no such axis."""
    nodata: float

    @classmethod
    def of(cls, job: Job, symbol: str, consumer: str) -> _Source:
        """The stored array that a layer reads of an input."""
        array = job.group(symbol)[_variable(symbol, consumer)]
        # The mean NDVI is the first coefficient: decoding all seven would take seven times as long.
        planes = 0 if array.ndim == 2 else 1 if consumer.startswith("NDVI_p0_") else array.shape[0]
        return cls(array, CATALOGUE[symbol].resolution, planes, float(array.attrs["nodata"]))

    def read(self, block: Block) -> np.ndarray:
        """Pixels of a block on the input's own grid."""
        return np.asarray(self.array[: self.planes, *block.slices] if self.planes else self.array[block.slices])

    def values(self, block: Block) -> int:
        """Number of values that `read` gives."""
        return max(self.planes, 1) * block.shape[0] * block.shape[1]


@dataclass(frozen=True)
class _RecipeBlock:
    """One block of such a layer; may travel to another process."""

    symbol: str
    sources: Mapping[str, _Source]
    out: zarr.Array
    parameters: Parameters
    calibration: Calibration | None

    def __call__(self, block: Block) -> BlockReport:
        layer = CATALOGUE[self.symbol]
        arrays = {
            name: source.read(block.scaled(factor(layer.resolution, source.resolution))) for name, source in self.sources.items()
        }
        result = np.ascontiguousarray(RECIPES[self.symbol](Inputs(arrays, self.parameters, self.calibration)))
        if result.shape != block.shape or result.dtype != layer.dtype:
            raise WorkError(f"{self.symbol}: block of {result.shape} {result.dtype} instead of {block.shape} {layer.dtype}")
        self._check_holes(result, arrays, layer)
        self.out[block.slices] = result
        return report({self.symbol: result}, CATALOGUE[self.symbol])

    def _check_holes(self, result: np.ndarray, arrays: Mapping[str, np.ndarray], layer: Layer) -> None:
        """A pixel without data must be explained by an input without data."""
        unexplained = without_data(result, layer.nodata)
        if not unexplained.any():
            return
        for name, source in self.sources.items():
            gaps = without_data(arrays[name][0] if arrays[name].ndim == 3 else arrays[name], source.nodata)
            if name.startswith("CLCP_"):
                gaps = arrays[name] >= CLCPLUS_OUTSIDE
            step = factor(layer.resolution, source.resolution)
            rows, columns = result.shape
            unexplained = unexplained & ~gaps.reshape(rows, step, columns, step).any(axis=(1, 3))
        if unexplained.any():
            raise WorkError(
                f"{self.symbol}: check failed, {int(unexplained.sum())} pixels without data that its inputs do not explain"
            )


def make_by_recipe(job: Job, layer: Layer) -> Made:
    """Make a layer block by block; WorkError if a block has wrong codes, or holes that the inputs do not explain."""
    rasters = [name for name in layer.inputs if CATALOGUE[name].resolution]
    either = EITHER.get(layer.symbol, ())
    absent = [name for name in rasters if not _is_made(job, name)]
    if needed := [name for name in absent if name not in either or set(either) <= set(absent)]:
        record = job.record(needed[0])
        return Made("", made=False, reason=record.reason if record else "")
    if layer.symbol in ("RIMD_sd", "RIBUD_sd") and _members(job, layer.inputs[0]) < 2:
        why = "a single model took part: without an ensemble there is no deviation and no confidence (ATBD 4.7)"
        return Made("", made=False, reason=why)
    sources = {name: _Source.of(job, name, layer.symbol) for name in rasters if name not in absent}
    calibration = None
    if "IMD_calibration" in layer.inputs:
        calibration = Calibration.from_json(job.store.read_text(job.place("IMD_calibration").data) or "")
    grid, blocks = job.grid(layer.resolution), job.blocks(layer.resolution)
    size = _projected(layer, sources.values(), blocks[0])
    with job.store.writing_arrays(
        job.place(layer.symbol), grid, layer.resolution, layer.variables, attributes(job, layer)
    ) as out:
        work = _RecipeBlock(layer.symbol, sources, out[layer.variables[0].name], job.production.parameters, calibration)
        digest, statistics = summarise(layer, job.engine.map(work, blocks, size, layer.symbol))
    return Made(digest, {**statistics, "made_from": list(sources)} if either else statistics)


def _projected(layer: Layer, sources: Iterable[_Source], block: Block) -> int:
    """Projected memory of a block of a layer."""
    inputs = [(s.values(block.scaled(factor(layer.resolution, s.resolution))), s.array.dtype) for s in sources]
    return block_bytes(inputs, [(block.shape[0] * block.shape[1], layer.dtype)])


def _is_made(job: Job, symbol: str) -> bool:
    record = job.record(symbol)
    return record is not None and record.made


def _members(job: Job, symbol: str) -> int:
    record = job.record(symbol)
    members: Any = record.statistics.get("members", 0) if record else 0
    return int(members)
