"""The pyramid: map tiles, and the pixels below them, against a search pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imperv.grids import Tile, official_tiles
from imperv.grids.pyramid import DEEPEST, EDGE, ORIGIN, cut, overview_factor, pixel_size, tile_bounds
from tests.support.portal import tile_at


def test_levels_have_the_pixels_of_the_layers():
    assert [pixel_size(z) for z in (14, 13, 12, 11, 10, 9, 8)] == [2.5, 5, 10, 20, 40, 80, 160]
    assert tile_bounds(0, 0, 0) == (0, 6_000_000 - 256 * 40_960, 256 * 40_960, 6_000_000)
    assert tile_bounds(12, 1726, 1294) == (1726 * 2560, 6_000_000 - 1295 * 2560, 1727 * 2560, 6_000_000 - 1294 * 2560)


def test_all_official_tiles_lie_in_level_0():
    left, bottom, right, top = tile_bounds(0, 0, 0)
    for name in official_tiles("eea38-2024"):
        bounds = Tile(name).bounds
        assert left <= bounds[0] and bounds[2] <= right and bottom <= bounds[1] and bounds[3] <= top


@pytest.mark.parametrize("address", [(-1, 0, 0), (DEEPEST + 1, 0, 0), (3, 8, 0), (3, 0, 8), (3, -1, 0), (0, 0, 1)])
def test_what_there_is_not_is_refused(address):
    with pytest.raises(ValueError, match="level"):
        tile_bounds(*address)


def test_a_grid_off_the_lattice_is_refused():
    with pytest.raises(ValueError, match="no multiple of 10 m"):
        cut(12, 1726, 1294, (4_420_005, 2_687_000, 4_421_005, 2_688_000), 10)


@given(st.integers(0, DEEPEST), st.floats(0, 8e6), st.floats(1e5, 6e6 - 1))
def test_a_place_lies_in_its_tile(z, easting, northing):
    x, y = tile_at(z, easting, northing)
    left, bottom, right, top = tile_bounds(z, x, y)
    assert left <= easting < right and bottom <= northing <= top


def test_factors():
    assert [overview_factor(z, 10) for z in (14, 13, 12, 11, 10, 6)] == [1, 1, 1, 2, 4, 64]
    # 100 m does not divide the levels: the cells are the largest that are no coarser.
    assert [overview_factor(z, 100) for z in (12, 9, 8, 7, 6)] == [1, 1, 1, 2, 4]


@given(
    st.integers(6, DEEPEST), st.sampled_from([2.5, 5, 10, 20, 100]), st.integers(4400, 4420), st.integers(2600, 2620),
    st.integers(1, 7), st.integers(-2, 2), st.integers(-2, 2),
)  # fmt: skip
def test_pixels_are_those_below_the_centres(z, resolution, left, top, size, right_by, down_by):
    """Against floating point arithmetic on centres, axis by axis; windows begin on any kilometre."""
    bounds = (1000 * left, 1000 * (top - size), 1000 * (left + size), 1000 * top)
    x, y = tile_at(z, bounds[0], bounds[3] - 1)
    x, y = x + right_by, y + down_by
    box, pixel, factor = tile_bounds(z, x, y), pixel_size(z), overview_factor(z, resolution)
    cell = resolution * factor
    expected = []
    for start, low, high in (
        (ORIGIN[1] - box[3], ORIGIN[1] - bounds[3], ORIGIN[1] - bounds[1]),
        (box[0] - ORIGIN[0], bounds[0] - ORIGIN[0], bounds[2] - ORIGIN[0]),
    ):
        cells = np.floor((start + (np.arange(EDGE) + 0.5) * pixel) / cell).astype(int)
        expected.append({k: c for k, c in enumerate(cells.tolist()) if c * cell < high and (c + 1) * cell > low})
    found = cut(z, x, y, bounds, resolution)
    if not all(expected):
        assert found is None
        return
    assert found is not None and found.factor == factor
    for span, wanted in zip((found.rows, found.columns), expected, strict=True):
        assert dict(zip(range(EDGE)[span.out], span.cells.tolist(), strict=True)) == wanted


@pytest.mark.parametrize(("z", "resolution"), [(12, 10), (13, 5), (11, 20), (10, 10)])
def test_tiles_of_a_level_share_no_pixel_and_leave_none_out(z, resolution):
    bounds = (4_422_000, 2_597_000, 4_424_000, 2_600_000)
    x0, y0 = tile_at(z, bounds[0], bounds[3] - 1)
    found = [cut(z, x, y0, bounds, resolution) for x in range(x0, x0 + 4)]
    seen = [cell for part in found if part is not None for cell in part.columns.cells.tolist()]
    cell = resolution * overview_factor(z, resolution)
    assert seen == list(range(bounds[0] // cell, -(-bounds[2] // cell)))
