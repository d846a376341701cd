"""Bands on finer pixels: cubic and Lanczos interpolation that no pixel without data takes part in."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from scipy import ndimage

Kernel = Literal["cubic", "lanczos", "nearest"]

_KERNELS = {"cubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4, "nearest": cv2.INTER_NEAREST}


def fill(image: np.ndarray) -> np.ndarray:
    """(y, x) with the nearest pixel that has data where there is none; an image without any data is 0."""
    empty = np.isnan(image)
    if not empty.any():
        return image
    if empty.all():
        return np.zeros_like(image)
    nearest = ndimage.distance_transform_edt(empty, return_distances=False, return_indices=True)
    return image[tuple(nearest)]


def enlarge(image: np.ndarray, factor: int, kernel: Kernel = "cubic") -> np.ndarray:
    """Interpolate to pixels `factor` times as small; edges of pixels coincide.

    Parameters
    ----------
    image : ndarray of float32, (band, y, x) or (y, x)
        NaN without data.
    factor : int
        Fine pixels along a coarse one.
    kernel : {"cubic", "lanczos", "nearest"}
        Cubic convolution (a = -0.75) or Lanczos windows of 8 pixels, as OpenCV has them, or copies.

    Returns
    -------
    ndarray of float32
        NaN in the fine pixels of coarse ones without data, and nowhere else.
    """
    image = np.asarray(image, np.float32)
    if image.ndim == 3:
        shape = (0, image.shape[1] * factor, image.shape[2] * factor)
        return np.stack([enlarge(band, factor, kernel) for band in image]) if len(image) else np.empty(shape, np.float32)
    if factor == 1:
        return image.copy()
    size = image.shape[1] * factor, image.shape[0] * factor
    if not np.isnan(image.sum(dtype=np.float32)):
        return cv2.resize(image, size, interpolation=_KERNELS[kernel])
    empty = np.isnan(image)
    fine = cv2.resize(fill(image), size, interpolation=_KERNELS[kernel])
    if empty.any():
        fine[np.kron(empty, np.ones((factor, factor), bool))] = np.nan
    return fine
