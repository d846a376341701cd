"""Quicklooks: a product as a small PNG in its own colours, nothing where it has no data, for catalogues and reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from PIL import Image

from imperv.layers.palette import OUTSIDE, Palette

LARGEST = 1024
"""Longest edge in pixels."""


def write_quicklook(path: Path, product: Path, palette: Palette) -> tuple[int, int]:
    """Draw a GeoTIFF as PNG, and return its width and height, at most 1024.

    It is the first overview that is small enough, so that no viewer averages codes.
    """
    with rasterio.open(product) as source:
        edge = max(source.shape)
        levels = [None, *range(len(source.overviews(1)))]
        factors = [1, *source.overviews(1)]
    level = next((k for k, factor in zip(levels, factors, strict=True) if -(-edge // factor) <= LARGEST), levels[-1])
    with rasterio.open(product, **({} if level is None else {"overview_level": level})) as source:
        pixels = source.read(1)
    image = Image.fromarray(np.ascontiguousarray(pixels), mode="P")
    image.putpalette([value for colour in palette.colours for value in colour])
    image.save(path, "PNG", transparency=OUTSIDE, optimize=False, compress_level=6)
    return image.size
