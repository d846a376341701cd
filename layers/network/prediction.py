"""Trained networks as functions on windows, with their normalisation inside the graph (ATBD 4.3.1).

TensorFlow uses a GPU where it finds one, otherwise the threads that `unet.configure_threads` allows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from imperv.layers.network.rows import predict_area
from imperv.layers.network.unet import CLIP, Normalisation, split_members

CPU_BYTES = 128 * 2**20
"""Memory of a network for the windows predicted at once on a CPU: two of today's, as layers of more leave the caches."""

GPU_BYTES = 512 * 2**20
"""The same on a GPU."""


def bytes_at_once() -> int:
    """Memory for the windows predicted at once that suits the device which TensorFlow will use."""
    import tensorflow as tf

    return GPU_BYTES if tf.config.list_physical_devices("GPU") else CPU_BYTES


@lru_cache(maxsize=4)
def window_function(model: Any, normalisation: Normalisation, patch: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function that predicts windows; its graph is traced once, whatever number of windows comes.

    It takes (window, patch, patch, feature) float32 with NaN and gives (window, patch, patch, member) float32 in 0..1.
    """
    import tensorflow as tf

    mean, std = tf.constant(normalisation.mean, tf.float32), tf.constant(normalisation.std, tf.float32)
    signature = [tf.TensorSpec((None, patch, patch, len(normalisation.names)), tf.float32)]

    @tf.function(input_signature=signature)
    def run(x: Any) -> Any:
        known = tf.where(tf.math.is_nan(x), mean, x)
        # A network of mixed precision answers in half precision.
        return tf.cast(model(tf.clip_by_value((known - mean) / std, -CLIP, CLIP), training=False), tf.float32)

    return lambda windows: run(tf.constant(windows)).numpy()


def window_bytes(model: Any, patch: int) -> int:
    """About what the network needs for one window: its features twice, and the widest layers with their workspace."""
    filters = split_members(model)[0].get_layer("down0_conv1").filters
    return 4 * patch * patch * (2 * model.input_shape[-1] + 12 * filters)


def predict(
    model: Any, normalisation: Normalisation, features: np.ndarray, origin: tuple[int, int], patch: int = 256, overlap: int = 64,
    inner: tuple[slice, slice] | None = None,
) -> np.ndarray:  # fmt: skip
    """Fractions of all members, from windows on the global lattice: (member, y, x) float32; arguments as of `rows.predict_area`.

    `features` are in the order of ``normalisation.names``; ValueError if their number is another, or the overlap does not fit.
    """
    if features.ndim != 3 or features.shape[0] != len(normalisation.names):
        raise ValueError(f"features have shape {features.shape}: the model expects {len(normalisation.names)} features")
    at_once = max(1, bytes_at_once() // window_bytes(model, patch))
    return predict_area(features, window_function(model, normalisation, patch), origin, patch, overlap, inner, at_once)
