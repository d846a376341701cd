"""Features of a tile for its density models (ATBD 4.2.3): by block or by rows, with a halo from the neighbouring tiles."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from imperv.grids import Block, inner_slices
from imperv.layers.features import HARMONIC_NAMES, QUANTILE_BANDS, stack_features
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.store.arrays import CHUNK

COLUMNS = CHUNK
"""Width in pixels of what one thread reads: a chunk of the store."""

ABOVE = -(10**9)
"""A row above all others."""


@dataclass(frozen=True)
class Part:
    """Stored features of one tile, placed on the pixels of another."""

    group: Any
    row: int
    """Of its first pixel, counted from the other's first."""
    column: int
    shape: tuple[int, int]
    shift: Mapping[str, float] = field(default_factory=dict)
    """Shift subtracted from a feature, by name."""

    def clip(self, block: Block) -> Block | None:
        """Its part of a block of the other; None where there is none."""
        y0, x0 = max(block.y0, self.row), max(block.x0, self.column)
        y1, x1 = min(block.y1, self.row + self.shape[0]), min(block.x1, self.column + self.shape[1])
        return Block(y0, x0, y1, x1) if y0 < y1 and x0 < x1 else None

    def read(self, block: Block, names: Sequence[str]) -> np.ndarray:
        """Features of a block inside of it, (feature, y, x) float32; only the bands of the features are decoded."""
        cut = Block(block.y0 - self.row, block.x0 - self.column, block.y1 - self.row, block.x1 - self.column).slices
        bands = [k for k, band in enumerate(QUANTILE_BANDS) if f"{band}_q20" in names]
        terms = [k for k, term in enumerate(HARMONIC_NAMES) if f"NDVI_{term}" in names]
        quantiles = np.zeros((len(QUANTILE_BANDS), *block.shape), "u2")
        for run in _runs(bands):
            quantiles[run] = self.group["quantiles"][(run, *cut)]
        harmonics = np.zeros((len(HARMONIC_NAMES), *block.shape), "f4")
        for run in _runs(terms):
            harmonics[run] = self.group["harmonics"][(run, *cut)]
        ndvi_q90 = self.group["ndvi_q90"][cut] if "NDVI_q90" in names else None
        found = stack_features(quantiles, ndvi_q90, harmonics, names)
        if self.shift:
            found -= np.array([self.shift[name] for name in names], "f4")[:, np.newaxis, np.newaxis]
        return found


def _runs(indices: Sequence[int]) -> Iterator[slice]:
    """Slices of neighbouring indices, which are stored in order."""
    ends = [k for k, (a, b) in enumerate(pairwise(indices), 1) if b != a + 1]
    for first, last in pairwise([0, *ends, len(indices)]):
        if first < last:
            yield slice(indices[first], indices[last - 1] + 1)


def open_parts(job: Job, period: str, around: bool = True, aligned: bool = True) -> list[Part]:
    """Stored features of the tile and its neighbours; those of `now` `aligned` to `then` if the production aligns years."""
    row, column = job.global_index()
    shift = shift_of(job) if aligned and period == "now" else {}
    found = []
    for part in (job, *(halo_jobs(job, period) if around else ())):
        y, x = part.global_index()
        found.append(Part(part.group(f"PP_{period}"), y - row, x - column, tuple(part.grid(10).shape), shift))
    return found


def shift_of(job: Job) -> dict[str, float]:
    """Shift subtracted from each feature of `now`, by name; empty where the production does not align years."""
    if not job.production.parameters.unet.align_years:
        return {}
    text = job.store.read_text(job.place("PP_shift").data)
    if text is None:
        raise InputError(f"PP_shift of tile {job.tile} is not in {job.store.url}; first imperv run {job.tile} --target PP_shift")
    return dict(json.loads(text))


def halo_jobs(job: Job, period: str) -> list[Job]:
    """Neighbouring tiles of the area whose features are in the store."""
    return [other for other in job.area_neighbours() if other.usable(f"PP_{period}")]


def read_features(job: Job, period: str, block: Block, names: tuple[str, ...]) -> np.ndarray:
    """Features (feature, y, x) float32 of a block, NaN no data, those of `now` aligned to `then` as in `open_parts`.

    The block is in pixels of the job's 10 m grid; it may reach into neighbour tiles.
    """
    rows, columns = job.grid(10).shape
    beyond = block.y0 < 0 or block.x0 < 0 or block.y1 > rows or block.x1 > columns
    result = np.full((len(names), *block.shape), np.nan, "f4")
    for part in open_parts(job, period, beyond):
        if inside := part.clip(block):
            result[(slice(None), *inner_slices(inside, block))] = part.read(inside, names)
    return result


class FeatureRows:
    """Features of a strip from top to bottom: every chunk of the store is decoded once, and few rows are held.

    `parts` are from `open_parts`; `columns`, first and end in pixels of the tile, may reach beyond it; `most` is the largest
    number of rows of one read.
    """

    def __init__(self, parts: Sequence[Part], names: Sequence[str], columns: tuple[int, int], most: int, workers: int) -> None:
        self.parts, self.names, self.columns, self.workers = parts, names, columns, workers
        self._held = np.empty((most + CHUNK, columns[1] - columns[0], len(names)), "f4")
        self._first = self._end = ABOVE
        """Rows of the tile that are held: none yet."""

    @staticmethod
    def bytes(names: Sequence[str], width: int, most: int, workers: int) -> int:
        """Memory of an object: the rows held, and what its threads decode."""
        piece = CHUNK * COLUMNS * (2 * len(QUANTILE_BANDS) + 4 * len(HARMONIC_NAMES) + 2 * 4 * len(names))
        return (most + CHUNK) * width * len(names) * 4 + 2 * workers * piece

    def __call__(self, first: int, end: int) -> np.ndarray:
        """Rows `first` to `end`, which never go back: (y, x, feature) float32, NaN no data. Valid until the next call."""
        if first >= self._end:
            self._first = self._end = first
        elif first > self._first:
            kept = self._held[first - self._first : self._end - self._first]
            self._held[: len(kept)] = kept
            self._first = first
        while self._end < end:
            # To the next chunk edge.
            self._read(self._end, min((self._end // CHUNK + 1) * CHUNK, self._first + len(self._held)))
        return self._held[: end - first]

    def _read(self, first: int, end: int) -> None:
        left, right = self.columns
        edges = [left, *range((left // COLUMNS + 1) * COLUMNS, right, COLUMNS), right]
        held = self._held[first - self._first : end - self._first]
        whole = Block(first, left, end, right)

        def fill(edge: tuple[int, int]) -> None:
            block = Block(first, edge[0], end, edge[1])
            held[inner_slices(block, whole)] = np.nan
            for part in self.parts:
                if inside := part.clip(block):
                    held[inner_slices(inside, whole)] = np.moveaxis(part.read(inside, self.names), 0, -1)

        with ThreadPoolExecutor(self.workers, "features") as pool:
            list(pool.map(fill, pairwise(edges)))
        self._end = end
