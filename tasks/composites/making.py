"""Composites of a tile: medians of months and metrics of the span, by the reading and the kernels of yearly features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import psutil
from odc.geo.geobox import GeoBox

from imperv.grids import Block
from imperv.layers.catalogue import Layer
from imperv.layers.catalogue.composites import LOOKS, MONTHLY, MOST_LOOKS, NO_LOOK
from imperv.layers.composites import METRICS, clear_table, median_of_looks, metrics_of_looks
from imperv.layers.features import QUANTILE_BANDS
from imperv.layers.palette import FILLED
from imperv.tasks.errors import InputError
from imperv.tasks.job import BlockReport, Job, Made, attributes, report, summarise
from imperv.tasks.scenes.offset_check import check_offsets
from imperv.tasks.scenes.scenes import SceneList
from imperv.tasks.scenes.streams import Streams
from imperv.tasks.scenes.survey import damaged, survey
from imperv.tasks.settings.periods import Period
from imperv.tasks.yearly.freezing import freeze_scenes
from imperv.tasks.yearly.landsat import without_lost
from imperv.tasks.yearly.lists import read_scene_list
from imperv.tasks.yearly.looks import Bounds, Looks, Stack, read_stacks
from imperv.tasks.yearly.preprocessing import require_left
from imperv.tasks.yearly.strips import Strips, plan_blocks

STEPS = (("B02",), ("B05",), ("B03",), ("B06",), ("B04",), ("B07",), ("B08",), ("B8A",), ("B11",), ("B12",))
"""Bands in the order in which they are read: those of 10 m, which are large, are never in memory two at a time."""

ROWS = 16
"""Rows of pixels in one call of a kernel."""

NOTABLE = 0.001
"""Share of the area from which a person is told of what is filled or missing."""

Reduce = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Statistics of looks: (y, time, x) values and weights -> (y, x), or (metric, y, x)."""


def kept_bytes(layer: Layer) -> int:
    """Bytes of all arrays of a pixel, and of the bands once more where they are filled."""
    bands = layer.variables[0].bands
    return bands * 2 * (2 if layer.symbol in MONTHLY else 1) + 4


