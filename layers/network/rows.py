"""Prediction of a wide area by several models, one row of windows after another (ATBD 4.3.1, 4.7).

Every window of the lattice is predicted once, and of a member no more is kept than what two rows of windows share. Where windows
lie and how they blend is in `windows`, mean and spread in `ensemble`. NumPy only: predictors are functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imperv.layers.network.ensemble import RunningEnsemble
from imperv.layers.network.windows import blend_weights, starts

Read = Callable[[int, int], np.ndarray]
"""(first row, end) -> (row, column, feature) float32 with NaN, of the columns of `Lattice.columns`; rows never go back."""

Model = Callable[[np.ndarray], np.ndarray]
"""(window, patch, patch, feature) float32 with NaN -> (window, patch, patch, member) float32, finite."""


@dataclass(frozen=True)
class Lattice:
    """The windows that touch an area."""

    shape: tuple[int, int]
    """Rows and columns of the area, pixels."""
    origin: tuple[int, int]
    """Global (row, column) of its first pixel: ``-top / 10 m``, ``left / 10 m``."""
    patch: int
    """Edge of a window, pixels."""
    overlap: int
    """Overlap of neighbouring windows, pixels."""

    @property
    def tops(self) -> list[int]:
        """First rows of the windows, relative to the area."""
        return [int(y) - self.origin[0] for y in starts(self.origin[0], self.shape[0], self.patch, self.overlap)]

    @property
    def lefts(self) -> list[int]:
        """First columns of the windows, relative to the area."""
        return [int(x) - self.origin[1] for x in starts(self.origin[1], self.shape[1], self.patch, self.overlap)]

    @property
    def columns(self) -> tuple[int, int]:
        """First column that a window sees, and the end of the last, relative to the area."""
        lefts = self.lefts
        return lefts[0], lefts[-1] + self.patch


def predict_area(
    features: np.ndarray, model: Model, origin: tuple[int, int], patch: int, overlap: int,
    inner: tuple[slice, slice] | None = None, at_once: int = 8,
) -> np.ndarray:  # fmt: skip
    """Prediction of features (feature, y, x) in memory by all members: (member, y, x) float32, NaN where a feature is missing.

    `origin` is the global (row, column) of the first pixel. Only the `inner` part is predicted; the rest is its context, and
    beyond the array there is no data.
    """
    rows, columns = inner or (slice(None), slice(None))
    (y0, y1, _), (x0, x1, _) = rows.indices(features.shape[1]), columns.indices(features.shape[2])
    lattice = Lattice((y1 - y0, x1 - x0), (origin[0] + y0, origin[1] + x0), patch, overlap)
    first, end = (x0 + patch + x for x in lattice.columns)
    padded = np.pad(np.moveaxis(features, 0, -1), ((patch, patch), (patch, patch), (0, 0)), constant_values=np.nan)
    top, out = y0 + patch, None
    for row, members, valid in _rows(lambda a, b: padded[top + a : top + b, first:end], [model], lattice, at_once, _Members):
        if members.found:
            if out is None:
                out = np.full((len(members.found), *lattice.shape), np.nan, "f4")
            out[:, row : row + len(valid)] = np.where(valid, np.stack(members.found), np.float32(np.nan))
    if out is None:
        count = model(np.full((1, patch, patch, len(features)), np.nan, "f4")).shape[-1]
        return np.full((count, *lattice.shape), np.nan, "f4")
    return out


def predict_rows(
    read: Read, models: Sequence[Model], lattice: Lattice, at_once: int = 8
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Mean (uint8 percent, 255 no data) and spread (float32 fraction, NaN no data) of all members, row by row of windows.

    Yields gapless pieces, each with its first row. `read` gives the features, context of the area included. A model sees each
    window with a valid pixel once, at most `at_once` in a call. There is no data where a pixel lacks any feature. ValueError if
    there is no model.
    """
    for first, spread, valid in _rows(read, models, lattice, at_once, RunningEnsemble):
        yield first, *spread.result(valid)


def predict_channels(
    read: Read, models: Sequence[Model], lattice: Lattice, at_once: int = 8
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """All that the models answer, row by row of windows: first row, (channel, y, x) float32, and where pixels are valid (y, x).

    Channels of a model follow one another. No answer is there, (0, y, x), where no window has a valid pixel.
    """
    for first, members, valid in _rows(read, models, lattice, at_once, _Members):
        shape = (0, *valid.shape)
        yield first, np.stack(members.found) if members.found else np.empty(shape, "f4"), valid


class _Members:
    """Members of a shape one by one, where mean and spread are not enough."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.found: list[np.ndarray] = []

    def add(self, member: np.ndarray) -> None:
        self.found.append(member)


def _rows(
    read: Read, models: Sequence[Model], lattice: Lattice, at_once: int, gather: Callable[[tuple[int, int]], Any]
) -> Iterator[tuple[int, Any, np.ndarray]]:
    """First row, members that `gather` has got one by one, and valid pixels of each piece."""
    if not models:
        raise ValueError("no model to predict with")
    rows, columns = lattice.shape
    patch, overlap, stride = lattice.patch, lattice.overlap, lattice.patch - lattice.overlap
    weights = blend_weights(patch, overlap).astype("f4")[..., None]
    lefts, (before, _) = lattice.lefts, lattice.columns
    shared: list[np.ndarray | None] = [None] * len(models)
    for top in lattice.tops:
        features = read(top, top + patch)
        first, end = max(top, 0), min(top + stride, rows)
        inside = slice(max(-top, 0), min(rows - top, patch))
        valid = np.asarray(np.isfinite(features[inside, -before : columns - before]).all(axis=-1))
        # A window without a valid pixel of the area changes nothing: it is not worth predicting.
        todo = [left for left in lefts if valid[:, max(left, 0) : left + patch].any()]
        spread = gather((max(end - first, 0), columns))
        for k, model in enumerate(models):
            band: np.ndarray | None = None
            for start in range(0, len(todo), at_once):
                part = todo[start : start + at_once]
                values = model(np.stack([features[:, left - before : left - before + patch] for left in part]))
                if band is None:
                    band = _band(shared[k], patch, columns, values.shape[-1])
                for left, value in zip(part, values, strict=True):
                    a, b = max(left, 0), min(left + patch, columns)
                    band[:, a:b] += value[:, a - left : b - left] * weights[:, a - left : b - left]
            if band is None:
                shared[k] = None
                continue
            shared[k] = band[stride:].copy()
            for member in range(band.shape[-1]):
                spread.add(band[first - top : max(end, first) - top, :, member])
        if end > first:
            yield first, spread, valid[first - top - inside.start : end - top - inside.start]


def _band(shared: np.ndarray | None, patch: int, columns: int, members: int) -> np.ndarray:
    """Sums of a row of windows, (y, x, member), begun with what the row before has left."""
    band = np.zeros((patch, columns, members), "f4")
    if shared is not None:
        band[: len(shared)] = shared
    return band
