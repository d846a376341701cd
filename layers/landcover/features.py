"""What the networks of land cover see: bands at 5 m and indices of them (docs/landcover.md).

Their names and order are `layers.features.URBAN15`.
"""

from __future__ import annotations

import cv2
import numpy as np

from imperv.layers.features import REFLECTANCE_SCALE, URBAN15

BANDS = URBAN15[:10]
"""Bands of the mosaic, by wavelength."""

INDICES = {"NDVI": ("B08", "B04"), "NDWI": ("B03", "B08"), "NDBI": ("B11", "B08")}
"""Normalised differences of two bands: vegetation (Tucker 1979), water (McFeeters 1996), built-up (Zha et al. 2003)."""

REACH = 2
"""Pixels around a pixel that its features see."""

FLOOR = 1e-3
"""Least sum of reflectances that an index is divided by."""


def stack_features(bands: np.ndarray) -> np.ndarray:
    """Features of `URBAN15` in order, (15, y, x) float32; NaN where any band has no data.

    `bands` are (10, y, x) uint16 in the order of `BANDS`, reflectance x 10 000, 0 no data. Reflectance comes out as a fraction,
    indices as -1..1; BSI is the bare soil index (Rikimaru et al. 2002). The local deviation is that of the pixels with data
    within `REACH` pixels each way.
    """
    known = np.asarray((bands > 0).all(axis=0))
    out = np.empty((len(URBAN15), *bands.shape[1:]), "f4")
    for plane, band in zip(out, bands, strict=False):
        np.multiply(band, np.float32(REFLECTANCE_SCALE), out=plane, casting="unsafe")
    by_name = dict(zip(BANDS, out, strict=False))
    for k, (first, second) in enumerate(INDICES.values(), len(BANDS)):
        out[k] = _difference(by_name[first], by_name[second])
    soil, green = by_name["B11"] + by_name["B04"], by_name["B08"] + by_name["B02"]
    out[-2] = _difference(soil, green)
    out[-1] = local_deviation(by_name["B08"], known, REACH)
    out[:, ~known] = np.nan
    return out


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a - b) / np.maximum(a + b, np.float32(FLOOR))


def local_mean(plane: np.ndarray, known: np.ndarray, reach: int) -> np.ndarray:
    """Mean of the known pixels of a square of `reach` pixels each way, (y, x) float32; NaN where none is known."""
    total, count = _sums(plane, known, reach)
    with np.errstate(all="ignore"):
        return np.asarray(np.where(count > 0, total / count, np.nan), "f4")


def local_deviation(plane: np.ndarray, known: np.ndarray, reach: int) -> np.ndarray:
    """Standard deviation of the same."""
    (total, count), (squares, _) = (_sums(values, known, reach) for values in (plane, plane.astype("f8") ** 2))
    with np.errstate(all="ignore"):
        variance = squares / count - (total / count) ** 2
        return np.asarray(np.where(count > 0, np.sqrt(np.maximum(variance, 0)), np.nan), "f4")


def _sums(plane: np.ndarray, known: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    edge = (2 * reach + 1,) * 2
    some = np.where(known, plane, 0).astype("f8")

    def total(plane: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.boxFilter(plane, cv2.CV_64F, edge, normalize=False, borderType=cv2.BORDER_CONSTANT))

    return total(some), total(known.astype("f8"))
