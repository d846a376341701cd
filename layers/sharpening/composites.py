"""Composites of Landsat on Sentinel-2's 10 m pixels: by cubic interpolation, and with the detail that single dates saw.

Pixel edges of Landsat lie 15 m off those of Sentinel-2, one and a half fine pixels. Images are computed on thirds of Landsat's
pixels and moved by half of one: fine pixel 0 of the result begins 5 m right of and below the corner of coarse pixel 0. Arrays are
(band, y, x) float32, reflectance x 10 000, NaN without data.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imperv.layers.landsat import MTF
from imperv.layers.sharpening.back_projection import back_project
from imperv.layers.sharpening.dates import Shift, fuse
from imperv.layers.sharpening.degradation import MTF as MTF_OF_BANDS
from imperv.layers.sharpening.degradation import degrade, relative_spread
from imperv.layers.sharpening.enlarging import enlarge, fill
from imperv.layers.sharpening.steps import TEN

FACTOR = 3
"""Fine pixels along one of Landsat's."""

FINE_MTF = sum(MTF_OF_BANDS[band] for band in TEN) / len(TEN)
"""Modulation transfer at Nyquist of the 10 m bands of Sentinel-2, to which composites are brought."""

ROUNDS = 1
"""Rounds of back-projection: a composite has noise, which more rounds would sharpen too (docs/landsat.md)."""

NOISE = 45.0
"""Standard deviation of what a date differs by from a composite, reflectance x 10 000: noise, and what no relation of levels
explains; our choice, on a kit. The same everywhere, so that windows fit together."""

HALF = (-5, 49, -245, 1225, 1225, -245, 49, -5)
"""Half-pixel interpolation by the polynomial through eight pixels, in 2048ths."""


def spread_of_sensor(sensor: str) -> float:
    """Blur between a Landsat sensor and the 10 m bands of Sentinel-2: standard deviation in pixels of 10 m."""
    return relative_spread(MTF[sensor], FINE_MTF, FACTOR)


def half_pixel(image: np.ndarray) -> np.ndarray:
    """The image on pixels half of one farther right and down; NaN where one of the four nearest pixels has no data."""
    empty = np.isnan(image)
    holes = bool(empty.any())
    moved = np.stack([fill(band) for band in image]) if holes else image
    weights = np.array(HALF, np.float32) / 2048
    for axis in (1, 2):
        length = moved.shape[axis]
        width = [(3, 4) if k == axis else (0, 0) for k in range(3)]
        padded = np.pad(moved, width, mode="edge")
        moved = sum(w * np.take(padded, range(k, k + length), axis) for k, w in enumerate(weights))
    if holes:
        around = np.pad(empty, [(0, 0), (0, 1), (0, 1)], mode="edge")
        moved[around[:, 1:, 1:] | around[:, :-1, 1:] | around[:, 1:, :-1] | around[:, :-1, :-1]] = np.nan
    return moved.astype(np.float32)


def plain(composite: np.ndarray, sigma: float, rounds: int = ROUNDS) -> np.ndarray:
    """Cubic interpolation with back-projection: (band, 3 y, 3 x) on Sentinel-2's pixels.

    `sigma` is the point spread as of `degrade`; 0 rounds leave the interpolation as it is.
    """
    fine = enlarge(composite, FACTOR)
    return half_pixel(back_project(fine, composite, FACTOR, sigma, rounds) if rounds else fine)


def as_landsat(image: np.ndarray, sigma: float) -> np.ndarray:
    """(band, 3 y, 3 x) on Sentinel-2's pixels as a Landsat sensor would see it, (band, y, x): moved back, blurred, averaged.

    The other way of `plain`; `sigma` is the point spread as of `degrade`. Pixels without data take the nearest value.
    """
    whole = np.stack([fill(band) for band in image])
    back = half_pixel(whole[:, ::-1, ::-1])[:, ::-1, ::-1]
    return degrade(np.ascontiguousarray(back), FACTOR, sigma)


def sharpen(
    composite: np.ndarray,
    dates: Sequence[np.ndarray],
    shifts: Sequence[Shift],
    clear: Sequence[np.ndarray],
    sigma: float,
    rounds: int = ROUNDS,
) -> tuple[np.ndarray, np.ndarray]:
    """A composite with the detail that single dates saw between its pixels.

    Parameters
    ----------
    composite : ndarray of float32, (band, y, x)
        Any quantile of the looks.
    dates : sequence of ndarrays of float32, (band, y, x)
        Looks at the same pixels.
    shifts : sequence of (rows, columns)
        Of each date against the composite, coarse pixels, as `registration.shift_between` measures them.
    clear : sequence of ndarrays of bool, (y, x)
        Where each date is clear.
    sigma : float
        Point spread, fine pixels; see `spread_of_sensor`.
    rounds : int
        Rounds of back-projection on the composite.

    Returns
    -------
    tuple of two ndarrays of float32, (band, 3 y, 3 x)
        Composite on Sentinel-2's pixels, and its standard deviation between halves of the dates; NaN without data.
    """
    if not dates:
        image = plain(composite, sigma, rounds)
        return image, np.where(np.isnan(image), np.float32(np.nan), np.float32(0))
    everywhere = np.isfinite(composite).all(0)
    noise = np.full(len(composite), NOISE)
    image, deviation = fuse(composite, dates, shifts, FACTOR, sigma, [everywhere, *clear], noise=noise, rounds=rounds)
    return half_pixel(image), np.abs(half_pixel(deviation))
