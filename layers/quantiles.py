"""Weighted quantiles over time, the yearly statistics of bands and indices; ATBD 4.2.1, Figure 3.

The value is not found by sorting but bit by bit: each pass counts the weight below the middle of the range that is
left and keeps the half with the quantile. What the weights are is decided in `scl`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from imperv.layers.kernels.lanes import (
    STRIP,
    bits,
    convert,
    kernel,
    largest,
    load,
    scratch,
    select,
    smallest,
    spread,
    store,
    widened,
)

_SIGN_16 = np.uint16(0x8000)
_ALL_16 = np.uint16(0xFFFF)
_SIGN_32 = np.uint32(0x8000_0000)
_ALL_32 = np.uint32(0xFFFF_FFFF)


def weighted_quantile(
    values: np.ndarray, weights: np.ndarray, q: float | Sequence[float] | np.ndarray, nodata: float = 0
) -> np.ndarray:
    """Weighted quantile over the first axis: the smallest value with at least the share `q` of the weight up to it.

    Parameters
    ----------
    values : ndarray (time, y, x) of uint16, int16 or float32
        Observations, in any unit. Those equal to `nodata`, and NaN, weigh 0.
    weights : ndarray (time, y, x) of integers >= 0
        Weight of each observation.
    q : float or sequence of k floats
        0 to 1. A sequence shares one reading of the input. 0 gives the smallest value of positive weight.
    nodata : float
        Value without data in the input and in the result; NaN is allowed with float32.

    Returns
    -------
    ndarray (y, x) or (k, y, x), dtype of `values`
        `nodata` where the total weight is 0.

    Raises
    ------
    ValueError
        For wrong shapes or dtypes, a negative weight, q outside of 0..1, or a `nodata` that the dtype cannot hold.

    Notes
    -----
    Equals ``np.quantile(values, q, axis=0, weights=weights, method="inverted_cdf")`` wherever all values are valid,
    the share of the weight being compared with q in float64 (NumPy does so in float32 where values and q are).
    Non-contiguous input is copied.
    """
    values = np.asarray(values)
    weights = np.asarray(weights)
    if values.ndim != 3 or values.shape != weights.shape:
        raise ValueError(f"values {values.shape} and weights {weights.shape} must have one shape (time, y, x)")
    if values.dtype not in (np.uint16, np.int16, np.float32):
        raise ValueError(f"values must be uint16, int16 or float32, not {values.dtype}")
    if weights.dtype.kind not in "iu":
        raise ValueError(f"weights must be integers, not {weights.dtype}")
    shares = checked_shares(q)
    fill = _nodata_of(values.dtype, nodata)

    time, rows, columns = values.shape
    shape = (*np.shape(q), rows, columns)
    if not values.size or not shares.size:
        return np.full(shape, fill)
    sums, compact = _compact_weights(weights)
    flat, compact = widened(values.reshape(time, -1)), widened(compact.reshape(time, -1))
    result = np.empty((shares.size, flat.shape[1]), values.dtype)
    tables = target_tables(shares)
    if values.dtype == np.float32:
        _select_floats(flat, compact, shares, tables, fill, fill.view(np.uint32), sums, result.view(np.uint32))
    else:
        # int16 is ordered like uint16 once its sign bit is turned around.
        flip = _SIGN_16 if values.dtype == np.int16 else np.uint16(0)
        _select_integers(flat.view(np.uint16), compact, shares, tables, fill.view(np.uint16), flip, sums, result.view(np.uint16))
    return result[:, : rows * columns].reshape(shape)


def _nodata_of(dtype: np.dtype, nodata: float) -> np.generic:
    """`nodata` as a scalar of `dtype`; ValueError where that changes its value."""
    if dtype.kind == "f":
        return np.float32(nodata)
    limits = np.iinfo(dtype)
    if not limits.min <= nodata <= limits.max or nodata != int(nodata):
        raise ValueError(f"nodata {nodata} is not a value of {dtype}")
    return dtype.type(nodata)


def _compact_weights(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An empty array of the type that holds sums over time, and the weights as unsigned integers that fit that type."""
    if weights.dtype.kind == "i" and weights.min() < 0:
        raise ValueError("weights must not be negative")
    top = np.iinfo(weights.dtype).max
    if top * len(weights) > _ALL_16:
        top = int(weights.max())
    if top * len(weights) > _ALL_32:
        raise ValueError(f"weights up to {top} over {len(weights)} dates overflow a sum of 32 bits")
    sums = np.empty(0, np.uint16 if top * len(weights) <= _ALL_16 else np.uint32)
    kind = np.dtype(np.uint8) if weights.itemsize == 1 and sums.itemsize == 2 else sums.dtype
    # Non-negative weights of the right size read the same signed and unsigned: no copy.
    same = weights.itemsize == kind.itemsize and weights.dtype.isnative
    return sums, weights.view(kind) if same else weights.astype(kind)


