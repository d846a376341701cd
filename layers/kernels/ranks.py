"""Values of some ranks among the looks at each pixel: the looks are sorted, a strip of pixels at once.

Batcher's odd-even merge sort compares the same pairs of dates whatever the values are, so that all pixels of a strip go through
it side by side, in registers as wide as the processor's; n dates take about n log² n / 4 comparisons.
"""

from __future__ import annotations

import numpy as np

from imperv.layers.kernels.lanes import STRIP, convert, kernel, largest, load, scratch, select, spread, store

_LAST = np.uint16(0xFFFF)
"""What does not count is sorted behind all others, or beside those that are equal."""


@kernel
def select_ranks(values, weights, ranks, out):
    """Write to ``out[k, y, x]`` the mean, halves up, of the looks of two ranks ``ranks[k, n]`` among the n of a pixel; 0 of none.

    `values` are (y, time, x) uint16, 0 no data, `weights` (y, time, x) uint8, 0 where a look does not count, both as of
    `lanes.widened`; `ranks` (k, time + 1, 2) integers from 0 on; `out` (k, y, x) uint16.
    """
    rows, time, columns = values.shape
    looks, counts = scratch(time * STRIP, np.uint16), scratch(STRIP, np.uint16)
    for y in range(rows):
        for first in range(0, columns, STRIP):
            start = min(first, columns - STRIP)
            kept = _gather(values, weights, y * time * columns + start, columns, time, looks, counts)
            _sort(looks, kept)
            for k in range(ranks.shape[0]):
                for x in range(STRIP):
                    n = counts[x]
                    low, high = np.uint32(looks[ranks[k, n, 0] * STRIP + x]), np.uint32(looks[ranks[k, n, 1] * STRIP + x])
                    out[k, y, start + x] = np.uint16((low + high + np.uint32(1)) >> np.uint32(1)) if n else np.uint16(0)


@kernel
def _gather(values, weights, at, stride, time, looks, counts):
    """Take the dates with any look that counts, and count these by pixel; returns the number of dates."""
    none, one, last = spread(np.uint16(0), STRIP), spread(np.uint16(1), STRIP), spread(_LAST, STRIP)
    count, kept = none, 0
    for t in range(time):
        weight = load(weights, at + t * stride, STRIP)
        if largest(weight):
            value = load(values, at + t * stride, STRIP)
            value = select(convert(weight, np.uint16) == none, none, value)
            store(looks, kept * STRIP, select(value == none, last, value))
            count = count + select(value == none, none, one)
            kept += 1
    store(counts, 0, count)
    return kept


@kernel
def _sort(looks, size):
    """Sort the first dates of each pixel (Batcher 1968; Knuth, The Art of Computer Programming 3, algorithm 5.2.2 M)."""
    p, shift = 1, 1
    while p < size:
        k = p
        while k >= 1:
            for j in range(k & (p - 1), size - k, 2 * k):
                for i in range(j, min(j + k, size - k)):
                    if i >> shift == (i + k) >> shift:
                        a, b = load(looks, i * STRIP, STRIP), load(looks, (i + k) * STRIP, STRIP)
                        less = a < b
                        store(looks, i * STRIP, select(less, a, b))
                        store(looks, (i + k) * STRIP, select(less, b, a))
            k >>= 1
        p, shift = 2 * p, shift + 1
