"""A second implementation of blended windows, of a whole area at once, for the tests of the one that goes row by row."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

from imperv.layers.network.windows import blend_weights, starts


def predict_blended(
    features: np.ndarray,
    predict: Callable[[np.ndarray], np.ndarray],
    origin: tuple[int, int],
    patch: int,
    overlap: int,
    inner: tuple[slice, slice] | None = None,
    at_once: int = 8,
) -> np.ndarray:
    """Prediction of an area from overlapping windows: (member, y, x) float32, NaN where a pixel lacks any feature.

    `predict` maps (window, feature, patch, patch) to (window, member, patch, patch). Only the `inner` part is predicted.
    """
    depth, height, width = features.shape
    rows, cols = inner or (slice(None), slice(None))
    (y0, y1, _), (x0, x1, _) = rows.indices(height), cols.indices(width)
    valid = np.isfinite(features[:, y0:y1, x0:x1]).all(axis=0)
    weights = blend_weights(patch, overlap)
    limit = max(1, at_once)

    todo = []
    tops, lefts = (starts(o, n, patch, overlap) - o for o, n in ((origin[0] + y0, y1 - y0), (origin[1] + x0, x1 - x0)))
    for dy, dx in product(tops.tolist(), lefts.tolist()):
        # A window whose share of the inner part has no data changes nothing: it is not worth predicting.
        if valid[max(dy, 0) : dy + patch, max(dx, 0) : dx + patch].any():
            todo.append((dy, dx))
    if not todo:
        members = predict(np.full((1, depth, patch, patch), np.nan, "f4")).shape[1]
        return np.full((members, *valid.shape), np.nan, "f4")

    total: np.ndarray | None = None
    for k in range(0, len(todo), limit):
        part = todo[k : k + limit]
        values = predict(np.stack([_cut(features, y0 + dy, x0 + dx, patch) for dy, dx in part]))
        if total is None:
            total = np.zeros((values.shape[1], *valid.shape), "f4")
        for (dy, dx), value in zip(part, values, strict=True):
            ya, yb, xa, xb = max(dy, 0), min(dy + patch, y1 - y0), max(dx, 0), min(dx + patch, x1 - x0)
            cut = np.s_[ya - dy : yb - dy, xa - dx : xb - dx]
            total[:, ya:yb, xa:xb] += (value[:, *cut] * weights[cut]).astype("f4")
    assert total is not None
    total[:, ~valid] = np.nan
    return total


def _cut(features: np.ndarray, row: int, col: int, patch: int) -> np.ndarray:
    """A complete window, NaN beyond the array."""
    _, height, width = features.shape
    out = np.full((features.shape[0], patch, patch), np.nan, "f4")
    ya, yb, xa, xb = max(row, 0), min(row + patch, height), max(col, 0), min(col + patch, width)
    out[:, ya - row : yb - row, xa - col : xb - col] = features[:, ya:yb, xa:xb]
    return out
