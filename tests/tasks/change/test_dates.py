"""What is read of a date: its own pixels, nothing beside clouds, and the same in any block."""

from __future__ import annotations

import numpy as np
import pytest
from odc.geo.geobox import GeoBox

from imperv.grids import Block
from imperv.tasks.change.dates import CELLS, EDGE, Windows, read_date
from imperv.tasks.errors import InputError
from imperv.tasks.native.finding import find_scenes
from imperv.tasks.native.looks import looks_of
from tests.support.native_granules import write_granules
from tests.support.quiet_dates import BANDS, COLUMNS, FIRST, ROWS, date

GRID = GeoBox.from_bbox(
    (677760, 5153040 - 10 * ROWS, 677760 + 10 * COLUMNS, 5153040), crs="EPSG:32632", resolution=10, tight=True
)


def look_of(folder, *granules):
    (look,) = looks_of(find_scenes(write_granules(folder, *granules), bands=(*BANDS, "SCL"), optional=()))
    return look


def classes(cloud: tuple[slice, slice], code: int = 9) -> dict[str, np.ndarray]:
    found = np.full((ROWS // 2, COLUMNS // 2), 4, "uint8")
    found[cloud] = code
    return {"SCL": found}


def test_on_its_own_grid_it_is_what_the_file_has_without_offset(tmp_path):
    granule = date(FIRST, 1)
    found = read_date(look_of(tmp_path, granule), BANDS, GRID, 0)
    assert (found == np.stack([granule.bands[name] for name in BANDS]) - 1000).all()


@pytest.mark.parametrize(("code", "hidden"), [(9, True), (3, True), (11, True), (0, False), (5, False)])
def test_around_clouds_shadows_and_snow_nothing_is_seen(tmp_path, code, hidden):
    """Classes of 20 m: a cloud of 40 x 40 m, and 30 m around it."""
    look = look_of(tmp_path, date(FIRST, 1, bands=classes((slice(20, 22), slice(30, 32)), code)))
    seen = read_date(look, BANDS, GRID, 3)[0] > 0
    assert seen[42, 62] == (code == 5)
    beside = [seen[42, 60 - k] for k in (1, 2, 3, 4)]
    assert beside == ([False, False, False, True] if hidden else [True] * 4)


def test_saturated_pixels_and_those_without_a_band_are_not_seen(tmp_path):
    granule = date(FIRST, 1)
    granule.bands["B03"][5, 5], granule.bands["B08"][7, 7] = 65535, 0
    found = read_date(look_of(tmp_path, granule), BANDS, GRID, 0)
    assert not found[:, 5, 5].any() and not found[:, 7, 7].any() and found[:, 6, 6].all()


def test_a_block_has_the_pixels_of_the_whole_turned_grid_too(tmp_path):
    look = look_of(tmp_path, date(FIRST, 1, bands=classes((slice(12, 15), slice(20, 40)))))
    grid = GeoBox.from_bbox(GRID.to_crs("EPSG:3035").boundingbox, resolution=10, anchor="edge")
    whole = read_date(look, BANDS, grid, 4)
    block = Block(25, 50, 75, 100)
    assert (read_date(look, BANDS, block.geobox(grid), 4) == whole[(slice(None), *block.slices)]).all()
    assert 0.3 < (whole[0] > 0).mean() < 0.95


def test_a_band_that_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match="has no B12; name a scene that has it"):
        read_date(look_of(tmp_path, date(FIRST, 1)), (*BANDS, "B12"), GRID, 0)


def test_windows_cover_small_areas_and_are_spread_over_large_ones():
    small = Windows.of(GRID)
    assert sum(block.shape[0] * block.shape[1] for block in small.blocks) == ROWS * COLUMNS
    assert small.cells_of(0).max() + 1 == small.cells > 50
    large = Windows.of(GeoBox.from_bbox((0, 0, 100_000, 100_000), crs="EPSG:32632", resolution=10, tight=True))
    assert 1e6 < sum(b.shape[0] * b.shape[1] for b in large.blocks) <= 2e6
    assert {(b.y0 % EDGE, b.x0 % EDGE) for b in large.blocks} == {(0, 0)} and len({b.y0 for b in large.blocks}) > 3
    assert large.cells < 3 * CELLS
