"""Percentiles of arrays too large to be held, exactly, from a few passes over their blocks.

Floating point numbers are ordered as their bits are, so digit after digit of a value of a given rank is found by counting; no
value is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numba import njit

DIGIT_BITS = 16
"""Bits of a digit, counted in one pass: two passes for float32, and counters (512 KiB) that fit a core's second-level cache."""

_DIGITS = 2**DIGIT_BITS

CountDigits = Callable[[int, Sequence[int]], np.ndarray]
"""Called with (digits known, the values of these digits that are of interest); `count_digits` of all blocks, added up."""


def count_digits(values: np.ndarray, known: int, prefixes: Sequence[int]) -> np.ndarray:
    """Count values, float32 or float64, by their next digit: (prefix, 65536) int64, digits in the order of the values.

    A value counts for the prefix that its `known` leading digits make; `prefixes` is ``[0]`` where none is known. NaN does not
    count. ValueError for wrong dtypes, or where no digit is left to count.
    """
    values = np.asarray(values)
    if values.dtype not in (np.float32, np.float64):
        raise ValueError(f"values must be float32 or float64, not {values.dtype}")
    bits = 8 * values.dtype.itemsize
    if not 0 <= known < bits // DIGIT_BITS:
        raise ValueError(f"{values.dtype} has {bits // DIGIT_BITS} digits, {known} are known")
    flat = np.ascontiguousarray(values).reshape(-1)
    counts = np.zeros((len(prefixes), _DIGITS), np.int64)
    shift = bits - DIGIT_BITS * (known + 1)
    _count(flat, flat.view(f"u{bits // 8}"), bits - 1, shift, np.array(prefixes, np.uint64), counts)
    return counts


def exact_percentiles(count: CountDigits, percentiles: Sequence[float], dtype: np.dtype | type) -> np.ndarray:
    """Percentiles (0 to 100) with linear interpolation, float64, as ``numpy.percentile`` of the values that are not NaN.

    `count` is `count_digits` of all values, called once a digit of their `dtype`, float32 or float64. NaN if there is no value;
    ValueError for percentiles out of range.
    """
    shares = np.asarray(percentiles, np.float64) / 100
    if not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError(f"percentiles must be 0 to 100, not {list(percentiles)}")
    first = count(0, [0])
    total = int(first.sum())
    if total == 0:
        return np.full(shares.shape, np.nan)
    positions = (total - 1) * shares
    lower = np.floor(positions).astype(np.int64)
    ranks = np.unique(np.concatenate([lower, np.minimum(lower + 1, total - 1)]))
    values = dict(zip(ranks.tolist(), _values_of(ranks, first, count, np.dtype(dtype)), strict=True))
    return np.array(
        [
            # NumPy's own interpolation between the two neighbours, rounding included.
            np.quantile(np.array([values[k], values[min(k + 1, total - 1)]]), share, method="linear")
            for k, share in zip(lower.tolist(), positions - lower, strict=True)
        ]
    )


def _values_of(ranks: np.ndarray, first: np.ndarray, count: CountDigits, dtype: np.dtype) -> np.ndarray:
    """Values of given ranks, digit by digit."""
    digits = 8 * dtype.itemsize // DIGIT_BITS
    found, rest, counts, prefixes = [0] * len(ranks), ranks.tolist(), first, [0]
    for known in range(digits):
        if known:
            prefixes = sorted(set(found))
            counts = count(known, prefixes)
        below = counts.cumsum(axis=1)
        for k, prefix in enumerate(found):
            row = below[prefixes.index(prefix)]
            digit = int(np.searchsorted(row, rest[k], side="right"))
            rest[k] -= int(row[digit - 1]) if digit else 0
            found[k] = (prefix << DIGIT_BITS) + digit
    sign = 1 << (8 * dtype.itemsize - 1)
    bits = [key - sign if key >= sign else 2 * sign - 1 - key for key in found]
    return np.array(bits, f"u{dtype.itemsize}").view(dtype)


@njit(cache=True, nogil=True)
def _count(values, words, sign, shift, prefixes, counts):
    """A key orders as its value does: the sign's bit is turned, and of negative numbers all others too."""
    one = np.uint64(1)
    every = (((one << np.uint64(sign)) - one) << one) + one
    for k in range(values.size):
        if np.isnan(values[k]):
            continue
        key = np.uint64(words[k])
        key = key ^ (every if key >> np.uint64(sign) else one << np.uint64(sign))
        leading = key >> np.uint64(shift)
        prefix = leading >> np.uint64(DIGIT_BITS)
        for p in range(prefixes.size):
            if prefixes[p] == prefix:
                counts[p, leading & np.uint64(_DIGITS - 1)] += 1
                break
