"""Iterative back-projection (Irani and Peleg 1991): sharpened bands that, degraded again, are what the instrument saw."""

from __future__ import annotations

import cv2
import numpy as np

from imperv.layers.sharpening.degradation import degrade, known_weight
from imperv.layers.sharpening.enlarging import enlarge


def back_project(
    sharp: np.ndarray,
    coarse: np.ndarray,
    factor: int,
    sigma: float,
    rounds: int = 5,
    floor: float | None = None,
    pace: float = 1.0,
) -> np.ndarray:
    """Add what degraded bands lack of the measured ones, `rounds` times.

    Parameters
    ----------
    sharp : ndarray of float32, (band, y, x)
        Sharpened bands, NaN without data.
    coarse : ndarray of float32, (band, y / factor, x / factor)
        Measured bands, NaN without data: nothing is added there.
    factor, sigma
        As of `degrade`.
    rounds : int
        Times; the residual falls to about a third with each.
    floor : float, optional
        Least value; each round ends with it, so that what it takes from a pixel is added to those around it.
    pace : float
        Times what is lacking that each round adds, below 2: above 1 fine patterns, which are slow, need fewer rounds.

    Returns
    -------
    ndarray of float32, (band, y, x)
    """
    sharp = np.array(sharp, np.float32)
    for fine, measured in zip(sharp, coarse, strict=True):  # band by band: they stay in the processor's cache
        weight = known_weight(fine, sigma)
        for _ in range(rounds):
            lack = measured - degrade(fine, factor, sigma, weight)
            cv2.patchNaNs(lack, 0)
            lack *= np.float32(pace)
            fine += enlarge(lack, factor)
            if floor is not None:
                np.maximum(fine, np.float32(floor), out=fine)
    return sharp


def residual(sharp: np.ndarray, coarse: np.ndarray, factor: int, sigma: float) -> np.ndarray:
    """Root mean square of measured less degraded bands, one a band, reflectance x 10 000; NaN where nothing is known."""
    lack = coarse - degrade(sharp, factor, sigma)
    known = np.isfinite(lack)
    total = np.where(known, lack, 0).astype("f8")
    count = known.sum((1, 2))
    return np.sqrt((total**2).sum((1, 2)) / np.where(count, count, np.nan))
