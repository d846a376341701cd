"""Thinning of maps: one function for each kind of layer.

Edges of arrays (y, x) are multiples of `factor`, the pixels of a cell each way. Rare changes must stay visible.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from imperv.layers.aggregation import NEVER_SEALED, NO_CHANGE, NODATA, aggregate_mean

CHANGE_CLASSES = (1, 2, 11, 12)
"""Classes of change; 0 and 10 are unchanged."""


def mean_share(a: np.ndarray, factor: int) -> np.ndarray:
    """Mean percent, 0 to 100, of each cell of `factor` x `factor` pixels; 255 where a cell has no valid pixel."""
    return np.asarray(a, "u1") if factor == 1 else aggregate_mean(np.ascontiguousarray(a, "u1"), factor)


def share_of_ones(a: np.ndarray, factor: int) -> np.ndarray:
    """Share of the valid pixels that are 1, in percent; shapes and no data as for `mean_share`. With factor 1 the codes stay."""
    if factor == 1:
        return np.asarray(a, "u1")
    return mean_share(np.where(np.asarray(a) == 1, 100, a).astype("u1"), factor)


def strongest_change(a: np.ndarray, factor: int) -> np.ndarray:
    """The largest change of each cell, as the mean would hide single buildings.

    Codes are 100 + change in percent, 201 never sealed, 255 outside. A cell without change is 100 where anything is sealed, else
    201.
    """
    a = np.asarray(a, "u1")
    if factor == 1:
        return a
    rows, columns = a.shape[0] // factor, a.shape[1] // factor
    cells = a.reshape(rows, factor, columns, factor).swapaxes(1, 2).reshape(rows, columns, factor**2)
    # Ranks: outside -1, "never sealed" 0, "no change" 1, changes above.
    rank = 2 * np.abs(cells.astype("i2") - NO_CHANGE) + 1
    rank[cells == NEVER_SEALED] = 0
    rank[cells == NODATA] = -1
    return np.take_along_axis(cells, rank.argmax(axis=-1)[..., None], axis=-1)[..., 0]


def prevailing_class(a: np.ndarray, factor: int) -> np.ndarray:
    """The most frequent class of change of each cell, or class if nothing changed; the first of equals; 255 outside."""
    a = np.asarray(a, "u1")
    if factor == 1:
        return a
    best = np.full((a.shape[0] // factor, a.shape[1] // factor), NODATA, "u1")
    for classes in ((0, 10), CHANGE_CLASSES):
        most = np.zeros(best.shape, "u4")
        for code in classes:
            count = sums(a == code, factor).astype("u4")
            better = count > most
            best[better], most[better] = code, count[better]
    return best


def mean_values(a: np.ndarray, factor: int) -> np.ndarray:
    """Mean of the pixels of each cell that are not NaN, float32; at the edges cells may hold fewer pixels."""
    return xr.DataArray(a, dims=("y", "x")).coarsen(y=factor, x=factor, boundary="pad").mean().values.astype("f4")


def sums(a: np.ndarray, factor: int) -> np.ndarray:
    """Sum of each cell, float64."""
    rows, columns = a.shape[0] // factor, a.shape[1] // factor
    return np.asarray(a).reshape(rows, factor, columns, factor).sum(axis=(1, 3), dtype="f8")
