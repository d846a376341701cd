"""Change layers: the real and the technical part of the difference of two status layers, and their classes; ATBD 4.5.

The change mask comes from `change_mask`, 100 m layers are made by `aggregation.aggregate_mean_change`. Percent
throughout: binary layers are multiplied by 100 before.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
from numba import njit
from pydantic import BaseModel, ConfigDict, Field

from imperv.layers.aggregation import NEVER_SEALED, NO_CHANGE, NODATA, aggregate_max

FULL = 100
"""Percent. Codes of a status layer above it (254 unclassifiable, 255 outside) are outside."""

UNCHANGED_OPEN, NEW, LOSS, UNCHANGED_COVER, INCREASED, DECREASED = 0, 1, 2, 10, 11, 12
"""Codes of the classified layers (ATBD Table 5)."""


class ChangeParameters(BaseModel):
    """Parameters of the split into real and technical change."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    loss_sensitivity: float = Field(default=0.1, gt=0, le=1)
    """Factor on losses before they are compared with `minimum`: 0.1 lets a loss count from 10 percent (ATBD 4.5.1)."""

    minimum: int = Field(default=1, ge=1, le=FULL)
    """Smallest real gain, percent."""

    @property
    def smallest_loss(self) -> int:
        """Smallest real loss, percent: the least whole d with d x loss_sensitivity >= minimum."""
        # The decimal that was written, not its binary neighbour, so that 0.29 x 100 reaches 29.
        return ceil(self.minimum / Fraction(str(self.loss_sensitivity)))