def checked_shares(q: float | Sequence[float] | np.ndarray) -> np.ndarray:
    """Quantiles as (k,) float64; ValueError unless they are one number, or a sequence of numbers, from 0 to 1."""
    shares = np.asarray(q, dtype=np.float64)
    if shares.ndim > 1 or not np.all((shares >= 0) & (shares <= 1)):
        raise ValueError(f"q must be a number or a sequence of numbers from 0 to 1, not {q}")
    return shares.reshape(-1)


def target_tables(shares: np.ndarray) -> np.ndarray:
    """The weight that reaches each of k shares, for every total weight of 16 bits: (k, 65536) uint16."""
    return _target_tables(tuple(shares.tolist()))


@lru_cache(maxsize=16)
def _target_tables(shares: tuple[float, ...]) -> np.ndarray:
    totals = np.arange(1 << 16, dtype=np.uint32)
    tables = np.empty((len(shares), totals.size), np.uint16)
    for q, table in zip(shares, tables, strict=True):
        _targets(totals, q, table[:0], table)
    return tables


@kernel
def _targets(total, q, table, target):
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


@kernel
def strip_room(time, sums):
    """Arrays for a strip: keys and weights at each date; of each pixel total, target, and found key with the weight below it."""
    kind = sums.dtype
    keys, weight = scratch(time * STRIP, np.uint16), scratch(time * STRIP, kind)
    return keys, weight, scratch(STRIP, kind), scratch(STRIP, kind), scratch(STRIP, np.uint16), scratch(STRIP, kind)


