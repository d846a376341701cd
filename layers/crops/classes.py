"""Crop classes: the sixteen of TimeSen2Crop by default, or those of a person's own data; their numbers, names and colours."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

from imperv.layers.palette import OUTSIDE, Palette, Rgb, palette_of_classes


@dataclass(frozen=True)
class CropClass:
    """One class; its code in maps is its number, from 0."""

    name: str
    colour: Rgb


TIMESEN2CROP = (
    CropClass("Legumes", (134, 94, 60)),
    CropClass("Grassland", (182, 222, 122)),
    CropClass("Maize", (255, 190, 0)),
    CropClass("Potato", (150, 60, 110)),
    CropClass("Sunflower", (255, 235, 60)),
    CropClass("Soy", (40, 140, 60)),
    CropClass("Winter Barley", (228, 196, 130)),
    CropClass("Winter Caraway", (200, 140, 190)),
    CropClass("Rye", (176, 148, 84)),
    CropClass("Rapeseed", (214, 230, 20)),
    CropClass("Beet", (190, 30, 70)),
    CropClass("Spring Cereals", (246, 214, 170)),
    CropClass("Winter Wheat", (196, 126, 40)),
    CropClass("Winter Triticale", (150, 110, 30)),
    CropClass("Permanent Plantations", (30, 94, 80)),
    CropClass("Other Crops", (140, 140, 146)),
)
"""Classes of TimeSen2Crop, 0 to 15 (AI4Copernicus, table 8); colours are our choice."""

WORDS: dict[str, Rgb] = {
    **{one.name.lower(): one.colour for one in TIMESEN2CROP},
    **{
        word: TIMESEN2CROP[number].colour
        for word, number in {
            "legume": 0, "grass": 1, "maize": 2, "corn": 2, "potato": 3, "sunflower": 4, "soy": 5, "barley": 6, "rye": 8,
            "rapeseed": 9, "beet": 10, "oats": 11, "wheat": 12, "triticale": 13,
        }.items()
    },
    "no crop": (206, 206, 200),
}  # fmt: skip
"""Colour of a class by a word in its name."""

GOLDEN = 0.618034
"""Step of the hue from one class to the next: neighbours in a list differ, however long it is."""


def classes_named(names: Sequence[str]) -> tuple[CropClass, ...]:
    """Classes in the order of their names: in the colour of the crop of TimeSen2Crop that a name speaks of, or in hues."""
    found: list[CropClass] = []
    for number, name in enumerate(names):
        red, green, blue = colorsys.hsv_to_rgb(number * GOLDEN % 1, 0.55 + 0.3 * (number % 2), 0.9 - 0.25 * (number % 3 == 2))
        colour = next((rgb for word, rgb in WORDS.items() if word in name.lower().replace("_", " ")), None)
        if colour is None or colour in {one.colour for one in found}:
            colour = (round(255 * red), round(255 * green), round(255 * blue))
        found.append(CropClass(name, colour))
    return tuple(found)


def palette_of(classes: Sequence[CropClass]) -> Palette:
    """Codes 0 to n - 1, names and colours."""
    return palette_of_classes([(number, one.name, one.colour) for number, one in enumerate(classes)], (OUTSIDE, "not classified"))
