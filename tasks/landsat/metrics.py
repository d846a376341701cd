"""Spectral-temporal metrics of Landsat: minimum, maximum and quantiles of each band over a period, block by block.

A pixel's value is the weighted quantile (`layers.quantiles`) of its clear looks, weights from the quality bands; of covered ones
where it has no clear one. Of scenes of one overpass, whose rows overlap, the clearest counts. A block holds one band of all looks
at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from imperv.grids import Block, block_grid
from imperv.layers.day_weights import day_weights
from imperv.layers.landsat import BANDS, COVERED, NO_DATA, QaParameters
from imperv.layers.quantiles import weighted_quantile
from imperv.layers.yearly import yearly_ndvi
from imperv.tasks.engine import Engine
from imperv.tasks.errors import InputError
from imperv.tasks.landsat.reading import read_reflectance, read_weights
from imperv.tasks.landsat.scenes import LandsatScene
from imperv.tasks.scenes.access import LOCAL
from imperv.tasks.settings.periods import Period, year_fraction
from imperv.tasks.settings.scenes import SceneAccess

USUAL = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Minimum, quartiles and maximum."""

EDGE = 500
"""Edge in pixels of the largest block; those of files of Collection 2 have 256."""

EDGES = (EDGE, 250, 125, 50)
"""Edges in pixels of blocks where memory is short."""

_Look = tuple[LandsatScene, np.ndarray]
"""A scene with its weights on a grid."""


def metric_name(q: float) -> str:
    """``min``, ``median``, ``max``, or ``p20`` of a quantile 0 to 1."""
    return {0.0: "min", 0.5: "median", 1.0: "max"}.get(q, f"p{100 * q:g}")


def metrics_bytes(pixels: int, looks: int, quantiles: int, threads: int) -> int:
    """Projected memory, bytes, of a block: weights and one band of all looks, a copy of these for the kernel, and results.

    Each thread that reads holds a scene of the block four times, in eight bytes where it becomes reflectance.
    """
    return pixels * (looks * (1 + 4 + 2 * (2 + 2)) + 2 * quantiles * (len(BANDS) + 1) + threads * (2 + 2 + 8 + 8))


