"""Harmonic model of a yearly time series, fitted by weighted least squares; ATBD 4.2.1, Figure 4.

Holds the fit, the model curve and the amplitude/phase form. Distances between two fitted years are in `rmsd`.
"""

from __future__ import annotations

import numpy as np

from imperv.layers.harmonic_plan import GROUP, basis_of, fit_plan
from imperv.layers.kernels.lanes import (
    AHEAD,
    STRIP,
    convert,
    fused,
    kernel,
    largest,
    load,
    prefetch,
    repeat,
    root,
    scratch,
    select,
    spread,
    store,
    widened,
)

SMALLEST_PIVOT = 1e-8
"""Singular to working precision: a term is dropped where less than this share of the total weight is independent of the
terms before it (pivot of the Cholesky factor over total weight, without unit; 0.5 on evenly spread dates). By
experiment: 6 distinct dates leave round-off below 1e-10 in the seventh pivot; 7 random days of a year leave more than
1e-8 in 99 % of draws; above it the coefficients agree with an orthogonal solver to 1e-5 of the largest."""

DOUBTFUL_PIVOT = 1e-3
"""Above this pivot (over total weight) the dates cannot all lie in two months, and their span is not computed."""

SHORTEST_SPAN = 1 / 6
"""Fraction of the year. Dates that all lie within two months determine a constant only: noise of 0.02 in 12
observations of 8 weeks becomes 10 and more in c0 of the numerically perfect fit, which extrapolates over the rest of
the year."""

