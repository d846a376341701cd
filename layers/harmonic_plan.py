"""Basis and normal matrix of a harmonic fit, from dates and degree alone; ATBD 4.2.1.

The kernels of `harmonics` and `yearly` take it.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

MAXIMUM_DEGREE = 5
"""Highest degree that can be fitted: 11 coefficients, more than a year of clouds supports."""

GROUP = 6
"""Terms of the basis whose sums are taken together, cos and sin of three frequencies: as many chains of additions hide each
other's latency, and a fit of degree 3 has 6 and 12 of them."""


class FitPlan(NamedTuple):
    """Of a fit, all that depends on the dates and the degree only."""

    basis: np.ndarray
    """(time, terms of twice the degree without the constant, and zeros up to a multiple of `GROUP`) float64."""
    first: np.ndarray
    """(terms, terms) int64: row of the sums that an entry of the normal matrix begins with."""
    second: np.ndarray
    """(terms, terms) int64: row of the sums that is added or subtracted; the row after the last holds zeros."""
    sign: np.ndarray
    """(terms, terms) float64: 1 or -1."""
    order: np.ndarray
    """(time,) int64: dates in the order of the year."""
    phase: np.ndarray
    """(time,) float64: fraction of the year, ascending."""


def fit_plan(time: np.ndarray, count: int, degree: int) -> FitPlan:
    """The plan for `count` dates; ValueError unless `time` holds as many finite numbers and the degree is in range."""
    time = np.asarray(time, dtype=np.float64)
    if time.shape != (count,):
        raise ValueError(f"time {time.shape} must hold one date for each of the {count} layers")
    if not np.all(np.isfinite(time)):
        raise ValueError("every date must be finite")
    if not 0 <= degree <= MAXIMUM_DEGREE:
        raise ValueError(f"degree must be 0 to {MAXIMUM_DEGREE}, not {degree}")
    basis = np.zeros((count, _padded(degree)))
    basis[:, : 4 * degree] = basis_of(time, 2 * degree)[1:].T
    phase = time - np.floor(time)
    order = np.argsort(phase)
    return FitPlan(basis, *_entries(degree), order, phase[order])


def basis_of(time: np.ndarray, degree: int) -> np.ndarray:
    """(2 degree + 1, time): 1, cos 2 pi t, sin 2 pi t, cos 4 pi t, ..."""
    basis = np.ones((2 * degree + 1, time.size))
    angle = 2 * np.pi * np.outer(np.arange(1, degree + 1), time)
    basis[1::2] = np.cos(angle)
    basis[2::2] = np.sin(angle)
    return basis


def _padded(degree: int) -> int:
    """Terms of twice the degree without the constant, in whole groups."""
    return -(-4 * degree // GROUP) * GROUP


@cache
def _entries(degree: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower triangle of the weighted products of all terms, from the sums of the terms of twice the degree.

    cos a cos b = (cos(a - b) + cos(a + b)) / 2, sin a sin b = (cos(a - b) - cos(a + b)) / 2 and
    sin a cos b = (sin(a + b) + sin(a - b)) / 2: an entry is (sums[first] + sign sums[second]) / 2.
    """
    terms, zeros = 2 * degree + 1, _padded(degree) + 1
    first, second, sign = np.zeros((terms, terms), np.int64), np.zeros((terms, terms), np.int64), np.ones((terms, terms))
    for row in range(terms):
        for column in range(row + 1):
            # Rows of the sums: 0, then cos at 2 f - 1 and sin at 2 f of frequency f.
            far = 2 * ((row + 1) // 2 + (column + 1) // 2)
            near = 2 * ((row + 1) // 2 - (column + 1) // 2)
            row_sine, column_sine = row > 0 and row % 2 == 0, column > 0 and column % 2 == 0
            if row_sine == column_sine:
                first[row, column], second[row, column] = max(near - 1, 0), max(far - 1, 0)
                sign[row, column] = -1 if row_sine else 1
            else:
                # The row's frequency is never below the column's, so only cos-row with sin-column turns the sign.
                first[row, column], second[row, column] = far, near or zeros
                sign[row, column] = 1 if row_sine else -1
    return first, second, sign
