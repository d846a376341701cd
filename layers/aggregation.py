"""Aggregation of finished layers to 20 m and 100 m; ATBD 4.2.4, Figures 8 to 10.

Always from full resolution, on blocks aligned to the EEA grid: an array starts with the first pixel of a block.
All arithmetic is in integers. Reading rasters without their overviews is not the matter of this module.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from imperv.layers.palette import OUTSIDE as NODATA

NO_CHANGE = 100
"""Code of change layers for a change of 0: they hold 100 + change in percent (ATBD 4.2.4)."""

NEVER_SEALED = 201
"""Code of change layers for pixels without imperviousness in both years (ATBD 4.2.4)."""


def aggregate_mean(a: np.ndarray, factor: int, nodata: int = NODATA) -> np.ndarray:
    """Mean of the valid pixels of each block, rounded half up.

    Parameters
    ----------
    a : ndarray (y, x) of uint8
        A status layer.
    factor : int
        Pixels of a block each way; divides both edges of `a`.
    nodata : int
        Code of pixels that do not count, and of blocks without any other.

    Returns
    -------
    ndarray (y / factor, x / factor) of uint8

    Raises
    ------
    ValueError
        For a wrong dtype, shape or factor.

    Notes
    -----
    ATBD 4.2.4, mean status aggregation. For layers of other products that are not coded bytes: `aggregate_values`.
    """
    return _aggregate(_mean, a, factor, nodata)


def aggregate_values(a: np.ndarray, factor: int, nodata: float) -> np.ndarray:
    """Mean of the valid pixels of each block of a quantity, of any data type with its own no data.

    Parameters
    ----------
    a : ndarray (..., y, x) of integers or floats
        A layer that is not coded.
    factor : int
        Pixels of a block each way; divides the last two edges of `a`.
    nodata : float
        Value of pixels that do not count, and of blocks without any other; NaN is one.

    Returns
    -------
    ndarray (..., y / factor, x / factor) of the same data type
        Integers are rounded half up.

    Raises
    ------
    ValueError
        For a wrong shape or factor.
    """
    *lead, rows, columns = np.shape(a)
    if factor < 1 or rows % factor or columns % factor:
        raise ValueError(f"a layer of {rows, columns} pixels cannot be cut into blocks of {factor} x {factor}")
    blocks = np.reshape(a, (*lead, rows // factor, factor, columns // factor, factor))
    valid = ~np.isnan(blocks) if nodata != nodata else blocks != nodata
    count = valid.sum(axis=(-3, -1))
    total = np.where(valid, blocks, 0).sum(axis=(-3, -1), dtype="f8")
    mean = total / np.maximum(count, 1)
    if blocks.dtype.kind != "f":
        mean = np.floor(mean + 0.5)
    return np.where(count > 0, mean, nodata).astype(blocks.dtype)


def aggregate_mean_change(a: np.ndarray, factor: int, nodata: int = NODATA) -> np.ndarray:
    """Mean of the changes of each block, rounded half up, with the code 201 kept where nothing is sealed.

    Parameters
    ----------
    a : ndarray (y, x) of uint8
        A change layer: 0 to 200 for -100 to 100 percent, 201 not sealed in both years.
    factor : int
        Pixels of a block each way; divides both edges of `a`.
    nodata : int
        Code of pixels that do not count, and of blocks without any other.

    Returns
    -------
    ndarray (y / factor, x / factor) of uint8
        0 to 200; 201 where all valid pixels of the block are 201, which otherwise count as 100.

    Raises
    ------
    ValueError
        For a wrong dtype, shape or factor, or a code above 201 other than `nodata`.

    Notes
    -----
    ATBD 4.2.4, mean change aggregation.
    """
    result, unknown = _aggregate_counted(_mean_change, a, factor, nodata)
    if unknown:
        raise ValueError(f"{unknown} pixels hold codes above {NEVER_SEALED} that are not {nodata}: not a change layer")
    return result


def aggregate_max(a: np.ndarray, factor: int, nodata: int = NODATA) -> np.ndarray:
    """Maximum of the valid pixels of each block, the "touching rule" of binary layers.

    Parameters
    ----------
    a : ndarray (y, x) of uint8
        A status layer.
    factor : int
        Pixels of a block each way; divides both edges of `a`.
    nodata : int
        Code of pixels that do not count, and of blocks without any other.

    Returns
    -------
    ndarray (y / factor, x / factor) of uint8

    Raises
    ------
    ValueError
        For a wrong dtype, shape or factor.

    Notes
    -----
    ATBD 4.2.4, maximum status aggregation.
    """
    return _aggregate(_max, a, factor, nodata)


def aggregate_fraction(mask: np.ndarray, factor: int, nodata: int = NODATA) -> np.ndarray:
    """Mean of the valid pixels of each block, not rounded: the change mask at coarser resolutions (ATBD 4.2.5, details 1).

    Takes uint8 (y, x); gives float32 (y / factor, x / factor), 0 to 1 for a mask of 0 and 1, NaN in blocks without a valid
    pixel. Errors as of `aggregate_mean`.
    """
    return _aggregate(_fraction, mask, factor, nodata, np.float32)


def _aggregate(kernel, a: np.ndarray, factor: int, nodata: int, dtype: type = np.uint8) -> np.ndarray:
    return _aggregate_counted(kernel, a, factor, nodata, dtype)[0]


def _aggregate_counted(kernel, a, factor, nodata, dtype: type = np.uint8) -> tuple[np.ndarray, int]:
    """Result of a kernel and what it returned."""
    a = np.asarray(a)
    if a.ndim != 2 or a.dtype != np.uint8:
        raise ValueError(f"a layer to aggregate must be uint8 (y, x), not {a.dtype} {a.shape}")
    if factor < 1 or a.shape[0] % factor or a.shape[1] % factor:
        raise ValueError(f"a layer of {a.shape} pixels cannot be cut into blocks of {factor} x {factor}")
    if not 0 <= nodata <= 255:
        raise ValueError(f"nodata must be 0 to 255, not {nodata}")
    out = np.empty((a.shape[0] // factor, a.shape[1] // factor), dtype=dtype)
    return out, kernel(a, factor, nodata, out)


@njit(cache=True, nogil=True)
def _mean(a, factor, nodata, out):
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            total = count = 0
            for i in range(y * factor, (y + 1) * factor):
                for j in range(x * factor, (x + 1) * factor):
                    valid = a[i, j] != nodata
                    total += a[i, j] * valid
                    count += valid
            out[y, x] = (2 * total + count) // (2 * count) if count else nodata
    return 0


@njit(cache=True, nogil=True)
def _mean_change(a, factor, nodata, out):
    unknown = 0
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            total = count = never = 0
            for i in range(y * factor, (y + 1) * factor):
                for j in range(x * factor, (x + 1) * factor):
                    value = a[i, j]
                    if value == nodata:
                        continue
                    count += 1
                    if value == NEVER_SEALED:
                        never += 1
                        total += NO_CHANGE
                    else:
                        total += value
                        unknown += value > NEVER_SEALED
            if count == 0:
                out[y, x] = nodata
            elif never == count:
                out[y, x] = NEVER_SEALED
            else:
                out[y, x] = (2 * total + count) // (2 * count)
    return unknown


@njit(cache=True, nogil=True)
def _max(a, factor, nodata, out):
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            highest = -1
            for i in range(y * factor, (y + 1) * factor):
                for j in range(x * factor, (x + 1) * factor):
                    if a[i, j] != nodata and a[i, j] > highest:
                        highest = a[i, j]
            out[y, x] = highest if highest >= 0 else nodata
    return 0


@njit(cache=True, nogil=True)
def _fraction(a, factor, nodata, out):
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            total = count = 0
            for i in range(y * factor, (y + 1) * factor):
                for j in range(x * factor, (x + 1) * factor):
                    valid = a[i, j] != nodata
                    total += a[i, j] * valid
                    count += valid
            out[y, x] = total / count if count else np.nan
    return 0
