"""Prediction windows on the global 10 m lattice and their smooth blend (ATBD 4.3.1: 256 x 256 patches).

Windows lie at multiples of `patch - overlap` counted from the origin of EPSG:3035, so the value of a pixel depends on
where it is and on the features around it, never on the block or tile that computes it.
"""

from __future__ import annotations

import numpy as np


def _check(patch: int, overlap: int) -> int:
    if patch < 2 or not 0 <= overlap <= patch // 2:
        raise ValueError(f"overlap {overlap} does not fit windows of {patch} px: it must be 0 to {patch // 2}")
    return patch - overlap


def halo(patch: int, overlap: int) -> int:
    """Context in pixels that completes every window which touches a block; ValueError unless overlap is 0 to half a window."""
    _check(patch, overlap)
    return patch - 1


def starts(first: int, count: int, patch: int, overlap: int) -> np.ndarray:
    """Global indices where the windows begin that touch `count` pixels from the global index `first` on, one axis."""
    stride = _check(patch, overlap)
    low = -((patch - 1 - first) // stride)
    return np.arange(low, (first + count - 1) // stride + 1) * stride


def blend_weights(patch: int, overlap: int) -> np.ndarray:
    """Weight in (0, 1] of each pixel of a window: raised-cosine ramps over the overlap, 1 between; sum 1 over a pixel."""
    _check(patch, overlap)
    ramp = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / max(overlap, 1)) ** 2
    line = np.ones(patch)
    line[:overlap] = ramp
    line[patch - overlap :] = ramp[::-1]
    return np.outer(line, line)
