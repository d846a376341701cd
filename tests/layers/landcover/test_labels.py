"""Labels by hand: which source decides, and where nothing does."""

from __future__ import annotations

import numpy as np
import pytest

from imperv.layers.landcover.classes import BARE, BUILDINGS, CONIFERS, DECIDUOUS, GRASS, IMPERVIOUS, WATER
from imperv.layers.landcover.labels import UNLABELLED, reference_labels


def label(clcplus: int, footprint: float | None = None, density: int | None = None, ndvi: float = 0.3) -> int:
    def plane(value, dtype):
        return None if value is None else np.array([[value]], dtype)

    return int(reference_labels(plane(clcplus, "u1"), plane(footprint, "f4"), plane(density, "u1"), plane(ndvi, "f4"))[0, 0])


@pytest.mark.parametrize(
    ("code", "expected"),
    [(1, IMPERVIOUS), (2, CONIFERS), (3, DECIDUOUS), (4, DECIDUOUS), (6, GRASS), (9, BARE), (10, WATER), (5, 0), (8, 0), (255, 0)],
)
def test_clcplus_tells_the_class(code, expected):
    assert label(code) == expected


def test_fields_are_grass_or_bare_by_the_mosaic():
    assert label(7, ndvi=0.5) == GRASS and label(7, ndvi=0.49) == BARE and label(7, ndvi=float("nan")) == UNLABELLED


def test_footprints_are_buildings_and_their_edges_teach_nothing():
    assert label(1, 1.0, 80) == BUILDINGS
    assert label(1, 0.5, 80) == UNLABELLED and label(1, 0.01, 80) == UNLABELLED


def test_disagreement_teaches_nothing():
    assert label(1, 0.0, 9) == UNLABELLED and label(1, 0.0, 10) == IMPERVIOUS
    assert label(6, 0.0, 49) == GRASS and label(6, 0.0, 50) == UNLABELLED
    assert label(6, 1.0, 5) == UNLABELLED  # a building that neither CLC+ nor the density knows
    assert label(1, 1.0, 5) == BUILDINGS  # CLC+ knows of sealed ground
    assert label(1, 0.0, 255) == IMPERVIOUS  # where the density is outside, it says nothing