def continuous_change(
    status_then: np.ndarray,
    status_now: np.ndarray,
    change_mask: np.ndarray,
    factor: int = 2,
    parameters: ChangeParameters | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Real and technical change of a status layer, at `factor` times its pixel size.

    Parameters
    ----------
    status_then, status_now : ndarray (y, x) of uint8
        Status layers at 10 m, 0 to 100 percent; codes above 100 are outside.
    change_mask : ndarray (y, x) of uint8
        Change mask at 10 m: 1 change, 0 none, 255 unknown, which counts as none. One pixel opens its whole block.
    factor : int
        Pixels of a block each way, 2 for layers of 20 m; divides both edges.
    parameters : ChangeParameters, optional

    Returns
    -------
    change, support : ndarray (y / factor, x / factor) of uint8
        100 + real and 100 + technical change in percent, so that real + technical = total in every pixel; 201 where the
        status is 0 in both years; 255 outside, where no pixel of the block is valid in both years.

    Raises
    ------
    ValueError
        For wrong dtypes or shapes, or a factor that does not divide them.

    Notes
    -----
    ATBD 4.5.1, Figure 22.
    """
    change_mask = np.asarray(change_mask)
    if change_mask.shape != np.shape(status_then):
        raise ValueError(f"change mask {change_mask.shape} and status {np.shape(status_then)} differ in shape")
    d, s0, s1, valid = mean_difference(status_then, status_now, factor)
    strongest = aggregate_max(change_mask, factor)
    real = split_change(d, (strongest > 0) & (strongest != NODATA), parameters or ChangeParameters())
    return encode_change(real, s0, s1, valid), encode_change(d - real, s0, s1, valid)


def mean_difference(
    status_then: np.ndarray, status_now: np.ndarray, factor: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean difference and mean status over the pixels of each block that are valid in both years (ATBD 4.5.1, step 1).

    Takes uint8 (y, x) percent, codes above 100 outside. Gives planes of (y / factor, x / factor): d, int16, mean of now - then,
    rounded half away from zero, 0 outside; s0 and s1, uint8, mean of then and of now, rounded half up, 255 outside; valid, bool.
    s1 - s0 may differ from d by 1, because each is rounded by itself. ValueError for wrong dtypes or shapes, or a factor that
    does not divide them.
    """
    then = np.asarray(status_then)
    now = np.asarray(status_now)
    if then.ndim != 2 or then.shape != now.shape or then.dtype != np.uint8 or now.dtype != np.uint8:
        raise ValueError(
            f"status layers must be uint8 of one shape (y, x), not {then.dtype} {then.shape} and {now.dtype} {now.shape}"
        )
    if factor < 1 or then.shape[0] % factor or then.shape[1] % factor:
        raise ValueError(f"layers of {then.shape} pixels cannot be cut into blocks of {factor} x {factor}")
    shape = then.shape[0] // factor, then.shape[1] // factor
    d = np.zeros(shape, dtype=np.int16)
    s0 = np.full(shape, NODATA, dtype=np.uint8)
    s1 = np.full(shape, NODATA, dtype=np.uint8)
    valid = np.zeros(shape, dtype=np.bool_)
    _difference(then, now, factor, d, s0, s1, valid)
    return d, s0, s1, valid


def split_change(d: np.ndarray, changed: np.ndarray, parameters: ChangeParameters) -> np.ndarray:
    """Real part of a difference: what the change mask supports and, of losses, only the large ones (ATBD 4.5.1, step 2).

    `d` is int16 percent, -100 to 100; `changed` bool of its shape, where the change mask at the same resolution is above 0.
    Gives `d` or 0; the technical part is the rest. ValueError for other shapes, or if `changed` is not bool: codes such as 255
    would count as changed.
    """
    d = np.asarray(d)
    changed = np.asarray(changed)
    if d.shape != changed.shape or changed.dtype != np.bool_:
        raise ValueError(f"changed must be bool of shape {d.shape}, not {changed.dtype} {changed.shape}")
    real = changed & ((d >= parameters.minimum) | (d <= -parameters.smallest_loss))
    return np.where(real, d, 0).astype(np.int16)


def encode_change(delta: np.ndarray, s0: np.ndarray, s1: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Codes of a change or support layer, uint8: 100 + `delta` percent; 201 where both statuses are 0; 255 where not `valid`.

    ATBD 4.2.4 and 4.5.1. Where both rounded means are 0 the rounded mean difference is 0 too: 201 hides no change.
    """
    codes = np.add(delta, NO_CHANGE, dtype=np.int16).astype(np.uint8)
    codes[(np.asarray(s0) == 0) & (np.asarray(s1) == 0)] = NEVER_SEALED
    codes[~np.asarray(valid, dtype=bool)] = NODATA
    return codes


def classify_change(status_then: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Classes of change, from the status of then and a change or support layer at the same resolution.

    Parameters
    ----------
    status_then : ndarray of uint8, any shape
        0 to 100 percent; codes above 100 are outside.
    change : ndarray of uint8, same shape
        100 + change in percent, 201 for 0 in both years (a change of 0); codes above 201 are outside.

    Returns
    -------
    ndarray of uint8, same shape
        With s0 the status of then and s1 = s0 + change, not below 0: 0 both 0; 1 new cover; 2 loss of cover; 10
        unchanged, 11 increased, 12 decreased cover; 255 outside.

    Raises
    ------
    ValueError
        For wrong dtypes or shapes.

    Notes
    -----
    ATBD 4.5.2, Table 5.
    """
    status_then = np.asarray(status_then)
    change = np.asarray(change)
    if status_then.shape != change.shape or status_then.dtype != np.uint8 or change.dtype != np.uint8:
        raise ValueError(
            f"status and change must be uint8 of one shape, not {status_then.dtype} {status_then.shape}"
            f" and {change.dtype} {change.shape}"
        )
    classes = np.empty(status_then.shape, dtype=np.uint8)
    _look_up(_class_table(), status_then.reshape(-1), change.reshape(-1), classes.reshape(-1))
    return classes


def _class_table() -> np.ndarray:
    """Class of every pair of codes: (256 of status, 256 of change)."""
    s0 = np.arange(256, dtype=np.int16)[:, np.newaxis]
    code = np.arange(256, dtype=np.int16)[np.newaxis, :]
    s1 = np.maximum(s0 + np.where(code == NEVER_SEALED, 0, code - NO_CHANGE), 0)
    return np.select(
        [
            (s0 > FULL) | (code > NEVER_SEALED),
            (s0 == 0) & (s1 == 0),
            s0 == 0,
            s1 == 0,
            s1 > s0,
            s1 < s0,
        ],
        [NODATA, UNCHANGED_OPEN, NEW, LOSS, INCREASED, DECREASED],
        UNCHANGED_COVER,
    ).astype(np.uint8)


@njit(cache=True, nogil=True)
def _look_up(table, rows, columns, out):
    for i in range(out.size):
        out[i] = table[rows[i], columns[i]]


@njit(cache=True, nogil=True)
def _difference(then, now, factor, d, s0, s1, valid):
    for y in range(d.shape[0]):
        for x in range(d.shape[1]):
            first = second = count = 0
            for i in range(y * factor, (y + 1) * factor):
                for j in range(x * factor, (x + 1) * factor):
                    if then[i, j] <= FULL and now[i, j] <= FULL:
                        first += then[i, j]
                        second += now[i, j]
                        count += 1
            if count == 0:
                continue
            gain = second - first
            size = (2 * abs(gain) + count) // (2 * count)
            d[y, x] = size if gain > 0 else -size
            s0[y, x] = (2 * first + count) // (2 * count)
            s1[y, x] = (2 * second + count) // (2 * count)
            valid[y, x] = True
