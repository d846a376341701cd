"""Kernels of weighted quantiles over the dates of many pixels; ATBD 4.2.1, Figure 3.

The value is not found by sorting but bit by bit: each pass counts the weight below the middle of the range that is left and keeps
the half with the quantile. Values are taken digit by digit, so that a pass reads no more than the digit it is about. What a
quantile is, and of which input, is decided in `layers.quantiles`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from imperv.layers.kernels.lanes import (
    AHEAD,
    STRIP,
    bits,
    convert,
    interleave,
    kernel,
    largest,
    load,
    pairs,
    prefetch,
    scratch,
    select,
    spread,
    store,
)

GROUP = 4
"""Dates whose weights are added up as numbers of 8 bits before they enter sums of 16; those of `scl` would allow five."""

PIECE = 16
"""Pixels whose keys of 32 bits are computed together, so that all steps stay in registers."""

HALF = STRIP // 2
"""Numbers of 16 bits in a vector of a strip's pixels with 8."""

_ALL_8, _ALL_16 = 0xFF, 0xFFFF
_SIGN_32 = np.uint32(0x8000_0000)
_ALL_32 = np.uint32(0xFFFF_FFFF)


@kernel
def targets(total, q, table, target):
    """Smallest weight c >= 1 with c / total >= q, in the float64 arithmetic of NumPy, for each pixel."""
    for j in range(target.size):
        if total[j] < table.size:
            target[j] = table[total[j]]
            continue
        whole = np.float64(total[j])
        c = max(np.ceil(q * whole), 1.0)
        if whole > 0:
            while c / whole < q:
                c += 1.0
            while c > 1.0 and (c - 1.0) / whole >= q:
                c -= 1.0
        target[j] = np.uint32(c)


class StripRoom(NamedTuple):
    """Arrays for a strip. Keys are unsigned integers in the order of the values."""

    digits: np.ndarray
    """(digits of a key, dates x STRIP) uint8 with weights of 8 bits, else uint16: the highest digit first."""
    weight: np.ndarray
    """(dates x STRIP,): 0 where there is no value."""
    rest: np.ndarray
    """The same of dates that have the digits found so far."""
    date: np.ndarray
    """(dates,) int64: which dates those are; dates without any weight in the strip are left out."""
    low: np.ndarray
    """(STRIP,): lowest digit with weight of each pixel, 0 if there is none."""
    high: np.ndarray
    """(STRIP,): highest digit with weight."""
    found: np.ndarray
    """(STRIP,): digit of the quantile."""
    key: np.ndarray
    """(STRIP,) uint32: its digits so far."""
    total: np.ndarray
    """(STRIP,) uint16 or uint32: weight of all dates."""
    target: np.ndarray
    """(STRIP,): weight that the quantile reaches, of dates that have the digits found so far."""
    less: np.ndarray
    """(STRIP,): weight of those of them with a lower next digit."""