LANES = 8
"""Pixels whose sums are taken together: one 512-bit register. Measured: 16 are no faster there, and a third slower where
registers have 256 bits."""


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
    phases: a degree of 3 has 7. Sums are taken in float64. Copied are non-contiguous input, and values of float32 whose
    weights are not integers of 8 or 16 bits.
    """
    values = np.asarray(values)
    weights = np.asarray(weights)
    if values.ndim != 3 or values.shape != weights.shape:
        raise ValueError(f"values {values.shape} and weights {weights.shape} must have one shape (time, y, x)")
    plan = fit_plan(time, len(values), degree)
    if values.dtype not in (np.float32, np.float64):
        raise ValueError(f"values must be float32 or float64, not {values.dtype}")
    if weights.dtype.kind not in "buif":
        raise ValueError(f"weights must be numbers, not {weights.dtype}")
    if weights.size and not (weights.min() >= 0 and weights.max() < np.inf):
        raise ValueError("weights must be finite and not negative")
    count, rows, columns = values.shape
    if not values.size:
        return np.full((2 * degree + 1, rows, columns), np.nan, dtype=np.float32)
    if weights.dtype.kind != "f" and weights.itemsize <= 2 and weights.dtype.isnative:
        # Numbers that are not negative read the same signed and unsigned: no copy.
        weights = weights.view(f"u{weights.itemsize}")
    else:
        # Compiling once more for rare types would take longer than the copy.
        weights = weights.astype(np.float64, copy=False)
        values = values.astype(np.float64, copy=False)
    flat = widened(values.reshape(count, -1))
    result = np.empty((2 * degree + 1, flat.shape[1]), dtype=np.float32)
    _fit(flat, widened(weights.reshape(count, -1)), plan, result)
    return result[:, : rows * columns].reshape(-1, rows, columns)


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
    basis = basis_of(time, terms // 2).astype(coefficients.dtype)
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


@kernel
def fit_room(time, plan):
    """Arrays for a strip: basis, weights and weighted values at its dates, sums of both, factor, rank, and doubt about it."""
    terms, rows = plan.first.shape[0], plan.basis.shape[1] + 2
    sums = scratch(rows * STRIP, np.float64)
    sums[:] = 0.0
    weight, product = scratch(time * LANES, np.float64), scratch(time * LANES, np.float64)
    right, factor = scratch((terms + GROUP) * STRIP, np.float64), scratch(terms * terms * STRIP, np.float64)
    basis = scratch(plan.basis.size, np.float64).reshape(plan.basis.shape)
    return basis, weight, product, sums, right, factor, scratch(STRIP, np.float64), scratch(STRIP, np.float64)


@kernel
def fit_strip(values, weights, date, kept, plan, room, out, to):
    """Fit a strip, arrays of (dates, STRIP) without NaN, and write its coefficients to ``out[:, to : to + STRIP]``.

    The first `kept` of its dates are those with weight; `date` says which of the plan's they are.
    """
    compact, weight, product, sums, right, factor, rank, doubt = room
    terms, basis = plan.first.shape[0], plan.basis
    if kept < len(basis):
        for t in range(kept):
            for row in range(basis.shape[1]):
                compact[t, row] = basis[date[t], row]
        basis = compact
    for at in range(0, STRIP, LANES):
        _weigh(values, weights, at, kept, weight, product, sums, right)
        for row in range(0, 2 * (terms - 1), GROUP):
            _add(weight, basis, kept, row, sums, at)
        for row in range(0, terms - 1, GROUP):
            _add(product, basis, kept, row, right, at)
    if _factorise(sums, plan.first, plan.second, plan.sign, factor, rank, doubt):
        for at in range(0, STRIP, LANES):
            if doubt[at : at + LANES].any():
                _shorten(weights, date, kept, plan.order, plan.phase, at, doubt, rank)
    _solve(factor, rank, right, terms)
    known = load(sums, 0, STRIP) > spread(0.0, STRIP)
    for i in range(terms):
        coefficient = select(known, load(right, i * STRIP, STRIP), spread(np.nan, STRIP))
        store(out, i * out.shape[1] + to, convert(coefficient, np.float32))


@kernel
def _weigh(values, weights, at, kept, weight, product, sums, right):
    """Weights and weighted values of `LANES` pixels, and the sums of both."""
    none = spread(0.0, LANES)
    whole, constant = none, none
    for t in range(kept):
        # Weights of 8 and 16 bits are exact as float32, from which the way to float64 is shorter.
        w = convert(convert(load(weights, t * STRIP + at, LANES), values.dtype), np.float64)
        weighted = w * convert(load(values, t * STRIP + at, LANES), np.float64)
        store(weight, t * LANES, w)
        store(product, t * LANES, weighted)
        whole = whole + w
        constant = constant + weighted
    store(sums, at, whole)
    store(right, at, constant)


@kernel
def _add(numbers, basis, kept, row, out, at):
    """Sums over time of the products with `GROUP` rows of the basis, for `LANES` pixels."""
    a = b = c = d = e = f = spread(0.0, LANES)
    for t in range(kept):
        number, column = load(numbers, t * LANES, LANES), t * basis.shape[1] + row
        a = fused(repeat(basis, column, LANES), number, a)
        b = fused(repeat(basis, column + 1, LANES), number, b)
        c = fused(repeat(basis, column + 2, LANES), number, c)
        d = fused(repeat(basis, column + 3, LANES), number, d)
        e = fused(repeat(basis, column + 4, LANES), number, e)
        f = fused(repeat(basis, column + 5, LANES), number, f)
    to = (row + 1) * STRIP + at
    store(out, to, a)
    store(out, to + STRIP, b)
    store(out, to + 2 * STRIP, c)
    store(out, to + 3 * STRIP, d)
    store(out, to + 4 * STRIP, e)
    store(out, to + 5 * STRIP, f)


@kernel
def _factorise(sums, first, second, sign, factor, rank, doubt):
    """Cholesky factor of the normal matrix, with reciprocal diagonal, and the number of leading terms that are determined.

    The leading block of the factor is the factor of the lower degree, so that one factor serves all of them. Marks pixels with
    a doubtful pivot, and returns whether there are any.
    """
    terms = first.shape[0]
    none, half, marked = spread(0.0, STRIP), spread(0.5, STRIP), spread(0.0, STRIP)
    total, left = load(sums, 0, STRIP), spread(float(terms), STRIP)
    for i in range(terms):
        inverse = none
        for row in range(i, terms):
            one, other = load(sums, first[row, i] * STRIP, STRIP), load(sums, second[row, i] * STRIP, STRIP)
            entry = half * (one + spread(sign[row, i], STRIP) * other)
            for k in range(i):
                entry = entry - load(factor, (row * terms + k) * STRIP, STRIP) * load(factor, (i * terms + k) * STRIP, STRIP)
            if row > i:
                store(factor, (row * terms + i) * STRIP, entry * inverse)
                continue
            determined = entry > total * spread(SMALLEST_PIVOT, STRIP)
            # An undetermined sine takes the cosine of its frequency with it: 2 n + 1 terms remain.
            fewer = spread(float(max(i - 1 + i % 2, 0)), STRIP)
            left = select(determined | (left < fewer), left, fewer)
            doubtful = (entry < total * spread(DOUBTFUL_PIVOT, STRIP)) & (left > spread(float(i), STRIP))
            marked = select(doubtful, spread(1.0, STRIP), marked)
            inverse = select(determined, spread(1.0, STRIP) / root(entry), none)
            store(factor, (i * terms + i) * STRIP, inverse)
    marked = select(left > spread(1.0, STRIP), marked, none)
    store(rank, 0, left)
    store(doubt, 0, marked)
    return largest(marked > none)


@kernel
def _shorten(weights, date, kept, order, phase, at, doubt, rank):
    """Leave only the constant to doubtful pixels whose dates lie within the shortest arc of the year, of `LANES` pixels."""
    none, never = spread(0.0, LANES), spread(2.0, LANES)
    first, last, gap = never, never, none
    place = np.full(order.size, -1)
    for t in range(kept):
        place[date[t]] = t
    for i in range(order.size):
        if place[order[i]] < 0:
            continue
        now = repeat(phase, i, LANES)
        seen = convert(load(weights, place[order[i]] * STRIP + at, LANES), np.float64) > none
        gap = select(seen & (now - last > gap), now - last, gap)
        first = select(seen & (first == never), now, first)
        last = select(seen, now, last)
    gap = select(first + spread(1.0, LANES) - last > gap, first + spread(1.0, LANES) - last, gap)
    short = (spread(1.0, LANES) - gap < spread(SHORTEST_SPAN, LANES)) & (load(doubt, at, LANES) > none)
    store(rank, at, select(short, spread(1.0, LANES), load(rank, at, LANES)))


@kernel
def _solve(factor, rank, right, terms):
    """Solve in place by the factor's leading `rank` terms; the others become 0."""
    none, left = spread(0.0, STRIP), load(rank, 0, STRIP)
    for i in range(terms):
        entry = load(right, i * STRIP, STRIP)
        for k in range(i):
            entry = entry - load(factor, (i * terms + k) * STRIP, STRIP) * load(right, k * STRIP, STRIP)
        entry = entry * load(factor, (i * terms + i) * STRIP, STRIP)
        store(right, i * STRIP, select(left > spread(float(i), STRIP), entry, none))
    for i in range(terms - 1, -1, -1):
        entry = load(right, i * STRIP, STRIP)
        for k in range(i + 1, terms):
            entry = entry - load(factor, (k * terms + i) * STRIP, STRIP) * load(right, k * STRIP, STRIP)
        entry = entry * load(factor, (i * terms + i) * STRIP, STRIP)
        store(right, i * STRIP, select(left > spread(float(i), STRIP), entry, none))


