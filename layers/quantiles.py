"""Weighted quantiles over time, the yearly statistics of bands and indices; ATBD 4.2.1, Figure 3.

What the weights are is decided in `scl`, and how the value is found in `kernels.quantiles`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from imperv.layers.kernels.lanes import widened
from imperv.layers.kernels.quantiles import select_floats, select_integers, targets

_ALL_8 = 0xFF
_SIGN_16 = np.uint16(0x8000)
_ALL_16 = np.uint16(0xFFFF)
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
    # Light weights and short digits go together: as much of both fits a register.
    digit = np.empty(0, np.uint8 if compact.dtype == np.uint8 else np.uint16)
    flat, compact = widened(values.reshape(time, -1)), widened(compact.reshape(time, -1))
    result = np.empty((shares.size, flat.shape[1]), values.dtype)
    tables = target_tables(shares)
    if values.dtype == np.float32:
        select_floats(flat, compact, shares, tables, fill, fill.view(np.uint32), digit, sums, result.view(np.uint32))
    else:
        # int16 is ordered like uint16 once its sign bit is turned around.
        flip = _SIGN_16 if values.dtype == np.int16 else np.uint16(0)
        keys, patterns = flat.view(np.uint16), result.view(np.uint16)
        select_integers(keys, compact, shares, tables, fill.view(np.uint16), flip, digit, sums, patterns)
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
    kind = np.dtype(np.uint8) if top <= _ALL_8 and sums.itemsize == 2 else sums.dtype
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
        targets(totals, q, table[:0], table)
    return tables
