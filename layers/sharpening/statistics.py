"""What a whole scene tells the networks: level and spread of its bands, and the regression fitted on it an octave lower.

Everything is summed block by block, so that a scene need not be in memory at once. All windows of a scene are sharpened with the
same `Statistics`: that is why they fit together.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from imperv.layers.sharpening.back_projection import back_project
from imperv.layers.sharpening.degradation import degrade
from imperv.layers.sharpening.enlarging import enlarge, fill
from imperv.layers.sharpening.regression import PENALTY, Normal, detail, neighbourhood, told_detail
from imperv.layers.sharpening.steps import Step

FLOOR = 5.0
"""Least spread of a band or its detail, reflectance x 10 000: open water has next to none."""

CLIP = 10.0
"""Standardised values are cut here, in standard deviations."""

ROUNDS = 5
"""Rounds of back-projection of what the network starts from, with guides; without them twice as many."""


ROWS = 16
"""Rows of features that are made at once."""


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


class Features:
    """What the network sees of an image, made for the window that is asked for: ``features[rows, columns]``.

    Features are (y, x, feature) float32, standardised and finite: guides, their detail, bands enlarged, the detail that the start
    adds, point spread.
    """

    def __init__(self, images: list[np.ndarray], levels: list[np.ndarray], units: list[np.ndarray], spread: float) -> None:
        self._images, self._levels, self._units, self._spread = images, levels, units, spread
        self.shape = (*images[0].shape, len(images) + 1)

    def __getitem__(self, window: tuple[slice, slice]) -> np.ndarray:
        images = [image[window] for image in self._images]
        levels = [level[window] if np.ndim(level) else level for level in self._levels]
        added = sum(np.ndim(level) > 0 for level in levels)
        features = np.empty((*images[0].shape, len(images) + 1), "f4")
        for y in range(0, len(features), ROWS):  # few rows at once: their planes stay in the processor's cache while turned
            rows = features[y : y + ROWS]
            planes = np.empty((len(images) + 1, *rows.shape[:2]), "f4")
            for plane, image, level, unit in zip(planes, images, levels, self._units, strict=False):
                np.subtract(image[y : y + ROWS], level[y : y + ROWS] if np.ndim(level) else level, out=plane)
                plane /= unit
            planes[-1] = self._spread
            cv2.patchNaNs(planes[-1 - added : -1].reshape(-1, 1), 0)
            np.clip(planes, -CLIP, CLIP, out=planes)
            cv2.transpose(planes.reshape(len(planes), -1), rows.reshape(-1, len(planes)))  # thrice as fast as NumPy's copy
        return features


def start_and_features(
    step: Step, scene: Statistics, guides: np.ndarray, coarse: np.ndarray, sigma: float
) -> tuple[np.ndarray, Features]:
    """What the network corrects, and what it sees.

    `guides` and `coarse` as of `Sums.add`. The start is the regression's answer, back-projected; (band, y, x), NaN where a
    band has no data.
    """
    lost = detail(guides, step.factor, sigma)
    usable = np.isfinite(lost).all(0)
    plain = enlarge(coarse, step.factor)
    start = plain + told_detail(scene.coefficients, lost, step.neighbours) if len(guides) else plain
    start = back_project(start, coarse, step.factor, sigma, ROUNDS if len(guides) else 2 * ROUNDS)
    known = lost if usable.all() else np.where(usable, lost, np.float32(0))
    images = [*map(fill, guides), *known, *map(fill, plain), *start]
    levels = [*scene.guide_mean, *np.zeros(len(guides), "f4"), *scene.band_mean, *plain]
    units = [*scene.guide_std, *scene.guide_detail, *scene.band_std, *scene.band_detail]
    return start, Features(images, levels, units, 4 * (sigma / step.factor - 0.4))


def feature_count(step: Step) -> int:
    """Features that `start_and_features` gives."""
    return 2 * len(step.guides) + 2 * len(step.bands) + 1
