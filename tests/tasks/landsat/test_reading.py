"""Pixels of Landsat scenes on the grid of a zone, against the arrays that were written.

Policy: a file that is missing or of another kind is a `SceneError` that names scene and file.
"""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from imperv.grids import Block, block_grid, utm_geobox
from imperv.layers.landsat import BANDS, COVERED, QaParameters, quality_weights, reflectance
from imperv.tasks.errors import SceneError
from imperv.tasks.landsat.reading import landsat_geobox, read_reflectance, read_weights
from imperv.tasks.landsat.scenes import BandFile, LandsatScene

CORNER = (300_015.0, 5_100_015.0)
SHAPE = (90, 80)
CLEAR = 21824


def write(path, array, corner=CORNER, crs="EPSG:32632", **profile) -> str:
    with rasterio.open(
        path, "w", driver="GTiff", height=array.shape[0], width=array.shape[1], count=1, dtype=array.dtype, crs=crs,
        transform=Affine(30, 0, corner[0], 0, -30, corner[1]), **profile,
    ) as target:  # fmt: skip
        target.write(array, 1)
    return str(path)


def scene_of(folder, arrays, satellite=8, name="one", **how) -> LandsatScene:
    folder.mkdir(exist_ok=True)
    files = {key: BandFile(write(folder / f"{name}_{key}.tif", a, **how)) for key, a in arrays.items()}
    return LandsatScene(name, "2021-06-12T10:00:00+00:00", satellite, "192", "028", "T1", "", None, files)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(5)
    found = {band: rng.integers(7000, 40000, SHAPE).astype("u2") for band in BANDS}
    found["qa_pixel"] = np.where(rng.random(SHAPE) < 0.05, CLEAR | 1 << 4, CLEAR).astype("u2")
    found["qa_radsat"] = np.where(rng.random(SHAPE) < 0.1, 1 << 3, 0).astype("u2")
    found["red"][:, 20:25] = 0
    found["qa_pixel"][:, 20:25] = 1
    return found


def grid_at(row: int, column: int, shape) -> GeoBox:
    return GeoBox(shape, Affine(30, 0, CORNER[0] + 30 * column, 0, -30, CORNER[1] - 30 * row), "EPSG:32632")


@pytest.mark.parametrize(("row", "column", "shape"), [(0, 0, SHAPE), (10, 7, (20, 30)), (-5, -8, (50, 40)), (70, 60, (40, 41))])
def test_pixels_are_those_of_the_file(tmp_path, arrays, row, column, shape):
    scene, grid, parameters = scene_of(tmp_path, arrays), grid_at(row, column, shape), QaParameters()
    pad = ((100, 100), (100, 100))
    cut = np.s_[100 + row : 100 + row + shape[0], 100 + column : 100 + column + shape[1]]
    red = reflectance(np.pad(arrays["red"], pad))
    red[np.pad(arrays["qa_radsat"], pad) & 8 > 0] = 0
    weights = quality_weights(np.pad(arrays["qa_pixel"], pad, constant_values=1), parameters)
    assert np.array_equal(read_reflectance(scene, "red", grid), red[cut])
    assert np.array_equal(read_weights(scene, grid, parameters), weights[cut])


def test_a_pixel_does_not_depend_on_the_block(tmp_path, arrays):
    scene, grid = scene_of(tmp_path, arrays), grid_at(0, 0, SHAPE)
    parameters = QaParameters(cloud_dilation=1, shadow_dilation=4)
    whole = read_weights(scene, grid, parameters)
    assert (whole == COVERED).any() and (whole == 8).any()
    for block in block_grid(grid, 17):
        assert np.array_equal(read_weights(scene, block.geobox(grid), parameters), whole[block.slices])


def test_beside_the_scene_there_is_nothing(tmp_path, arrays):
    scene, grid = scene_of(tmp_path, arrays), grid_at(500, 0, (10, 10))
    assert read_weights(scene, grid) is None and read_reflectance(scene, "red", grid) is None
    assert read_weights(scene, grid_at(0, 21, (5, 3)), QaParameters(0, 0)) is None  # all fill


