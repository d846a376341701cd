"""What the networks see of a scene, and what they correct: the regression's answer, back-projected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from imperv.layers.sharpening.back_projection import back_project
from imperv.layers.sharpening.enlarging import enlarge, fill
from imperv.layers.sharpening.regression import detail, told_detail
from imperv.layers.sharpening.statistics import Statistics
from imperv.layers.sharpening.steps import Step

CLIP = np.float32(10)
"""Standardised values are cut here, in standard deviations."""

ROUNDS = 5
"""Rounds of back-projection of what the network starts from, with guides; without them twice as many."""


@dataclass(frozen=True)
class Features:
    """What the network sees of an image, made for the window that is asked for.

    They are standardised and finite: guides, their detail, bands enlarged, the detail that the start adds, point spread. Images
    are (band, y, x) float32, reflectance x 10 000, finite but for the last two, which have NaN without data.
    """

    guides: np.ndarray
    lost: np.ndarray
    """Detail of the guides."""
    filled: np.ndarray
    """The bands enlarged, with values everywhere."""
    start: np.ndarray
    plain: np.ndarray
    """The bands enlarged."""
    levels: np.ndarray
    """(guide + band,) mean of guides and bands."""
    units: np.ndarray
    """(2 guide + 2 band,) of what the features are counted in."""
    spread: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """(y, x, feature)."""
        rows, columns = self.start.shape[1:]
        return rows, columns, len(self.units) + 1

    def write(self, seen: np.ndarray, top: int, left: int, unit: int = 1) -> None:
        """Write a window from a first row and column on.

        `seen` (y / unit, x / unit, unit x unit x feature) float32 is as large as the window; its channels are those of blocks of
        unit x unit pixels (`network.pack`).
        """
        images = self.guides, self.lost, self.filled, self.start, self.plain
        _write(*images, self.levels, self.units, np.float32(self.spread), top, left, unit, seen)

    def whole(self) -> np.ndarray:
        """(y, x, feature) float32 of all pixels."""
        seen = np.empty(self.shape, np.float32)
        self.write(seen, 0, 0)
        return seen


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _standardised(image, level, unit, out):
    for x in range(len(out)):
        out[x] = min(max((image[x] - level) / unit, -CLIP), CLIP)


@njit(cache=True, nogil=True, error_model="numpy")
def _write(guides, lost, filled, start, plain, levels, units, spread, top, left, unit, seen):
    count, bands = len(guides), len(start)
    depth, columns = len(units) + 1, seen.shape[1] * unit
    values = np.empty((depth, columns), np.float32)
    values[-1] = spread
    there = slice(left, left + columns)
    for y in range(seen.shape[0] * unit):
        for k in range(count):
            _standardised(guides[k, top + y, there], levels[k], units[k], values[k])
            _standardised(lost[k, top + y, there], np.float32(0), units[count + k], values[count + k])
        for k in range(bands):
            at = 2 * count + k
            _standardised(filled[k, top + y, there], levels[count + k], units[at], values[at])
            one, other, out = start[k, top + y, there], plain[k, top + y, there], values[at + bands]
            for x in range(columns):
                added = (one[x] - other[x]) / units[at + bands]
                out[x] = min(max(added, -CLIP), CLIP) if added == added else np.float32(0)
        # By unsigned places, not by slices: see `kernels.resampling`.
        row = np.uint64(y // unit)
        for x in range(columns):
            cell, first = np.uint64(x // unit), np.uint64((y % unit * unit + x % unit) * depth)
            for k in range(np.uint64(depth)):
                seen[row, cell, first + k] = values[k, x]


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
    levels = np.concatenate([scene.guide_mean, scene.band_mean])
    units = np.concatenate([scene.guide_std, scene.guide_detail, scene.band_std, scene.band_detail])
    images = _filled(guides), known, _filled(plain), start, plain
    return start, Features(*images, levels, units, 4 * (sigma / step.factor - 0.4))


def _filled(images: np.ndarray) -> np.ndarray:
    return np.stack([fill(image) for image in images]) if np.isnan(images).any() else np.ascontiguousarray(images)


def feature_count(step: Step) -> int:
    """Features that `start_and_features` gives."""
    return 2 * len(step.guides) + 2 * len(step.bands) + 1
