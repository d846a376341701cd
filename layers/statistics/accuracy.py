"""Accuracy and area of maps from a reference sample, with their standard errors; docs/dev/algorithms.md, section 12.

One estimator, a ratio of weighted totals with linearised variance within strata. With map classes as strata it is that of
Olofsson et al. 2014 (Remote Sensing of Environment 148:42-57), with others that of Stehman 2014 (Int. J. Remote Sensing
35:4923-4939). Which points and which weights is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Z = 1.959963984540054
"""Quantile of the normal distribution for an interval of 95 %."""

MINIMUM_POINTS = 2
"""Points of a stratum without which its spread is not known."""


@dataclass(frozen=True)
class Estimate:
    """An estimate with its standard error."""

    value: float
    """NaN where nothing in the sample speaks of it."""
    se: float
    """Standard error."""

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.value - Z * self.se

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.value + Z * self.se

    def times(self, factor: float) -> Estimate:
        """The same in other units."""
        return Estimate(self.value * factor, self.se * abs(factor))


@dataclass(frozen=True)
class ClassAccuracy:
    """Accuracy and area of one class."""

    users: Estimate
    """User's accuracy: 1 - commission error."""
    producers: Estimate
    """Producer's accuracy: 1 - omission error."""
    share: Estimate
    """Area of the class by the reference, as a share."""
    f1: float
    """Harmonic mean of both accuracies."""


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of a classified map."""

    matrix: np.ndarray
    """(class of the map, class of the reference) float64: shares of the area, sum 1."""
    overall: Estimate
    """Overall accuracy."""
    classes: tuple[ClassAccuracy, ...]
    """In the order of the matrix."""


@dataclass(frozen=True)
class DensityError:
    """Error of a map of densities against the reference, in its units."""

    bias: Estimate
    """Mean of map - reference."""
    mae: Estimate
    """Mean absolute difference."""
    rmse: Estimate
    """Root of the mean squared difference."""
    r2: float
    """Coefficient of determination, 1 - residual / total variation of the reference; NaN where that does not vary."""
    correlation: float
    """Pearson's."""
    slope: float
    """Of the weighted regression of the map on the reference."""
    intercept: float
    mean: Estimate
    """Mean of the reference."""


def ratio(y: np.ndarray, x: np.ndarray, weights: np.ndarray | None = None, strata: np.ndarray | None = None) -> Estimate:
    """Ratio of two totals of a population from a sample: sum(w y) / sum(w x); NaN where the divisor is 0.

    `y` and `x` are two numbers of every unit, such as pixels that are right and pixels; `weights` are 1 / inclusion probability
    to any common factor (equal by default), `strata` the stratum of each unit (one by default).

    Variance of the Taylor linearisation e = y - R x: sum over strata of n / (n - 1) sum (w e - mean(w e))^2, over sum(w x)^2,
    drawn with replacement. Weights N_h / n_h give equations 5 to 7 and 10 of Olofsson et al. 2014.
    """
    y, x = np.asarray(y, np.float64), np.asarray(x, np.float64)
    w = np.ones(y.shape) if weights is None else np.asarray(weights, np.float64)
    total = float((w * x).sum())
    if total == 0:
        return Estimate(float("nan"), float("nan"))
    value = float((w * y).sum()) / total
    e = w * (y - value * x)
    _, place = np.unique(np.zeros(len(y)) if strata is None else strata, return_inverse=True)
    n = np.bincount(place)
    mean = np.bincount(place, e) / n
    spread = np.bincount(place, (e - mean[place]) ** 2)
    # A stratum of one unit has no spread; callers refuse it where it matters.
    variance = float((spread * n / np.maximum(n - 1, 1)).sum())
    return Estimate(value, float(np.sqrt(variance)) / abs(total))


