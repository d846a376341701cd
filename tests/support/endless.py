"""A second implementation of prediction, for the tests of that by windows: the padded network on a whole area."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from imperv.layers.network.unet import Normalisation
from imperv.layers.network.unpadded import depth_of
from imperv.layers.network.windows import reach


def predict_endless(
    model: Any,
    normalisation: Normalisation,
    read: Callable[[int, int, int, int], np.ndarray],
    shape: tuple[int, int],
    origin: tuple[int, int],
) -> np.ndarray:
    """Prediction of an area of `shape` at the global `origin`: (member, y, x) float32, NaN where a pixel lacks any feature.

    `read` maps top, left, bottom, right, relative to the area, to (feature, y, x). So much ground is read around the area that
    the padding of the network is of no consequence, from a multiple of 2 to the depth on.
    """
    unit, margin = 2 ** depth_of(model), reach(depth_of(model)) + 10
    (top, bottom), (left, right) = (
        (-(margin + (first - margin) % unit), size + margin + -(first + size + margin) % unit)
        for size, first in zip(shape, origin, strict=True)
    )
    features = read(top, left, bottom, right)
    answers = np.asarray(model(normalisation.apply(np.moveaxis(features, 0, -1))[None], training=False))[0]
    inner = np.s_[-top : shape[0] - top, -left : shape[1] - left]
    valid = np.isfinite(features[(slice(None), *inner)]).all(axis=0)
    return np.where(valid, np.moveaxis(answers[inner], -1, 0), np.float32(np.nan))
