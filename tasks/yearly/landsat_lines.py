"""Lines that bring a year of Landsat to the scale of Sentinel-2, fitted where the other period of a production is Sentinel-2's.

Composites and NDVI of both are compared on windows all over the tile, Sentinel-2 as Landsat would see it. Ground that changed
between the periods has no weight in a line (`layers.harmonisation`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from odc.geo.geobox import GeoBox

from imperv.grids import Block
from imperv.layers.catalogue import Layer
from imperv.layers.features import QUANTILE_BANDS
from imperv.layers.harmonisation import Harmonisation, harmonise
from imperv.layers.landsat import SEEN
from imperv.layers.sharpening.composites import FACTOR, as_landsat, spread_of_sensor
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.landsat.features import NAMES, planes_of
from imperv.tasks.landsat.metrics import Metrics, metrics_bytes
from imperv.tasks.landsat.sharpening import fine_geobox, windows
from imperv.tasks.scenes.scenes import SceneList
from imperv.tasks.yearly.features import KEPT_BYTES, NDVI_QUANTILE, yearly_features
from imperv.tasks.yearly.looks import Looks, block_bytes

EDGE = 128
"""Edge of a window, pixels of 30 m: a few square kilometres, less than two blocks of a file of Sentinel-2 across."""

ALONG = 3
"""Windows along each side of a tile."""

SKIPPED = 2
"""Pixels at the edge of a window that are not compared, as the blur looks beyond it."""


@dataclass(frozen=True)
class _Window:
    """Both sensors in a window; may travel to another process."""

    metrics: Metrics
    looks: Looks
    sigma: float
    threads: int

    def __call__(self, window: Block) -> tuple[np.ndarray, np.ndarray]:
        """Landsat and Sentinel-2, (name, pixel) float32, NaN no data."""
        (composite,), _ = self.metrics(window)
        coefficients, high, _ = self.metrics.ndvi(window, NDVI_QUANTILE)
        own = planes_of(composite, coefficients, high)
        fine = fine_geobox(window.geobox(self.metrics.grid))
        even, (row, column) = on_even_pixels(fine)
        found = yearly_features(self.looks, even, self.threads)
        here = np.s_[..., row : row + fine.shape.y, column : column + fine.shape.x]
        bands = found["quantiles"][[QUANTILE_BANDS.index(name) for name in SEEN]][here].astype(np.float32)
        bands[bands == 0] = np.nan
        ndvi = np.float32(1e4) * np.stack([found["harmonics"][0], found["ndvi_q90"]])[here]
        other = np.concatenate([bands, ndvi])
        known = as_landsat(np.isfinite(other).astype(np.float32), self.sigma) > 1 - 1e-3
        seen = np.where(known, as_landsat(other, self.sigma), np.float32(np.nan))
        inner = np.s_[:, SKIPPED:-SKIPPED, SKIPPED:-SKIPPED]
        return own[inner].reshape(len(NAMES), -1), seen[inner].reshape(len(NAMES), -1)


def on_even_pixels(fine: GeoBox) -> tuple[GeoBox, tuple[int, int]]:
    """A grid of 10 m pixels whose edges lie on those of 20 m, around another one; row and column of that one's first pixel."""
    row, column = round(fine.affine.f / 10) % 2, round(fine.affine.c / 10) % 2
    rows, columns = (n + first + (n + first) % 2 for n, first in ((fine.shape.y, row), (fine.shape.x, column)))
    return GeoBox((rows, columns), fine.affine * fine.affine.translation(-column, -row), fine.crs), (row, column)


def fit_lines(
    job: Job, layer: Layer, metrics: Metrics, sensor: str, other: SceneList, looks: Looks, periods: str
) -> Harmonisation:
    """Lines of `NAMES`; InputError if they cannot be fitted, SceneError if a file of a scene cannot be read."""
    threads = job.engine.settings.workers
    blocks, pixels = windows(metrics.grid, EDGE, ALONG), EDGE**2
    size = block_bytes(FACTOR**2 * pixels, len(other.overpasses), len(other.scenes), looks.readers(threads), KEPT_BYTES)
    size += metrics_bytes(pixels, len(metrics.overpasses), 1, metrics.threads)
    work = _Window(metrics, looks, spread_of_sensor(sensor), threads)
    found = job.engine.map(work, blocks, size, layer.symbol, most=1)
    own, seen = (np.concatenate([pair[k] for pair in found], axis=1) for k in (0, 1))
    try:
        return harmonise(own, seen, NAMES, sensor, "msi", periods)
    except ValueError as error:
        raise InputError(
            f"{layer.symbol} of tile {job.tile}: Landsat cannot be brought to the scale of Sentinel-2 ({error}); "
            "both must see the same ground clear, on a window of some square kilometres: enlarge area, or add scenes"
        ) from None
