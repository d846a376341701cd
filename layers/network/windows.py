"""Prediction windows on the global 10 m lattice and their smooth blend (ATBD 4.3.1: 256 x 256 patches).

Windows lie at multiples of `patch - overlap` counted from the origin of EPSG:3035, so the value of a pixel depends on
where it is and on the features around it, never on the block or tile that computes it. NumPy only: the predictor is a
function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Predictor = Callable[[np.ndarray], np.ndarray]
"""(window, feature, patch, patch) float32 with NaN -> (window, member, patch, patch) float32, finite."""


def _check(patch: int, overlap: int) -> int:
    if patch < 2 or not 0 <= overlap <= patch // 2:
        raise ValueError(f"overlap {overlap} does not fit windows of {patch} px: it must be 0 to {patch // 2}")
    return patch - overlap


def halo(patch: int, overlap: int) -> int:
    """Pixels of context that a block needs on every side so that each window that touches it is complete.

    A window that only just reaches a block begins `patch - 1` pixels outside of it, wherever the lattice lies. ValueError if the
    overlap is negative or more than half of the window.
    """
    _check(patch, overlap)
    return patch - 1


def starts(first: int, count: int, patch: int, overlap: int) -> np.ndarray:
    """Global indices where the windows begin that touch `count` pixels from the global index `first` on, one axis."""
    stride = _check(patch, overlap)
    low = -((patch - 1 - first) // stride)
    return np.arange(low, (first + count - 1) // stride + 1) * stride


def windows_over(rows: int, cols: int, origin: tuple[int, int], patch: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Windows that touch an array, row by row, as (row, column) of their first pixel relative to the array's first.

    They may begin before the array and reach beyond it: windows are never cut or moved. `origin` is the global (row, column) of
    the array's first pixel: ``-top / 10 m``, ``left / 10 m`` in EPSG:3035. ValueError for an overlap as in `halo`.
    """
    for row in starts(origin[0], rows, patch, overlap):
        for col in starts(origin[1], cols, patch, overlap):
            yield int(row) - origin[0], int(col) - origin[1]


def blend_weights(patch: int, overlap: int) -> np.ndarray:
    """Weight in (0, 1] of each pixel of a window: raised-cosine ramps over the overlap, 1 between; over a pixel they add up to 1.

    ValueError for an overlap as in `halo`.
    """
    _check(patch, overlap)
    ramp = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / max(overlap, 1)) ** 2
    line = np.ones(patch)
    line[:overlap] = ramp
    line[patch - overlap :] = ramp[::-1]
    return np.outer(line, line)


def predict_blended(
    features: np.ndarray,
    predict: Predictor,
    origin: tuple[int, int],
    patch: int,
    overlap: int,
    inner: tuple[slice, slice] | None = None,
    at_once: int = 8,
) -> np.ndarray:
    """Prediction of an area from overlapping windows: (member, y, x) float32, NaN where the pixel itself lacks any feature.

    Equal, to float tolerance, whether an area is predicted at once or in blocks with `halo` pixels of context. `features` are
    (feature, y, x) float32, NaN no data, as beyond the array; `origin` is the global (row, column) of their first pixel. Only the
    `inner` part is predicted, the rest is context. `predict` gets `at_once` complete windows at most. ValueError if the overlap
    does not fit, or nothing can be predicted from the shape given.
    """
    if features.ndim != 3:
        raise ValueError(f"features have shape {features.shape}: expected (feature, y, x)")
    depth, height, width = features.shape
    rows, cols = inner or (slice(None), slice(None))
    (y0, y1, _), (x0, x1, _) = rows.indices(height), cols.indices(width)
    valid = np.isfinite(features[:, y0:y1, x0:x1]).all(axis=0)
    weights = blend_weights(patch, overlap)
    limit = max(1, at_once)

    todo = []
    for dy, dx in windows_over(y1 - y0, x1 - x0, (origin[0] + y0, origin[1] + x0), patch, overlap):
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
