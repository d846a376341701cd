"""Features of a Landsat year on a 10 m grid, in the form of those of Sentinel-2: quantiles, NDVI and its harmonics, clear looks.

Composites are sharpened on the pixels of the zone and warped once. NDVI is fitted at 30 m, as single looks are as sharp as that;
its mean and its quantile take the detail of the NDVI of the sharpened composite (docs/landsat.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from imperv.grids import Block
from imperv.layers.features import HARMONIC_NAMES, QUANTILE_BANDS
from imperv.layers.harmonisation import Harmonisation
from imperv.layers.landsat import BANDS, LOWEST_VALID, SEEN
from imperv.layers.sharpening.composites import FACTOR, as_landsat, half_pixel
from imperv.layers.sharpening.enlarging import enlarge
from imperv.tasks.landsat.metrics import metrics_bytes
from imperv.tasks.landsat.reading import PIXEL, landsat_geobox
from imperv.tasks.landsat.sharpening import Sharpened, fine_geobox
from imperv.tasks.scenes.warping import warp_bands

MEAN, HIGH = "NDVI_c0", "NDVI_q90"
"""Lines of harmonisation of NDVI x 10 000: of its mean, which its other coefficients share the gain of, and of its quantile."""

NAMES = (*SEEN, MEAN, HIGH)
"""What lines are fitted for."""

MARGIN = 6
"""Landsat pixels around a block: interpolation to 10 m and to the grid reach so far."""


@dataclass(frozen=True)
class LandsatYear:
    """Features of a part of a grid; may travel to another process."""

    sharpened: Sharpened
    """Composite of one quantile, on the scale of its sensor."""
    quantile: float
    """Quantile of NDVI."""
    lines: Harmonisation | None = None
    """Lines of `NAMES` to the scale of Sentinel-2; None leaves that of the sensor."""

    def __call__(self, here: GeoBox) -> dict[str, np.ndarray]:
        """Arrays on a grid of 10 m in any reference system, as of `yearly_features`; the red edge has no data.

        SceneError if a file cannot be read.
        """
        shape = here.shape.y, here.shape.x
        found = {
            "quantiles": np.zeros((len(QUANTILE_BANDS), *shape), "uint16"),
            "ndvi_q90": np.full(shape, np.nan, "float32"),
            "harmonics": np.full((len(HARMONIC_NAMES), *shape), np.nan, "float32"),
            "observations": np.zeros(shape, "uint16"),
        }
        area = self.area(here)
        metrics = self.sharpened.metrics
        coefficients, high, looks = metrics.ndvi(area, self.quantile)
        if not np.isfinite(coefficients[0]).any():
            return found
        bands = self._bands(self.sharpened(area)[0][0])
        curves = self._curves(coefficients, high, bands)
        source = fine_geobox(area.geobox(metrics.grid))
        warped = warp_bands(np.concatenate([bands, curves]), source, here, Resampling.bilinear, np.nan)
        for name, plane in zip(SEEN, warped, strict=False):
            numbers = np.clip(np.rint(np.nan_to_num(plane)), LOWEST_VALID, np.iinfo(np.uint16).max)
            found["quantiles"][QUANTILE_BANDS.index(name)] = np.where(np.isnan(plane), 0, numbers)
        found["harmonics"][...] = warped[len(SEEN) : -1]
        found["ndvi_q90"][...] = np.clip(warped[-1], -1, 1)
        count = half_pixel(enlarge(looks[None].astype(np.float32), FACTOR, "nearest"))
        found["observations"][...] = np.rint(np.nan_to_num(warp_bands(count, source, here, Resampling.nearest, np.nan)[0]))
        return found

    def area(self, here: GeoBox) -> Block:
        """Pixels of the 30 m grid that a part of another grid needs, perhaps beyond that grid's edges."""
        grid = self.sharpened.metrics.grid
        assert grid.crs is not None
        box = landsat_geobox(here.boundingbox.bbox, str(here.crs), grid.crs.epsg)
        row, column = round((grid.affine.f - box.affine.f) / PIXEL), round((box.affine.c - grid.affine.c) / PIXEL)
        return Block(row - MARGIN, column - MARGIN, row + box.shape.y + MARGIN, column + box.shape.x + MARGIN)

    def bytes(self, here: GeoBox) -> int:
        """Projected memory of a part: the sharpening, or the looks of NDVI; and all planes of the result thrice."""
        area, metrics = self.area(here), self.sharpened.metrics
        pixels, planes = area.shape[0] * area.shape[1], len(NAMES) + len(HARMONIC_NAMES)
        looks = metrics_bytes(pixels, len(metrics.overpasses), len(metrics.quantiles), metrics.threads)
        looks += pixels * len(metrics.overpasses) * 6
        return max(self.sharpened.bytes(area), looks) + 3 * 4 * planes * FACTOR**2 * pixels

    def _bands(self, image: np.ndarray) -> np.ndarray:
        """Bands of Sentinel-2 (7, y, x) float32 from those of Landsat."""
        bands = image[[BANDS.index(band) for band in SEEN.values()]]
        return self.lines.apply(bands, tuple(SEEN)) if self.lines else bands

    def _curves(self, coefficients: np.ndarray, high: np.ndarray, bands: np.ndarray) -> np.ndarray:
        """Coefficients and quantile of NDVI (8, y, x) on the pixels of `bands`."""
        curves = half_pixel(enlarge(np.concatenate([coefficients, high[None]]), FACTOR))
        if self.lines:
            mean, quantile = self.lines.lines[MEAN], self.lines.lines[HIGH]
            curves[:-1] *= np.float32(mean.gain)
            curves[0] += np.float32(1e-4 * mean.offset)
            curves[-1] = quantile.gain * curves[-1] + 1e-4 * quantile.offset
        names = tuple(SEEN)
        red, nir = bands[names.index("B04")], bands[names.index("B08")]
        index = (nir - red) / np.maximum(nir + red, 1)
        coarse = as_landsat(index[None], self.sharpened.sigma)
        detail = np.nan_to_num(index - half_pixel(enlarge(coarse, FACTOR))[0])
        curves[0] += detail
        curves[-1] += detail
        return curves


def planes_of(composite: np.ndarray, coefficients: np.ndarray, high: np.ndarray) -> np.ndarray:
    """What lines are fitted to, (name, y, x) float32 in the order of `NAMES`, NaN no data: bands, and NDVI x 10 000.

    `composite` is (band, y, x) uint16 in the order of Landsat's `BANDS`, the others as of `Metrics.ndvi`.
    """
    bands = composite[[BANDS.index(band) for band in SEEN.values()]].astype(np.float32)
    bands[bands == 0] = np.nan
    return np.concatenate([bands, np.float32(1e4) * np.stack([coefficients[0], high])])
