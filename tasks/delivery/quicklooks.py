"""Quicklooks: a product as a small PNG in its own colours, nothing where it has no data, for catalogues and reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image

from imperv.layers.palette import OUTSIDE, Palette
from imperv.tasks.delivery.styles import Shown

LARGEST = 1024
"""Longest edge in pixels."""


def write_quicklook(
    path: Path, product: Path, palette: Palette | None, bands: Sequence[Shown] = ((1, 0.0, 1.0),)
) -> tuple[int, int]:
    """Draw a GeoTIFF as PNG, and return its width and height, at most 1024; without a palette one or three bands.

    It is the first overview that is small enough, so that no viewer averages codes.
    """
    with rasterio.open(product) as source:
        edge = max(source.shape)
        levels = [None, *range(len(source.overviews(1)))]
        factors = [1, *source.overviews(1)]
    level = next((k for k, factor in zip(levels, factors, strict=True) if -(-edge // factor) <= LARGEST), levels[-1])
    with rasterio.open(product, **({} if level is None else {"overview_level": level})) as source:
        pixels, nodata = source.read([1] if palette is not None else [band for band, _, _ in bands]), source.nodata
    if palette is None:
        image = draw_bands(pixels, nodata, [(low, high) for _, low, high in bands])
        image.save(path, "PNG", optimize=False, compress_level=6)
        return image.size
    image = Image.fromarray(np.ascontiguousarray(pixels[0]), mode="P")
    image.putpalette([value for colour in palette.colours for value in colour])
    image.save(path, "PNG", transparency=OUTSIDE if nodata is None else int(nodata), optimize=False, compress_level=6)
    return image.size


def draw_bands(pixels: np.ndarray, nodata: float | None, limits: Sequence[tuple[float, float]]) -> Image.Image:
    """One band (1, y, x) in grey or three (3, y, x) as colours, each between its limits; nothing where one has no data."""
    without = (np.isnan(pixels) if nodata is None or nodata != nodata else pixels == nodata).any(0)
    shares = [
        np.rint(255 * np.clip((np.nan_to_num(band.astype("f4")) - low) / (high - low or 1), 0, 1))
        for band, (low, high) in zip(pixels, limits, strict=True)
    ]
    mode = "LA" if len(shares) == 1 else "RGBA"
    return Image.fromarray(np.dstack([*shares, np.where(without, 0, 255)]).astype("u1"), mode=mode)
