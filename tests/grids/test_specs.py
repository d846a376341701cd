"""Resolutions and native UTM grids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from imperv.grids import SPECS, Tile, factor, snap_utm, spec_of, utm_code, utm_geobox
from imperv.grids.tiles import TILE_METRES


def test_what_divides_a_tile():
    """Blocks are whole chunks; of resolutions on the EEA grid whole kilometres and a whole tile are whole pixels."""
    assert list(SPECS) == [2.5, 5, 10, 20, 30, 60, 100]
    for resolution, spec in SPECS.items():
        assert spec.resolution == resolution and spec.block % spec.chunk == 0
        divides = (TILE_METRES / resolution).is_integer() and (1000 / resolution).is_integer()
        assert divides == spec.tiles
        assert not spec.tiles or TILE_METRES / resolution % spec.block == 0


def test_other_resolutions_are_refused():
    with pytest.raises(ValueError, match=r"resolution 15 m is not one of 2.5, 5, 10, 20, 30, 60, 100 m"):
        spec_of(15)
    for resolution in (30, 60):
        with pytest.raises(ValueError, match="does not divide the 100 km of a tile"):
            Tile("E44N27").geobox(resolution)


def test_factors():
    assert (factor(20, 10), factor(10, 2.5), factor(5, 5), factor(100, 5)) == (2, 4, 1, 20)
    for coarse, fine in ((10, 20), (100, 30), (5, 2)):
        with pytest.raises(ValueError, match="are not whole pixels of"):
            factor(coarse, fine)


@pytest.mark.parametrize(
    ("place", "code"), [((3, 51), 32631), ((11.99, 47), 32632), ((12.01, 47), 32633), ((55.5, -21), 32740), ((180, 1), 32660)]
)
def test_zones(place, code):
    assert utm_code(*place) == code


@settings(max_examples=40)
@given(st.sampled_from(["E19N09", "E28N18", "E44N27", "E48N53", "E60N17"]), st.sampled_from([2.5, 5, 10, 20, 30, 60]),
       st.integers(0, 90_000), st.integers(0, 90_000))  # fmt: skip
def test_a_native_grid_covers_its_ground_and_shares_edges(tile, resolution, x, y):
    left, bottom, *_ = Tile(tile).bounds
    bounds = (left + x, bottom + y, left + x + 3000, bottom + y + 2000)
    grid = utm_geobox(bounds, "EPSG:3035", resolution)
    box = grid.boundingbox
    assert all(edge % 60 == 0 for edge in (box.left, box.bottom, box.right, box.top))
    assert (grid.affine.a, grid.affine.e) == (resolution, -resolution)
    # Points all over the rectangle, by another way than its outline.
    east, north = np.meshgrid(np.linspace(bounds[0], bounds[2], 9), np.linspace(bounds[1], bounds[3], 9))
    u, v = Transformer.from_crs(3035, grid.crs.epsg, always_xy=True).transform(east.ravel(), north.ravel())
    assert box.left <= u.min() and u.max() <= box.right and box.bottom <= v.min() and v.max() <= box.top
    assert u.min() - box.left < 61 and box.top - v.max() < 61
    same = utm_geobox(bounds, "EPSG:3035", 60, epsg=grid.crs.epsg).boundingbox
    assert same.bbox == box.bbox


def test_corners_in_the_south_are_those_of_granules(shared_data):
    """Published granules of both hemispheres, whose pixels of 60 m tell."""
    import json

    corners = set()
    for item in json.loads((shared_data / "stac" / "earthsearch_items.json").read_text())["features"]:
        asset = item["assets"].get("coastal") or item["assets"]["B01"]
        said, (_, _, left, _, _, top, *_) = item["properties"], asset["proj:transform"]
        epsg = int(said.get("proj:epsg") or said["proj:code"].removeprefix("EPSG:"))
        for near in (1, 59):
            box = snap_utm((left + near, top - 600 + near, left + 600 - near, top - near), epsg, 60).boundingbox
            assert (left - box.left) % 60 == (top - box.top) % 60 == 0
            assert box.left <= left + near and box.top >= top - near and box.right - box.left <= 720
        corners.add((epsg // 100, top % 60))
    assert corners == {(326, 0), (327, 40)}


def test_corners_are_those_of_granules(shared_data):
    """Real granules of two zones begin on multiples of 60 m."""
    import rasterio

    found = 0
    for path in sorted((shared_data / "flanders" / "scenes").glob("*/red.tif"))[:3]:
        with rasterio.open(path) as source:
            assert source.crs.to_epsg() == utm_code(*source.lnglat())
            assert source.transform.c % 10 == source.transform.f % 10 == 0
            found += 1
    assert found


def test_100_m_are_for_the_eea_grid_only():
    with pytest.raises(ValueError, match="pixels of 60 m are not whole pixels of 100 m"):
        utm_geobox((4_400_000, 2_700_000, 4_401_000, 2_701_000), "EPSG:3035", 100)
