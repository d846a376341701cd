"""Composites of all looks of a period: the median of the clear ones, and spectral-temporal metrics; gaps are no data."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from imperv.layers.kernels.lanes import widened
from imperv.layers.kernels.ranks import select_ranks
from imperv.layers.scl import scl_weights

MONTHS = tuple("ABCDEFGHIJKL")
"""Months of a season in order of time; the first is September where it is an agronomic year."""

METRICS = {"min": 0.0, "p25": 0.25, "median": 0.5, "p75": 0.75, "max": 1.0}
"""Name and quantile of each spectral-temporal metric."""


def clear_table(least: int) -> np.ndarray:
    """Weight of each class of SCL in a composite, (256,) uint8: 1 where the ATBD's Table 6 has at least `least`, 0 elsewhere."""
    return (scl_weights(np.arange(256, dtype="uint8")) >= max(least, 1)).astype("uint8")


def median_of_looks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Median of the looks at each pixel, (y, x) uint16, 0 no data; of an even number the mean of the middle two, halves up.

    `values` are (y, time, x) uint16, 0 no data; `weights` (y, time, x) uint8 are 0 where a look does not count. ValueError for
    others. Releases the GIL.
    """
    found: np.ndarray = _ranked(values, weights, ("median",))[0]
    return found


def metrics_of_looks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`METRICS` of the looks at each pixel, (metric, y, x) uint16, 0 no data; arguments as of `median_of_looks`.

    Quantiles are values of looks: the smallest with at least that share of the looks up to it, as NumPy's ``inverted_cdf``; the
    median is that of `median_of_looks`.
    """
    return _ranked(values, weights, tuple(METRICS))


def _ranked(values: np.ndarray, weights: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    values, weights = np.asarray(values), np.asarray(weights)
    if values.ndim != 3 or values.shape != weights.shape or values.dtype != np.uint16 or weights.dtype != np.uint8:
        given = f"values {values.shape} {values.dtype} and weights {weights.shape} {weights.dtype}"
        raise ValueError(f"{given} must be uint16 and uint8 of one shape (y, time, x)")
    columns = values.shape[2]
    if not values.size:
        return np.zeros((len(names), values.shape[0], columns), np.uint16)
    values, weights = widened(values), widened(weights)
    out = np.empty((len(names), values.shape[0], values.shape[2]), np.uint16)
    select_ranks(values, weights, _ranks(names, values.shape[1]), out)
    return out[..., :columns]


@lru_cache(maxsize=256)
def _ranks(names: tuple[str, ...], time: int) -> np.ndarray:
    """Ranks of the two looks whose mean each metric is, by the number of looks: (metric, time + 1, 2)."""
    counts = np.arange(time + 1)
    found = []
    for name in names:
        low = np.maximum(np.ceil(counts * METRICS[name]).astype(int) - 1, 0)
        high = counts // 2 if name == "median" else low
        found.append(np.stack([low, high], axis=-1))
    return np.array(found)
