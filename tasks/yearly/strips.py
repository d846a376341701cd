"""How a tile goes through all looks: in blocks of whole shards, and those in strips from top to bottom.

GeoTIFFs on disks are read in strips across the tile, each block of a file once. Of other files each block is decoded again for
every block of pixels that it touches: those are as large as memory allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from imperv.grids import Block, block_grid
from imperv.tasks.job import Job
from imperv.tasks.scenes.streams import Streams
from imperv.tasks.yearly.looks import FILE_BLOCK, Looks, block_bytes, waiting_bytes
from imperv.tasks.yearly.shards import PARTS, SHARD, assembled

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


Compute = Callable[[GeoBox, int, Callable[[int], None], Streams], Mapping[str, np.ndarray]]
"""Arrays (..., y, x) of a grid: (grid, threads, what is told the bytes that were read, files read for the grid above)."""

Write = Callable[[Mapping[str, np.ndarray], Block, Block], Any]
"""Writes the part of a block that is a shard: (arrays, block, shard in pixels of the block)."""


@dataclass(frozen=True)
class Strips:
    """One block, computed strip by strip and written shard by shard; may travel to another process."""

    compute: Compute
    write: Write
    grid: GeoBox
    plan: Plan

    def __call__(self, block: Block) -> tuple[list[Any], int]:
        """What `write` gives of its shards, and the bytes of files that were read for them."""
        read: list[int] = []
        streams = Streams()
        threads, part = self.plan.threads, self.plan.part

        def compute(part: GeoBox) -> Mapping[str, np.ndarray]:
            return self.compute(part, threads, read.append, streams)

        shards: list[Any] = []
        with ThreadPoolExecutor(threads, "write") as pool:
            for held in block_grid(block.geobox(self.grid), (self.plan.rows or block.shape[0], block.shape[1])):
                place = Block(block.y0 + held.y0, block.x0, block.y0 + held.y1, block.x1)
                here = place.geobox(self.grid)
                arrays = assembled(here, part or place.shape, compute)
                shards += pool.map(partial(self.write, arrays, place), block_grid(here, SHARD))
                del arrays
        return shards, sum(read)


def plan_blocks(job: Job, looks: Looks, kept: int) -> Plan:
    """The blocks that decode least among those that fit into memory, where `kept` bytes of each pixel are left.

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
            needed = max(needed, block_bytes(pixels, len(here.overpasses), here.granules, readers, kept))
            if needed > allowed:
                break
        return needed

    if looks.streamed:
        for blocks, part in _strips(grid.shape.y, grid.shape.x, at_once):
            held = block_bytes(SHARD * part[1], 0, 0, 0, kept) if part[0] < SHARD else 0
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
    whole = block_bytes(shards[0].shape[0] * shards[0].shape[1], 0, 0, 0, kept)
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
