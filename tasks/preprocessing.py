"""PP: yearly quantiles and harmonics of every pixel from all Sentinel-2 looks of a period (ATBD 4.2.1, algorithms 1 to 3).

Blocks are read band by band; a scene whose classification gives no weight anywhere in a block is not read further. Which
scenes there are is decided in `tasks.scenes`.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from grids import Block, block_grid
from layers.catalogue import Layer
from layers.harmonics import fit_harmonics
from layers.quantiles import weighted_quantile
from layers.reflectance import ndvi, shift_offset
from layers.scl import scl_weights
from tasks.errors import InputError, SceneError, WorkError
from tasks.job import QUANTILES, BlockReport, Job, Made, report, summarise, variables_of
from tasks.periods import year_fraction
from tasks.reading import read_band
from tasks.records import Record, digest_of
from tasks.scenes import REFLECTANCE_10M, REFLECTANCE_20M, SCL, Scene, SceneList

BANDS_IN_ORDER = tuple(label.removesuffix("_q20") for label in QUANTILES.labels)
QUANTILE = 0.2
"""Quantile of reflectance (ATBD Table 3)."""
NDVI_QUANTILE = 0.9
"""Quantile of NDVI (ATBD Table 3)."""
MOST_LOOKS = 400
"""Longest histogram of clear looks a pixel; no tile has more overpasses a year."""

CLEAR_WEIGHT = 50
"""SCL weight of vegetation, soil and water (ATBD Table 6)."""
BYTES_PER_LOOK = 18
"""Memory of one pixel and date while a block is computed: two bands, two weights, NDVI (2+2+1+1+4), and the kernels' copies."""
SUB_BLOCKS = (1000, 500, 250, 100)
"""Edges in pixels of 10 m in which a block may be computed; even, so that 20 m pixels are never cut."""


@dataclass(frozen=True)
class Looks:
    """Scenes of a period in a form that a block can be computed from."""

    overpasses: tuple[tuple[Scene, ...], ...]
    times: tuple[float, ...]
    readers: int

    @classmethod
    def of(cls, scenes: SceneList, readers: int) -> Looks:
        """Group the scenes by overpass."""
        groups = tuple(tuple(group) for group in scenes.overpasses.values())
        return cls(groups, tuple(year_fraction(group[0].day) for group in groups), readers)


def yearly_features(looks: Looks, grid: GeoBox, pool: Executor) -> dict[str, np.ndarray]:
    """Features of all pixels of a small grid.

    Parameters
    ----------
    looks : Looks
        Scenes.
    grid : GeoBox
        10 m pixels, an even number of rows and columns, edges on 20 m pixels.
    pool : Executor
        Runs the reads.

    Returns
    -------
    dict
        ``quantiles`` (10, y, x) uint16, ``ndvi_q90`` (y, x) float32, ``harmonics`` (7, y, x) float32 and ``observations``
        (y, x) uint16: number of overpasses with a clear look.

    Raises
    ------
    SceneError
        If a band of a scene cannot be read.
    """
    coarse = grid.zoom_out(2)
    shape, shape20 = tuple(grid.shape), tuple(coarse.shape)
    granules = [(k, scene) for k, group in enumerate(looks.overpasses) for scene in group]
    seen = pool.map(lambda g: (*g, _weights(g[1], grid), _weights(g[1], coarse)), granules)
    used = [entry for entry in seen if entry[2].any() or entry[3].any()]
    rows = sorted({entry[0] for entry in used})
    result = {
        "quantiles": np.zeros((len(BANDS_IN_ORDER), *shape), "uint16"),
        "ndvi_q90": np.full(shape, np.nan, "float32"),
        "harmonics": np.full((7, *shape), np.nan, "float32"),
        "observations": np.zeros(shape, "uint16"),
    }
    if not rows:
        return result

    def stack(band: str) -> tuple[np.ndarray, np.ndarray]:
        fine = band in REFLECTANCE_10M
        return _stack(band, used, rows, grid if fine else coarse, shape if fine else shape20, 2 if fine else 3, pool)

    def quantile(band: str, values: np.ndarray, weights: np.ndarray) -> None:
        reduced = weighted_quantile(values, weights, QUANTILE)
        if band in REFLECTANCE_20M:
            reduced = reduced.repeat(2, axis=0).repeat(2, axis=1)
        result["quantiles"][BANDS_IN_ORDER.index(band)] = reduced

    for band in BANDS_IN_ORDER:
        if band not in ("B04", "B08"):
            quantile(band, *stack(band))
    red, red_weights = stack("B04")
    quantile("B04", red, red_weights)
    nir, nir_weights = stack("B08")
    quantile("B08", nir, nir_weights)
    index = ndvi(nir, red)
    weights = np.minimum(red_weights, nir_weights)
    del red, nir, red_weights, nir_weights
    weights[~np.isfinite(index)] = 0
    result["observations"][:] = (weights >= CLEAR_WEIGHT).sum(axis=0, dtype="uint16")
    result["ndvi_q90"][:] = weighted_quantile(index, weights, NDVI_QUANTILE, nodata=np.nan)
    result["harmonics"][:] = fit_harmonics(index, weights, np.array([looks.times[k] for k in rows]))
    return result


