"""Detail of coarse bands from the detail of fine ones by a regression that is fitted one octave lower, on the scene itself.

Detail is what degrading and enlarging again loses. Where bands of 20 m are sharpened to 10 m, the detail at 20 m is known of both
kinds of bands: its relation is taken to hold an octave higher too (Wald's protocol; compare ATPRK, Wang et al. 2015). This is the
fast way and the baseline of the networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

from imperv.layers.sharpening.degradation import degrade
from imperv.layers.sharpening.enlarging import enlarge

NEIGHBOURS = 1
"""Pixels on each side whose detail takes part."""

PENALTY = 1e-3
"""Ridge, as a share of the mean variance of the features."""


def detail(image: np.ndarray, factor: int, sigma: float) -> np.ndarray:
    """What of an image is lost by degrading and enlarging it; (band, y, x) float32."""
    return image - enlarge(degrade(image, factor, sigma), factor)


def neighbourhood(details: np.ndarray, reach: int = NEIGHBOURS) -> np.ndarray:
    """(feature, y, x): the details of every pixel and of its neighbours, those beyond the edge repeated."""
    rows, columns = details.shape[1:]
    padded = np.pad(details, [(0, 0), (reach, reach), (reach, reach)], mode="edge")
    steps = range(2 * reach + 1)
    return np.concatenate([padded[:, y : y + rows, x : x + columns] for y in steps for x in steps])


@dataclass
class Normal:
    """Sums of a least-squares fit, block by block: a scene need not be in memory at once."""

    square: np.ndarray
    """(feature, feature) float64."""
    cross: np.ndarray
    """(feature, band) float64."""
    power: np.ndarray
    """(band,) float64: sums of squares of what is to be explained."""
    count: int = 0
    """Pixels."""

    @classmethod
    def empty(cls, features: int, bands: int) -> Normal:
        """Nothing seen yet."""
        return cls(np.zeros((features, features)), np.zeros((features, bands)), np.zeros(bands))

    def add(self, features: np.ndarray, bands: np.ndarray) -> None:
        """Add the pixels that have all features (feature, y, x) and all bands (band, y, x); NaN without data."""
        known = np.isfinite(features).all(0) & np.isfinite(bands).all(0)
        a, b = features[:, known].astype("f8"), bands[:, known].astype("f8")
        self.square += a @ a.T
        self.cross += a @ b.T
        self.power += (b**2).sum(1)
        self.count += int(known.sum())

    def join(self, other: Normal) -> None:
        """Add what another has seen."""
        self.square += other.square
        self.cross += other.cross
        self.power += other.power
        self.count += other.count

    def solve(self, penalty: float = PENALTY) -> np.ndarray:
        """Coefficients (feature, band) float32; zero, which is plain interpolation, where too little or no detail was seen."""
        features = len(self.square)
        if not features or self.count < 2 * features or not np.trace(self.square):
            return np.zeros(self.cross.shape, np.float32)
        ridge = penalty * np.trace(self.square) / features
        return np.linalg.solve(self.square + ridge * np.eye(features), self.cross).astype(np.float32)

    def unexplained(self, coefficients: np.ndarray) -> np.ndarray:
        """(band,) root of the share of the detail's variance that the coefficients leave, over that which they tell.

        Multiplied by the detail that is told it is the deviation to expect; 1 where nothing was fitted.
        """
        c = coefficients.astype("f8")
        told = np.einsum("fb,fg,gb->b", c, self.square, c)
        left = np.maximum(self.power - 2 * (c * self.cross).sum(0) + told, 0)
        return np.where(told > 0, np.sqrt(left / np.where(told > 0, told, 1)), 1.0).astype(np.float32)


def told_detail(coefficients: np.ndarray, details: np.ndarray, reach: int = NEIGHBOURS) -> np.ndarray:
    """(band, y, x) float32: the detail that those of the guides (guide, y, x) tell; 0 where one within reach has no data."""
    edge, bands = 2 * reach + 1, coefficients.shape[1]
    unknown = np.isnan(details).any(0)
    if unknown.any():
        details = np.where(unknown, np.float32(0), details)
        unknown = cv2.dilate(unknown.astype("u1"), np.ones((edge, edge))).astype(bool)
    padded = np.pad(details, [(0, 0), (reach, reach), (reach, reach)], mode="edge")
    told = _told(padded, coefficients.reshape(edge, edge, len(details), bands), np.empty((bands, *details.shape[1:]), np.float32))
    told[:, unknown] = 0
    return told


@njit(cache=True, nogil=True, error_model="numpy")
def _told(padded, kernels, out):
    """Correlate (guide, y, x) with kernels (row, column, guide, band), in that order of a neighbourhood, into (band, y, x)."""
    rows, columns, guides, bands = kernels.shape
    for y in range(out.shape[1]):
        for band in range(bands):
            sums = out[band, y]
            sums[:] = 0
            for guide in range(guides):
                for row in range(rows):
                    for column in range(columns):
                        values, factor = padded[guide, y + row, column:], kernels[row, column, guide, band]
                        for x in range(len(sums)):
                            sums[x] += factor * values[x]
    return out
