"""Detail of coarse bands from the detail of fine ones by a regression that is fitted one octave lower, on the scene itself.

Detail is what degrading and enlarging again loses. Where bands of 20 m are sharpened to 10 m, the detail at 20 m is known of both
kinds of bands: its relation is taken to hold an octave higher too (Wald's protocol; compare ATPRK, Wang et al. 2015). This is the
fast way and the baseline of the networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
    count: int = 0
    """Pixels."""

    @classmethod
    def empty(cls, features: int, bands: int) -> Normal:
        """Nothing seen yet."""
        return cls(np.zeros((features, features)), np.zeros((features, bands)))

    def add(self, guides: np.ndarray, bands: np.ndarray, factor: int, sigma: float) -> None:
        """Add a block: guides and bands (band, y, x) on one grid, an octave below the one to be sharpened."""
        x = neighbourhood(detail(guides, factor, sigma))
        y = detail(bands, factor, sigma)
        known = np.isfinite(x).all(0) & np.isfinite(y).all(0)
        a, b = x[:, known].astype("f8"), y[:, known].astype("f8")
        self.square += a @ a.T
        self.cross += a @ b.T
        self.count += int(known.sum())

    def solve(self, penalty: float = PENALTY) -> np.ndarray:
        """Coefficients (feature, band) float32; zero, which is plain interpolation, where too little was seen."""
        features = len(self.square)
        if self.count < 2 * features:
            return np.zeros(self.cross.shape, np.float32)
        ridge = penalty * np.trace(self.square) / features
        return np.linalg.solve(self.square + ridge * np.eye(features), self.cross).astype(np.float32)


def predict(coefficients: np.ndarray, guides: np.ndarray, coarse: np.ndarray, factor: int, sigma: float) -> np.ndarray:
    """Bands on the guides' pixels: enlarged, with the detail that the guides tell; not yet back-projected.

    `guides` (guide, y, x) and `coarse` (band, y / factor, x / factor), float32, NaN without data: where a guide has none, the
    bands are only enlarged.
    """
    x = neighbourhood(detail(guides, factor, sigma))
    told = np.tensordot(coefficients.T, np.nan_to_num(x), 1)
    told[:, ~np.isfinite(x).all(0)] = 0
    return enlarge(coarse, factor) + told.astype(np.float32)
