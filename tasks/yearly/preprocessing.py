"""PP: yearly quantiles and harmonics of every pixel of a tile (ATBD 4.2.1): what is read in which blocks, and what is lost.

GeoTIFFs on disks are read in strips across the tile, from top to bottom, each block of a file once. Of other files each block is
decoded again for every block of pixels that it touches: those are as large as memory allows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import psutil
from odc.geo.geobox import GeoBox

from imperv.grids import Block, block_grid
from imperv.layers.catalogue import Layer
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.job import Job, Made, attributes
from imperv.tasks.landsat.scenes import LandsatList
from imperv.tasks.references.land import Land
from imperv.tasks.scenes.access import ACCESS_REFUSED, RAN_OUT
from imperv.tasks.scenes.offset_check import check_offsets
from imperv.tasks.scenes.scenes import SceneList
from imperv.tasks.scenes.streams import Streams
from imperv.tasks.scenes.survey import Survey, damaged, readable, survey
from imperv.tasks.store.records import Record
from imperv.tasks.yearly.landsat import landsat_features, without_lost
from imperv.tasks.yearly.lists import read_scene_list
from imperv.tasks.yearly.looks import FILE_BLOCK, STEPS, Looks, block_bytes, waiting_bytes, yearly_features
from imperv.tasks.yearly.shards import PARTS, SHARD, Shard, assembled, least_observed, sum_up, too_little, write_shard

STRIPS = (1000, 500, 250, 100)
"""Rows of the strips in which a row of shards is computed: the first that fits into memory. They end on nodes of the mapping at
10 and at 20 m, so that the strip below begins on the same."""


@dataclass(frozen=True)
class Plan:
    """How the blocks of a tile are cut."""

    blocks: tuple[Block, ...]
    """Units of work, of whole shards."""
    rows: int | None
    """Rows of a block that are held and written at once; None for all."""
    part: tuple[int, int] | None
    """Rows and columns of what is computed at once; None for all."""
    bytes: int
    """Projected memory of one."""
    at_once: int
    """Blocks at the same time."""
    threads: int
    """Threads in each."""

    @property
    def parts(self) -> int:
        """Parts of all blocks."""
        found = 0
        for block in self.blocks:
            rows, columns = block.shape
            held = self.rows or rows
            down, across = self.part or (held, columns)
            found += sum(-(-(min(first + held, rows) - first) // down) for first in range(0, rows, held)) * -(-columns // across)
        return found


@dataclass(frozen=True)
class _Block:
    """Everything that one block of PP needs; may travel to another process."""

    looks: Looks
    grid: GeoBox
    land: Land
    rows: int | None
    part: tuple[int, int] | None
    threads: int
    out: Any
    layer: Layer
    done: Callable[[], None] | None = None

    def __call__(self, block: Block) -> tuple[list[Shard], int]:
        """Its shards, and the bytes of files that were read for them."""
        read: list[int] = []
        done, streams = self.done or (lambda: None), Streams()

        def compute(part: GeoBox) -> dict[str, np.ndarray]:
            return yearly_features(self.looks, part, self.threads, done, read.append, streams)

        shards: list[Shard] = []
        with ThreadPoolExecutor(self.threads, "write") as pool:
            for held in block_grid(block.geobox(self.grid), (self.rows or block.shape[0], block.shape[1])):
                place = Block(block.y0 + held.y0, block.x0, block.y0 + held.y1, block.x1)
                here = place.geobox(self.grid)
                arrays = assembled(here, self.part or place.shape, compute)
                write = partial(write_shard, self.out, self.layer, self.land, arrays, place)
                shards += pool.map(write, block_grid(here, SHARD))
                del arrays, write
        return shards, sum(read)


def make_pp(job: Job, layer: Layer) -> Made:
    """Compute and store the yearly features of a tile.

    WorkError if too many scenes cannot be read, or a server does not answer. InputError if too few scenes or clear looks are
    left, scenes show too little of the land, a block does not fit into memory, or the offset of some scenes was decided wrongly.
    """
    workers, access = job.production.engine.workers, job.production.scenes.of(layer.role).access
    scenes, land = read_scene_list(job, layer.inputs[0]), Land.of(job)
    found = Survey() if isinstance(scenes, LandsatList) else survey(scenes.scenes, workers, access)

    def compute(kept: Any) -> Made:
        require_left(job, layer, scenes, found.lost)
        if isinstance(kept, LandsatList):
            return landsat_features(job, layer, kept, found.lost, land)
        return _compute(job, layer, kept, found, land)

    return without_lost(scenes, found.lost, compute, lambda left: damaged(left, workers, access))  # type: ignore[no-any-return]


def require_left(job: Job, layer: Layer, scenes: SceneList | LandsatList, lost: dict[str, str]) -> None:
    """WorkError if too many scenes of a list are lost, InputError if too few overpasses are left."""
    settings = job.production.parameters.preprocessing
    missing, in_all = lost | scenes.reasons, len(scenes.scenes) + len(scenes.lost)
    if len(missing) > settings.max_lost_share * in_all:
        names = "; ".join(f"{name}: {why}" for name, why in list(missing.items())[:5])
        raise WorkError(
            f"{layer.symbol} of tile {job.tile}: {len(missing)} of {in_all} scenes cannot be read ({names}); "
            f"{remedy(missing.values(), settings.max_lost_share * in_all)}"
        )
    overpasses = len({s.overpass for s in scenes.scenes if s.id not in lost})
    if overpasses < settings.min_observations:
        raise InputError(too_few(job, layer, overpasses))


def remedy(reasons: Collection[str], allowed: float) -> str:
    """What to do about scenes that cannot be read: what is wrong with so many that the others alone would be put up with."""
    if sum(RAN_OUT not in why for why in reasons) <= allowed:
        return "signatures may have run out: sign the addresses in scenes.catalogue again and run with --refresh-scenes"
    if sum(not ACCESS_REFUSED.search(why) for why in reasons) <= allowed:
        return "access is refused: correct the keys or settings of scenes.access, or sign the addresses in scenes.catalogue"
    return "mend the files or raise parameters.preprocessing.max_lost_share"


def _compute(job: Job, layer: Layer, scenes: SceneList, found: Survey, land: Land) -> Made:
    _require_extent(job, layer, scenes, found, land)
    engine, lost = job.engine, found.lost
    grid, looks = job.grid(10), Looks.of(scenes, found.bounds, job.production.scenes.of(layer.role).access)
    offsets = check_offsets(job, layer, scenes)
    plan, before = plan_blocks(job, looks), psutil.Process().memory_info().rss
    local = not engine.settings.dask_address
    done = engine.counter(len(STEPS) * plan.parts) if local else None
    with job.store.writing_arrays(job.place(layer.symbol), grid, 10, layer.variables, attributes(job, layer)) as out:
        work = _Block(looks, grid, land, plan.rows, plan.part, plan.threads, out, layer, done)
        made = engine.map(work, plan.blocks, plan.bytes, layer.symbol, most=plan.at_once, tell=not local)
        observed = sum_up(job, layer, land, [shard for block, _ in made for shard in block])
    statistics = observed.statistics | {
        "overpasses": len(scenes.overpasses),
        "scenes": len(scenes.scenes),
        "lost_scenes": lost,
        "lost_items": scenes.reasons,
        "offset_check": offsets,
        "bytes_read": sum(read for _, read in made),
        "planned_block_bytes": plan.bytes,
        "projected_memory": before + plan.bytes * plan.at_once,
        "blocks": len(plan.blocks),
        "blocks_at_once": plan.at_once,
    }
    warnings = [f"scene {name} left out: {why}" for name, why in (lost | scenes.reasons).items()]
    return Made(observed.digest, statistics, (*warnings, *observed.warnings, *filter(None, [offsets["doubt"]])))


def _require_extent(job: Job, layer: Layer, scenes: SceneList, found: Survey, land: Land) -> None:
    """Refuse scenes whose extents leave out too much of the land, before their pixels are read."""
    boxes = [found.bounds.get(s.id) for s in scenes.scenes]
    if None not in boxes:
        share = land.inside(job, filter(None, boxes)) / land.pixels
        if share < least_observed(job):
            raise InputError(too_little(job, layer, land, share, "at most"))


def plan_blocks(job: Job, looks: Looks) -> Plan:
    """The blocks that decode least among those that fit into memory.

    In this process one block at a time keeps all workers busy, so it may take all memory; on a cluster each worker has one.
    """
    grid, engine = job.grid(10), job.engine
    threads, at_once = (1, engine.settings.workers) if engine.settings.dask_address else (engine.settings.workers, 1)
    allowed, readers = engine.budget // at_once, looks.readers(threads)

    def largest(blocks: Iterable[Block]) -> int:
        """Memory of the largest of some blocks, or of the first that is too large."""
        needed = 0
        for block in blocks:
            here = looks.at(block.geobox(grid))
            pixels = block.shape[0] * block.shape[1]
            needed = max(needed, block_bytes(pixels, len(here.overpasses), here.granules, readers))
            if needed > allowed:
                break
        return needed

    if looks.streamed:
        for blocks, part in _strips(grid.shape.y, grid.shape.x, at_once):
            held = block_bytes(SHARD * part[1], 0, 0, 0) if part[0] < SHARD else 0
            waiting = (
                max(_waiting(looks, block.geobox(grid)) for block in blocks) if part[0] < max(b.shape[0] for b in blocks) else 0
            )
            strips = (strip for block in blocks for strip in _within(block, part))
            if (needed := largest(strips) + held + waiting) <= allowed:
                return Plan(blocks, SHARD, part, needed, at_once, threads)
    for blocks in _cuts(*grid.shape):
        if (needed := largest(blocks)) <= allowed:
            return Plan(blocks, None, None, needed, at_once, threads)
    # Shards are computed in parts, and written when they are whole.
    shards = tuple(block_grid(grid, SHARD))
    whole = block_bytes(shards[0].shape[0] * shards[0].shape[1], 0, 0, 0)
    for edge in PARTS:
        if (needed := largest(block_grid(grid, edge)) + whole) <= allowed:
            break
    return Plan(shards, None, (edge, edge), needed, at_once, threads)


def _waiting(looks: Looks, grid: GeoBox) -> int:
    here = looks.at(grid)
    return waiting_bytes(grid.shape.x, len(here.overpasses), here.granules)


def _within(block: Block, part: tuple[int, int]) -> Iterator[Block]:
    """The strips of a block."""
    for y in range(block.y0, block.y1, part[0]):
        yield Block(y, block.x0, min(y + part[0], block.y1), block.x1)


def _strips(rows: int, columns: int, at_once: int) -> Iterator[tuple[tuple[Block, ...], tuple[int, int]]]:
    """Ways to cut a grid into blocks of whole shards, and those into strips; those first that decode fewest pixels."""
    for across in range(1, -(-columns // SHARD) + 1):
        x = _ends(columns, across)
        y = _ends(rows, min(-(-at_once // (len(x) - 1)), -(-rows // SHARD)))
        blocks = tuple(Block(top, left, bottom, right) for top, bottom in pairwise(y) for left, right in pairwise(x))
        for strip in STRIPS:
            yield blocks, (strip, max(right - left for left, right in pairwise(x)))


def _ends(size: int, count: int) -> tuple[int, ...]:
    """Where a side of a grid is cut into so many parts of whole shards."""
    return tuple(sorted({*(round(size * k / count / SHARD) * SHARD for k in range(count)), size}))


def _cuts(rows: int, columns: int) -> Iterator[tuple[Block, ...]]:
    """Ways to cut a grid into blocks of whole shards, those first of which a reading block by block decodes fewest pixels."""

    def decoded(edges: tuple[int, ...]) -> int:
        return edges[-1] + FILE_BLOCK * (len(edges) - 1)

    down, across = ({_ends(n, k) for k in range(1, -(-n // SHARD) + 1)} for n in (rows, columns))
    ways = sorted(((y, x) for y in down for x in across), key=lambda way: (decoded(way[0]) * decoded(way[1]), way))
    for y, x in ways:
        yield tuple(Block(top, left, bottom, right) for top, bottom in pairwise(y) for left, right in pairwise(x))


def too_few(job: Job, layer: Layer, count: int) -> str:
    """Message for a tile with too few overpasses."""
    period = job.period(layer)[0]
    return (
        f"{layer.symbol} of tile {job.tile}: {count} overpasses in {period}, "
        f"{job.production.parameters.preprocessing.min_observations} are needed; "
        "add scenes to scenes.catalogue or lower parameters.preprocessing.min_observations"
    )


def pp_trouble(job: Job, layer: Layer, record: Record) -> str:
    """Why features must be made again although their key fits (limits, scenes that may be mended); empty if they need not."""
    settings, found = job.production.parameters.preprocessing, record.statistics
    lost, looks = found["lost_scenes"], found["looks"]
    if found["overpasses"] < settings.min_observations:
        return "has fewer overpasses than parameters.preprocessing.min_observations"
    in_all = len(lost) + len(found.get("lost_items", ()))
    if in_all > settings.max_lost_share * (found["scenes"] + in_all):
        return "has lost more scenes than parameters.preprocessing.max_lost_share"
    if sum(looks[settings.min_clear :]) < settings.min_valid_share * sum(looks):
        return "has fewer clear looks than parameters.preprocessing ask for"
    if found.get("observed_share", 1) < least_observed(job):
        return "has observed less of the land than parameters.preprocessing.min_observed_share"
    if lost:
        again = [s for s in read_scene_list(job, layer.inputs[0]).scenes if s.id in lost]
        if readable(again, job.production.engine.workers, job.production.scenes.of(layer.role).access):
            return "scenes that could not be read can be read now"
    return ""
