"""Mean and spread of the predictions of several models (ATBD 4.7; RIMD, RIBUD and their _sd layers)."""

from __future__ import annotations

import numpy as np

from imperv.layers.palette import OUTSIDE as NODATA


def as_percent(fractions: np.ndarray) -> np.ndarray:
    """Whole percent 0..100 of fractions, rounded half up, still floating-point numbers."""
    found: np.ndarray = np.clip(np.floor(np.round(100 * fractions, 6) + 0.5), 0, 100)
    return found


class RunningEnsemble:
    """Sums over members of one shape that come one after another, so that they need not be held together."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.count = 0
        # Distances to the first member: equal members have a spread of exactly 0, and small spreads lose no digits.
        self._first = np.zeros(shape, "f8")
        self._sum = np.zeros(shape, "f8")
        self._squares = np.zeros(shape, "f8")

    def add(self, member: np.ndarray) -> None:
        """Add a member: float32 fractions 0..1 of that shape, NaN no data."""
        if self.count == 0:
            self._first[...] = member
        else:
            distance = member - self._first
            self._sum += distance
            self._squares += np.square(distance, out=distance)
        self.count += 1

    def result(self, valid: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation, as of `ensemble`; no data where `valid` is False, a member lacks a pixel, or there is no member."""
        count = max(self.count, 1)
        offset = self._sum / count
        # Float64, so that a mean of float32 fractions that is exactly half a percent rounds up as documented.
        mean = self._first + offset
        known = np.isfinite(mean) & (self.count > 0)
        if valid is not None:
            known &= valid
        percent = np.full(mean.shape, NODATA, "u1")
        percent[known] = as_percent(mean[known])
        variance = np.maximum(self._squares / count - np.square(offset), 0)
        return percent, np.where(known, np.sqrt(variance), np.nan).astype("f4")


def ensemble(members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean in percent (uint8, rounded half up, 255 no data) and population standard deviation (float32 fraction) of members.

    `members` are (member, y, x) float32 fractions 0..1, NaN no data; a pixel that any member lacks has none. The deviation is
    0..0.5, NaN no data, and 0 for a single member. ValueError without a member, or for another shape. ATBD 4.7 and Table 1
    (RIMD_21, RIMD_21_sd).
    """
    members = np.asarray(members)
    if members.ndim != 3 or not len(members):
        raise ValueError(f"members have shape {members.shape}: expected (member, y, x) with at least one member")
    found = RunningEnsemble(members.shape[1:])
    for member in members:
        found.add(member)
    return found.result()