@dataclass(frozen=True)
class Metrics:
    """Metrics of a block of a grid; may travel to another process."""

    overpasses: tuple[tuple[LandsatScene, ...], ...]
    """Scenes by overpass, in order of time."""
    grid: GeoBox
    """30 m grid of the zone, from `reading.landsat_geobox`."""
    period: Period | None = None
    """Period whose days a look stands for (`layers.day_weights`); None lets every look count alike."""
    quantiles: tuple[float, ...] = USUAL
    """0 to 1; 0 is the minimum, 1 the maximum."""
    qa: QaParameters = QaParameters()
    """What a look weighs."""
    access: SceneAccess = LOCAL
    """How remote files are reached."""
    threads: int = 1
    """Files read at once."""

    def __call__(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        """Metrics (quantile, band, y, x) uint16, reflectance x 10 000, 0 no data, and the number of clear looks (y, x) uint16.

        SceneError if a file cannot be read.
        """
        here = block.geobox(self.grid)
        with ThreadPoolExecutor(self.threads, "read") as readers:
            seen, weights = self._weighed(here, readers)
            looks = np.count_nonzero(weights > COVERED, axis=0).astype(np.uint16)
            weights[(weights == COVERED) & (looks > 0)] = 0
            if self.period is not None:
                days = [(group[0][0].day - self.period.start).days for group in seen]
                weights = day_weights(weights, days, (self.period.end - self.period.start).days + 1)
            result = np.zeros((len(self.quantiles), len(BANDS), *block.shape), np.uint16)
            for k, band in enumerate(BANDS) if seen else ():
                result[:, k] = weighted_quantile(self._stack(seen, band, here, readers), weights, self.quantiles, NO_DATA)
        return result, looks

    def ndvi(self, block: Block, quantile: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """NDVI of a block over the year: coefficients of its harmonics (7, y, x) and a quantile (y, x), float32, NaN no data.

        And the number of clear looks (y, x) uint16. As of Sentinel-2, all looks take part in the fit, hidden ones at little
        weight: a season without any clear look stays bounded. SceneError if a file cannot be read.
        """
        here = block.geobox(self.grid)
        with ThreadPoolExecutor(self.threads, "read") as readers:
            seen, weights = self._weighed(here, readers)
            if not seen:
                nothing = np.full((8, *block.shape), np.nan, np.float32)
                return nothing[:7], nothing[7], np.zeros(block.shape, np.uint16)
            red, nir, weights = (
                np.ascontiguousarray(np.moveaxis(stack, 0, 1))
                for stack in (*(self._stack(seen, band, here, readers) for band in ("red", "nir08")), weights)
            )
        times = np.array([year_fraction(group[0][0].day) for group in seen])
        found = yearly_ndvi(red, nir, weights, weights, times, ndvi_quantile=quantile, clear_weight=COVERED + 1)
        return found.harmonics, found.ndvi, found.observations

    def _weighed(self, here: GeoBox, readers: ThreadPoolExecutor) -> tuple[list[list[_Look]], np.ndarray]:
        """Overpasses with weight on a grid, and their weights (overpass, y, x) uint8."""
        seen = [group for group in readers.map(lambda group: self._seen(group, here), self.overpasses) if group]
        weights = np.zeros((len(seen), here.shape.y, here.shape.x), np.uint8)
        for own, group in zip(weights, seen, strict=True):
            for _, part in group:
                np.maximum(own, part, out=own)
        return seen, weights

    def _stack(self, seen: Sequence[Sequence[_Look]], band: str, here: GeoBox, readers: ThreadPoolExecutor) -> np.ndarray:
        """One band of all overpasses, (overpass, y, x) uint16."""
        values = np.zeros((len(seen), here.shape.y, here.shape.x), np.uint16)
        list(readers.map(lambda n: self._fill(values[n], seen[n], band, here), range(len(seen))))
        return values

    def _seen(self, group: Sequence[LandsatScene], here: GeoBox) -> list[_Look]:
        """Scenes of an overpass with weight on a grid, and their weights."""
        found = ((scene, read_weights(scene, here, self.qa, self.access)) for scene in group)
        return [(scene, weights) for scene, weights in found if weights is not None]

    def _fill(self, out: np.ndarray, group: Sequence[_Look], band: str, here: GeoBox) -> None:
        """One band of an overpass, each pixel from the scene that gave its weight."""
        out[...] = NO_DATA
        best = np.zeros(out.shape, np.uint8)
        for scene, weights in group:
            values = read_reflectance(scene, band, here, self.access)
            if values is not None:
                np.copyto(out, values, where=weights > best)
            np.maximum(best, weights, out=best)


@dataclass(frozen=True)
class _Written:
    """Computes a block and writes it."""

    metrics: Metrics
    out: Any
    looks: Any

    def __call__(self, block: Block) -> np.ndarray:
        values, looks = self.metrics(block)
        self.out[(..., *block.slices)] = values
        self.looks[block.slices] = looks
        return np.bincount(looks.ravel())


def write_metrics(metrics: Metrics, out: Any, looks: Any, engine: Engine, what: str = "Landsat metrics") -> np.ndarray:
    """Compute all blocks of the grid within the engine's memory and write them to arrays.

    `out` takes (quantile, band, y, x) uint16 and `looks` (y, x) uint16: NumPy or Zarr, the latter with chunks that blocks of
    `EDGE` pixels do not share. Gives the histogram of looks a pixel; InputError if not even a small block fits into memory.
    """
    blocks, size = plan_blocks(metrics, engine, what)
    found = engine.map(_Written(metrics, out, looks), blocks, size, what)
    total = np.zeros(max(map(len, found)), np.int64)
    for counts in found:
        total[: len(counts)] += counts
    return total


def plan_blocks(metrics: Metrics, engine: Engine, what: str = "Landsat metrics") -> tuple[tuple[Block, ...], int]:
    """Blocks of the largest edge that fits into memory, and the bytes of one; InputError if none does."""
    edge = next((e for e in EDGES if _bytes(metrics, e) <= engine.budget), EDGES[-1])
    size = _bytes(metrics, edge)
    engine.at_once(size, what)
    return tuple(block_grid(metrics.grid, edge)), size


def _bytes(metrics: Metrics, edge: int) -> int:
    rows, columns = (min(edge, side) for side in metrics.grid.shape)
    return metrics_bytes(rows * columns, len(metrics.overpasses), len(metrics.quantiles), metrics.threads)


def require_looks(counts: np.ndarray, least: int, share: float, where: str) -> None:
    """Raise InputError if fewer than a `share` of the pixels have `least` looks; `counts` is the histogram of looks a pixel."""
    have = counts[least:].sum() / max(int(counts.sum()), 1)
    if have < share:
        raise InputError(
            f"{where}: only {math.floor(100 * have)} % of the pixels have {least} clear looks of Landsat, {100 * share:g} % are "
            "needed; add scenes, take a longer period, or lower the limit"
        )