def _weights(scene: Scene, grid: GeoBox) -> np.ndarray:
    """SCL weights of a scene on a grid, uint8."""
    return scl_weights(read_band(scene.bands[SCL], scene.id, grid, classes=True)).astype("uint8")


def _stack(
    band: str, used: list[tuple], rows: list[int], grid: GeoBox, shape: tuple[int, ...], which: int, pool: Executor
) -> tuple[np.ndarray, np.ndarray]:
    """Digital numbers and weights of a band, one layer an overpass; of several granules the better-weighted valid pixel."""
    values = np.zeros((len(rows), *shape), "uint16")
    weights = np.zeros((len(rows), *shape), "uint8")
    position = {row: k for k, row in enumerate(rows)}

    def read(entry: tuple) -> np.ndarray:
        scene = entry[1]
        return shift_offset(read_band(scene.bands[band], scene.id, grid), scene.subtract)

    wanted = [entry for entry in used if entry[which].any()]
    for entry, dn in zip(wanted, pool.map(read, wanted), strict=True):
        k = position[entry[0]]
        weight = np.where(dn > 0, entry[which], 0).astype("uint8")
        better = weight > weights[k]
        np.copyto(values[k], dn, where=better)
        np.copyto(weights[k], weight, where=better)
    return values, weights


@dataclass(frozen=True)
class _Block:
    """Everything that one block of PP needs; may travel to another process."""

    looks: Looks
    grid: GeoBox
    edge: int
    out: Any

    def __call__(self, block: Block) -> tuple[BlockReport, np.ndarray]:
        here = block.geobox(self.grid)
        arrays: dict[str, np.ndarray] = {}
        with ThreadPoolExecutor(self.looks.readers, thread_name_prefix="read") as pool:
            for part in block_grid(here, self.edge):
                found = yearly_features(self.looks, part.geobox(here), pool)
                for name, values in found.items():
                    whole = arrays.setdefault(name, np.empty((*values.shape[:-2], *block.shape), values.dtype))
                    whole[(..., *part.slices)] = values
        for name, values in arrays.items():
            self.out[name][(..., *block.slices)] = values
        observed = np.isfinite(arrays["harmonics"][0])
        return report(arrays), np.bincount(arrays["observations"][observed], minlength=MOST_LOOKS + 1)[: MOST_LOOKS + 1]


def make_pp(job: Job, layer: Layer) -> Made:
    """Compute and store the yearly features of a tile.

    Raises
    ------
    WorkError
        If too many scenes cannot be read.
    InputError
        If too few scenes or too few clear looks are left, or a block does not fit into memory.
    """
    settings = job.production.parameters.preprocessing
    scenes = read_scene_list(job, f"S2_{layer.period}")
    lost: dict[str, str] = _unreadable(scenes.scenes, job.production.engine.workers)
    while True:
        kept = replace(scenes, scenes=tuple(s for s in scenes.scenes if s.id not in lost))
        if len(lost) > settings.max_lost_share * len(scenes.scenes):
            names = "; ".join(f"{name}: {why}" for name, why in list(lost.items())[:5])
            raise WorkError(
                f"{layer.symbol} of tile {job.tile}: {len(lost)} of {len(scenes.scenes)} scenes cannot be read ({names}); "
                "mend the files or raise parameters.preprocessing.max_lost_share"
            )
        if len(kept.overpasses) < settings.min_observations:
            raise InputError(too_few(job, layer, len(kept.overpasses)))
        try:
            return _compute(job, layer, kept, lost)
        except SceneError as error:
            if error.scene in lost:
                raise
            lost[error.scene] = error.reason
            # Starting again costs everything so far: look for all other damage first, once.
            rest = [s for s in kept.scenes if s.id not in lost]
            lost |= _unreadable(rest, job.production.engine.workers, whole=True)