def reduced(
    looks: Looks, grid: GeoBox, reduce: Reduce, table: np.ndarray, threads: int, *, within: np.ndarray | None = None,
    count: int = 1, done: Callable[[], None] | None = None, told: Callable[[int], None] = lambda size: None,
    streams: Streams | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Statistics of the looks at a grid of 10 m: (band * count, y, x) uint16, 0 no data, and clear looks (y, x) uint16.

    `count` is that of the planes that `reduce` gives of a band. A pixel that any band lacks has no data. Other arguments and
    errors are those of `read_stacks`.
    """
    out = np.zeros((len(QUANTILE_BANDS), count, *grid.shape.yx), "uint16")

    def use(bands: tuple[str, ...], stacks: list[Stack], times: np.ndarray, kernels: ThreadPoolExecutor) -> None:
        for band, stack in zip(bands, stacks, strict=True):
            here = out[QUANTILE_BANDS.index(band)]
            factor = here.shape[1] // len(stack.values)

            def compute(first: int, stack: Stack = stack, here: np.ndarray = here, factor: int = factor) -> None:
                found = reduce(*stack.part(first, first + ROWS)).reshape(count, -1, 1, stack.values.shape[2], 1)
                part = here[:, factor * first : factor * (first + ROWS)]
                part.reshape(count, found.shape[1], factor, found.shape[3], factor)[...] = found

            list(kernels.map(compute, range(0, len(stack.values), ROWS)))

    weights = read_stacks(
        looks, grid, threads, STEPS, use, table=table, within=within, done=done or (lambda: None), told=told, streams=streams
    )
    clear = np.zeros(grid.shape.yx, "uint16") if weights is None else weights.sum(axis=1, dtype="uint16")
    bands = out.reshape(-1, *grid.shape.yx)
    lacking = bands.min(axis=0) == 0
    bands[:, lacking], clear[lacking] = 0, 0
    return bands, clear


@dataclass(frozen=True)
class MonthOf:
    """The composite of a month on any grid of 10 m; may travel to another process."""

    symbol: str
    own: Looks
    """Looks of the month."""
    around: Looks | None
    """Those of the months before and after, where gaps are filled."""
    table: np.ndarray
    done: Callable[[], None] | None = None

    def __call__(self, grid: GeoBox, threads: int, told: Callable[[int], None], streams: Streams) -> Mapping[str, np.ndarray]:
        """``bands`` by the layer's name, and ``looks``."""
        take = partial(reduced, reduce=median_of_looks, table=self.table, threads=threads, told=told, streams=streams)
        bands, clear = take(self.own, grid, done=self.done)
        looks = np.where(clear > 0, np.minimum(clear, MOST_LOOKS), NO_LOOK).astype("uint8")
        if self.around is not None and (gaps := clear == 0).any():
            others, found = take(self.around, grid, within=gaps)
            filled = gaps & (found > 0)
            bands[:, filled], looks[filled] = others[:, filled], FILLED
        return {self.symbol: bands, LOOKS: looks}


@dataclass(frozen=True)
class MetricsOf:
    """Spectral-temporal metrics on any grid of 10 m; may travel to another process."""

    symbol: str
    looks: Looks
    table: np.ndarray
    done: Callable[[], None] | None = None

    def __call__(self, grid: GeoBox, threads: int, told: Callable[[int], None], streams: Streams) -> Mapping[str, np.ndarray]:
        """``bands`` by the layer's name, metrics of a band side by side, and ``looks``."""
        bands, clear = reduced(
            self.looks,
            grid,
            metrics_of_looks,
            self.table,
            threads,
            count=len(METRICS),
            done=self.done,
            told=told,
            streams=streams,
        )
        return {self.symbol: bands, LOOKS: clear}


@dataclass(frozen=True)
class _Written:
    place: tuple[int, int]
    report: BlockReport
    looks: np.ndarray
    """Pixels by their number of clear looks."""


def write_part(out: Any, layer: Layer, arrays: Mapping[str, np.ndarray], block: Block, shard: Block) -> _Written:
    """Write the part `shard` of a block, in pixels of the block, to the arrays of a layer."""
    mine = {name: np.ascontiguousarray(values[(..., *shard.slices)]) for name, values in arrays.items()}
    y, x = block.y0 + shard.y0, block.x0 + shard.x0
    for name, values in mine.items():
        out[name][..., y : y + shard.shape[0], x : x + shard.shape[1]] = values
    return _Written((y, x), report(mine, layer), np.bincount(mine[LOOKS].ravel()))


def looks_between(scenes: SceneList, period: Period, bounds: Mapping[str, Bounds], job: Job, layer: Layer) -> Looks:
    """Looks of a period among the scenes of a list."""
    some = replace(scenes, scenes=tuple(s for s in scenes.scenes if period.start <= s.day <= period.end))
    return Looks.of(some, bounds, job.production.scenes.of(layer.role).access)


def make_list(job: Job, layer: Layer) -> Made:
    """Freeze the list of scenes; InputError where there is none, or the offset of some was decided wrongly."""
    lost: dict[str, str] = {}
    made = freeze_scenes(job, layer)
    scenes = read_scene_list(job, layer.symbol)
    # What cannot be read is no matter of offsets: the layers that need it say so.
    offsets = without_lost(scenes, lost, lambda kept: check_offsets(job, layer, kept), lambda left: {})
    warnings = (*made.warnings, *filter(None, [offsets["doubt"]]))
    return replace(made, statistics={**made.statistics, "offset_check": offsets}, warnings=warnings)


def make_composite(job: Job, layer: Layer) -> Made:
    """The composite of a month, or the metrics of the span.

    WorkError if too many scenes cannot be read, or a server does not answer; InputError if no look of the span shows the ground.
    A month without any clear look is no data, and a warning.
    """
    workers, access = job.production.engine.workers, job.production.scenes.of(layer.role).access
    everything = read_scene_list(job, layer.inputs[0])
    assert isinstance(everything, SceneList)
    fill, period = layer.symbol in MONTHLY and job.production.parameters.composites.fill, job.period(layer)[0]
    wide = job.production.periods.around(layer.role) if fill else period
    scenes = replace(everything, scenes=tuple(s for s in everything.scenes if wide.start <= s.day <= wide.end))
    found = survey(scenes.scenes, workers, access)

    def compute(kept: SceneList) -> Made:
        if scenes.scenes:  # the shares are of the whole list: a month may have few
            require_left(job, layer, everything, found.lost)
        own = looks_between(kept, period, found.bounds, job, layer)
        around = Looks.of(_without(kept, period), found.bounds, access) if fill else None
        return _make(job, layer, kept, own, around, found.lost, found.bounds)

    return without_lost(scenes, found.lost, compute, lambda left: damaged(left, workers, access))  # type: ignore[no-any-return]


def _without(scenes: SceneList, period: Period) -> SceneList:
    return replace(scenes, scenes=tuple(s for s in scenes.scenes if not period.start <= s.day <= period.end))


def _make(
    job: Job, layer: Layer, scenes: SceneList, own: Looks, around: Looks | None, lost: dict[str, str],
    bounds: Mapping[str, Bounds],
) -> Made:  # fmt: skip
    engine, grid = job.engine, job.grid(10)
    table = clear_table(job.production.parameters.composites.clear_weight)
    every = Looks.of(scenes, bounds, own.access)
    plan, before = plan_blocks(job, every, kept_bytes(layer)), psutil.Process().memory_info().rss
    local = not engine.settings.dask_address
    done = engine.counter(len(STEPS) * plan.parts) if local else None
    compute = (
        MonthOf(layer.symbol, own, around, table, done) if layer.symbol in MONTHLY else MetricsOf(layer.symbol, own, table, done)
    )
    with job.store.writing_arrays(job.place(layer.symbol), grid, 10, layer.variables, attributes(job, layer)) as out:
        work = Strips(compute, partial(write_part, out, layer), grid, plan)
        made = engine.map(work, plan.blocks, plan.bytes, layer.symbol, most=plan.at_once, tell=not local)
        parts = sorted((part for block, _ in made for part in block), key=lambda part: part.place)
        digest, statistics = summarise(layer, [part.report for part in parts])
        observed = _observed(job, layer, parts)
    statistics |= observed | {
        "overpasses": len(own.overpasses), "scenes": own.granules, "lost_scenes": lost, "lost_items": scenes.reasons,
        "bytes_read": sum(read for _, read in made), "planned_block_bytes": plan.bytes,
        "projected_memory": before + plan.bytes * plan.at_once, "blocks": len(plan.blocks), "blocks_at_once": plan.at_once,
    }  # fmt: skip
    warnings = [f"scene {name} left out: {why}" for name, why in (lost | scenes.reasons).items()]
    return Made(digest, statistics, (*warnings, *_told(job, layer, own, observed)))


def _observed(job: Job, layer: Layer, parts: Sequence[_Written]) -> dict[str, Any]:
    """Shares of the area that is seen clear, filled, and without data."""
    counts = np.zeros(max(len(part.looks) for part in parts), np.int64)
    for part in parts:
        counts[: len(part.looks)] += part.looks
    pixels = int(counts.sum())
    if layer.symbol in MONTHLY:
        filled, missing = (int(counts[code]) / pixels if code < len(counts) else 0.0 for code in (FILLED, NO_LOOK))
    else:
        filled, missing = 0.0, int(counts[0]) / pixels
        if missing == 1:
            raise InputError(_nothing(job, layer))
    return {"clear": 1 - filled - missing, "filled": filled, "missing": missing}


def _told(job: Job, layer: Layer, own: Looks, observed: Mapping[str, float]) -> list[str]:
    """What a person should know of gaps."""
    period, warnings = job.period(layer)[0], []
    filled, missing = observed["filled"], observed["missing"]
    if not own.overpasses:
        warnings.append(f"no scene in {period}")
    if filled >= NOTABLE:
        warnings.append(f"{filled:.1%} of the area had no clear look in {period} and was filled from the months around")
    if missing >= NOTABLE:
        fills = layer.symbol in MONTHLY and not job.production.parameters.composites.fill
        remedy = "; parameters.composites.fill fills it from the months around" if fills else ""
        warnings.append(f"{missing:.1%} of the area has no data: no look of {period} shows it clear{remedy}")
    return warnings


def make_looks(job: Job, layer: Layer) -> Made:
    """The looks of all months side by side, none beyond the span; InputError where no month shows anything clear."""
    grid, blocks = job.grid_of(layer), job.blocks_of(layer)
    months = [job.group(symbol)[LOOKS] if job.usable(symbol) else None for symbol in MONTHLY]
    with job.store.writing_arrays(job.place(layer.symbol), grid, 10, layer.variables, attributes(job, layer)) as out:
        work = partial(_copy_looks, months, out[layer.symbol], layer)
        digest, statistics = summarise(layer, job.engine.map(work, blocks, looks_bytes(job, layer), layer.symbol))
        if set(statistics[layer.symbol]["histogram"]) == {str(NO_LOOK)}:
            raise InputError(_nothing(job, layer))
    return Made(digest, statistics)


def _nothing(job: Job, layer: Layer) -> str:
    """Message for a span of which nothing is seen."""
    return (
        f"{layer.symbol} of tile {job.tile}: no look of {job.period(layer)[0]} shows the area clear; choose another span, or "
        "lower parameters.composites.clear_weight"
    )


def _copy_looks(months: Sequence[Any], out: Any, layer: Layer, block: Block) -> BlockReport:
    found = np.stack(
        [np.asarray(one[block.slices]) if one is not None else np.full(block.shape, NO_LOOK, "u1") for one in months]
    )
    out[(slice(None), *block.slices)] = found
    return report({layer.symbol: found}, layer)


def looks_bytes(job: Job, layer: Layer) -> int:
    """Memory of one block: all months twice."""
    rows, columns = job.blocks_of(layer)[0].shape
    return rows * columns * len(MONTHLY) * 2
