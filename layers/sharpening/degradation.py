"""What a sensor with coarser pixels would have seen: Gaussian point spread, then the mean over each pixel.

Arrays are (band, y, x) float32, reflectance x 10 000, NaN without data. Pixels without data never spread: those around them are
the weighted mean of what has data, and a coarse pixel is known if all of its fine pixels are.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numba import njit

MTF: dict[str, float] = {
    "B01": 0.30, "B02": 0.27, "B03": 0.28, "B04": 0.27, "B05": 0.38, "B06": 0.37, "B07": 0.37, "B08": 0.26, "B8A": 0.36,
    "B09": 0.30, "B11": 0.35, "B12": 0.34,
}  # fmt: skip
"""Modulation transfer at the Nyquist frequency of each band, point spread and pixel together: middle of what ESA's Data Quality
Reports give for the satellites."""

REACH = 4.0
"""Standard deviations at which the Gaussian is cut."""

PLAIN = 0.5
"""Standard deviation of the point spread in coarse pixels where the instrument is not known: that of comparisons."""


def spread_of(mtf: float) -> float:
    """Standard deviation, in pixels of the sensor, of the Gaussian that with the mean over the pixel has `mtf` at Nyquist.

    The mean over a pixel passes 2 / pi there; ValueError for a sensor sharper than its own pixel.
    """
    if not 0 < mtf <= 2 / math.pi:
        raise ValueError(f"modulation transfer {mtf} at Nyquist is not in (0, {2 / math.pi:.3f}]")
    return math.sqrt(-2 * math.log(mtf * math.pi / 2)) / math.pi


def relative_spread(coarse: float, fine: float, factor: float) -> float:
    """Standard deviation in fine pixels of the blur between two sensors, pixels of the coarse one `factor` times as large.

    `coarse` and `fine` are their modulation transfers at their own Nyquist frequencies. What is as sharp as the fine sensor sees
    it must be blurred by the rest only.
    """
    return math.sqrt(max((factor * spread_of(coarse)) ** 2 - spread_of(fine) ** 2, 0.0))


def known_weight(image: np.ndarray, sigma: float) -> np.ndarray | None:
    """What `degrade` weighs a band (y, x) with: the blurred share of pixels with data, float32; None where all have some."""
    if not np.isnan(image.sum(dtype=np.float32)):  # quicker than to look at each
        return None
    return np.maximum(_blur((~np.isnan(image)).astype(np.float32), sigma), np.float32(1e-6))


def degrade(image: np.ndarray, factor: int, sigma: float, weight: np.ndarray | None = None) -> np.ndarray:
    """Blur by a Gaussian of `sigma` fine pixels, then average blocks of `factor` x `factor`.

    Parameters
    ----------
    image : ndarray of float32, (band, y, x) or (y, x)
        NaN without data; both sides whole multiples of `factor`.
    factor : int
        Fine pixels along a coarse one; 1 only blurs.
    sigma : float
        Standard deviation in fine pixels; 0 only averages.
    weight : ndarray, optional
        `known_weight` of a band that is degraded time and again, where it lacks data.

    Returns
    -------
    ndarray of float32
        NaN where a fine pixel of the block has no data.

    Raises
    ------
    ValueError
        If the sides are no multiples of the factor.
    """
    image = np.asarray(image, np.float32)
    if image.ndim == 3:
        return np.stack([degrade(band, factor, sigma) for band in image]) if len(image) else _no_band(image, factor)
    if image.shape[0] % factor or image.shape[1] % factor:
        raise ValueError(f"{image.shape} pixels are not blocks of {factor} x {factor}")
    size = image.shape[1] // factor, image.shape[0] // factor
    if weight is None and sigma > 0 and factor > 1 and image.size:
        radius, line = _line(sigma)
        taps = np.convolve(line[:, 0], np.full(factor, 1 / factor)).astype(np.float32)
        found = _coarser(np.ascontiguousarray(image), taps, radius, np.empty(size[::-1], np.float32))
        if not np.isnan(found.sum(dtype=np.float32)):
            return found
    if weight is None:
        weight = known_weight(image, sigma)
    if weight is None:
        blurred = _blur(image, sigma)
    else:
        empty = np.isnan(image)
        blurred = _blur(np.where(empty, np.float32(0), image), sigma)
        blurred /= weight
        blurred[empty] = np.nan
    return blurred if factor == 1 else cv2.resize(blurred, size, interpolation=cv2.INTER_AREA)


def _no_band(image: np.ndarray, factor: int) -> np.ndarray:
    return np.empty((0, image.shape[1] // factor, image.shape[2] // factor), np.float32)


def _line(sigma: float) -> tuple[int, np.ndarray]:
    """Radius and weights of the Gaussian along an axis."""
    radius = max(1, math.ceil(REACH * sigma))
    return radius, cv2.getGaussianKernel(2 * radius + 1, sigma, cv2.CV_64F)


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    if sigma <= 0:
        return image
    _, line = _line(sigma)
    return cv2.sepFilter2D(image, cv2.CV_32F, line, line, borderType=cv2.BORDER_REFLECT)


@njit(cache=True, nogil=True)
def _mirrored(k, size):
    """Index within an axis that is mirrored at its ends, edge pixels twice, as OpenCV's ``BORDER_REFLECT``."""
    while k < 0 or k >= size:
        k = -1 - k if k < 0 else 2 * size - 1 - k
    return k


@njit(cache=True, nogil=True, error_model="numpy")
def _coarser(image, taps, radius, out):
    """Blur and mean at once, for the pixels that are wanted only; all pixels have data.

    Parameters
    ----------
    image : array
        (y, x) float32.
    taps : array
        float32 weights of a coarse pixel along an axis, from `radius` pixels before it.
    out : array
        (y / factor, x / factor) float32; written, and returned.
    """
    rows, columns = image.shape
    factor, count = rows // out.shape[0], len(taps)
    width = out.shape[1] + (count - 1) // factor
    total, line = np.empty(columns, np.float32), np.empty(width * factor, np.float32)
    parts = np.empty((factor, width), np.float32)
    for y in range(out.shape[0]):
        total[:] = 0
        for t in range(count):
            row, tap = image[_mirrored(y * factor + t - radius, rows)], taps[t]
            for x in range(columns):
                total[x] += tap * row[x]
        for k in range(radius):
            line[k] = total[_mirrored(k - radius, columns)]
        for x in range(columns):
            line[radius + x] = total[x]
        for k in range(radius + columns, len(line)):
            line[k] = total[_mirrored(k - radius, columns)]
        for p in range(factor):  # every `factor`-th pixel together: then sums along the row are of neighbours, many at once
            for k in range(width):
                parts[p, k] = line[k * factor + p]
        sums = out[y]
        sums[:] = 0
        for t in range(count):
            part, tap = parts[t % factor, t // factor :], taps[t]
            for x in range(len(sums)):
                sums[x] += tap * part[x]
    return out