def _compute(job: Job, layer: Layer, scenes: SceneList, lost: dict[str, str]) -> Made:
    settings, engine = job.production.parameters.preprocessing, job.engine
    grid, blocks, dates = job.grid(10), job.blocks(10), len(scenes.overpasses)
    edge, block_bytes = plan_blocks(job, dates)
    at_once = engine.at_once(block_bytes, layer.symbol)
    readers = max(1, engine.settings.workers // min(at_once, len(blocks)))
    with job.store.writing_arrays(job.place(layer.symbol), grid, 10, variables_of(layer), attributes(job, layer)) as out:
        work = _Block(Looks.of(scenes, readers), grid, edge, out)
        results = engine.map(work, blocks, block_bytes, layer.symbol)
        looks = np.sum([r[1] for r in results], axis=0)
        observed, clear = int(looks.sum()), int(looks[settings.min_clear :].sum())
        if not observed:
            raise InputError(
                f"{layer.symbol} of tile {job.tile}: the scenes hold no data inside the area; "
                "check scenes.catalogue and area.bbox"
            )
        if clear < settings.min_valid_share * observed:
            raise InputError(
                f"{layer.symbol} of tile {job.tile}: too few valid observations, only {100 * clear / observed:.0f} % "
                f"of the observed pixels have {settings.min_clear} clear looks; "
                "add scenes or lower parameters.preprocessing.min_valid_share"
            )
    digest, statistics = summarise(layer, [r[0] for r in results])
    statistics |= {
        "overpasses": dates,
        "scenes": len(scenes.scenes),
        "lost_scenes": lost,
        "observed_pixels": observed,
        "looks": looks.tolist(),
        "well_observed_pixels": clear,
        "planned_block_bytes": block_bytes,
        "blocks_at_once": at_once,
    }
    warnings = tuple(f"scene {name} left out: {why}" for name, why in lost.items())
    return Made(digest, statistics, warnings)


def plan_blocks(job: Job, dates: int) -> tuple[int, int]:
    """Edge in which blocks are computed, and the memory of one, so that all workers have one if that is possible."""
    rows, columns = job.grid(10).shape
    for edge in SUB_BLOCKS:
        here = min(edge, rows) * min(edge, columns)
        outputs = min(1000, rows) * min(1000, columns) * (10 * 2 + 8 * 4 + 2)
        size = here * dates * BYTES_PER_LOOK + outputs
        if size * job.engine.settings.workers <= job.engine.budget:
            break
    return edge, size


def too_few(job: Job, layer: Layer, count: int) -> str:
    """Message for a tile with too few overpasses."""
    period = job.period(layer)[0]
    return (
        f"{layer.symbol} of tile {job.tile}: {count} overpasses in {period}, "
        f"{job.production.parameters.preprocessing.min_observations} are needed; "
        "add scenes to scenes.catalogue or lower parameters.preprocessing.min_observations"
    )


def attributes(job: Job, layer: Layer) -> dict[str, str]:
    """Attributes of a layer's arrays."""
    return {"title": layer.description, "symbol": layer.symbol, "tile": str(job.tile), "Conventions": "CF-1.11"}


def read_scene_list(job: Job, symbol: str) -> SceneList:
    """The frozen scene list of a period."""
    text = job.store.read_text(job.place(symbol).data)
    if text is None:
        raise WorkError(f"{symbol} of tile {job.tile}: the scene list is gone; run again")
    return SceneList.from_json(text)


def _unreadable(scenes: Iterable[Scene], workers: int, whole: bool = False) -> dict[str, str]:
    """Scenes with a local file whose header or last pixel cannot be read, or with `whole` any pixel."""

    def trouble(scene: Scene) -> str:
        for path in scene.bands.values():
            if "://" in path or path.startswith("/vsi"):
                continue
            if not Path(path).is_file():
                return f"{path} does not exist"
            try:
                with rasterio.open(path) as source:
                    if whole:
                        for _, window in source.block_windows(1):
                            source.read(1, window=window)
                    else:
                        source.read(1, window=Window(source.width - 1, source.height - 1, 1, 1))
            except (rasterio.errors.RasterioError, OSError) as error:
                return f"{path} cannot be read ({str(error.__cause__ or error).splitlines()[0]})"
        return ""

    scenes = list(scenes)
    with ThreadPoolExecutor(workers) as pool:
        found = zip(scenes, pool.map(trouble, scenes), strict=True)
        return {scene.id: why for scene, why in found if why}


def scene_list_digest(scenes: SceneList) -> str:
    """Hash of what is read, wherever the folder of the files lies: ids, times, offsets, overpasses, names and sizes of files."""
    files = [{band: (Path(file).name, _size(file)) for band, file in s.bands.items()} for s in scenes.scenes]
    return digest_of([(s.id, s.datetime, s.subtract, s.overpass, f) for s, f in zip(scenes.scenes, files, strict=True)])


def _size(path: str) -> int:
    """Bytes of a local file; -1 where there is none or it lies elsewhere."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return -1


def pp_trouble(job: Job, layer: Layer, record: Record) -> str:
    """Why features must be made again although nothing that they are made from has changed; empty if they need not.

    Limits that only decide between use and failure are no part of the key; scenes that could not be read may be mended.
    """
    settings, found = job.production.parameters.preprocessing, record.statistics
    lost, looks = found["lost_scenes"], found["looks"]
    if found["overpasses"] < settings.min_observations:
        return "has fewer overpasses than parameters.preprocessing.min_observations"
    if len(lost) > settings.max_lost_share * (found["scenes"] + len(lost)):
        return "has lost more scenes than parameters.preprocessing.max_lost_share"
    if sum(looks[settings.min_clear :]) < settings.min_valid_share * sum(looks):
        return "has fewer clear looks than parameters.preprocessing ask for"
    if lost:
        again = [s for s in read_scene_list(job, f"S2_{layer.period}").scenes if s.id in lost]
        if len(_unreadable(again, job.production.engine.workers)) < len(again):
            return "scenes that could not be read can be read now"
    return ""
