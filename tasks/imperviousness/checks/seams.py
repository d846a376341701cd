"""Seams: whether a layer jumps more at the edge of two tiles than inside them.

Pixels along the edge are pooled in segments, since neighbours are not independent. A seam is large, significant, and larger than
the jumps of the lines beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imperv.tasks.family.findings import Finding, failed, passed
from imperv.tasks.imperviousness.products.rules import OUTSIDE

DEPTH = 8
"""Pixels read on each side of the edge: 14 lines inside beside the one across."""

SEGMENT_METRES = 1000
"""Length of a segment: our choice, beyond which jumps are hardly correlated."""

MINIMUM_SEGMENTS = 8
"""Fewest segments with data on both sides for a test."""

SIGNIFICANCE = 1e-4
"""Significance level: a production of 974 tiles has some 1900 edges."""

RATIO = 1.5
"""Ratio of jumps across the edge to jumps inside from which a line is visible."""

STEP = 3.0
"""Mean step across the edge minus that inside, percent, from which a line is visible."""

FLOOR = 0.5
"""Mean jump across the edge, percent, below which no line is visible, whatever the ratio."""

NEVER, SAME = 201, 100


@dataclass(frozen=True)
class Seam:
    """Jumps across an edge and inside, in percent; of classes the percentage of pairs that differ."""

    across: float
    """Mean jump across the edge."""
    inside: float
    """Mean jump between neighbours on the lines beside it."""
    highest: float
    """Mean jump of the line with the highest one."""
    probability: float
    """p value of the jumps across, if the edge were a line like any other."""
    step: float
    """Mean signed step across minus that inside; 0 for classes."""
    step_probability: float
    """Its p value."""
    segments: int
    """Segments with data."""

    @property
    def visible(self) -> bool:
        """True for a seam."""
        jumps = (
            self.across > max(RATIO * self.inside, self.highest, FLOOR) and self.probability < SIGNIFICANCE
        )  # fmt: skip
        return self.segments >= MINIMUM_SEGMENTS and (jumps or (abs(self.step) > STEP and self.step_probability < SIGNIFICANCE))

    def finding(self, neighbour: str) -> Finding:
        """One line."""
        if self.segments < MINIMUM_SEGMENTS:
            return passed("seams", f"edge with {neighbour}: {self.segments} segments of 1 km with data, too few for a test")
        text = (
            f"edge with {neighbour}: jumps of {self.across:.2f} across, {self.inside:.2f} inside (at most {self.highest:.2f}; "
            f"p {self.probability:.1g}), step {self.step:+.2f} (p {self.step_probability:.1g}), {self.segments} segments"
        )
        return failed("seams", text) if self.visible else passed("seams", text)


def seam(first: np.ndarray, second: np.ndarray, pixel: int, *, coded: bool) -> Seam:
    """Test the jump across an edge against the lines beside it, by paired t tests over segments of 1 km.

    Jump across minus mean jump inside is tested one-sided, signed steps two-sided. `first` and `second`, (n, depth) uint8, 255
    outside, are the pixels along the edge: the last column of `first` touches the first of `second`. Where codes are classes
    (`coded`), only being different counts; else differences of codes in percent, 201 as 100. `pixel` is in metres.
    """
    band = np.concatenate([first, second], axis=1)
    valid = band != OUTSIDE
    values = np.where(band == NEVER, SAME, band).astype(np.float64)
    pairs = valid[:, :-1] & valid[:, 1:]
    signed = np.diff(values, axis=1)
    jumps = 100.0 * (signed != 0) if coded else np.abs(signed)
    edge, lines = first.shape[1] - 1, np.arange(band.shape[1] - 1)
    length = SEGMENT_METRES // pixel
    # A segment counts where every line has half of its pairs, so that all lines see the same land.
    starts = [k for k in range(0, len(band), length) if pairs[k : k + length].sum(axis=0).min(initial=length) >= length / 2]
    if not starts:
        return Seam(0, 0, 0, 1, 0, 1, 0)

    def means(array: np.ndarray) -> np.ndarray:
        return np.stack([
            (array[k : k + length] * pairs[k : k + length]).sum(axis=0) / pairs[k : k + length].sum(axis=0) for k in starts
        ])  # fmt: skip

    by_jump, by_step = means(jumps), means(0.0 * signed if coded else signed)
    beside = lines != edge
    more, further = (m[:, edge] - m[:, beside].mean(axis=1) for m in (by_jump, by_step))
    mean = by_jump.mean(axis=0)
    return Seam(
        float(mean[edge]), float(mean[beside].mean()), float(mean[beside].max()), _chance(more, "greater"),
        float(further.mean()), _chance(further, "two-sided"), len(starts),
    )  # fmt: skip


def _chance(differences: np.ndarray, alternative: str) -> float:
    """p value of a mean of 0; 1 where nothing differs."""
    from scipy import stats

    if len(differences) < 2 or not np.any(differences):
        return 1.0
    if np.ptp(differences) == 0:
        return 0.0 if alternative == "two-sided" or differences[0] > 0 else 1.0
    return float(stats.ttest_1samp(differences, 0.0, alternative=alternative).pvalue)
