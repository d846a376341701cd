"""Names of classes as FRAME and people write them."""

from __future__ import annotations

import numpy as np
import pytest

from imperv.layers.landcover.classes import FRAME, LandClass, class_named, class_numbers, palette_of


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Bare Soil", "bare soil"), ("BUILDINGS", "buildings"), ("Coniferous Trees", "coniferous trees"),
        ("deciduous_trees", "deciduous trees"), ("Grass", "grass"), ("Impervious Surfaces", "impervious"), (" water ", "water"),
        ("impervious", "impervious"), ("building", "buildings"), (7, "water"), ("3", "coniferous trees"), (2.0, "buildings"),
    ],
)  # fmt: skip
def test_names_in_any_case_and_codes(text, name):
    found = class_named(text, FRAME)
    assert not isinstance(found, str) and found.name == name


def test_an_unknown_name_is_answered_with_the_nearest():
    assert class_named("gras", FRAME) == "did you mean grass?"
    assert class_named("zzz", FRAME).startswith("there are bare soil, buildings")
    assert class_named(9, FRAME).startswith("there are")


def test_the_palette_has_every_class_and_no_data():
    palette = palette_of(FRAME)
    assert (
        palette.codes == (1, 2, 3, 4, 5, 6, 7, 255)
        and palette.colours[7] == (42, 114, 196)
        and palette.meaning(6) == "impervious"
    )


def test_numbers_of_classes_are_places_in_the_list():
    classes = (LandClass(20, "water", (0, 0, 1)), LandClass(0, "none", (0, 0, 0)), LandClass(254, "land", (0, 1, 0)))
    assert class_numbers(np.array([[20, 0, 254], [255, 1, 20]], "u1"), classes).tolist() == [[0, 1, 2], [-1, -1, 0]]
    assert class_numbers(np.empty(0, "i8"), classes).shape == (0,)
