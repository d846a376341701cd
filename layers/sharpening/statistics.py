"""What a whole scene tells the networks: level and spread of its bands, and the regression fitted on it an octave lower.

Everything is summed block by block, so that a scene need not be in memory at once. All windows of a scene are sharpened with the
same `Statistics`: that is why they fit together.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from imperv.layers.sharpening.degradation import degrade
from imperv.layers.sharpening.regression import PENALTY, Normal, detail, neighbourhood
from imperv.layers.sharpening.steps import Step

FLOOR = 5.0
"""Least spread of a band or its detail, reflectance x 10 000: open water has next to none."""


@dataclass(frozen=True)
class Statistics:
    """Statistics of a scene for one step; arrays in the order of its guides and bands, reflectance x 10 000."""

    guide_mean: np.ndarray
    """(guide,)"""
    guide_std: np.ndarray
    """(guide,)"""
    guide_detail: np.ndarray
    """(guide,) standard deviation of what degrading to the coarse pixels loses."""
    band_mean: np.ndarray
    """(band,)"""
    band_std: np.ndarray
    """(band,)"""
    band_detail: np.ndarray
    """(band,) standard deviation of what degrading the coarse pixels once more loses: unit of the network's answer."""
    coefficients: np.ndarray
    """(feature, band) of the regression."""
    unexplained: np.ndarray
    """(band,) deviation of the regression over the detail that it tells (`Normal.unexplained`)."""


class _Moments:
    """Sum and sum of squares of each band."""

    def __init__(self, bands: int) -> None:
        self.count, self.total, self.squares = np.zeros(bands), np.zeros(bands), np.zeros(bands)

    def add(self, image: np.ndarray) -> None:
        known = np.isfinite(image)
        values = np.where(known, image, 0).astype("f8")
        self.count += known.sum((1, 2))
        self.total += values.sum((1, 2))
        self.squares += (values**2).sum((1, 2))

    def join(self, other: _Moments) -> None:
        self.count += other.count
        self.total += other.total
        self.squares += other.squares

    def mean_std(self) -> tuple[np.ndarray, np.ndarray]:
        count = np.maximum(self.count, 1)
        mean = self.total / count
        std = np.sqrt(np.maximum(self.squares / count - mean**2, 0))
        return mean.astype("f4"), np.maximum(std, FLOOR).astype("f4")


@dataclass
class Sums:
    """Sums over the blocks of a scene for one step, from which `Statistics` follows."""

    step: Step
    sigma: float
    """Point spread between the coarse and the fine pixels, standard deviation in fine pixels."""
    parts: list[_Moments] = field(init=False)
    normal: Normal = field(init=False)

    def __post_init__(self) -> None:
        guides, bands = len(self.step.guides), len(self.step.bands)
        features = guides * (2 * self.step.neighbours + 1) ** 2
        self.parts = [_Moments(n) for n in (guides, guides, bands, bands)]
        self.normal = Normal.empty(features, bands)

    def add(self, guides: np.ndarray, coarse: np.ndarray) -> None:
        """Add a block: guides (guide, y, x) and bands (band, y / factor, x / factor), float32, NaN without data.

        Rows and columns that do not fill a coarse pixel of the octave below are left out.
        """
        step = self.step
        rows, columns = (n - n % step.octave for n in coarse.shape[1:])
        coarse = coarse[:, :rows, :columns]
        guides = guides[:, : rows * step.factor, : columns * step.factor]
        sigma = self.sigma * step.octave / step.factor
        y = detail(coarse, step.octave, sigma)
        for part, image in zip(self.parts, (guides, detail(guides, step.factor, self.sigma), coarse, y), strict=True):
            part.add(image)
        if len(guides):
            x = neighbourhood(detail(degrade(guides, step.factor, self.sigma), step.octave, sigma), step.neighbours)
            self.normal.add(x, y)

    def join(self, other: Sums) -> None:
        """Add what another has seen."""
        for mine, theirs in zip(self.parts, other.parts, strict=True):
            mine.join(theirs)
        self.normal.join(other.normal)

    def solve(self, penalty: float = PENALTY) -> Statistics:
        """Statistics of all blocks."""
        coefficients = self.normal.solve(penalty)
        (guide_mean, guide_std), (_, guide_detail), (band_mean, band_std), (_, band_detail) = (p.mean_std() for p in self.parts)
        return Statistics(
            guide_mean, guide_std, guide_detail, band_mean, band_std, band_detail, coefficients,
            self.normal.unexplained(coefficients),
        )  # fmt: skip


def statistics_of(step: Step, guides: np.ndarray, coarse: np.ndarray, sigma: float) -> Statistics:
    """Statistics of a scene that is in memory; arguments as of `Sums`."""
    sums = Sums(step, sigma)
    sums.add(guides, coarse)
    return sums.solve()
