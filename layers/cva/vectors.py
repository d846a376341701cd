"""Change vectors of two dates: amplitude in units of the noise, and angle to a reference vector (docs/change.md)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from imperv.layers.cva.noise import Noise, Sample

MARGIN = 1
"""Pixels around a block that gradients reach."""


@njit(cache=True, nogil=True)
def gradients(bands, valid, out):
    """Gradients along x and y of bands (band, y, x) float32 into `out` (2, band, y, x), by pixel.

    Sobel's kernel; a neighbour without data counts as the pixel itself. Pixels at the edge, or not `valid`, get 0.
    """
    count, rows, columns = bands.shape
    out[:] = 0
    for band in range(count):
        for y in range(1, rows - 1):
            for x in range(1, columns - 1):
                if not valid[y, x]:
                    continue
                here = bands[band, y, x]
                across, down = np.float32(0), np.float32(0)
                for dy in range(-1, 2):
                    for dx in range(-1, 2):
                        value = bands[band, y + dy, x + dx] if valid[y + dy, x + dx] else here
                        across += np.float32(dx * (2 - abs(dy))) * value
                        down += np.float32(dy * (2 - abs(dx))) * value
                out[0, band, y, x] = across / np.float32(8)
                out[1, band, y, x] = down / np.float32(8)


@njit(cache=True, nogil=True)
def _vectors(difference, steep, valid, whitening, registration, scales, reference, amplitude, angle):
    """Amplitude and angle (degrees) of every valid pixel."""
    count, rows, columns = difference.shape
    d, gx, gy = np.empty(count), np.empty(count), np.empty(count)
    length = 0.0
    for i in range(count):
        length += reference[i] * reference[i]
    for y in range(rows):
        for x in range(columns):
            if not valid[y, x]:
                amplitude[y, x] = np.nan
                angle[y, x] = np.nan
                continue
            along, own = 0.0, 0.0
            for i in range(count):
                unit = difference[i, y, x] / scales[i]
                along += unit * reference[i]
                own += unit * unit
            dd, xx, yy, xy, dx, dy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for i in range(count):
                d[i], gx[i], gy[i] = 0.0, 0.0, 0.0
                for j in range(i + 1):
                    d[i] += whitening[i, j] * difference[j, y, x]
                    gx[i] += whitening[i, j] * steep[0, j, y, x]
                    gy[i] += whitening[i, j] * steep[1, j, y, x]
                dd += d[i] * d[i]
                xx += gx[i] * gx[i]
                yy += gy[i] * gy[i]
                xy += gx[i] * gy[i]
                dx += d[i] * gx[i]
                dy += d[i] * gy[i]
            # Woodbury: d' (C + r G G')^-1 d, two by two.
            a, b, c = 1 / registration + xx, xy, 1 / registration + yy
            distance = dd - (c * dx * dx - 2 * b * dx * dy + a * dy * dy) / (a * c - b * b)
            amplitude[y, x] = np.sqrt(max(distance, 0.0))
            cosine = along / np.sqrt(own * length) if own > 0 else 1.0
            angle[y, x] = np.degrees(np.arccos(min(max(cosine, -1.0), 1.0)))


def change_vectors(
    first: np.ndarray, second: np.ndarray, valid: np.ndarray, noise: Noise, reference: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Amplitude and angle of the changes from a first to a second date, (y, x) float32, NaN where not `valid`.

    `first` and `second` are (band, y, x) digital numbers. The first is brought in line with the second (`Noise`). The amplitude
    is the Mahalanobis distance of the difference under the noise of its pixel: its square follows a chi-squared distribution with
    as many degrees of freedom as there are bands where the noise is normal. The angle, 0 to 180 degrees, is that of the
    difference in standard deviations of each band to the `reference` vector. Pixels at the edge have no gradients: give blocks
    with a `MARGIN`.
    """
    gain, offset = (np.asarray(values, "f4")[:, None, None] for values in (noise.gain, noise.offset))
    normalised = gain * first + offset
    second = second.astype("f4")
    steep = np.empty((2, *second.shape), "f4")
    gradients((normalised + second) / 2, valid, steep)
    covariance = np.asarray(noise.covariance)
    whitening = np.linalg.inv(np.linalg.cholesky(covariance))
    amplitude, angle = (np.empty(valid.shape, "f4") for _ in range(2))
    _vectors(
        second - normalised, steep, valid, whitening, max(noise.registration, 1e-6), np.sqrt(np.diag(covariance)),
        np.asarray(reference, "f8"), amplitude, angle,
    )  # fmt: skip
    return amplitude, angle


def sample_of(first: np.ndarray, second: np.ndarray, valid: np.ndarray, step: int = 1) -> Sample:
    """Every `step`-th valid pixel each way of two dates, for `fit_noise`; the pixels at the edge are left out."""
    second = second.astype("f4")
    steep = np.empty((2, *second.shape), "f4")
    gradients(second, valid, steep)
    chosen = np.zeros_like(valid)
    chosen[1:-1:step, 1:-1:step] = valid[1:-1:step, 1:-1:step]
    return Sample(first[:, chosen].T, second[:, chosen].T, np.moveaxis(steep[:, :, chosen], 2, 0))
