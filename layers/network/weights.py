"""Weights of a Keras model as one array: how models are kept in files."""

from __future__ import annotations

from typing import Any

import numpy as np


def flat_weights(model: Any) -> np.ndarray:
    """All weights of a model one after the other, (n,) float32, in the order of its layers."""
    return np.concatenate([np.ravel(w) for w in model.get_weights()]).astype("f4")


def set_flat_weights(model: Any, weights: np.ndarray) -> bool:
    """Give a model weights as of `flat_weights`; False, with nothing changed, where their number does not fit."""
    shapes = [w.shape for w in model.get_weights()]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    if ends[-1] != weights.size:
        return False
    parts = np.split(weights, ends[:-1])
    model.set_weights([part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)])
    return True
