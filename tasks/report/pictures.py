"""Pictures of reports: images embedded in the page, with legend, scale bar and alternative text."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from imperv.layers.palette import OUTSIDE, Rgb

SMALLEST = 400
"""Least pixels of a picture: smaller ones are enlarged, so that browsers do not blur them."""

Bounds = tuple[float, float, float, float]
"""(left, bottom, right, top) in metres."""


@dataclass(frozen=True)
class Legend:
    """Meaning of the colours of a map."""

    ramps: tuple[tuple[str, str, str], ...] = ()
    """(CSS gradient, text at its start, text at its end)."""
    classes: tuple[tuple[str, str], ...] = ()
    """(CSS colour, meaning)."""
    unit: str = ""


@dataclass(frozen=True)
class Map:
    """An image with title, legend, note and scale."""

    title: str
    image: str
    """Data URI."""
    alt: str
    legend: Legend | None = None
    note: str = ""
    """Thinning of pixels, and other notes."""
    width: int = 0
    height: int = 0
    scale_share: float = 0
    """Width of the scale bar over that of the map."""
    scale_text: str = ""
    symbol: str = ""
    smooth: bool = False
    """True for photographs."""


def scale_bar(bounds: Bounds) -> tuple[float, str]:
    """Length of a round scale bar as a share of a map's width (at most a third), and its text."""
    width = bounds[2] - bounds[0]
    power = 10 ** math.floor(math.log10(width / 3))
    length = next(f * power for f in (5, 2, 1) if f * power <= width / 3)
    return length / width, f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"


def grades(anchors: Sequence[Rgb], count: int) -> list[Rgb]:
    """Colours on straight lines between anchors."""
    steps, places = np.linspace(0, len(anchors) - 1, count), np.arange(len(anchors))
    bands = (np.rint(np.interp(steps, places, band)).astype(int).tolist() for band in zip(*anchors, strict=True))
    return list(zip(*bands, strict=True))


def indexed_png(codes: np.ndarray, colours: Sequence[Rgb], outside: int = OUTSIDE) -> str:
    """Data URI of a PNG with a palette; the code `outside` is transparent."""
    codes = enlarge(codes)
    image = Image.fromarray(np.ascontiguousarray(codes, "u1"))
    table = [0] * 768
    table[: 3 * len(colours)] = [int(v) for colour in colours for v in colour]
    image.putpalette(table)
    return data_uri(image, "png", transparency=outside)


def enlarge(codes: np.ndarray) -> np.ndarray:
    """Pixels repeated until a picture has about `SMALLEST` each way."""
    factor = max(1, SMALLEST // max(codes.shape[-2:]))
    return codes.repeat(factor, axis=-2).repeat(factor, axis=-1)


def data_uri(image: Image.Image, form: str, **options: object) -> str:
    """An image as it is embedded; options are those of Pillow's `save`."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)  # type: ignore[arg-type]
    return f"data:image/{form};base64,{base64.b64encode(buffer.getvalue()).decode()}"
