"""Maps of a report: images embedded in the page, with legend, scale bar and alternative text.

Colours of coded layers are those of the delivery (`layers.palette`); ground without data is transparent, and hatched by the page.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from imperv.layers.catalogue import CATALOGUE
from imperv.layers.palette import BUILT_UP, BUILT_UP_CLASSES, CHANGE, CLASSES, CONFIDENCE, DENSITY, OUTSIDE, SHARE, Palette, Rgb
from imperv.tasks.imperviousness.report.pixels import Picture
from imperv.tasks.report.page import css, gradient
from imperv.tasks.report.pictures import SMALLEST, Legend, Map, data_uri, grades, indexed_png, scale_bar

QUALITY = 82
"""Of JPEG pictures."""

STRETCH = (1.0, 99.0)
"""Percentiles of reflectance that become black and white."""

PALETTES = {"IMD_then": DENSITY, "IMD_now": DENSITY, "IBU_then": BUILT_UP, "IBU_now": BUILT_UP}
"""Palettes of references drawn beside final layers."""

LOOKS_COLOURS: tuple[Rgb, ...] = ((122, 44, 30), (214, 137, 73), (244, 228, 180), (122, 178, 178), (24, 92, 110), (12, 44, 68))
"""Few to many clear observations."""


def palette_of(symbol: str) -> Palette:
    """Colours of a layer."""
    delivery = CATALOGUE[symbol].delivery
    return delivery.palette if delivery and delivery.palette else PALETTES[symbol]


def legend_of(palette: Palette, cover: str = "sealed") -> Legend:
    """Legend of a delivered layer; `cover` is what changes in layers of change."""
    c = palette.colours
    outside = ("", "outside, no data")
    if palette in (DENSITY, SHARE):
        zero = "no sealed surface" if palette is DENSITY else "no built-up"
        return Legend(((gradient([c[1], c[30], c[50], c[70], c[100]]), "1", "100 %"),), ((css(c[0]), zero), outside))
    if palette is CHANGE:
        ramps = (
            (gradient([c[0], c[50], c[99]]), "−100", "−1"),
            (gradient([c[101], c[150], c[200]]), "+1", "+100"),
        )
        classes = ((css(c[100]), f"unchanged, {cover}"), (css(c[201]), f"unchanged, not {cover}"), outside)
        return Legend(ramps, classes, "percentage points")
    if palette is CONFIDENCE:
        return Legend(((gradient([c[50], c[75], c[100]]), "50", "100 %"),), (outside,))
    named = tuple((css(c[code]), text) for code, text in palette.class_names if code != OUTSIDE)
    return Legend((), (*named, outside))


def draw(symbol: str, picture: Picture, title: str = "", note: str = "") -> Map:
    """A coded layer in the colours of its delivery."""
    palette = palette_of(symbol)
    colours: Sequence[Rgb] = palette.colours
    if palette is BUILT_UP and picture.thinned > 1:  # shares of built-up pixels
        colours = grades(colours[:2], 101)
    alt = f"Map of {symbol}: {CATALOGUE[symbol].description}. {note}".strip()
    legend = legend_of(palette, "built-up" if symbol.startswith(("IBU", "SBU")) else "sealed")
    note = note or thinning_note(palette, picture)
    return _map(title or symbol, indexed_png(picture.codes, colours), alt, picture, legend, note, symbol)


def thinning_note(palette: Palette, picture: Picture) -> str:
    """Note on the thinning of pixels; empty where each is shown."""
    if picture.thinned == 1:
        return ""
    how = "the mean"
    if palette is CHANGE:
        how = "the largest change"
    elif palette in (CLASSES, BUILT_UP_CLASSES):
        how = "the most frequent class of change, if there is any"
    return f"a map pixel of {picture.metres:g} m shows {how}"


def _map(title: str, image: str, alt: str, picture: Picture, legend: Legend | None, note: str, symbol: str = "",
         smooth: bool = False) -> Map:  # fmt: skip
    share, text = scale_bar(picture.bounds)
    height, width = picture.codes.shape[-2:]
    return Map(title, image, alt, legend, note, width, height, share, text, symbol, smooth)


def draw_composite(bands: np.ndarray, limits: np.ndarray, picture: Picture, title: str, note: str = "") -> Map:
    """Colour composite as JPEG of (3, y, x), NaN no data; `limits` (3, 2) become black and white, as of `stretch`."""
    with np.errstate(invalid="ignore"):
        scaled = (bands - limits[:, :1, None]) / np.maximum(limits[:, 1:, None] - limits[:, :1, None], 1)
    # Lighter in the middle, as most ground is dark.
    light = np.clip(np.nan_to_num(scaled, nan=0.93), 0, 1) ** 0.75
    image = Image.fromarray(np.moveaxis((255 * light).astype("u1"), 0, -1))
    factor = max(1, SMALLEST // max(image.size))
    if factor > 1:
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.BICUBIC)
    alt = f"Colour composite of {title}"
    return _map(title, data_uri(image, "jpeg", quality=QUALITY), alt, picture, None, note, smooth=True)


def stretch(*composites: np.ndarray) -> np.ndarray:
    """Limits of a common stretch of several composites: (3, 2)."""
    limits = np.zeros((3, 2))
    for band in range(3):
        values = np.concatenate([c[band][np.isfinite(c[band])] for c in composites] or [np.zeros(0)])
        limits[band] = np.percentile(values, STRETCH) if values.size else (0, 1)
    return limits


def draw_looks(picture: Picture, most: float, title: str) -> Map:
    """Number of clear observations, from 0 to `most`."""
    with np.errstate(invalid="ignore"):
        codes = np.clip(200 * picture.codes / max(most, 1), 0, 200)
    codes = np.where(np.isfinite(codes), codes, OUTSIDE).astype("u1")
    legend = Legend(((gradient(LOOKS_COLOURS), "0", f"{most:.0f}"),), (("", "none"),), "clear observations")
    note = f"mean of a map pixel of {picture.metres:g} m" if picture.thinned > 1 else ""
    title = f"Clear observations, {title}"
    return _map(title, indexed_png(codes, grades(LOOKS_COLOURS, 201)), f"Map: {title}", picture, legend, note)
