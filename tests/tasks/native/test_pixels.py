"""Pixels on the native grid: any window is a part of the whole, and a mask without a reference system lies where its bands do."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds

from imperv.grids import snap_utm
from imperv.tasks.native.pixels import Place, overlap, place_of, read_classi, read_native
from tests.support.native_granules import Granule, write_granule

EDGES = st.integers(-40, 40)
SIZES = st.integers(1, 40)


@given(EDGES, EDGES, SIZES, SIZES, SIZES, SIZES)
def test_what_a_window_shows_of_a_raster(row, column, height, width, rows, columns):
    raster = np.arange(1, rows * columns + 1).reshape(rows, columns)
    inside, there = overlap((row, column), (height, width), raster.shape)
    window = np.zeros((height, width), int)
    window[there] = raster[inside]
    around = np.pad(raster, 80)
    np.testing.assert_array_equal(window, around[80 + row : 80 + row + height, 80 + column : 80 + column + width])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    item = write_granule(tmp_path_factory.mktemp("granule"), Granule())
    return {band: asset["href"] for band, asset in item["assets"].items()}


@pytest.mark.parametrize("epsg", [32632, 32633])
def test_a_pixel_does_not_depend_on_the_window(files, epsg):
    """Of another zone neither, where it is resampled."""
    bounds = transform_bounds("EPSG:32632", f"EPSG:{epsg}", *place_of(files["B02"], "s", "B02").bounds)
    whole = snap_utm(bounds, epsg, 10)
    found = read_native(files["B02"], "s", "B02", whole)
    assert found.copied == (epsg == 32632) and (found.pixels > 0).mean() > 0.7
    rng = np.random.default_rng(2)
    for _ in range(20):
        row, column = rng.integers(0, whole.shape.y - 12), rng.integers(0, whole.shape.x - 12)
        part = slice(row, row + 12), slice(column, column + 12)
        np.testing.assert_array_equal(read_native(files["B02"], "s", "B02", whole[part]).pixels, found.pixels[part])


def test_where_a_band_lies(files):
    expected = Place(32632, (677760, 5153040 - 600, 677760 + 720, 5153040))
    assert [place_of(files[band], "s", band) for band in ("B02", "B05", "B09", "SCL")] == [expected] * 4


@pytest.mark.parametrize("placed", [True, False])
def test_a_mask_lies_where_its_bands_do(files, tmp_path, placed):
    bits = np.random.default_rng(1).integers(0, 2, (3, 10, 12)).astype("uint8")
    where = {"crs": "EPSG:32632", "transform": from_origin(677760, 5153040, 60, 60)} if placed else {}
    path, kind = tmp_path / "mask.tif", {"height": 10, "width": 12, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", **kind, **where) as target:
        target.write(bits)
    grid = snap_utm((677760 - 60, 5153040 - 660, 677760 + 780, 5153040 + 60), 32632, 20)
    found = read_classi(str(path), files["B05"], "s", grid)
    expected = np.pad(bits[0] + 2 * bits[1] + 4 * bits[2], 1).repeat(3, axis=0).repeat(3, axis=1)
    np.testing.assert_array_equal(found, expected)
