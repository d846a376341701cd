"""Harmonic model of a yearly time series, fitted by weighted least squares; ATBD 4.2.1, Figure 4.

Holds the fit, the model curve and the amplitude/phase form. Distances between two fitted years are in `rmsd`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

MAXIMUM_DEGREE = 5
"""Highest degree that can be fitted: 11 coefficients, more than a year of clouds supports."""

SMALLEST_PIVOT = 1e-8
"""Singular to working precision: a term is dropped where less than this share of the total weight is independent of the
terms before it (pivot of the Cholesky factor over total weight, without unit; 0.5 on evenly spread dates). By
experiment: 6 distinct dates leave round-off below 1e-10 in the seventh pivot; 7 random days of a year leave more than
1e-8 in 99 % of draws; above it the coefficients agree with an orthogonal solver to 1e-5 of the largest."""

DOUBTFUL_PIVOT = 1e-3
"""Above this pivot (over total weight) the dates cannot all lie in two months, and their span is not looked at."""

SHORTEST_SPAN = 1 / 6
"""Fraction of the year. Dates that all lie within two months determine a constant only: noise of 0.02 in 12
observations of 8 weeks becomes 10 and more in c0 of the numerically perfect fit, which extrapolates over the rest of
the year."""

STRIP = 256
"""Pixels that are fitted together: the sums of a strip stay in the second-level cache of one core."""


def fit_harmonics(values: np.ndarray, weights: np.ndarray, time: np.ndarray, degree: int = 3) -> np.ndarray:
    """Coefficients of the weighted least-squares fit of `c0 + sum_k (a_k cos 2 pi k t + b_k sin 2 pi k t)`.

    Where the dates of a pixel do not determine the coefficients to working precision (`SMALLEST_PIVOT`), the degree of
    that pixel is lowered until they do; the missing coefficients are 0. Where all dates lie within two months
    (`SHORTEST_SPAN`) only the constant is fitted.

    Parameters
    ----------
    values : ndarray (time, y, x) of float32 or float64
        Observations, such as NDVI. NaN weighs 0.
    weights : ndarray (time, y, x) of numbers >= 0
        Weight of each observation.
    time : ndarray (time,)
        Date of each observation as fraction of the year, (date - 1 January) / days in that year; any order.
    degree : int
        Degree N of the model, 0 to 5.

    Returns
    -------
    ndarray (2 N + 1, y, x) of float32
        c0, a1, b1, a2, b2, ..., in units of `values`. NaN where the total weight is 0.

    Raises
    ------
    ValueError
        For wrong shapes or dtypes, negative or infinite weights, dates that are not finite, or a degree out of range.

    Notes
    -----
    ATBD 4.2.1. It prints "3N + 1" coefficients, which does not match its own list of a constant, N amplitudes and N
    phases: a degree of 3 has 7. Sums are taken in float64. Non-contiguous input is copied.
    """
    values = np.asarray(values)
    weights = np.asarray(weights)
    time = np.asarray(time, dtype=np.float64)
    if values.ndim != 3 or values.shape != weights.shape:
        raise ValueError(f"values {values.shape} and weights {weights.shape} must have one shape (time, y, x)")
    if time.shape != values.shape[:1]:
        raise ValueError(f"time {time.shape} must hold one date for each of the {len(values)} layers")
    if not 0 <= degree <= MAXIMUM_DEGREE:
        raise ValueError(f"degree must be 0 to {MAXIMUM_DEGREE}, not {degree}")
    if values.dtype not in (np.float32, np.float64):
        raise ValueError(f"values must be float32 or float64, not {values.dtype}")
    if weights.dtype.kind not in "buif":
        raise ValueError(f"weights must be numbers, not {weights.dtype}")
    if not np.all(np.isfinite(time)):
        raise ValueError("every date must be finite")
    if weights.size and not (weights.min() >= 0 and weights.max() < np.inf):
        raise ValueError("weights must be finite and not negative")
    if weights.dtype.kind == "b" or weights.dtype.itemsize < 2 or weights.dtype == np.float16:
        # Compiling once more for rare types would take longer than the copy.
        weights = weights.astype(np.float32)

    count, rows, columns = values.shape
    result = np.full((2 * degree + 1, rows * columns), np.nan, dtype=np.float32)
    if values.size:
        flat = np.ascontiguousarray(values).reshape(count, -1)
        _fit(flat, np.ascontiguousarray(weights).reshape(count, -1), time, _basis(time, 2 * degree), degree, result)
    return result.reshape(-1, rows, columns)


def evaluate(coefficients: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Values of the model curves.

    Parameters
    ----------
    coefficients : ndarray (2 N + 1, y, x)
        c0, a1, b1, a2, b2, ...
    time : ndarray (time,)
        Fractions of the year.

    Returns
    -------
    ndarray (time, y, x), dtype of `coefficients`
        In units of the coefficients; NaN where those are NaN.

    Raises
    ------
    ValueError
        If the number of coefficients is even or `time` is not one-dimensional.
    """
    coefficients = _checked(coefficients)
    time = np.asarray(time, dtype=np.float64)
    if time.ndim != 1:
        raise ValueError(f"time {time.shape} must be one-dimensional")
    terms, rows, columns = coefficients.shape
    basis = _basis(time, terms // 2).astype(coefficients.dtype)
    return (basis.T @ coefficients.reshape(terms, -1)).reshape(len(time), rows, columns)


def amplitude_phase(coefficients: np.ndarray) -> np.ndarray:
    """The same curves as amplitudes and phases, the form the ATBD calls "CAphi".

    An export only: phases wrap, so they must never enter a distance.

    Parameters
    ----------
    coefficients : ndarray (2 N + 1, y, x)
        c0, a1, b1, a2, b2, ...

    Returns
    -------
    ndarray (2 N + 1, y, x), dtype of `coefficients`
        c0, A1, phi1, A2, phi2, ... so that a term is A_k sin(2 pi k t + phi_k); A_k >= 0 in units of the
        coefficients, phi_k in radians from -pi to pi.

    Raises
    ------
    ValueError
        If the number of coefficients is even.

    Notes
    -----
    ATBD 4.2.1, the formula of the harmonic model.
    """
    coefficients = _checked(coefficients)
    result = coefficients.copy()
    np.hypot(coefficients[1::2], coefficients[2::2], out=result[1::2])
    np.arctan2(coefficients[1::2], coefficients[2::2], out=result[2::2])
    return result


def _checked(coefficients: np.ndarray) -> np.ndarray:
    coefficients = np.asarray(coefficients)
    if coefficients.ndim != 3 or coefficients.shape[0] % 2 == 0 or coefficients.dtype.kind != "f":
        raise ValueError(
            f"coefficients must be floats of shape (2 degree + 1, y, x), not {coefficients.dtype} {coefficients.shape}"
        )
    return coefficients


def _basis(time: np.ndarray, degree: int) -> np.ndarray:
    """(2 degree + 1, time): 1, cos 2 pi t, sin 2 pi t, cos 4 pi t, ..."""
    basis = np.ones((2 * degree + 1, time.size))
    angle = 2 * np.pi * np.outer(np.arange(1, degree + 1), time)
    basis[1::2] = np.cos(angle)
    basis[2::2] = np.sin(angle)
    return basis


@njit(cache=True, nogil=True)
def _fit(values, weights, date, basis, degree, result):
    """Fit all pixels, strip by strip. `basis` has twice the degree: the normal matrix needs no more than its sums."""
    time, pixels = values.shape
    terms = 2 * degree + 1
    strip = min(STRIP, pixels)
    weight, product = np.empty(strip), np.empty(strip)
    sums = np.empty((basis.shape[0], strip))
    right = np.empty((terms, strip))
    factor = np.empty((terms, terms, strip))
    rank = np.empty(strip, np.int64)
    smallest = np.empty(strip)
    for start in range(0, pixels, strip):
        size = min(strip, pixels - start)
        sums[:], right[:] = 0.0, 0.0
        for t in range(time):
            for j in range(size):
                value = np.float64(values[t, start + j])
                valid = value == value
                weight[j] = np.float64(weights[t, start + j]) if valid else 0.0
                product[j] = weight[j] * (value if valid else 0.0)
            for i in range(basis.shape[0]):
                scale = basis[i, t]
                for j in range(size):
                    sums[i, j] += scale * weight[j]
            for i in range(terms):
                scale = basis[i, t]
                for j in range(size):
                    right[i, j] += scale * product[j]
        _normal_matrix(sums, factor, size)
        _factorise(factor, rank, smallest, size)
        for j in range(size):
            doubtful = rank[j] > 1 and smallest[j] < DOUBTFUL_PIVOT
            if doubtful and _span(values[:, start + j], weights[:, start + j], date) < SHORTEST_SPAN:
                rank[j] = 1
        _solve(factor, rank, right, size)
        for i in range(terms):
            for j in range(size):
                result[i, start + j] = right[i, j] if sums[0, j] > 0 else np.nan


@njit(cache=True, nogil=True)
def _span(values, weights, date):
    """Shortest arc of the year, as a fraction of it, that holds all dates of one pixel."""
    phases = np.empty(date.size)
    count = 0
    for t in range(date.size):
        if weights[t] > 0 and values[t] == values[t]:
            phases[count] = date[t] - np.floor(date[t])
            count += 1
    phases = np.sort(phases[:count])
    gap = phases[0] + 1.0 - phases[count - 1]
    for i in range(1, count):
        gap = max(gap, phases[i] - phases[i - 1])
    return 1.0 - gap


@njit(cache=True, nogil=True)
def _normal_matrix(sums, matrix, size):
    """Lower triangle of the weighted products of all terms, from the sums of the terms of twice the degree.

    cos a cos b = (cos(a - b) + cos(a + b)) / 2, sin a sin b = (cos(a - b) - cos(a + b)) / 2 and
    sin a cos b = (sin(a + b) + sin(a - b)) / 2 leave one sum for each frequency and each of cos and sin.
    """
    for row in range(matrix.shape[0]):
        k = (row + 1) // 2
        for column in range(row + 1):
            m = (column + 1) // 2
            row_sine, column_sine = row > 0 and row % 2 == 0, column > 0 and column % 2 == 0
            # Rows of `sums`: 0, then cos at 2 f - 1 and sin at 2 f of frequency f.
            far = 2 * (k + m)
            near = 2 * (k - m)
            if row_sine == column_sine:
                sign = -1.0 if row_sine else 1.0
                for j in range(size):
                    matrix[row, column, j] = 0.5 * (sums[max(near - 1, 0), j] + sign * sums[max(far - 1, 0), j])
            else:
                # The row's frequency is never below the column's, so only cos-row with sin-column turns the sign.
                sign = 1.0 if row_sine else -1.0
                for j in range(size):
                    difference = sums[near, j] if near > 0 else 0.0
                    matrix[row, column, j] = 0.5 * (sums[far, j] + sign * difference)


@njit(cache=True, nogil=True)
def _factorise(matrix, rank, smallest, size):
    """Cholesky factor in place, with reciprocal diagonal, the number of leading terms that are determined, and the
    smallest of their pivots over total weight.

    The leading block of the factor is the factor of the lower degree, so that one factor serves all of them.
    """
    terms = matrix.shape[0]
    total = matrix[0, 0].copy()
    for j in range(size):
        rank[j] = terms
        smallest[j] = 1.0
    for i in range(terms):
        for k in range(i):
            for j in range(size):
                matrix[i, i, j] -= matrix[i, k, j] * matrix[i, k, j]
        for j in range(size):
            pivot = matrix[i, i, j]
            determined = pivot > SMALLEST_PIVOT * total[j]
            # An undetermined sine takes the cosine of its frequency with it: 2 n + 1 terms remain.
            rank[j] = rank[j] if determined else min(rank[j], max(i - 1 + i % 2, 0))
            smallest[j] = min(smallest[j], pivot / total[j]) if i < rank[j] else smallest[j]
            matrix[i, i, j] = 1.0 / np.sqrt(pivot) if determined else 0.0
        for row in range(i + 1, terms):
            for k in range(i):
                for j in range(size):
                    matrix[row, i, j] -= matrix[row, k, j] * matrix[i, k, j]
            for j in range(size):
                matrix[row, i, j] *= matrix[i, i, j]


@njit(cache=True, nogil=True)
def _solve(factor, rank, right, size):
    """Solve in place by the factor's leading `rank` terms; the others become 0."""
    terms = factor.shape[0]
    for i in range(terms):
        for k in range(i):
            for j in range(size):
                right[i, j] -= factor[i, k, j] * right[k, j]
        for j in range(size):
            right[i, j] = right[i, j] * factor[i, i, j] if i < rank[j] else 0.0
    for i in range(terms - 1, -1, -1):
        for k in range(i + 1, terms):
            for j in range(size):
                right[i, j] -= factor[k, i, j] * right[k, j]
        for j in range(size):
            right[i, j] = right[i, j] * factor[i, i, j] if i < rank[j] else 0.0
