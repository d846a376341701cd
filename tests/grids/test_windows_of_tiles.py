"""Windows of a tile for trials: snapped outward to whole kilometres, cut to the tile, on the tile's own pixels."""

from __future__ import annotations

import math

import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from imperv.grids import SPECS, Tile, snap_outward, window_geobox

RESOLUTIONS = tuple(r for r, spec in SPECS.items() if spec.tiles)

TILE = Tile("E38N31")


@pytest.mark.parametrize(
    ("bbox", "expected"),
    [
        ((3_829_000, 3_101_000, 3_831_000, 3_103_000), (3_829_000, 3_101_000, 3_831_000, 3_103_000)),
        ((3_829_001, 3_101_999, 3_830_001, 3_102_000.5), (3_829_000, 3_101_000, 3_831_000, 3_103_000)),
        ((3_829_820, 3_101_310, 3_830_570, 3_102_040), (3_829_000, 3_101_000, 3_831_000, 3_103_000)),
        ((0.5, 0.5, 0.6, 0.6), (0, 0, 1000, 1000)),
        ((-0.5, -1500, 0.5, -1000), (-1000, -2000, 1000, -1000)),
    ],
)
def test_snap_outward(bbox, expected):
    assert snap_outward(bbox) == expected


@pytest.mark.parametrize(
    "bbox",
    [
        (), (1, 2, 3), (1, 2, 3, 4, 5), (2, 1, 1, 2), (1, 2, 2, 1), (1, 1, 1, 2), (1, 1, 2, 1),
        (math.nan, 1, 2, 3), (1, 2, math.inf, 3), (-math.inf, 1, 2, 3),
    ],
)  # fmt: skip
def test_what_is_no_bbox(bbox):
    with pytest.raises(ValueError, match=r"is not \[left, bottom, right, top\] in EPSG:3035 metres"):
        snap_outward(bbox)


@st.composite
def boxes(draw):
    numbers = st.integers(-(10**9), 10**9).map(lambda cm: cm / 100)  # metres, to the centimetre
    (left, right), (bottom, top) = (sorted(draw(st.tuples(numbers, numbers).filter(lambda p: p[0] != p[1]))) for _ in "xy")
    return left, bottom, right, top


@given(boxes())
def test_snapping_contains_is_least_and_stays(bbox):
    snapped = snap_outward(bbox)
    assert all(v % 1000 == 0 for v in snapped)
    assert snapped[0] <= bbox[0] and snapped[1] <= bbox[1] and snapped[2] >= bbox[2] and snapped[3] >= bbox[3]
    assert all(abs(a - b) < 1000 for a, b in zip(snapped, bbox, strict=True))
    assert snap_outward(snapped) == snapped


def test_without_a_window_it_is_the_tile():
    for resolution in RESOLUTIONS:
        assert window_geobox(TILE, resolution) == TILE.geobox(resolution)


@pytest.mark.parametrize(("resolution", "edge"), [(10, 200), (20, 100), (100, 20)])
def test_window(resolution, edge):
    grid = window_geobox(TILE, resolution, (3_829_820, 3_101_310, 3_830_570, 3_102_040))
    assert grid.affine == Affine(resolution, 0, 3_829_000, 0, -resolution, 3_103_000)
    assert tuple(grid.shape) == (edge, edge)
    assert grid.crs.to_epsg() == 3035


def test_a_window_is_cut_to_the_tile():
    grid = window_geobox(TILE, 100, (3_799_500, 3_198_500, 3_801_200, 3_250_000))
    assert (grid.boundingbox.left, grid.boundingbox.top) == (3_800_000, 3_200_000)
    assert tuple(grid.shape) == (20, 20)


def test_a_window_larger_than_the_tile_is_the_tile():
    assert window_geobox(TILE, 20, (0, 0, 9e6, 9e6)) == TILE.geobox(20)


def test_two_tiles_share_a_window_without_gap_or_overlap():
    bbox = (3_899_000, 3_101_000, 3_902_000, 3_103_000)
    west, east = (window_geobox(Tile(n), 10, bbox).boundingbox for n in ("E38N31", "E39N31"))
    assert (west.left, west.right, east.left, east.right) == (3_899_000, 3_900_000, 3_900_000, 3_902_000)


@pytest.mark.parametrize(
    "bbox",
    [
        (3_600_000, 3_101_000, 3_610_000, 3_103_000),
        (3_900_000, 3_101_000, 3_901_000, 3_103_000),  # only the edge is shared
        (3_829_000, 3_200_000, 3_831_000, 3_201_000),
    ],
)
def test_a_window_that_does_not_touch_the_tile(bbox):
    with pytest.raises(ValueError, match="does not touch tile E38N31"):
        window_geobox(TILE, 10, bbox)


def test_other_resolutions_are_refused():
    with pytest.raises(ValueError, match="10, 20, 30, 60, 100"):
        window_geobox(TILE, 50, (3_829_000, 3_101_000, 3_831_000, 3_103_000))


@given(
    st.tuples(st.integers(-2000, 99_000), st.integers(-2000, 99_000)),
    st.tuples(st.integers(2001, 60_000), st.integers(2001, 60_000)),
)
def test_every_window_lies_on_the_pixels_of_its_tile_at_every_resolution(corner, size):
    left, bottom = TILE.bounds[0] + corner[0], TILE.bounds[1] + corner[1]
    bbox = (left, bottom, left + size[0], bottom + size[1])
    grids = [window_geobox(TILE, resolution, bbox) for resolution in RESOLUTIONS]
    assert len({tuple(g.boundingbox.bbox) for g in grids}) == 1
    for resolution, grid in zip(RESOLUTIONS, grids, strict=True):
        assert (grid.affine.c - TILE.bounds[0]) % 1000 == 0
        assert (TILE.bounds[3] - grid.affine.f) % 1000 == 0
        assert (grid.shape.x * resolution) % 1000 == 0
        box = grid.boundingbox
        assert box.left >= TILE.bounds[0] and box.right <= TILE.bounds[2]
        assert box.bottom >= TILE.bounds[1] and box.top <= TILE.bounds[3]