def stratum_weights(strata: np.ndarray, sizes: Mapping[Any, float]) -> np.ndarray:
    """Weight of every unit, (n,) float64: the size of its stratum, in pixels or area, over the units drawn from it.

    Also post-stratification: a simple random sample is weighted by the areas of the map classes in which its units lie (Olofsson
    et al. 2014, section 4.1). ValueError, which names the stratum, if one has no size, or one with a size has fewer than two
    units.
    """
    names, place, n = np.unique(strata, return_inverse=True, return_counts=True)
    listed = names.tolist()
    if unknown := [name for name in listed if not sizes.get(name)]:
        raise ValueError(f"stratum {unknown[0]} has no area")
    for name in (name for name, size in sizes.items() if size > 0):
        units = int(n[listed.index(name)]) if name in listed else 0
        if units < MINIMUM_POINTS:
            points = "point" if units == 1 else "points"
            raise ValueError(f"stratum {name} has {units} {points}, at least {MINIMUM_POINTS} are needed")
    size = np.array([float(sizes[name]) for name in listed])
    return (size / n)[place]


def accuracy(matrices: np.ndarray, weights: np.ndarray | None = None, strata: np.ndarray | None = None) -> Accuracy:
    """Accuracy of a classified map (Olofsson et al. 2014, equations 1 to 10).

    `matrices` are (n, k, k), of every unit pixels by (class of the map, class of the reference): a single 1 for a point, counts
    for a block. `weights` and `strata` are those of `ratio`.
    """
    m = np.asarray(matrices, np.float64)
    all_of_it, rows, columns = m.sum(axis=(1, 2)), m.sum(axis=2), m.sum(axis=1)
    right = np.diagonal(m, axis1=1, axis2=2)
    w = np.ones(len(m)) if weights is None else np.asarray(weights, np.float64)
    classes = []
    for k in range(m.shape[1]):
        users = ratio(right[:, k], rows[:, k], w, strata)
        producers = ratio(right[:, k], columns[:, k], w, strata)
        both = (w * (rows[:, k] + columns[:, k])).sum()
        f1 = float(2 * (w * right[:, k]).sum() / both) if both else float("nan")
        classes.append(ClassAccuracy(users, producers, ratio(columns[:, k], all_of_it, w, strata), f1))
    matrix = np.tensordot(w, m, axes=1)
    return Accuracy(matrix / matrix.sum(), ratio(right.sum(axis=1), all_of_it, w, strata), tuple(classes))


def density_moments(mapped: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Moments of every unit for `density_error`, (n, 7) float64, from densities (n,) or (n, pixels), NaN in both where not valid.

    Number of values, and sums of map, reference, their squares, their product, and the absolute difference.
    """
    m, r = (np.asarray(a, np.float64).reshape(len(a), -1) for a in (mapped, reference))
    parts = np.ones_like(m) + 0 * m, m, r, m * m, r * r, m * r, np.abs(m - r)
    return np.stack([np.nansum(part, axis=1) for part in parts], axis=1)


def density_error(moments: np.ndarray, weights: np.ndarray | None = None, strata: np.ndarray | None = None) -> DensityError:
    """Error of a map of densities from `density_moments`; `weights` and `strata` as for `ratio`.

    The standard error of the RMSE is that of the mean square, carried through the root.
    """
    count, m, r, mm, rr, mr, absolute = np.asarray(moments, np.float64).T
    square = ratio(mm + rr - 2 * mr, count, weights, strata)
    rmse = float(np.sqrt(max(square.value, 0.0)))
    w = np.ones(len(count)) if weights is None else np.asarray(weights, np.float64)
    n, sm, sr, smm, srr, smr = ((w * v).sum() for v in (count, m, r, mm, rr, mr))
    var_m, var_r, cov = smm / n - (sm / n) ** 2, srr / n - (sr / n) ** 2, smr / n - sm * sr / n**2
    slope = cov / var_r if var_r > 0 else np.nan
    return DensityError(
        bias=ratio(m - r, count, weights, strata),
        mae=ratio(absolute, count, weights, strata),
        rmse=Estimate(rmse, square.se / (2 * rmse) if rmse else 0.0),
        r2=float(1 - square.value / var_r) if var_r > 0 else float("nan"),
        correlation=float(cov / np.sqrt(var_m * var_r)) if var_m > 0 and var_r > 0 else float("nan"),
        slope=float(slope),
        intercept=float(sm / n - slope * sr / n),
        mean=ratio(r, count, weights, strata),
    )
