"""Codes, class names and colours of delivered layers, as the EEA delivery check lists them.

Anchors are the check's own (2018-2021 and 2021-2024 editions agree); between anchors colours follow straight lines in RGB.
No raster is written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Rgb = tuple[int, int, int]

OUTSIDE = 255
"""Code of pixels outside the mapped area in every delivered layer."""


@dataclass(frozen=True)
class Palette:
    """Valid codes of a layer with their meaning and colour."""

    codes: tuple[int, ...]
    """Every code that may occur, 255 included."""
    colours: tuple[Rgb, ...]
    """256 colours, black where a code is unused."""
    class_names: tuple[tuple[int, str], ...]
    """(code, meaning) of the codes that have a meaning of their own."""
    ramp: str = ""
    """Meaning of the codes without an entry in `class_names`; ``{0}`` stands for the code."""
    overview: Literal["mean", "change", "nearest"] = "nearest"
    """Resampling of its overviews (`layers.kernels.overviews`)."""
    anchors: tuple[int, ...] = ()
    """For quantities: codes between which colours are straight lines, outside left out."""

    def meaning(self, code: int) -> str:
        """Class name of a code."""
        return dict(self.class_names).get(code) or self.ramp.format(code)


def palette_of_classes(classes: Sequence[tuple[int, str, Rgb]], outside: tuple[int, str]) -> Palette:
    """Of a list of classes, (code, name, colour), and of the code without one."""
    by_code = {code: colour for code, _, colour in classes}
    return Palette(
        codes=(*by_code, outside[0]),
        colours=tuple(by_code.get(code, (0, 0, 0)) for code in range(256)),
        class_names=(*((code, name) for code, name, _ in classes), outside),
    )


def _colours(*ramps: dict[int, Rgb]) -> tuple[Rgb, ...]:
    """Colour table: straight lines between the anchors of each ramp, black elsewhere."""
    table: list[Rgb] = [(0, 0, 0)] * 256
    for ramp in ramps:
        anchors = sorted(ramp)
        for low, high in zip(anchors, anchors[1:] or anchors, strict=False):
            for code in range(low, high + 1):
                share = (code - low) / (high - low) if high > low else 0.0
                a, b = ramp[low], ramp[high]
                red, green, blue = (int(p + share * (q - p) + 0.5) for p, q in zip(a, b, strict=True))
                table[code] = (red, green, blue)
    return tuple(table)


_GREY: Rgb = (240, 240, 240)
_OUT = (OUTSIDE, "Outside area")
_PERCENT = tuple(range(101))


def _quantity(
    codes: tuple[int, ...],
    ramps: tuple[dict[int, Rgb], ...],
    names: tuple[tuple[int, str], ...],
    ramp: str = "",
    overview: Literal["mean", "change"] = "mean",
) -> Palette:
    anchors = tuple(sorted(code for anchors in ramps for code in anchors))
    return Palette((*codes, OUTSIDE), _colours(*ramps), (*names, _OUT), ramp, overview, anchors)


DENSITY = _quantity(
    _PERCENT,
    ({0: _GREY}, {1: (255, 237, 195), 50: (175, 74, 51), 100: (113, 12, 2)}),
    ((0, "All non-impervious areas"),),
    "{0} % imperviousness",
)
SHARE = _quantity(
    _PERCENT,
    ({0: _GREY}, {1: (251, 255, 214), 30: (255, 221, 0), 70: (255, 178, 0), 100: (219, 106, 6)}),
    ((0, "No built-up"),),
    "{0} % built-up",
)
BUILT_UP = Palette(
    (0, 1, OUTSIDE),
    _colours({0: _GREY}, {1: (255, 178, 0)}),
    ((0, "Non built-up"), (1, "Built-up"), _OUT),
)
CHANGE = _quantity(
    tuple(range(202)),
    (
        {0: (3, 102, 0), 50: (63, 178, 0), 99: (127, 255, 0)},
        {100: (178, 178, 178)},
        {101: (255, 255, 0), 150: (255, 191, 0), 200: (255, 0, 0)},
        {201: _GREY},
    ),
    (
        *((code, f"Decrease by {100 - code} %") for code in range(100)),
        (100, "Unchanged, degree above 0"),
        *((code, f"Increase by {code - 100} %") for code in range(101, 201)),
        (201, "Unchanged, degree 0"),
    ),
    overview="change",
)


def _classes(none: str, cover: str) -> Palette:
    """Classified change (ATBD Table 5): the same codes and colours, worded for what changes."""
    return Palette(
        (0, 1, 2, 10, 11, 12, OUTSIDE),
        _colours(
            {0: _GREY},
            {1: (255, 0, 0)},
            {2: (0, 100, 0)},
            {10: (156, 156, 156)},
            {11: (255, 191, 0)},
            {12: (64, 178, 0)},
        ),
        (
            (0, f"Unchanged {none} areas"),
            (1, f"New cover, {cover} at the second date only"),
            (2, f"Loss of cover, {cover} at the first date only"),
            (10, f"Unchanged cover, {cover} at both dates"),
            (11, f"Increased cover, {cover} at both dates"),
            (12, f"Decreased cover, {cover} at both dates"),
            _OUT,
        ),
    )


CLASSES = _classes("non-impervious", "impervious")
BUILT_UP_CLASSES = _classes("non-built-up", "built-up")
PROBABILITY = f"{1 / 254:.6g}"
"""UDUNITS of a probability p that is stored as round(254 p)."""

FILLED = 254
"""Code of clear looks: there was none, and the pixel was filled from the months around."""

CLEAR_LOOKS = Palette(
    (*range(FILLED + 1), OUTSIDE),
    # Our choice: a month has fifteen looks at most, where orbits overlap.
    _colours({0: _GREY}, {1: (222, 235, 247), 5: (107, 174, 214), 15: (8, 48, 107), 253: (8, 48, 107)}, {FILLED: (255, 178, 0)}),
    ((0, "no clear look"), (1, "1 clear look"), (FILLED, "filled from the months around"), _OUT),
    "{0} clear looks",
    anchors=(0, 1, 5, 15, FILLED),
)
CONFIDENCE = _quantity(
    _PERCENT,
    # No public colours for the confidence layers: our choice, red where models disagree to green where they agree.
    ({0: (165, 0, 38), 50: (215, 48, 39), 75: (254, 224, 139), 100: (26, 152, 80)},),
    (),
    "{0} % confidence",
)
