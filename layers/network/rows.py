"""Prediction of a wide area by several models, one row of windows after another (ATBD 4.3.1, 4.7).

Each pixel is predicted once by each network. Where windows lie is in `windows`, mean and spread in `ensemble`. NumPy only:
predictors are functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from imperv.layers.network.ensemble import RunningEnsemble
from imperv.layers.network.windows import Windows
from imperv.layers.palette import OUTSIDE as NODATA

Read = Callable[[int, int], np.ndarray]
"""(first row, end) -> (row, column, feature) float32 with NaN, of the columns of `Windows.columns`; rows never go back."""

Model = Callable[[np.ndarray], np.ndarray]
"""(window, y + 2 reach, x + 2 reach, feature) float32 with NaN -> (window, y, x, member) float32, finite."""


def predict_area(
    features: np.ndarray, model: Model, windows: Windows, inner: tuple[slice, slice] | None = None, at_once: int = 2
) -> np.ndarray:
    """Prediction of features (feature, y, x) in memory by all members: (member, y, x) float32, NaN where a feature is missing.

    `windows` cover the `inner` part, or all; the rest is its context, and beyond the array there is no data. ValueError if they
    are of another shape.
    """
    rows, columns = inner or (slice(None), slice(None))
    (y0, y1, _), (x0, x1, _) = rows.indices(features.shape[1]), columns.indices(features.shape[2])
    if windows.shape != (y1 - y0, x1 - x0):
        raise ValueError(f"windows over {windows.shape} pixels do not cover {(y1 - y0, x1 - x0)}")
    left, right = (x0 + x for x in windows.columns)

    def read(first: int, end: int) -> np.ndarray:
        out = np.full((end - first, right - left, len(features)), np.nan, "f4")
        top, bottom = max(y0 + first, 0), min(y0 + end, features.shape[1])
        a, b = max(left, 0), min(right, features.shape[2])
        part = np.moveaxis(features[:, top:bottom, a:b], 0, -1)
        out[top - y0 - first : bottom - y0 - first, a - left : b - left] = part
        return out

    out = None
    for row, members, valid in predict_channels(read, [model], windows, at_once):
        if out is None and len(members):
            out = np.full((len(members), *windows.shape), np.nan, "f4")
        if out is not None and len(members):
            out[:, row : row + len(valid)] = np.where(valid, members, np.float32(np.nan))
    if out is None:
        (rows_, columns_), around = windows.edges, 2 * windows.reach
        count = model(np.full((1, rows_ + around, columns_ + around, len(features)), np.nan, "f4")).shape[-1]
        return np.full((count, *windows.shape), np.nan, "f4")
    return out


def predict_rows(
    read: Read, models: Sequence[Model], windows: Windows, at_once: int = 2
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Mean (uint8 percent, 255 no data) and spread (float32 fraction, NaN no data) of all members, row by row of windows.

    Yields gapless pieces, each with its first row. `read` gives the features, context of the area included. A model sees each
    window with a valid pixel once, at most `at_once` in a call. There is no data where a pixel lacks any feature. ValueError if
    there is no model.
    """
    for first, valid, batches in _rows(read, models, windows, at_once):
        mean, deviation = np.full(valid.shape, NODATA, "u1"), np.full(valid.shape, np.nan, "f4")
        for places, seen in batches:
            spread = RunningEnsemble((len(seen), *windows.edges))
            for model in models:
                for member in np.moveaxis(model(seen), -1, 0):
                    spread.add(member)
            for (there, here), *found in zip(places, *spread.result(), strict=True):
                for out, part in zip((mean, deviation), found, strict=True):
                    out[there] = np.where(valid[there], part[here], out[there])
        yield first, mean, deviation


def predict_channels(
    read: Read, models: Sequence[Model], windows: Windows, at_once: int = 2
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """All that the models answer, row by row of windows: first row, (channel, y, x) float32, and where pixels are valid (y, x).

    Channels of a model follow one another. No answer is there, (0, y, x), where no window has a valid pixel.
    """
    for first, valid, batches in _rows(read, models, windows, at_once):
        out = np.empty((0, *valid.shape), "f4")
        for places, seen in batches:
            found = np.concatenate([model(seen) for model in models], axis=-1)
            if not len(out):
                out = np.zeros((found.shape[-1], *valid.shape), "f4")
            for (there, here), part in zip(places, found, strict=True):
                out[(slice(None), *there)] = np.moveaxis(part[here], -1, 0)
        yield first, out, valid


Cut = tuple[slice, slice]


def _rows(
    read: Read, models: Sequence[Model], windows: Windows, at_once: int
) -> Iterator[tuple[int, np.ndarray, Iterator[tuple[list[tuple[Cut, Cut]], np.ndarray]]]]:
    """First row, valid pixels, and batches of windows of each row of them.

    A batch has the places of its windows, as their slices in the row and those of what is inside of the area, and what they see.
    """
    if not models:
        raise ValueError("no model to predict with")
    rows, columns = windows.shape
    (height, width), lefts, around = windows.edges, windows.lefts, windows.reach
    before = windows.columns[0]
    for top in windows.tops:
        features = read(top - around, top + height + around)
        first, end = max(top, 0), min(top + height, rows)
        inside = features[first - top + around : end - top + around, -before : columns - before]
        valid = np.asarray(np.isfinite(inside).all(axis=-1))
        # A window without a valid pixel of the area changes nothing: it is not worth predicting.
        todo = [left for left in lefts if valid[:, max(left, 0) : left + width].any()]
        place = {
            left: (
                np.s_[:, max(left, 0) : min(left + width, columns)],
                np.s_[first - top : end - top, max(-left, 0) : min(columns - left, width)],
            )
            for left in todo
        }
        parts = (todo[start : start + at_once] for start in range(0, len(todo), at_once))
        seen = (
            ([place[k] for k in part], np.stack([features[:, k - around - before : k + width + around - before] for k in part]))
            for part in parts
        )
        yield first, valid, seen