@kernel
def _fit(values, weights, plan, out):
    """Fit all pixels, strip by strip."""
    time, pixels = values.shape
    room, date = fit_room(time, plan), np.empty(time, np.int64)
    value, weight = scratch(time * STRIP, values.dtype), scratch(time * STRIP, weights.dtype)
    for start in range(0, pixels, STRIP):
        at = min(start, pixels - STRIP)
        kept = _gather(values, weights, at, value, weight, date)
        fit_strip(value, weight, date, kept, plan, room, out, at)


@kernel
def _gather(values, weights, at, value, weight, date):
    """Values and weights of a strip, both 0 where there is no value or no weight, and the number of dates with weight."""
    nothing, none = spread(value.dtype.type(0), STRIP), spread(weight.dtype.type(0), STRIP)
    stride, kept = values.shape[1], 0
    for t in range(date.size):
        prefetch(values, at + t * stride + AHEAD, STRIP)
        prefetch(weights, at + t * stride + AHEAD, STRIP)
        v = load(values, at + t * stride, STRIP)
        w = select(v == v, load(weights, at + t * stride, STRIP), none)
        if largest(w > none):
            store(value, kept * STRIP, select(w > none, v, nothing))
            store(weight, kept * STRIP, w)
            date[kept] = t
            kept += 1
    return kept