def test_the_value_without_data_that_an_item_tells(tmp_path, arrays):
    arrays["red"][3, 4] = 9999
    scene = scene_of(tmp_path, arrays)
    file = scene.bands["red"]
    scene.bands["red"] = BandFile(file.href, file.scale, file.offset, 9999)
    assert read_reflectance(scene, "red", grid_at(0, 0, SHAPE))[3, 4] == 0


def test_a_scene_of_the_next_zone_lies_in_its_place(tmp_path):
    """Brightness that grows with the coordinates of zone 33, read on the grid of zone 32: each pixel has that of its place."""
    corner = Transformer.from_crs(32632, 32633, always_xy=True).transform(690_000, 5_100_000)
    corner = tuple(30 * round(v / 30) + 15 - s for v, s in zip(corner, (9000, -9000), strict=True))
    rows, columns = np.mgrid[0:600, 0:600]
    ramp = (10000 + 20 * columns + 10 * rows).astype("u2")
    quality = np.where(columns < 300, CLEAR, CLEAR | 1 << 3).astype("u2")
    arrays = dict.fromkeys(BANDS, ramp) | {"qa_pixel": quality}
    scene = scene_of(tmp_path, arrays, corner=corner, crs="EPSG:32633")
    grid = landsat_geobox((689_000, 5_099_000, 691_000, 5_101_000), "EPSG:32632")
    y, x = np.mgrid[0 : grid.shape.y, 0 : grid.shape.x] + 0.5
    x, y = Transformer.from_crs(32632, 32633, always_xy=True).transform(*(grid.affine * (x, y)))
    column, row = (x - corner[0]) / 30, (corner[1] - y) / 30
    expected = (10000 + 20 * (column - 0.5) + 10 * (row - 0.5)) * 0.275 - 2000
    found = read_reflectance(scene, "red", grid)
    assert found.min() > 0 and abs(found - expected).max() < 0.7
    clear = read_weights(scene, grid, QaParameters(0, 0)) == 8
    assert (clear == (column < 300)).all() and clear.any() and not clear.all()


def test_the_grid_covers_and_lies_off_that_of_sentinel2():
    grid = landsat_geobox((4_400_000, 2_600_000, 4_410_000, 2_610_000), "EPSG:3035")
    fine = utm_geobox((4_400_000, 2_600_000, 4_410_000, 2_610_000), "EPSG:3035", 10)
    assert grid.crs == fine.crs
    for ours, theirs, sign in zip(grid.boundingbox.bbox, fine.boundingbox.bbox, (-1, -1, 1, 1), strict=True):
        assert ours % 30 == 15 and theirs % 60 == 0 and sign * (ours - theirs) > -60
    own = landsat_geobox(fine.boundingbox.bbox, str(fine.crs))
    assert all((a - b) % 10 == 5 for a, b in zip(own.boundingbox.bbox, fine.boundingbox.bbox, strict=True))
    assert own.boundingbox.left == fine.boundingbox.left - 15 and own.boundingbox.top == fine.boundingbox.top + 15


def test_broken_files_are_named(tmp_path, arrays):
    scene = scene_of(tmp_path, arrays)
    grid = grid_at(0, 0, (5, 5))
    scene.bands["green"] = BandFile(str(tmp_path / "none.tif"))
    with pytest.raises(SceneError, match=r"scene one: .*none\.tif cannot be read"):
        read_reflectance(scene, "green", grid)
    scene.bands["blue"] = BandFile(write(tmp_path / "bytes.tif", arrays["blue"].astype("u1")))
    with pytest.raises(SceneError, match=r"bytes\.tif holds uint8, not uint16"):
        read_reflectance(scene, "blue", grid)
    assert Block(0, 0, 5, 5).geobox(grid) == grid
