"""Trained networks as functions on windows, with their normalisation inside the graph (ATBD 4.3.1).

TensorFlow uses a GPU where it finds one, otherwise the threads that `unet.configure_threads` allows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from imperv.layers.network.precision import Precision
from imperv.layers.network.rows import predict_area
from imperv.layers.network.unet import CLIP, Normalisation
from imperv.layers.network.unpadded import depth_of, unpadded
from imperv.layers.network.windows import Windows, reach

AT_ONCE = 2
"""Windows predicted at once. One alone takes 2.6 times as long: oneDNN has no fast convolution for it (docs/performance.md)."""

EDGES = (1024, 512, 256, 128)
"""Longest edges of a window, pixels: larger ones save next to nothing of what is computed twice, smaller ones cost too much."""


@lru_cache(maxsize=4)
def window_function(members: tuple[Any, ...], normalisation: Normalisation, depth: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function of unpadded members that predicts windows; its graph is traced once, whatever windows come.

    It takes (window, y + 2 reach, x + 2 reach, feature) float32 with NaN, where reach is that of `depth`, the members' or more,
    and gives (window, y, x, channel) float32: the members' answers, and after them whatever else they give.
    """
    import tensorflow as tf

    mean, std = tf.constant(normalisation.mean, tf.float32), tf.constant(normalisation.std, tf.float32)
    own = sum(layer.name.endswith("_pool") for layer in members[0].layers)
    cut = reach(depth) - reach(own)

    # In one pass over memory: operation by operation it takes six times as long.
    @tf.function(jit_compile=True)
    def standardised(x: Any) -> Any:
        scaled = tf.clip_by_value((x - mean) / std, -CLIP, CLIP)
        return tf.where(tf.math.is_nan(x), 0.0, scaled)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, len(normalisation.names)), tf.float32)])
    def run(x: Any) -> Any:
        known = standardised(x[:, cut : tf.shape(x)[1] - cut, cut : tf.shape(x)[2] - cut] if cut else x)
        found: list[list[Any]] = []
        for member in members:
            # One after the other, so that the layers of one member are in memory.
            with tf.control_dependencies(found[-1] if found else []):
                seen = tf.identity(known)
            found.append(tf.nest.flatten(member(seen, training=False)))
        # A network of mixed precision answers in half precision.
        return tf.concat([tf.cast(part, tf.float32) for parts in zip(*found, strict=True) for part in parts], -1)

    def predicted(windows: np.ndarray) -> np.ndarray:
        count = len(windows)
        answers: np.ndarray = run(tf.constant(windows if count > 1 else windows.repeat(2, axis=0))).numpy()
        return answers[:count]

    return predicted


def window_bytes(features: int, filters: int, windows: Windows) -> int:
    """About what a network of so many features and filters needs for the windows predicted at once."""
    rows, columns = (edge + 2 * windows.reach for edge in windows.edges)
    return 4 * AT_ONCE * rows * columns * (4 * features + 6 * filters)


def predict(
    model: Any,
    normalisation: Normalisation,
    features: np.ndarray,
    origin: tuple[int, int],
    inner: tuple[slice, slice] | None = None,
    precision: Precision = "float32",
) -> np.ndarray:
    """Answers of all members: (member, y, x) float32; `origin` is the global (row, column) of the first pixel.

    Only the `inner` part is predicted; the rest is its context. `features` are in the order of ``normalisation.names``;
    ValueError if their number is another.
    """
    if features.ndim != 3 or features.shape[0] != len(normalisation.names):
        raise ValueError(f"features have shape {features.shape}: the model expects {len(normalisation.names)} features")
    depth, cut = depth_of(model), inner or (slice(None), slice(None))
    (y0, y1, _), (x0, x1, _) = (part.indices(size) for part, size in zip(cut, features.shape[1:], strict=True))
    windows = Windows((y1 - y0, x1 - x0), (origin[0] + y0, origin[1] + x0), depth, EDGES[1])
    return predict_area(features, window_function(unpadded(model, precision), normalisation, depth), windows, inner, AT_ONCE)