@kernel
def gather_integers(values, weights, at, stride, outside, flip, room):
    """Keys and weights of a strip that begins at flat position `at`, with its dates `stride` apart; lowest and highest key."""
    keys, weight, total, _, _, _ = room
    none = spread(weight.dtype.type(0), STRIP)
    seen = nothing(none)
    for t in range(keys.size // STRIP):
        value = load(values, at + t * stride, STRIP)
        w = convert(load(weights, at + t * stride, STRIP), weight.dtype)
        w = select(value != spread(outside, STRIP), w, none)
        key = value ^ spread(flip, STRIP)
        store(keys, t * STRIP, key)
        store(weight, t * STRIP, w)
        seen = see(seen, key, w, none)
    return extent(seen, total)


@kernel
def gather_floats(values, weights, at, stride, outside, room, lower):
    """Like `gather_integers`, of numbers in two halves: keys from the upper one, and the other one in `lower`."""
    keys, weight, total, _, _, _ = room
    none = spread(weight.dtype.type(0), STRIP)
    seen = nothing(none)
    for t in range(keys.size // STRIP):
        value = load(values, at + t * stride, STRIP)
        w = convert(load(weights, at + t * stride, STRIP), weight.dtype)
        w = select((value == value) & (value != spread(outside, STRIP)), w, none)
        key = float_key(value)
        upper = convert(key >> spread(np.uint32(16), STRIP), np.uint16)
        store(keys, t * STRIP, upper)
        store(lower, t * STRIP, convert(key, np.uint16))
        store(weight, t * STRIP, w)
        seen = see(seen, upper, w, none)
    return extent(seen, total)


@kernel
def float_key(value):
    """Patterns in the order of the numbers: all bits of negative ones are turned around, and the sign of others."""
    pattern, sign = bits(value), spread(_SIGN_32, STRIP)
    return pattern ^ select(pattern >= sign, spread(_ALL_32, STRIP), sign)


@kernel
def nothing(none):
    """Total weight, lowest and highest key with weight of each pixel before the first date."""
    return none, spread(_ALL_16, STRIP), spread(np.uint16(0), STRIP)


@kernel
def see(seen, key, w, none):
    """The same after one more date."""
    whole, low, high = seen
    least, most = select(w > none, key, spread(_ALL_16, STRIP)), select(w > none, key, spread(np.uint16(0), STRIP))
    return whole + w, select(least < low, least, low), select(most > high, most, high)


@kernel
def extent(seen, total):
    """Store the total weights; the lowest and the highest key of the strip, a lowest above the highest if nothing has weight."""
    whole, low, high = seen
    store(total, 0, whole)
    return int(smallest(low)), int(largest(high))


@kernel
def reduce_integers(within, outside, flip, shares, tables, room, out, to):
    """Write the quantiles of a strip that is gathered to ``out[:, to : to + STRIP]``."""
    keys, weight, total, target, found, less = room
    low, high = within
    for k in range(shares.size):
        value = spread(outside, STRIP)
        if low <= high:
            _targets(total, shares[k], tables[k], target)
            _halve(keys, weight, low, high, target, found, less)
            known = load(total, 0, STRIP) > spread(total.dtype.type(0), STRIP)
            value = select(known, load(found, 0, STRIP) ^ spread(flip, STRIP), value)
        store(out, k * out.shape[1] + to, value)


@kernel
def reduce_floats(within, outside, shares, tables, room, lower, rest, out, to):
    """Like `reduce_integers`, of numbers in two halves; `outside` and `out` are bit patterns, and `rest` room for weights."""
    keys, weight, total, target, found, less = room
    none, sign = spread(weight.dtype.type(0), STRIP), spread(_SIGN_32, STRIP)
    low, high = within
    for k in range(shares.size):
        pattern = spread(outside, STRIP)
        if low <= high:
            _targets(total, shares[k], tables[k], target)
            _halve(keys, weight, low, high, target, found, less)
            # What is left of the target is reached among the numbers with that upper half.
            upper = load(found, 0, STRIP)
            for t in range(keys.size // STRIP):
                same = load(keys, t * STRIP, STRIP) == upper
                store(rest, t * STRIP, select(same, load(weight, t * STRIP, STRIP), none))
            store(target, 0, load(target, 0, STRIP) - load(less, 0, STRIP))
            _halve(lower, rest, 0, _ALL_16, target, found, less)
            key = convert(upper, np.uint32) * spread(np.uint32(1 << 16), STRIP) | convert(load(found, 0, STRIP), np.uint32)
            known = load(total, 0, STRIP) > none
            pattern = select(known, key ^ select(key >= sign, sign, spread(_ALL_32, STRIP)), pattern)
        store(out, k * out.shape[1] + to, pattern)


@kernel
def _halve(keys, weight, low, high, target, found, less):
    """Key of the quantile of each pixel of a strip, given that it lies in low..high, and the weight below that key.

    `best` grows to the largest key below which less weight lies than the target: exactly the key that reaches it.
    """
    # The leading bits that all keys of the strip share need no pass.
    free = 0
    while (low >> free) != (high >> free):
        free += 1
    goal, none = load(target, 0, STRIP), spread(weight.dtype.type(0), STRIP)
    best, under = spread(np.uint16((low >> free) << free), STRIP), none
    for bit in range(free - 1, -1, -1):
        candidate = best | spread(np.uint16(1 << bit), STRIP)
        below = none
        for t in range(keys.size // STRIP):
            below = below + select(load(keys, t * STRIP, STRIP) < candidate, load(weight, t * STRIP, STRIP), none)
        best = select(below < goal, candidate, best)
        under = select(below < goal, below, under)
    store(found, 0, best)
    store(less, 0, under)


@kernel
def _select_integers(values, weights, shares, tables, outside, flip, sums, out):
    time, pixels = values.shape
    room = strip_room(time, sums)
    for start in range(0, pixels, STRIP):
        at = min(start, pixels - STRIP)
        within = gather_integers(values, weights, at, pixels, outside, flip, room)
        reduce_integers(within, outside, flip, shares, tables, room, out, at)


@kernel
def _select_floats(values, weights, shares, tables, outside, pattern, sums, out):
    time, pixels = values.shape
    room, lower, rest = strip_room(time, sums), scratch(time * STRIP, np.uint16), scratch(time * STRIP, sums.dtype)
    for start in range(0, pixels, STRIP):
        at = min(start, pixels - STRIP)
        within = gather_floats(values, weights, at, pixels, outside, room, lower)
        reduce_floats(within, pattern, shares, tables, room, lower, rest, out, at)
