"""Prediction of a wide area by several models, one row of windows after another (ATBD 4.3.1, 4.7).

Every window of the lattice is predicted once, and of a member no more is kept than what two rows of windows share. Where windows
lie and how they blend is in `windows`, mean and spread in `ensemble`. NumPy only: predictors are functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

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
    """What neighbouring windows share, pixels."""

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


def predict_rows(
    read: Read, models: Sequence[Model], lattice: Lattice, at_once: int = 8
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Mean (uint8 percent, 255 no data) and spread (float32 fraction, NaN no data) of all members, row by row of windows.

    Yields gapless pieces, each with its first row. Equal, to float tolerance, to what `windows.predict_blended` and
    `ensemble.ensemble` make of the area at once: no data where the pixel itself lacks any feature. `read` gives the features,
    context of the area included; a model sees each window with a valid pixel once, at most `at_once` in a call. ValueError if
    there is no model.
    """
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
        spread = RunningEnsemble((max(end - first, 0), columns))
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
            held = valid[first - top - inside.start : end - top - inside.start]
            yield first, *spread.result(held)


def _band(shared: np.ndarray | None, patch: int, columns: int, members: int) -> np.ndarray:
    """Sums of a row of windows, (y, x, member), begun with what the row before has left."""
    band = np.zeros((patch, columns, members), "f4")
    if shared is not None:
        band[: len(shared)] = shared
    return band
