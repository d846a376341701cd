"""Weights of a Keras model as one array, and arrays with a head of JSON as one file: how models are kept."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
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


def to_npz(head: Mapping[str, Any], **arrays: np.ndarray) -> bytes:
    """Arrays and a head of JSON values as NumPy's ``.npz``; nothing in it is code."""
    file = io.BytesIO()
    np.savez_compressed(file, head=np.frombuffer(json.dumps(head).encode(), "u1"), **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def from_npz(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Head and arrays of `to_npz`; some error of NumPy, zipfile or json if they are none."""
    with np.load(io.BytesIO(content), allow_pickle=False) as data:
        arrays = {name: data[name] for name in data.files}
    return json.loads(bytes(arrays.pop("head"))), arrays
