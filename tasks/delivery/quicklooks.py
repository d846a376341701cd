"""Quicklooks: a product as a small PNG in its own colours, nothing where it has no data, for catalogues and reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from PIL import Image

from imperv.layers.palette import OUTSIDE, Palette

LARGEST = 1024
"""Longest edge in pixels."""


def write_quicklook(
    path: Path, product: Path, palette: Palette | None, limits: tuple[float, float] = (0.0, 1.0)
) -> tuple[int, int]:
    """Draw a GeoTIFF as PNG, and return its width and height, at most 1024; without a palette its first band in grey.

    It is the first overview that is small enough, so that no viewer averages codes.
    """
    with rasterio.open(product) as source:
        edge = max(source.shape)
        levels = [None, *range(len(source.overviews(1)))]
        factors = [1, *source.overviews(1)]
    level = next((k for k, factor in zip(levels, factors, strict=True) if -(-edge // factor) <= LARGEST), levels[-1])
    with rasterio.open(product, **({} if level is None else {"overview_level": level})) as source:
        pixels, nodata = source.read(1), source.nodata
    if palette is None:
        image = _grey(pixels, nodata, limits)
        image.save(path, "PNG", optimize=False, compress_level=6)
        return image.size
    image = Image.fromarray(np.ascontiguousarray(pixels), mode="P")
    image.putpalette([value for colour in palette.colours for value in colour])
    image.save(path, "PNG", transparency=OUTSIDE if nodata is None else int(nodata), optimize=False, compress_level=6)
    return image.size


def _grey(pixels: np.ndarray, nodata: float | None, limits: tuple[float, float]) -> Image.Image:
    """A quantity from black to white between its limits, nothing where it has no data."""
    without = np.isnan(pixels) if nodata is None or nodata != nodata else pixels == nodata
    low, high = limits
    share = np.clip((np.nan_to_num(pixels.astype("f4")) - low) / (high - low or 1), 0, 1)
    return Image.fromarray(np.dstack([np.rint(255 * share), np.where(without, 0, 255)]).astype("u1"), mode="LA")
