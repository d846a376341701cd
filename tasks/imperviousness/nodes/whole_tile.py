"""Layers that need the whole tile: thresholds and connected components of the change mask (ATBD 4.2.5).

Percentiles are of the tile, from passes over the blocks. A patch must not be cut at a block edge, so that components
need the whole tile: 0.2 GB of codes at 10 000 x 10 000 pixels, and nine bytes for each of their patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from typing import Any

import numpy as np
import zarr

from imperv.grids import Block
from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.layers.change_mask import STRIP, counted_thresholds, sieve_mask, threshold_mask
from imperv.layers.kernels.percentiles import count_digits
from imperv.tasks.errors import WorkError
from imperv.tasks.job import BlockReport, Job, Made, attributes, report, summarise
from imperv.tasks.memory import block_bytes

BYTES_PER_PIXEL, BYTES_PER_STRIP_PIXEL = 4.5, 6
"""Projected memory of CHM: codes, mask and the most patches there can be; candidates, labels and OpenCV's table of a strip."""

COUNTERS = 8 * 2**20
"""Projected memory of the counters of a row of blocks: up to four prefixes, those added to them, and those of other rows."""


@dataclass(frozen=True)
class _Counts:
    """Counts the values of a row of blocks by their next digit; may travel to another process."""

    rmsd: Any
    known: int
    prefixes: tuple[int, ...]

    def __call__(self, blocks: Sequence[Block]) -> np.ndarray:
        counts = count_digits(self.rmsd[blocks[0].slices], self.known, self.prefixes)
        for block in blocks[1:]:
            counts += count_digits(self.rmsd[block.slices], self.known, self.prefixes)
        return counts


@dataclass(frozen=True)
class _Candidates:
    """One block of CHM_raw; may travel to another process."""

    symbol: str
    rmsd: Any
    out: zarr.Array
    low: float
    high: float

    def __call__(self, block: Block) -> BlockReport:
        codes = threshold_mask(self.rmsd[block.slices], self.low, self.high)
        self.out[block.slices] = codes
        return report({self.symbol: codes}, CATALOGUE[self.symbol])


def make_chm_raw(job: Job, layer: Layer) -> Made:
    """CHM_raw: RMSD against the tile's own lower and upper percentile; WorkError if no pixel is observed in both periods."""
    settings, rmsd = job.production.parameters.change_mask, job.array("RMSD")
    blocks = job.blocks(layer.resolution)
    # Row by row, so that few counters are held.
    rows = [tuple(row) for _, row in groupby(blocks, key=lambda block: block.y0)]
    pixels = int(np.prod(blocks[0].shape))
    size = block_bytes([(pixels, rmsd.dtype)], [(pixels, layer.dtype)])

    def count(known: int, prefixes: Sequence[int]) -> np.ndarray:
        work = _Counts(rmsd, known, tuple(prefixes))
        return reduce(np.add, job.engine.map(work, rows, size + COUNTERS, layer.symbol))

    low, high = counted_thresholds(count, settings.lower, settings.upper, rmsd.dtype)
    if np.isnan(low):
        raise WorkError(f"CHM_raw of tile {job.tile}: no pixel is observed in both periods; check the scenes of then and now")
    with job.store.writing_arrays(
        job.place(layer.symbol), job.grid(layer.resolution), layer.resolution, layer.variables, attributes(job, layer)
    ) as out:
        work = _Candidates(layer.symbol, rmsd, out[layer.variables[0].name], low, high)
        digest, statistics = summarise(layer, job.engine.map(work, blocks, size, layer.symbol))
    return Made(digest, {**statistics, "lower": low, "upper": high})


def sieve_bytes(rows: int, columns: int) -> int:
    """Projected memory of the patches of so many pixels."""
    return int(columns * (rows * BYTES_PER_PIXEL + min(rows, STRIP) * BYTES_PER_STRIP_PIXEL))


def make_chm(job: Job, layer: Layer) -> Made:
    """CHM: patches that pass the upper threshold and are large enough; InputError if the tile does not fit into memory."""
    rows, columns = job.grid(layer.resolution).shape
    job.engine.at_once(sieve_bytes(rows, columns), layer.symbol)
    mask = sieve_mask(job.array("CHM_raw")[:], job.production.parameters.change_mask.sieve)
    with job.store.writing_arrays(
        job.place(layer.symbol), job.grid(layer.resolution), layer.resolution, layer.variables, attributes(job, layer)
    ) as out:
        out[layer.variables[0].name][:] = mask
    return Made(*summarise(layer, [report({layer.symbol: mask}, layer)]))
