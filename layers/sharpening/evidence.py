"""What other dates tell about the detail of a reference date: how their differences from it depend on where they lie.

Detail below the pixel is aliased, and each date aliases it differently: ground that lies `s` pixels off changes the phase of a
frequency that was folded once by 2 pi s (Tsai and Huang 1984). So the differences between what a date saw, in the reference's
state, and what it would have seen of the reference's first image are fitted at each pixel by their mean and by sines and cosines
of the shifts. The coefficients and their variances are what `date_network` sees, whatever the number of dates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from imperv.layers.sharpening.dates import MARGIN, TRUST, Sampling, Shift, harmonised, local_mean
from imperv.layers.sharpening.enlarging import fill

PRIOR = np.array([0.2, 0.5, 0.5, 1.0, 1.0, 1.0], np.float32)
"""Precision of each coefficient before anything was seen, in units of that of a date's noise; our choice."""

TERMS = len(PRIOR)
"""Mean, sines of row and column shift, 1 less their cosines, product of the sines."""

LANCZOS = 8
"""Pixels on each side of the kernel that moves differences back to the reference's pixels."""


@dataclass(frozen=True)
class Evidence:
    """Coefficients of differences from the reference, in units of its noise."""

    coefficients: np.ndarray
    """(TERMS, band, y, x) float32."""
    variance: np.ndarray
    """(TERMS, y, x) float32: of the coefficients; 1 / `PRIOR` where no date was clear."""


def evidence(
    reference: np.ndarray,
    others: Sequence[np.ndarray],
    shifts: Sequence[Shift],
    masks: Sequence[np.ndarray],
    first: np.ndarray,
    factor: int,
    sigma: float,
    noise: np.ndarray,
) -> Evidence:
    """Fit the differences of all dates.

    Parameters
    ----------
    reference, others, shifts, masks
        As of `dates.fuse`; masks for all dates, the reference first.
    first : ndarray of float32, (band, factor * y, factor * x)
        First image of the reference date, back-projected, without gaps.
    factor, sigma
        As of `degrade`; sigma above 0.
    noise : ndarray, (band,)
        Standard deviation of the measurements, reflectance x 10 000.

    Returns
    -------
    Evidence
    """
    bands, rows, columns = reference.shape
    wide = np.pad(first, [(0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)], mode="symmetric")
    unit = np.asarray(noise, np.float32)[:, None, None]
    own = np.isfinite(reference).all(0) & masks[0]
    square = np.zeros((rows, columns, TERMS, TERMS), np.float32)
    cross = np.zeros((rows, columns, TERMS, bands), np.float32)
    for date, shift, mask in zip(others, shifts, masks[1:], strict=True):
        both = (own & mask & np.isfinite(date).all(0)).astype(np.float32)
        expected = Sampling(factor, sigma, shift).apply(wide)
        difference = (harmonised(np.nan_to_num(date), expected, both) - expected) / unit * both
        doubt = TRUST * local_mean(difference**2, both).mean(0)
        weight = both / (1 + doubt) * cv2.erode(both, np.ones((3, 3)), borderType=cv2.BORDER_REPLICATE)
        term = _terms(shift)
        square += weight[..., None, None] * (term[:, None] * term)
        cross += weight[..., None, None] * (term[:, None] * np.moveaxis(moved_back(difference, shift), 0, -1)[..., None, :])
    inverse = np.linalg.inv(square + np.diag(PRIOR))
    coefficients = np.moveaxis(inverse @ cross, (2, 3), (0, 1))
    return Evidence(np.ascontiguousarray(coefficients), np.moveaxis(np.diagonal(inverse, axis1=2, axis2=3), -1, 0).copy())


def _terms(shift: Shift) -> np.ndarray:
    (down, right), (near, level) = np.sin(2 * np.pi * np.array(shift)), 1 - np.cos(2 * np.pi * np.array(shift))
    return np.array([1, down, right, near, level, down * right], np.float32)


def moved_back(image: np.ndarray, shift: Shift) -> np.ndarray:
    """(band, y, x) of a date on the pixels of the reference, by Lanczos windows; the image is mirrored at its edges."""
    at = np.arange(-LANCZOS, LANCZOS + 1)
    lines = []
    for s in shift:
        line = np.sinc(at - s) * np.sinc((at - s) / (LANCZOS + 1))
        lines.append((line / line.sum()).astype(np.float32))
    down, right = lines
    return np.stack([cv2.sepFilter2D(fill(b), cv2.CV_32F, right, down, borderType=cv2.BORDER_REFLECT) for b in image])
