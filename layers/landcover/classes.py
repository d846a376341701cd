"""Classes of urban land cover: FRAME's seven, or a list of a person's own; their codes, names and colours.

A class list is data of a production; what is learnt from CLC+ Backbone knows FRAME's seven by their codes (`labels`).
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imperv.layers.palette import OUTSIDE, Palette, Rgb, palette_of_classes

BARE, BUILDINGS, CONIFERS, DECIDUOUS, GRASS, IMPERVIOUS, WATER = range(1, 8)
"""Codes of FRAME's classes."""


@dataclass(frozen=True)
class LandClass:
    """One class."""

    code: int
    """1 to 254."""
    name: str
    colour: Rgb


FRAME = (
    LandClass(BARE, "bare soil", (196, 164, 114)),
    LandClass(BUILDINGS, "buildings", (214, 47, 39)),
    LandClass(CONIFERS, "coniferous trees", (12, 94, 60)),
    LandClass(DECIDUOUS, "deciduous trees", (76, 160, 70)),
    LandClass(GRASS, "grass", (182, 222, 122)),
    LandClass(IMPERVIOUS, "impervious", (130, 130, 136)),
    LandClass(WATER, "water", (42, 114, 196)),
)
"""The classes of FRAME (manual, step 6); colours are our choice."""

SPELLINGS = {
    "bare": "bare soil", "building": "buildings", "coniferous": "coniferous trees", "deciduous": "deciduous trees",
    "conifers": "coniferous trees", "impervious surfaces": "impervious", "impervious surface": "impervious",
}  # fmt: skip
"""Other names of FRAME's classes, as its manual and people write them."""


def palette_of(classes: Sequence[LandClass]) -> Palette:
    """Codes, names and colours of a class list."""
    return palette_of_classes([(one.code, one.name, one.colour) for one in classes], (OUTSIDE, "outside area"))


def class_named(text: object, classes: Sequence[LandClass]) -> LandClass | str:
    """The class of a name in any case, or of a code; else a hint with the nearest name, to be put after "unknown"."""
    word = " ".join(str(text).replace("_", " ").replace("-", " ").split()).lower()
    names = {one.name.lower().replace("_", " ").replace("-", " "): one for one in classes}
    for known in (word, SPELLINGS.get(word, "")):
        if known in names:
            return names[known]
    number = word.removesuffix(".0")
    if number.isdigit():
        for one in classes:
            if one.code == int(number):
                return one
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"did you mean {names[close[0]].name}?" if close else f"there are {', '.join(one.name for one in classes)}"


def class_numbers(codes: np.ndarray, classes: Sequence[LandClass]) -> np.ndarray:
    """Number from 0 of the class of each code, int64 of the shape of `codes` (0 to 255); -1 for what is no class."""
    table = np.full(256, -1, "i8")
    for number, one in enumerate(classes):
        table[one.code] = number
    return np.asarray(table[codes])