@kernel
def strip_room(time, key, digit, weight, total):
    """Room for strips of `time` dates, with keys as long as numbers of `key`; the others are arrays of its types."""
    size = -(-time // GROUP) * GROUP * STRIP
    count = key.itemsize // digit.itemsize
    return StripRoom(
        scratch(count * size, digit.dtype).reshape(count, size), scratch(size, weight.dtype), scratch(size, weight.dtype),
        np.empty(time, np.int64), scratch(STRIP, digit.dtype), scratch(STRIP, digit.dtype), scratch(STRIP, digit.dtype),
        scratch(STRIP, np.uint32), scratch(STRIP, total.dtype), scratch(STRIP, total.dtype), scratch(STRIP, total.dtype),
    )  # fmt: skip


@kernel
def gather_integers(values, weights, at, stride, outside, flip, room):
    """Fill the room for a strip that begins at flat position `at`, with its dates `stride` apart.

    Returns the number of dates with weight, and the largest weight.
    """
    none = spread(room.weight.dtype.type(0), STRIP)
    seen, kept = nothing(room), 0
    for t in range(room.date.size):
        prefetch(values, at + t * stride + AHEAD, STRIP)
        prefetch(weights, at + t * stride + AHEAD, STRIP)
        value = load(values, at + t * stride, STRIP)
        w = select(value != spread(outside, STRIP), load(weights, at + t * stride, STRIP), none)
        if largest(w > none):
            key = value ^ spread(flip, STRIP)
            for k in range(len(room.digits)):
                shift = 8 * room.low.itemsize * (len(room.digits) - 1 - k)
                store(room.digits[k], kept * STRIP, convert(key >> spread(np.uint16(shift), STRIP), room.low.dtype))
            room.date[kept] = t
            seen = see(seen, w, room, kept)
            kept += 1
    return extent(seen, room, kept)


@kernel
def gather_floats(values, weights, at, stride, outside, room):
    """Like `gather_integers`."""
    none = spread(room.weight.dtype.type(0), STRIP)
    seen, kept = nothing(room), 0
    for t in range(room.date.size):
        prefetch(values, at + t * stride + AHEAD, STRIP)
        prefetch(weights, at + t * stride + AHEAD, STRIP)
        value = load(values, at + t * stride, STRIP)
        w = load(weights, at + t * stride, STRIP)
        w = select((value == value) & (value != spread(outside, STRIP)), w, none)
        if largest(w > none):
            for part in range(0, STRIP, PIECE):
                put_float(load(values, at + t * stride + part, PIECE), room, kept * STRIP + part)
            room.date[kept] = t
            seen = see(seen, w, room, kept)
            kept += 1
    return extent(seen, room, kept)


@kernel
def put_float(value, room, place):
    """Write the digits of the keys of `PIECE` pixels to the room, from position `place`."""
    # Patterns in the order of the numbers: all bits of negative ones are turned around, and the sign of others.
    pattern, sign = bits(value), spread(_SIGN_32, PIECE)
    key = pattern ^ select(pattern >= sign, spread(_ALL_32, PIECE), sign)
    half = len(room.digits) // 2
    upper, lower = convert(key >> spread(np.uint32(16), PIECE), np.uint16), convert(key, np.uint16)
    for k in range(half):
        shift = spread(np.uint16(8 * (half - 1 - k)), PIECE)
        store(room.digits[k], place, convert(upper >> shift, room.low.dtype))
        store(room.digits[half + k], place, convert(lower >> shift, room.low.dtype))


@kernel
def nothing(room):
    """Total and largest weight, lowest and highest first digit with weight of each pixel before the first date."""
    low, high = spread(room.low.dtype.type(_ALL_16), STRIP), spread(room.low.dtype.type(0), STRIP)
    return spread(room.total.dtype.type(0), STRIP), spread(room.weight.dtype.type(0), STRIP), low, high


@kernel
def see(seen, w, room, kept):
    """The same after one more date, with its weight and the digits that the room has of it."""
    whole, heaviest, low, high = seen
    store(room.weight, kept * STRIP, w)
    low, high = _widen(low, high, load(room.digits[0], kept * STRIP, STRIP), w, room)
    return whole + convert(w, room.total.dtype), select(w > heaviest, w, heaviest), low, high


@kernel
def _widen(low, high, digit, w, room):
    """Lowest and highest digit with weight after one more."""
    kind = room.low.dtype
    some = w > spread(room.weight.dtype.type(0), STRIP)
    least, most = select(some, digit, spread(kind.type(_ALL_16), STRIP)), select(some, digit, spread(kind.type(0), STRIP))
    return select(least < low, least, low), select(most > high, most, high)


@kernel
def extent(seen, room, kept):
    """Store what was seen, and fill the last group of dates up with such as have no weight."""
    whole, heaviest, low, high = seen
    for t in range(kept, room.weight.size // STRIP):
        store(room.weight, t * STRIP, spread(room.weight.dtype.type(0), STRIP))
    store(room.total, 0, whole)
    _store_range(low, high, room)
    return kept, int(largest(heaviest))


@kernel
def _store_range(low, high, room):
    """Store lowest and highest digits; those of a pixel without any weight become equal."""
    some, none = low <= high, spread(room.low.dtype.type(0), STRIP)
    store(room.low, 0, select(some, low, none))
    store(room.high, 0, select(some, high, none))


@kernel
def reduce_integers(within, outside, flip, shares, tables, room, out, to):
    """Write the quantiles of a strip that is gathered to ``out[:, to : to + STRIP]``."""
    for k in range(shares.size):
        known = _find(within, shares[k], tables[k], room)
        value = convert(load(room.key, 0, STRIP), np.uint16) ^ spread(flip, STRIP)
        store(out, k * out.shape[1] + to, select(known, value, spread(outside, STRIP)))


@kernel
def reduce_floats(within, outside, shares, tables, room, out, to):
    """Like `reduce_integers`; `outside` and `out` are bit patterns."""
    sign = spread(_SIGN_32, STRIP)
    for k in range(shares.size):
        known = _find(within, shares[k], tables[k], room)
        key = load(room.key, 0, STRIP)
        pattern = key ^ select(key >= sign, sign, spread(_ALL_32, STRIP))
        store(out, k * out.shape[1] + to, select(known, pattern, spread(outside, STRIP)))


@kernel
def _find(within, share, table, room):
    """Key of the quantile of each pixel of a strip, and which have one."""
    kept, heaviest = within
    targets(room.total, share, table, room.target)
    low, high = load(room.low, 0, STRIP), load(room.high, 0, STRIP)
    digits, weight = room.digits, room.weight
    base = spread(np.uint32(1 << 8 * room.low.itemsize), STRIP)
    store(room.key, 0, spread(np.uint32(0), STRIP))
    for k in range(len(digits)):
        if k > 0:
            _keep(digits[k - 1], weight, digits[k], kept, room)
            weight = room.rest
        _halve(digits[k], weight, kept, heaviest, room)
        key = load(room.key, 0, STRIP) * base | convert(load(room.found, 0, STRIP), np.uint32)
        store(room.key, 0, key)
    # The next quantile of the strip begins with the first digit again.
    store(room.low, 0, low)
    store(room.high, 0, high)
    return load(room.total, 0, STRIP) > spread(room.total.dtype.type(0), STRIP)


@kernel
def _keep(digit, weight, following, kept, room):
    """Keep the weight of dates that have the digit found, take off the target what is below it, and see the following digit."""
    found, none = load(room.found, 0, STRIP), spread(weight.dtype.type(0), STRIP)
    low, high = spread(digit.dtype.type(_ALL_16), STRIP), spread(digit.dtype.type(0), STRIP)
    for t in range(-(-kept // GROUP) * GROUP):
        w = select(load(digit, t * STRIP, STRIP) == found, load(weight, t * STRIP, STRIP), none)
        store(room.rest, t * STRIP, w)
        low, high = _widen(low, high, load(following, t * STRIP, STRIP), w, room)
    store(room.target, 0, load(room.target, 0, STRIP) - load(room.less, 0, STRIP))
    _store_range(low, high, room)


@kernel
def _halve(digit, weight, kept, heaviest, room):
    """Digit of the quantile of each pixel, and the weight below it.

    `best` grows to the largest digit below which less weight lies than the target: exactly the digit that reaches it.
    """
    low, goal, under = load(room.low, 0, STRIP), load(room.target, 0, STRIP), spread(room.total.dtype.type(0), STRIP)
    # The leading bits that all digits of a pixel share need no pass.
    differing, free = int(largest(low ^ load(room.high, 0, STRIP))), 0
    while differing >> free:
        free += 1
    best = low & spread(digit.dtype.type(_ALL_16 >> free << free), STRIP)
    for bit in range(free - 1, -1, -1):
        candidate = best | spread(digit.dtype.type(1 << bit), STRIP)
        below = _weight_below(digit, candidate, weight, kept, heaviest)
        best = select(below < goal, candidate, best)
        under = select(below < goal, below, under)
    store(room.found, 0, best)
    store(room.less, 0, under)


def _weight_below(digit: Any, candidate: Any, weight: Any, kept: Any, heaviest: Any) -> Any:
    """Weight of the dates of each pixel whose digit is less than the candidate; a kernel for each type of weight."""
    raise NotImplementedError


@overload(_weight_below, strict=False)
def _weight_below_of(digit: Any, candidate: Any, weight: Any, kept: Any, heaviest: Any) -> Any:
    if weight.dtype != types.uint8:
        return lambda digit, candidate, weight, kept, heaviest: _add_wide(digit, candidate, weight, kept)
    return lambda digit, candidate, weight, kept, heaviest: _add_narrow(digit, candidate, weight, kept, heaviest)


@kernel
def _add_wide(digit, candidate, weight, kept):
    none = spread(weight.dtype.type(0), STRIP)
    below = none
    for t in range(kept):
        below = below + _counted(digit, candidate, weight, t, none)
    return below


@kernel
def _add_narrow(digit, candidate, weight, kept, heaviest):
    """In sums of 16 bits: that of pairs of pixels as one number, and that of the second pixel, which give that of the first."""
    none, eight = spread(np.uint8(0), STRIP), spread(np.uint16(8), HALF)
    both = second = spread(np.uint16(0), HALF)
    if heaviest * GROUP <= _ALL_8:
        for t in range(0, kept, GROUP):
            a = _counted(digit, candidate, weight, t, none) + _counted(digit, candidate, weight, t + 1, none)
            b = _counted(digit, candidate, weight, t + 2, none) + _counted(digit, candidate, weight, t + 3, none)
            pair = pairs(a + b)
            both, second = both + pair, second + (pair >> eight)
    else:
        for t in range(kept):
            pair = pairs(_counted(digit, candidate, weight, t, none))
            both, second = both + pair, second + (pair >> eight)
    return interleave(both - second * spread(np.uint16(1 << 8), HALF), second)


@kernel
def _counted(digit, candidate, weight, t, none):
    return select(load(digit, t * STRIP, STRIP) < candidate, load(weight, t * STRIP, STRIP), none)


@kernel
def select_integers(values, weights, shares, tables, outside, flip, digit, sums, out):
    """Quantiles of all pixels to `out`, strip by strip; `digit` and `sums` are arrays of the types of digits and sums."""
    time, pixels = values.shape
    room = strip_room(time, out, digit, weights, sums)
    for start in range(0, pixels, STRIP):
        at = min(start, pixels - STRIP)
        within = gather_integers(values, weights, at, pixels, outside, flip, room)
        reduce_integers(within, outside, flip, shares, tables, room, out, at)


@kernel
def select_floats(values, weights, shares, tables, outside, pattern, digit, sums, out):
    """Like `select_integers`, of numbers with their bit patterns."""
    time, pixels = values.shape
    room = strip_room(time, out, digit, weights, sums)
    for start in range(0, pixels, STRIP):
        at = min(start, pixels - STRIP)
        within = gather_floats(values, weights, at, pixels, outside, room)
        reduce_floats(within, pattern, shares, tables, room, out, at)
