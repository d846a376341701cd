"""Patches as the training draws them: every one once an epoch, turned and mirrored if wanted. NumPy only.

A patch set is an array of images (patch, band, y, x) and one of labels (patch, y, x); both may be lazy (Zarr), and are read patch
by patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from imperv.layers.network.unet import Normalisation
from imperv.layers.patches.labels import UNKNOWN, Classes


def pixels_of(image: np.ndarray, nodata: float) -> np.ndarray:
    """A patch (band, y, x) as (y, x, band) float32, NaN in all bands where one has no data."""
    values = np.moveaxis(image, 0, -1).astype("f4")
    without = np.isnan(values).any(-1) if np.isnan(nodata) else (values == nodata).any(-1)
    values[without] = np.nan
    return values


def targets_of(labels: np.ndarray, classes: Classes, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the outputs and weights 0 or 1 of a patch, (y, x) float32."""
    numbers = classes.numbers(labels)
    weight = (numbers != UNKNOWN) & known
    return np.where(weight, numbers, 0).astype("f4"), weight.astype("f4")


def normalise(images: Any, chosen: Sequence[int], nodata: float, names: Sequence[str]) -> Normalisation:
    """Mean and standard deviation of the bands of the chosen patches; ValueError where none has data."""
    count, total, squares = 0, np.zeros(len(names)), np.zeros(len(names))
    for k in chosen:
        values = pixels_of(np.asarray(images[int(k)]), nodata)
        values = values[np.isfinite(values[..., 0])].astype("f8")
        count, total, squares = count + len(values), total + values.sum(0), squares + np.square(values).sum(0)
    if not count:
        raise ValueError("no patch has data")
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1e-12))
    return Normalisation(tuple(names), tuple(map(float, mean)), tuple(map(float, std)))


class PatchSampler:
    """Patches of a set in random order, all of them once before one comes again."""

    def __init__(
        self, images: Any, labels: Any, chosen: Sequence[int], nodata: float, classes: Classes, seed: int, turned: bool
    ) -> None:
        self._images, self._labels, self._chosen = images, labels, np.asarray(chosen)
        self._nodata, self._classes, self._seed, self._turned = nodata, classes, seed, turned
        self.size = int(images.shape[-1])
        self.restart(0)

    def restart(self, epoch: int) -> None:
        """Go on with the patches of an epoch, whatever was drawn before."""
        self._rng = np.random.default_rng([self._seed, 37, epoch])
        self._order: list[int] = []

    def draw(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Images (count, y, x, band) with NaN, targets and weights (count, y, x), float32."""
        found = []
        for _ in range(count):
            if not self._order:
                self._order = self._rng.permutation(self._chosen).tolist()
            x, y, w = self.patch(self._order.pop())
            if self._turned:
                turn, mirrored = int(self._rng.integers(4)), self._rng.random() < 0.5
                x, y, w = (np.rot90(a[:, ::-1] if mirrored else a, turn) for a in (x, y, w))
            found.append((x, y, w))
        x, y, w = (np.stack(part) for part in zip(*found, strict=True))
        return x, y, w

    def patch(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One patch as it is stored."""
        x = pixels_of(np.asarray(self._images[number]), self._nodata)
        return x, *targets_of(np.asarray(self._labels[number]), self._classes, np.isfinite(x[..., 0]))
