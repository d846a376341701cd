"""How many days each look at a pixel stands for: the days of a period to which it is the nearest clear look.

Looks crowd in clear months. Weighted by their days, a quantile over looks is one over days, and two years whose clouds differ are
nearer to each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CYCLE = 350
"""Days from which a period is taken for a year: its last day is then a neighbour of its first."""


def day_weights(weights: np.ndarray, days: Sequence[int], length: int) -> np.ndarray:
    """Days that each look stands for, times its weight.

    Parameters
    ----------
    weights : ndarray (time, y, x) of uint8
        Weight of each look, 0 for none.
    days : sequence of int
        Day of each look in the period, ascending, 0 for the first day.
    length : int
        Days of the period. From `CYCLE` on they are counted around the turn of the year, otherwise the outermost looks stand for
        all days to the ends of the period.

    Returns
    -------
    ndarray (time, y, x) of uint16
        Twice the days, so that halves stay whole, times the weight, at most 65 535; at least the weight. 0 where that is 0.

    Raises
    ------
    ValueError
        If days are not ascending within the period, or their number is not that of the looks.
    """
    weights, when = np.asarray(weights), np.asarray(days, dtype=np.int32)
    if len(when) != len(weights) or np.any(np.diff(when) < 0) or (when.size and not 0 <= when[0] <= when[-1] < length):
        raise ValueError(f"{len(weights)} looks need as many ascending days from 0 to {length - 1}")
    if not when.size:
        return np.zeros(weights.shape, np.uint16)
    seen = weights > 0
    first, last = when[seen.argmax(0)], when[len(when) - 1 - seen[::-1].argmax(0)]
    # Outermost looks have neighbours beyond the period: those of the year before and after, or their own reflections at its ends.
    before, after = (last - length, first + length) if length >= CYCLE else (-1 - first, 2 * length - 1 - last)
    out = np.zeros(weights.shape, np.uint16)
    previous = np.empty(weights.shape, np.int32)
    for k, day in enumerate(when):
        previous[k] = before
        before = np.where(seen[k], day, before)
    for k in range(len(when) - 1, -1, -1):
        double = np.maximum(after - previous[k], 1) * weights[k].astype(np.int32)
        out[k] = np.minimum(double, np.iinfo(np.uint16).max)
        after = np.where(seen[k], when[k], after)
    return out
