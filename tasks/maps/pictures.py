"""Pixels as PNG: codes with a colour table, and three bands as a photograph."""

from __future__ import annotations

import io
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image

from imperv.tasks.delivery.quicklooks import draw_bands

Limits = tuple[tuple[float, float], ...]
"""(low, high) of each band."""

PLAIN = (cv2.IMWRITE_PNG_COMPRESSION, 0, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE)
"""Neither packed nor filtered: photographs hardly shrink, and both take longer than all else."""


def coded(codes: np.ndarray, table: np.ndarray) -> bytes:
    """PNG of codes (y, x), uint8, with a colour table (256, 4) of red, green, blue and opacity."""
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(codes, np.uint8))
    image.putpalette(table[:, :3].tobytes())
    image.save(buffer, "PNG", transparency=table[:, 3].tobytes(), compress_level=1)
    return buffer.getvalue()


def photograph(pixels: np.ndarray, nodata: float, limits: Limits) -> bytes:
    """PNG of three bands (3, y, x), each between its limits; transparent where one has no data."""
    if pixels.dtype == np.uint16:
        shown = [np.take(_shades(pair), band) for band, pair in zip(pixels, limits, strict=True)]
        opaque = np.where((pixels == nodata).any(axis=0), 0, 255).astype("u1")
        image = np.dstack([*shown[::-1], opaque])
    else:
        image = np.asarray(draw_bands(pixels, nodata, limits))[..., [2, 1, 0, 3]]
    return bytes(cv2.imencode(".png", image, PLAIN)[1])


@lru_cache(maxsize=256)
def _shades(pair: tuple[float, float]) -> np.ndarray:
    """Shade of every value of two bytes between limits, as `draw_bands` gives it."""
    return np.asarray(draw_bands(np.arange(2**16, dtype=np.uint16)[None, None], None, (pair,)))[0, :, 0].copy()
