"""Labels by hand: which source decides, and where nothing does; footprints are brought onto the image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from imperv.layers.landcover.classes import BARE, BUILDINGS, CONIFERS, DECIDUOUS, GRASS, IMPERVIOUS, WATER
from imperv.layers.landcover.labels import UNLABELLED, footprint_shift, moved, reference_labels, roof_contrast


def label(clcplus: int, footprint: float | None = None, density: int | None = None, ndvi: float = 0.3) -> int:
    def plane(value, dtype):
        return None if value is None else np.array([[value]], dtype)

    return int(reference_labels(plane(clcplus, "u1"), plane(footprint, "f4"), plane(density, "u1"), plane(ndvi, "f4"))[0, 0])


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1, IMPERVIOUS),
        (2, CONIFERS),
        (3, DECIDUOUS),
        (4, DECIDUOUS),
        (6, GRASS),
        (9, BARE),
        (10, WATER),
        (5, 0),
        (8, 0),
        (255, 0),
    ],
)
def test_clcplus_tells_the_class(code, expected):
    assert label(code) == expected


def test_fields_are_grass_or_bare_by_the_mosaic():
    assert label(7, ndvi=0.5) == GRASS and label(7, ndvi=0.49) == BARE and label(7, ndvi=float("nan")) == UNLABELLED


def test_green_in_sealed_ground_is_grass_unless_all_is_sealed():
    assert label(1, ndvi=0.6) == GRASS and label(1, None, 89, 0.6) == GRASS
    assert label(1, None, 90, 0.6) == IMPERVIOUS and label(1, None, 89, 0.49) == IMPERVIOUS
    assert label(1, None, 255, float("nan")) == IMPERVIOUS


def test_footprints_are_buildings_and_their_edges_teach_nothing():
    assert label(1, 0.6, 80) == BUILDINGS and label(1, 1.0, 80, 0.7) == BUILDINGS
    assert label(1, 0.59, 80) == UNLABELLED and label(1, 0.2, 80) == UNLABELLED and label(1, 0.19, 80) == IMPERVIOUS


def test_disagreement_teaches_nothing():
    assert label(1, 0.0, 9) == UNLABELLED and label(1, 0.0, 10) == IMPERVIOUS
    assert label(6, 0.0, 49) == GRASS and label(6, 0.0, 50) == UNLABELLED
    assert label(6, 1.0, 5) == UNLABELLED  # a building that neither CLC+ nor the density knows
    assert label(1, 1.0, 5) == BUILDINGS  # CLC+ knows of sealed ground
    assert label(1, 0.0, 255) == IMPERVIOUS  # where the density is outside, it says nothing


def roofs(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Roofs of 3 x 4 pixels, and an image in which they are brighter."""
    rng = np.random.default_rng(seed)
    shares = np.zeros((80, 80), "f4")
    for y, x in rng.integers(4, 70, (40, 2)).tolist():
        shares[y : y + 3, x : x + 4] = 1
    return shares, (0.1 + 0.05 * shares + rng.normal(0, 0.01, shares.shape)).astype("f4")


@pytest.mark.parametrize("shift", [(1.0, -1.5), (-2.0, 0.5), (0.0, 2.5)])
def test_footprints_that_lie_off_are_moved_back(shift):
    shares, red = roofs()
    off = ndimage.shift(shares, (-shift[0], -shift[1]), order=1)
    red[10:14, 10:14] = np.nan
    found, gain = footprint_shift([(off, roof_contrast(red))])
    assert found == shift and gain > 0.1
    back = moved(off, found)
    assert np.corrcoef(back[5:-5, 5:-5].ravel(), shares[5:-5, 5:-5].ravel())[0, 1] > 0.85


def test_footprints_that_lie_right_or_tell_nothing_stay():
    shares, red = roofs()
    assert footprint_shift([(shares, roof_contrast(red))]) == ((0.0, 0.0), 0.0)
    flat = np.random.default_rng(2).normal(0.1, 0.01, shares.shape).astype("f4")
    found, gain = footprint_shift([(np.zeros_like(shares), roof_contrast(flat))])
    assert found == (0.0, 0.0) and gain == 0
    assert moved(shares, (0.0, 0.0)) is shares
