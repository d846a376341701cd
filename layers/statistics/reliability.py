"""Reliability of confidence: error by class of confidence, and rank correlation of spread and error (ATBD 4.7).

NumPy only; like `scores`, everything follows from sums for each block of space. How confidence is made is in `confidence`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from imperv.layers.confidence import HIGHEST, LOWEST
from imperv.layers.statistics.scores import Estimate, estimates

LEVELS = HIGHEST - LOWEST + 1
"""Codes of confidence, 50..100."""

SUMS = ("pixels", "absolute", "square", "wrong")
"""Sums of each code: of 1, |error|, error^2 and whether the mask is wrong."""

EDGES = (50, 60, 70, 80, 90, 101)
"""Bounds of the fixed classes 50..59, 60..69, 70..79, 80..89 and 90..100."""

SPREAD_STEP = 0.001
"""Step of the standard deviation in the joint histogram, as a fraction."""

SPREADS = 501
"""Steps of the standard deviation, 0..0.5."""

FEWEST = 200
"""Pixels below which a class says nothing."""


def confidence_sums(confidence: np.ndarray, error: np.ndarray, wrong: np.ndarray, block: np.ndarray, blocks: int) -> np.ndarray:
    """Sums of the errors for each block: (block, 51 * 4) float64, for each code 50..100 of confidence the `SUMS`.

    `error` is predicted minus true density in percent, zeros where there is no true density; `wrong` says where the mask is
    wrong; `block` counts from 0.
    """
    k = block.astype("i8") * LEVELS + (confidence.astype("i8") - LOWEST)
    error = error.astype("f8")
    terms = (np.ones_like(error), np.abs(error), error**2, wrong.astype("f8"))
    parts = [np.bincount(k, term, blocks * LEVELS) for term in terms]
    return np.stack(parts, axis=-1).reshape(blocks, LEVELS * len(SUMS))


def fixed_classes() -> np.ndarray:
    """(class, code) share of each code in the classes of `EDGES`: 0 or 1."""
    codes = np.arange(LOWEST, HIGHEST + 1)
    return np.array([(codes >= a) & (codes < b) for a, b in zip(EDGES, EDGES[1:], strict=False)], "f8")


def quantile_classes(sums: np.ndarray, count: int = 5) -> np.ndarray:
    """(class, code) share of each code in classes with equally many pixels, lowest confidence first.

    A code that reaches over a bound is divided between its classes in proportion, so that classes are exact however many
    pixels share one code; what they get is then the expectation over all ways to break the ties.
    """
    pixels = sums.reshape(-1, LEVELS, len(SUMS))[..., 0].sum(axis=0)
    total = pixels.sum()
    ends = np.cumsum(pixels)
    bounds = total * np.arange(count + 1) / count
    overlap = np.minimum(ends, bounds[1:, None]) - np.maximum(ends - pixels, bounds[:-1, None])
    return np.divide(np.clip(overlap, 0, None), pixels, out=np.zeros((count, LEVELS)), where=pixels > 0)


def class_errors(sums: np.ndarray, classes: np.ndarray) -> dict[str, np.ndarray]:
    """Errors of each class: ``pixels``, ``mae`` and ``rmse`` in percent, ``wrong`` as a share of pixels; NaN without a pixel.

    `sums` are (..., 51 * 4) `confidence_sums`, blocks added up, `classes` (class, code); the results are (..., class).
    """
    by_class = np.einsum("ck,...ks->...cs", classes, sums.reshape(*sums.shape[:-1], LEVELS, len(SUMS)))
    n, absolute, square, wrong = np.moveaxis(by_class, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {"pixels": n, "mae": absolute / n, "rmse": np.sqrt(square / n), "wrong": wrong / n}


def lowest_to_highest(errors: Mapping[str, np.ndarray], fewest: float = FEWEST) -> dict[str, np.ndarray]:
    """Error of the lowest class over that of the highest, among the classes with at least `fewest` pixels.

    For ``mae``, ``rmse`` and ``wrong``; NaN where fewer than two classes are filled, or the highest has no error.
    """
    filled = errors["pixels"] >= fewest
    low, high = filled.argmax(axis=-1), filled.shape[-1] - 1 - filled[..., ::-1].argmax(axis=-1)
    found = {}
    for name in ("mae", "rmse", "wrong"):
        a, b = (np.take_along_axis(errors[name], k[..., None], -1)[..., 0] for k in (low, high))
        found[name] = np.divide(a, b, out=np.full(np.shape(a), np.nan), where=(low < high) & (b > 0))
    return found


def class_table(sums: np.ndarray, classes: np.ndarray, seed: int = 1) -> list[dict[str, Estimate | float]]:
    """For each class its pixels, and its errors with intervals from drawing blocks again."""
    found = class_errors(sums.sum(axis=0), classes)
    table: list[dict[str, Estimate | float]] = []
    for k in range(len(classes)):

        def of_class(total: np.ndarray, k: int = k) -> dict[str, np.ndarray]:
            return {name: value[..., k] for name, value in class_errors(total, classes).items() if name != "pixels"}

        table.append({"pixels": float(found["pixels"][k]), **estimates([sums], of_class, seed=seed)})
    return table


def ratios(sums: np.ndarray, classes: np.ndarray, seed: int = 1, fewest: float = FEWEST) -> dict[str, Estimate]:
    """`lowest_to_highest` with intervals; which classes are filled is decided once, not in each sample."""
    filled = class_errors(sums.sum(axis=0), classes)["pixels"] >= fewest
    kept = classes[filled]
    if len(kept) < 2:
        nan = float("nan")
        return {name: Estimate(nan, nan, nan) for name in ("mae", "rmse", "wrong")}
    return estimates([sums], lambda total: lowest_to_highest(class_errors(total, kept), 0), seed=seed)


def joint_histogram(spread: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Pixels by standard deviation in steps of 0.001 and by absolute error in steps of one percent, (501, 101) int64.

    `spread` is the members' deviation, a fraction 0..0.5; `error` is predicted minus true in percent.
    """
    row = np.clip(np.rint(spread / SPREAD_STEP), 0, SPREADS - 1).astype("i8")
    column = np.clip(np.rint(np.abs(error)), 0, 100).astype("i8")
    return np.bincount(row * 101 + column, minlength=SPREADS * 101).reshape(SPREADS, 101)


def spearman(histogram: np.ndarray) -> float:
    """Rank correlation of a joint histogram, exact for its steps; ties have their mean rank, an axis of one value gives NaN."""
    n = histogram.sum(dtype="f8")
    if not n:
        return float("nan")
    ranks = []
    for axis in (1, 0):
        counts = histogram.sum(axis=axis, dtype="f8")
        # Middle of the ranks that a value takes, measured from the mean rank of all.
        ranks.append(np.cumsum(counts) - counts / 2 - n / 2)
    a, b = ranks
    variances = [float((r**2 * histogram.sum(axis=axis)).sum()) for r, axis in ((a, 1), (b, 0))]
    if not all(variances):
        return float("nan")
    return float(a @ histogram @ b / np.sqrt(variances[0] * variances[1]))
