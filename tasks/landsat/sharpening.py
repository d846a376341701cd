"""Composites of a Landsat year on Sentinel-2's 10 m pixels, block by block, with the detail of the clearest dates.

Shifts between dates are measured once for a scene, so that no border of blocks shows; a block is computed with the ground around
it that its pixels depend on. The science is in `layers.sharpening.composites`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from imperv.grids import Block, block_grid
from imperv.layers.harmonisation import Harmonisation
from imperv.layers.landsat import BANDS, COVERED, NO_DATA
from imperv.layers.sharpening.composites import FACTOR, ROUNDS, sharpen, spread_of_sensor
from imperv.layers.sharpening.dates import Shift, halo
from imperv.layers.sharpening.registration import shift_between
from imperv.tasks.landsat.metrics import Metrics
from imperv.tasks.landsat.reading import PIXEL, read_reflectance, read_weights
from imperv.tasks.landsat.scenes import LandsatScene

MOST_DATES = 16
"""Dates that detail is taken from: the clearest."""

WINDOW = 256
"""Edge in pixels of the windows in which shifts are measured."""

WINDOWS = 5
"""Such windows along each side of a large grid."""

LEAST_CLEAR = 0.2
"""Share of a window that must be clear for a shift to be measured, and of the ground for a date to be used."""

LARGEST_ERROR = 0.1
"""Standard error of a shift, pixels, above which its date is not used: it would blur more than it shows."""


def fine_geobox(grid: GeoBox) -> GeoBox:
    """Sentinel-2's 10 m pixels that `Sharpened` computes on a grid of Landsat's."""
    size, affine = PIXEL / FACTOR, grid.affine
    rows, columns = grid.shape
    corner = affine.c + size / 2, affine.f - size / 2
    return GeoBox((FACTOR * rows, FACTOR * columns), Affine(size, 0, corner[0], 0, -size, corner[1]), grid.crs)


@dataclass(frozen=True)
class Registered:
    """A date that detail can be taken from."""

    scene: LandsatScene
    shift: Shift
    """Rows and columns against the composite, pixels of 30 m."""
    error: float
    """Standard error, pixels."""
    clear: float
    """Share of the windows that was clear."""


def register(metrics: Metrics, most: int = MOST_DATES) -> tuple[Registered, ...]:
    """The clearest dates with their shifts against the median, measured in windows all over the grid, weighted by their errors.

    Of an overpass each scene counts as a date. SceneError if a file cannot be read.
    """
    median = Metrics(metrics.overpasses, metrics.grid, metrics.period, (0.5,), metrics.qa, metrics.access, metrics.threads)
    found: dict[str, list[tuple[Shift, float, float]]] = {}
    scenes = {scene.id: scene for group in metrics.overpasses for scene in group}
    looked_at = windows(metrics.grid, WINDOW, WINDOWS)
    for window in looked_at:
        values, _ = median(window)
        reference = _floats(values[0])
        for scene in scenes.values():
            look = _look(metrics, scene, window.geobox(metrics.grid))
            if look is None or look[1].mean() < LEAST_CLEAR:
                continue
            shift = shift_between(reference, look[0], look[1])
            if np.isfinite(shift.error):
                found.setdefault(scene.id, []).append((shift.shift, max(shift.error, 0.01), float(look[1].mean())))
    dates = []
    for name, measured in found.items():
        weight = np.array([1 / error**2 for _, error, _ in measured])
        row, column = weight @ np.array([shift for shift, _, _ in measured]) / weight.sum()
        error = float(weight.sum() ** -0.5)
        if error <= LARGEST_ERROR:
            clear = sum(share for _, _, share in measured) / len(looked_at)
            dates.append(Registered(scenes[name], (float(row), float(column)), error, clear))
    return tuple(sorted(dates, key=lambda d: (-d.clear, d.scene.id))[:most])


@dataclass(frozen=True)
class Sharpened:
    """Composites of a block on 10 m pixels; may travel to another process."""

    metrics: Metrics
    """Quantiles on the 30 m grid."""
    dates: tuple[Registered, ...]
    """From `register`; none of them gives cubic interpolation with back-projection."""
    harmonisation: Mapping[str, Harmonisation]
    """By sensor, what brings it to the scale of Sentinel-2; a sensor that is not here stays as it is."""
    rounds: int = ROUNDS
    """Rounds of back-projection."""

    @property
    def sigma(self) -> float:
        """Point spread of the sensors of the period, fine pixels: the widest."""
        return max(spread_of_sensor(s.sensor) for group in self.metrics.overpasses for s in group)

    def __call__(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        """Composites and their deviation, (quantile, band, 3 y, 3 x) float32, reflectance x 10 000, NaN without data.

        `block` is in pixels of the 30 m grid; those of the result are of `fine_geobox`. SceneError if a file cannot be read.
        """
        reach = -(-halo(FACTOR, self.sigma) // FACTOR) + 2
        outer = Block(block.y0 - reach, block.x0 - reach, block.y1 + reach, block.x1 + reach)
        here = outer.geobox(self.metrics.grid)
        values, _ = self.metrics(outer)
        looks = [(date.shift, *look) for date in self.dates if (look := _look(self.metrics, date.scene, here)) is not None]
        shifts, dates, clear = zip(*looks, strict=True) if looks else ((), (), ())
        inner = tuple(slice(FACTOR * reach, FACTOR * (reach + side)) for side in block.shape)
        images, deviations = [], []
        for quantile in values:
            image, deviation = sharpen(
                _floats(quantile),
                [x for _, x, _ in looks],
                [s for s, _, _ in looks],
                [c for *_, c in looks],
                self.sigma,
                self.rounds,
            )
            images.append(image[(slice(None), *inner)])
            deviations.append(deviation[(slice(None), *inner)])
        return self._harmonised(np.stack(images)), np.stack(deviations)

    def _harmonised(self, images: np.ndarray) -> np.ndarray:
        """On the scale of Sentinel-2; of several sensors in a period by that with most scenes."""
        sensors = [scene.sensor for group in self.metrics.overpasses for scene in group]
        lines = self.harmonisation.get(max(sorted(set(sensors)), key=sensors.count))
        return lines.apply(images, BANDS) if lines else images

    def bytes(self, block: Block) -> int:
        """Projected memory of a block: looks and their images of the solver, in the pixels of the block and around it."""
        reach = -(-halo(FACTOR, self.sigma) // FACTOR) + 2
        pixels = (block.shape[0] + 2 * reach) * (block.shape[1] + 2 * reach)
        fine, bands = FACTOR**2, len(BANDS)
        return 4 * bands * pixels * (4 * len(self.dates) + 10 * fine + 2 * fine * len(self.metrics.quantiles) + 36)


def windows(grid: GeoBox, edge: int, along: int) -> list[Block]:
    """Windows all over a grid: all of a small one, `along` along each side of a large one; `edge` in pixels."""
    blocks = list(block_grid(grid, edge))
    rows, columns = sorted({b.y0 for b in blocks}), sorted({b.x0 for b in blocks})
    kept = [{side[round(k)] for k in np.linspace(0, len(side) - 1, min(along, len(side)))} for side in (rows, columns)]
    return [b for b in blocks if b.y0 in kept[0] and b.x0 in kept[1]]


def _floats(values: np.ndarray) -> np.ndarray:
    """Reflectance as float32 with NaN."""
    return np.where(values == NO_DATA, np.float32(np.nan), values.astype(np.float32))


def _look(metrics: Metrics, scene: LandsatScene, grid: GeoBox) -> tuple[np.ndarray, np.ndarray] | None:
    """All bands of a scene on a grid, and where it is clear; None where it shows nothing."""
    weights = read_weights(scene, grid, metrics.qa, metrics.access)
    if weights is None or not (weights > COVERED).any():
        return None
    bands = [read_reflectance(scene, band, grid, metrics.access) for band in BANDS]
    image = np.stack([_floats(band) if band is not None else np.full(grid.shape, np.nan, "f4") for band in bands])
    return image, (weights > COVERED) & np.isfinite(image).all(0)
