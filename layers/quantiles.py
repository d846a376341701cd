"""Weighted quantiles over time, the yearly statistics of bands and indices; ATBD 4.2.1, Figure 3.

The value is not found by sorting but bit by bit: each pass counts the weight below the middle of the range that is
left and keeps the half with the quantile. What the weights are is decided in `scl`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

CACHE_BYTES = 256 * 1024
"""Bytes of keys and weights that one strip of pixels may take. Every pass reads the strip again, so it should stay in
the second-level cache of one core; measured: 32 KiB is a third slower, 512 KiB no faster."""

LANES = 32
"""Pixels in the smallest strip, and the multiple that strips come in: one 512-bit register of 16-bit values."""

_SIGN_16 = np.uint16(0x8000)
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
    quantiles = np.asarray(q, dtype=np.float64)
    if quantiles.ndim > 1 or not np.all((quantiles >= 0) & (quantiles <= 1)):
        raise ValueError(f"q must be a number or a sequence of numbers from 0 to 1, not {q}")
    fill = _nodata_of(values.dtype, nodata)

    time, rows, columns = values.shape
    result = np.full((quantiles.size, rows * columns), fill, dtype=values.dtype)
    if values.size:
        contiguous = np.ascontiguousarray(values).reshape(time, -1)
        heavy, compact = _compact_weights(weights)
        select = np.ravel(quantiles)
        if values.dtype == np.float32:
            _select_float(contiguous, contiguous.view(np.uint32), compact, select, fill, result.view(np.uint32))
        else:
            # int16 is ordered like uint16 once its sign bit is turned around.
            flip = _SIGN_16 if values.dtype == np.int16 else np.uint16(0)
            outside = fill.view(np.uint16)
            sums = np.zeros(1, dtype=np.uint32 if heavy else np.uint16)
            _select_integer(contiguous.view(np.uint16), compact, select, outside, flip, sums, result.view(np.uint16))
    return result.reshape((*quantiles.shape, rows, columns))


def _nodata_of(dtype: np.dtype, nodata: float) -> np.generic:
    """`nodata` as a scalar of `dtype`; ValueError where that changes its value."""
    if dtype.kind == "f":
        return np.float32(nodata)
    limits = np.iinfo(dtype)
    if not limits.min <= nodata <= limits.max or nodata != int(nodata):
        raise ValueError(f"nodata {nodata} is not a value of {dtype}")
    return dtype.type(nodata)


def _compact_weights(weights: np.ndarray) -> tuple[bool, np.ndarray]:
    """Weights as (time, pixel) of uint16 or uint32, and whether a sum over time may need more than 16 bits."""
    if weights.dtype.kind == "i" and weights.min() < 0:
        raise ValueError("weights must not be negative")
    bound = int(weights.max()) * len(weights)
    if bound > np.iinfo(np.uint32).max:
        raise ValueError(f"weights up to {weights.max()} over {len(weights)} dates overflow a sum of 32 bits")
    heavy = bound > np.iinfo(np.uint16).max
    flat = np.ascontiguousarray(weights).reshape(len(weights), -1)
    unsigned = np.uint32 if flat.max() > np.iinfo(np.uint16).max else np.uint16
    # Non-negative weights of the right size read the same signed and unsigned: no copy.
    return heavy, flat.view(unsigned) if flat.itemsize == np.dtype(unsigned).itemsize else flat.astype(unsigned)


@njit(cache=True, nogil=True)
def _strip_size(time, bytes_per_observation, pixels):
    """Pixels in a strip: as many as fit the cache, in whole registers."""
    strip = CACHE_BYTES // max(1, time * bytes_per_observation) // LANES * LANES
    return max(1, min(max(strip, LANES), pixels))


@njit(cache=True, nogil=True)
def _targets(q, total, target, size):
    """Smallest weight c >= 1 with c / total >= q, in the float64 arithmetic of NumPy, for each pixel with weight."""
    for j in range(size):
        all_of_it = np.float64(total[j])
        c = max(np.ceil(q * all_of_it), 1.0)
        if all_of_it > 0:
            while c / all_of_it < q:
                c += 1.0
            while c > 1.0 and (c - 1.0) / all_of_it >= q:
                c -= 1.0
        target[j] = np.uint32(c)


@njit(cache=True, nogil=True)
def _halve(keys, weights, size, low, high, target, below, candidate, found):
    """Key of the quantile of each pixel of a strip, given that it lies in low..high.

    `found` grows to the largest key below which less weight lies than the target: exactly the key that reaches it.
    """
    # The leading bits that all keys of the strip share need no pass.
    bits = 0
    while (low >> bits) != (high >> bits):
        bits += 1
    for j in range(size):
        found[j] = (low >> bits) << bits
    for bit in range(bits - 1, -1, -1):
        for j in range(size):
            candidate[j] = found[j] | (1 << bit)
            below[j] = 0
        for t in range(keys.shape[0]):
            for j in range(size):
                below[j] += weights[t, j] * (keys[t, j] < candidate[j])
        for j in range(size):
            if below[j] < target[j]:
                found[j] = candidate[j]


@njit(cache=True, nogil=True)
def _select_integer(bits, weights, quantiles, outside, flip, sums, out):
    time, pixels = bits.shape
    strip = _strip_size(time, bits.itemsize + sums.itemsize, pixels)
    keys = np.empty((time, strip), np.uint16)
    weight = np.empty((time, strip), sums.dtype)
    lows, highs = np.empty(strip, np.uint16), np.empty(strip, np.uint16)
    found, candidate = np.empty(strip, np.uint16), np.empty(strip, np.uint16)
    total, target, below = np.empty(strip, sums.dtype), np.empty(strip, sums.dtype), np.empty(strip, sums.dtype)
    for start in range(0, pixels, strip):
        size = min(strip, pixels - start)
        lows[:], highs[:], total[:] = 0xFFFF, 0, 0
        for t in range(time):
            for j in range(size):
                value = bits[t, start + j]
                w = weights[t, start + j] * (value != outside)
                key = value ^ flip
                keys[t, j] = key
                weight[t, j] = w
                total[j] += w
                lows[j] = min(lows[j], key if w > 0 else np.uint16(0xFFFF))
                highs[j] = max(highs[j], key if w > 0 else np.uint16(0))
        low, high = int(lows[:size].min()), int(highs[:size].max())
        if low > high:
            continue
        for k in range(quantiles.size):
            _targets(quantiles[k], total, target, size)
            _halve(keys, weight, size, low, high, target, below, candidate, found)
            for j in range(size):
                if total[j] > 0:
                    out[k, start + j] = found[j] ^ flip


@njit(cache=True, nogil=True)
def _select_float(values, bits, weights, quantiles, nodata, out):
    time, pixels = bits.shape
    strip = _strip_size(time, 8, pixels)
    keys = np.empty((time, strip), np.uint32)
    weight = np.empty((time, strip), np.uint32)
    lows, highs = np.empty(strip, np.uint32), np.empty(strip, np.uint32)
    found, candidate = np.empty(strip, np.uint32), np.empty(strip, np.uint32)
    total, target, below = np.empty(strip, np.uint32), np.empty(strip, np.uint32), np.empty(strip, np.uint32)
    for start in range(0, pixels, strip):
        size = min(strip, pixels - start)
        lows[:], highs[:], total[:] = _ALL_32, 0, 0
        for t in range(time):
            for j in range(size):
                value = values[t, start + j]
                pattern = bits[t, start + j]
                w = weights[t, start + j] * ((value == value) & (value != nodata))
                # Turning all bits of negative numbers, and the sign of others, orders the patterns like the numbers.
                key = pattern ^ (_ALL_32 if pattern >= _SIGN_32 else _SIGN_32)
                keys[t, j] = key
                weight[t, j] = w
                total[j] += w
                lows[j] = min(lows[j], key if w > 0 else _ALL_32)
                highs[j] = max(highs[j], key if w > 0 else np.uint32(0))
        low, high = int(lows[:size].min()), int(highs[:size].max())
        if low > high:
            continue
        for k in range(quantiles.size):
            _targets(quantiles[k], total, target, size)
            _halve(keys, weight, size, low, high, target, below, candidate, found)
            for j in range(size):
                if total[j] > 0:
                    out[k, start + j] = found[j] ^ (_SIGN_32 if found[j] >= _SIGN_32 else _ALL_32)
