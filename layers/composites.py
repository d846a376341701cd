"""Composites of all looks of a period: the median of the clear ones, and spectral-temporal metrics; gaps are no data."""

from __future__ import annotations

import numpy as np

from imperv.layers.scl import scl_weights
from imperv.layers.yearly import yearly_quantile

METRICS = {"min": 0.0, "p25": 0.25, "median": 0.5, "p75": 0.75, "max": 1.0}
"""Name and quantile of each spectral-temporal metric."""

_UPPER = 0.5 + 1e-6
"""Quantile that is the upper of the two middle values of an even number of looks, and the middle one of an odd number."""


def clear_table(least: int) -> np.ndarray:
    """Weight of each class of SCL in a composite, (256,) uint8: 1 where the ATBD's Table 6 has at least `least`, 0 elsewhere."""
    return (scl_weights(np.arange(256, dtype="uint8")) >= max(least, 1)).astype("uint8")


def median_of_looks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Median of the looks at each pixel, (y, x) uint16, 0 no data; of an even number the mean of the middle two, halves up.

    `values` are (y, time, x) uint16, 0 no data; `weights` (y, time, x) uint8 are 1 where a look counts, otherwise 0. ValueError
    for others.
    """
    low, high = yearly_quantile(values, weights, (0.5, _UPPER)).astype(np.uint32)
    return ((low + high + 1) // 2).astype(np.uint16)


def metrics_of_looks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`METRICS` of the looks at each pixel, (metric, y, x) uint16, 0 no data; arguments as of `median_of_looks`.

    Quantiles are values of looks: the smallest with at least that share of the looks up to it; the median is that of
    `median_of_looks`.
    """
    names = list(METRICS)
    found = yearly_quantile(values, weights, (*METRICS.values(), _UPPER))
    middle = names.index("median")
    pair = found[[middle, -1]].astype(np.uint32)
    found[middle] = (pair[0] + pair[1] + 1) // 2
    return found[: len(names)]
