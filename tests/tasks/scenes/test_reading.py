"""Pixels of scenes on the EEA grid, against GDAL's own warper (another version, through its bindings) and against NumPy.

Policy on failures: a file that is missing, cut short or of another kind is a `SceneError` that names scene and file.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.enums import Resampling

from imperv.grids import Tile, block_grid, window_geobox
from imperv.tasks.errors import SceneError
from imperv.tasks.scenes.reading import Target, open_full_resolution, read_window, stored_bytes, warp
from tests.support.bands import read_band
from tests.support.hidden_pixels import HIDDEN, hide

FLANDERS = window_geobox(Tile("E38N31"), 10, (3_829_000, 3_101_000, 3_831_000, 3_103_000))
UTM_CORNER = (500_000.0, 5_631_000.0)
"""Upper left of the made-up scenes, EPSG:32631; they cover the kilometres of `INSIDE` with room to spare."""
INSIDE = window_geobox(Tile("E38N31"), 10, (3_829_000, 3_101_000, 3_831_000, 3_102_000))

WINDOW_DEPENDENT = (
    "reading.warp: without XSCALE and YSCALE, GDAL takes the turned grid for a reduction and smooths, as strongly as "
    "the shape of the window says"
)


def write(path, array, *, corner=UTM_CORNER, pixel=10.0, crs="EPSG:32631", **profile):
    with rasterio.open(
        path, "w", driver="GTiff", height=array.shape[0], width=array.shape[1], count=1, dtype=array.dtype, crs=crs,
        transform=Affine(pixel, 0, corner[0], 0, -pixel, corner[1]), **profile,
    ) as target:  # fmt: skip
        target.write(array, 1)
    return str(path)


def scene(name: str, rows: int = 300, columns: int = 320):
    """Arrays in UTM that hold all of `INSIDE`."""
    rng = np.random.default_rng(7)
    if name == "noise":
        return rng.integers(1, 1000, (rows, columns)).astype("uint16")
    if name == "ramp":
        return (np.add.outer(np.arange(rows) * 7, np.arange(columns) * 11) + 500).astype("uint16")
    raise ValueError(name)


def source_position(grid: GeoBox, pixel: float = 10.0, crs: str = "EPSG:32631"):
    """Row and column in the made-up scene of every pixel centre of a grid, in pixels from the scene's corner."""
    rows, columns = np.mgrid[0 : grid.shape.y, 0 : grid.shape.x] + 0.5
    x, y = grid.affine * (columns, rows)
    x, y = Transformer.from_crs("EPSG:3035", crs, always_xy=True).transform(x, y)
    return (UTM_CORNER[1] - y) / pixel, (x - UTM_CORNER[0]) / pixel


def bilinear(array: np.ndarray, grid: GeoBox, pixel: float = 10.0) -> np.ndarray:
    """Bilinear interpolation of an array without gaps, for a grid that lies well inside of it."""
    row, column = (p - 0.5 for p in source_position(grid, pixel))
    top, left = np.floor(row).astype(int), np.floor(column).astype(int)
    down, right = row - top, column - left
    a = array.astype(float)
    upper = a[top, left] * (1 - right) + a[top, left + 1] * right
    lower = a[top + 1, left] * (1 - right) + a[top + 1, left + 1] * right
    return upper * (1 - down) + lower * down


@pytest.fixture(scope="module")
def gdal():
    found = pytest.importorskip("osgeo.gdal")
    found.UseExceptions()
    return found


def gdal_warp(gdal, path: str, grid: GeoBox, kernel: str, **more) -> np.ndarray:
    """GDAL's warper with an exact transformation and the scale of the pixels, whatever the window."""
    box = grid.boundingbox
    warped = gdal.Warp(
        "", path, format="MEM", dstSRS="EPSG:3035", outputBounds=(box.left, box.bottom, box.right, box.top),
        width=grid.shape.x, height=grid.shape.y, resampleAlg=kernel, errorThreshold=0,
        overviewLevel="NONE", warpOptions=["XSCALE=1", "YSCALE=1"], **{"srcNodata": 0, "dstNodata": 0, **more},
    )  # fmt: skip
    return warped.GetRasterBand(1).ReadAsArray()


# against other implementations ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 20, 70])
@pytest.mark.parametrize(
    ("key", "kernel", "factor"),
    [("red", "bilinear", 1), ("nir", "bilinear", 1), ("swir16", "bilinear", 2), ("scl", "near", 1), ("scl", "near", 2)],
)
def test_real_scenes_as_gdal_warps_them(gdal, shared_data, number, key, kernel, factor):
    entry = json.loads((shared_data / "flanders" / "items.json").read_text())["features"][number]
    path = str(shared_data / "flanders" / "scenes" / entry["id"] / f"{key}.tif")
    grid = FLANDERS if factor == 1 else FLANDERS.zoom_out(2)
    ours = read_band(path, entry["id"], grid, classes=key == "scl")
    theirs = gdal_warp(gdal, path, grid, kernel)
    assert ours.dtype == theirs.dtype == ("uint8" if key == "scl" else "uint16")
    assert (ours > 0).sum() > 900
    if key == "scl":
        np.testing.assert_array_equal(ours, theirs)
    else:
        both = (ours > 0) & (theirs > 0)
        assert ((ours > 0) != (theirs > 0)).sum() <= 2  # a pixel on the very edge may fall to either side
        assert np.abs(ours.astype(int) - theirs)[both].max() <= 1


def test_noise_as_gdal_warps_it(gdal, tmp_path):
    path = write(tmp_path / "noise.tif", scene("noise"))
    difference = np.abs(read_band(path, "x", INSIDE).astype(int) - gdal_warp(gdal, path, INSIDE, "bilinear"))
    assert difference.max() <= 1


def test_bilinear_is_that_of_the_textbook(tmp_path):
    array = scene("noise")
    found = read_band(write(tmp_path / "noise.tif", array), "x", INSIDE)
    assert np.abs(found - bilinear(array, INSIDE)).max() <= 1


def test_a_ramp_is_kept(tmp_path):
    """On a plane any kernel gives nearly the same: the position is right to a tenth of a pixel, whatever the smoothing."""
    array = scene("ramp")
    found = read_band(write(tmp_path / "ramp.tif", array), "x", INSIDE)
    assert np.abs(found - bilinear(array, INSIDE)).max() <= 2


def test_classes_are_the_nearest(tmp_path):
    array = np.random.default_rng(3).integers(0, 12, (300, 320)).astype("uint8")
    found = read_band(write(tmp_path / "scl.tif", array), "x", INSIDE, classes=True)
    row, column = source_position(INSIDE)
    # A centre that lies within GDAL's tolerance of a pixel edge may fall to either side.
    clear = (np.abs(row - np.rint(row)) > 0.02) & (np.abs(column - np.rint(column)) > 0.02)
    expected = array[np.floor(row).astype(int), np.floor(column).astype(int)]
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(found[clear], expected[clear])


def test_classes_of_20_m_on_10_m(tmp_path):
    array = np.random.default_rng(3).integers(0, 12, (160, 170)).astype("uint8")
    found = read_band(write(tmp_path / "scl.tif", array, pixel=20), "x", INSIDE, classes=True)
    row, column = source_position(INSIDE, 20)
    clear = (np.abs(row - np.rint(row)) > 0.02) & (np.abs(column - np.rint(column)) > 0.02)
    expected = array[np.floor(row).astype(int), np.floor(column).astype(int)]
    np.testing.assert_array_equal(found[clear], expected[clear])


@pytest.mark.parametrize("edge", [25, 50])
def test_a_pixel_does_not_depend_on_the_block_that_reads_it(tmp_path, edge):
    """Within one digital number, which is rounding: block edges follow from memory and must not be seen in a map."""
    path = write(tmp_path / "noise.tif", scene("noise"))
    whole = read_band(path, "x", INSIDE).astype(int)
    for block in block_grid(INSIDE, edge):
        part = read_band(path, "x", block.geobox(INSIDE))
        assert np.abs(whole[block.slices] - part).max() <= 1


@pytest.mark.parametrize("edge", [25, 50])
def test_a_class_does_not_depend_on_the_block_that_reads_it(tmp_path, edge):
    array = np.random.default_rng(3).integers(0, 12, (300, 320)).astype("uint8")
    path = write(tmp_path / "scl.tif", array)
    whole = read_band(path, "x", INSIDE, classes=True)
    other = sum(
        int((whole[b.slices] != read_band(path, "x", b.geobox(INSIDE), classes=True)).sum()) for b in block_grid(INSIDE, edge)
    )
    assert other <= whole.size * 0.001  # centres on a pixel edge


def test_the_same_grid_is_read_unchanged(tmp_path):
    array = scene("noise", 100, 200)
    path = write(tmp_path / "same.tif", array, corner=(INSIDE.affine.c, INSIDE.affine.f), crs="EPSG:3035")
    np.testing.assert_array_equal(read_band(path, "x", INSIDE), array)


# no data ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("factor", [1, 2])
def test_no_data_never_bleeds(tmp_path, seed, factor):
    """A field of constant 5000 with holes and edges: whatever is not 0 is 5000, for nothing else was measured."""
    rng = np.random.default_rng(seed)
    array = np.full((300, 320), 5000, "uint16")
    array[rng.random(array.shape) < 0.2] = 0
    array[100:140, 60:200] = 0
    array[:, :70] = 0
    found = read_band(write(tmp_path / "field.tif", array), "x", INSIDE.zoom_out(factor) if factor > 1 else INSIDE)
    assert set(np.unique(found)) == {0, 5000}
    assert 0.1 < (found == 0).mean() < 0.9


@pytest.mark.parametrize(("tag", "seen"), [(None, {1, 65535}), (0, {1, 65535}), (1, {65535}), (65535, {1})])
def test_no_data_is_0_and_what_the_header_says(tmp_path, tag, seen):
    array = np.full((300, 320), 1, "uint16")
    array[:, 120:160] = 0
    array[:, 160:] = 65535
    found = read_band(write(tmp_path / "x.tif", array, **({} if tag is None else {"nodata": tag})), "x", INSIDE)
    assert set(np.unique(found)) == {0, *seen}


@pytest.mark.parametrize("how", HIDDEN)
@pytest.mark.parametrize("pixel", [5, 10, 20])
@pytest.mark.parametrize("south_up", [False, True])
def test_no_data_however_it_is_said(gdal, tmp_path, how, pixel, south_up):
    """Pixels whose values mean nothing are as if they were 0, before anything is interpolated; and as GDAL's warper has it."""
    rng = np.random.default_rng(pixel)
    array = rng.integers(1, 9000, (600, 620)).astype("uint16")
    gone = rng.random(array.shape) < 0.1
    gone[200:260, 150:400] = True
    zeros = hide(write(tmp_path / "zeros.tif", array, pixel=pixel), gone, "zero", south_up)
    path = hide(write(tmp_path / "hidden.tif", array, pixel=pixel), gone, how, south_up)
    found = read_band(path, "x", INSIDE)
    np.testing.assert_array_equal(found, read_band(zeros, "x", INSIDE))
    assert 0.05 < (found == 0).mean() < 0.5
    if south_up:  # another way to the same places: rounding
        usual = read_band(hide(write(tmp_path / "usual.tif", array, pixel=pixel), gone, "zero"), "x", INSIDE).astype(int)
        assert ((found > 0) != (usual > 0)).sum() <= 2 and np.median(np.abs(found - usual)) == 0
    if pixel == 10 and how != "mask and value":  # GDAL's warper forgets the mask where it knows a value
        theirs = gdal_warp(gdal, path, INSIDE, "bilinear", **{"srcNodata": 65535} if how == "value" else {"srcNodata": None})
        both = (found > 0) & (theirs > 0)
        assert ((found > 0) != (theirs > 0)).sum() <= 2 and np.abs(found.astype(int) - theirs)[both].max() <= 1


@pytest.mark.parametrize("how", HIDDEN)
@pytest.mark.parametrize("south_up", [False, True])
def test_classes_that_are_hidden(tmp_path, how, south_up):
    rng = np.random.default_rng(5)
    array = rng.integers(1, 12, (160, 170)).astype("uint8")
    gone = rng.random(array.shape) < 0.3
    zeros = hide(write(tmp_path / "zeros.tif", array, pixel=20), gone, "zero", south_up)
    path = hide(write(tmp_path / "hidden.tif", array, pixel=20), gone, how, south_up)
    expected = read_band(zeros, "x", INSIDE, classes=True)
    np.testing.assert_array_equal(read_band(path, "x", INSIDE, classes=True), expected)


@pytest.mark.parametrize("how", HIDDEN)
def test_real_scenes_with_no_data_said_otherwise(shared_data, tmp_path, how):
    """The archive's own no data, and that of some pixels more."""
    entry = json.loads((shared_data / "flanders" / "items.json").read_text())["features"][0]
    for key in ("red", "swir16", "scl"):
        with rasterio.open(shared_data / "flanders" / "scenes" / entry["id"] / f"{key}.tif") as source:
            array, place = source.read(1), {"corner": (source.transform.c, source.transform.f), "pixel": source.res[0]}
        array[np.random.default_rng(4).random(array.shape) < 0.3] = 0
        zeros = write(tmp_path / f"{key}.tif", array, **place)
        path = hide(write(tmp_path / f"{key}_hidden.tif", array, **place), array == 0, how)
        expected = read_band(zeros, "x", FLANDERS, classes=key == "scl")
        np.testing.assert_array_equal(read_band(path, "x", FLANDERS, classes=key == "scl"), expected)
        assert (expected > 0).sum() > 900


@pytest.mark.parametrize("kernel", [Resampling.nearest, Resampling.bilinear, Resampling.average])
def test_a_mask_and_values_without_data_together(tmp_path, kernel):
    """For references, whose codes are bytes."""
    rng = np.random.default_rng(2)
    array = rng.integers(0, 90, (300, 320)).astype("uint8")
    gone = rng.random(array.shape) < 0.2
    wrong = rng.random(array.shape) < 0.1
    plain = np.where(gone | wrong, 255, array).astype("uint8")
    array[wrong] = rng.choice([254, 255], array.shape)[wrong]
    path = hide(write(tmp_path / "x.tif", array), gone, "mask")
    with open_full_resolution(path) as source, open_full_resolution(write(tmp_path / "y.tif", plain)) as other:
        found = warp(source, INSIDE, kernel, 255, [254])
        np.testing.assert_array_equal(found, warp(other, INSIDE, kernel, 255))
    assert (found == 255).any() and found[found < 255].max() < 90


def test_outside_of_the_scene_there_is_no_data(tmp_path):
    path = write(tmp_path / "x.tif", np.full((50, 50), 5000, "uint16"))
    assert set(np.unique(read_band(path, "x", FLANDERS))) == {0, 5000}
    far = window_geobox(Tile("E43N32"), 10, (4_300_000, 3_200_000, 4_301_000, 3_201_000))
    assert not read_band(path, "x", far).any()
    assert read_band(path, "x", far).shape == (100, 100)


def test_no_data_of_references_is_255(tmp_path):
    array = np.zeros((300, 320), "uint8")
    array[:, 160:] = 255
    with open_full_resolution(write(tmp_path / "x.tif", array)) as source:
        found = warp(source, INSIDE, Resampling.bilinear, 255)
    assert set(np.unique(found)) == {0, 255}


# overviews --------------------------------------------------------------------------------------------------------


def poison(path: str, value: int) -> str:
    """Give a raster overviews that hold another value."""
    with rasterio.open(path, "r+") as target:
        target.build_overviews([2, 4, 8], Resampling.nearest)
    for level in range(3):
        with rasterio.open(path, "r+", OVERVIEW_LEVEL=level) as overview:
            overview.write(np.full(overview.shape, value, overview.dtypes[0]), 1)
    return path


@pytest.mark.parametrize("factor", [1, 2, 10])
def test_poisoned_overviews_do_not_matter(tmp_path, factor):
    array = np.full((320, 320), 100, "uint16")
    path = poison(write(tmp_path / "x.tif", array, tiled=True, blockxsize=64, blockysize=64), 999)
    with rasterio.open(path) as source:  # the poison works: this is how GDAL takes overviews silently
        assert source.read(1, out_shape=(80, 80)).max() == 999
    grid = INSIDE if factor == 1 else INSIDE.zoom_out(factor)
    assert set(np.unique(read_band(path, "x", grid))) == {100}
    with open_full_resolution(path) as source:
        assert source.overviews(1) == []
        assert source.read(1, out_shape=(80, 80)).max() == 100


# what cannot be read ----------------------------------------------------------------------------------------------


def trouble(path, **more) -> SceneError:
    with pytest.raises(SceneError) as caught:
        read_band(str(path), "S2A_x", INSIDE, **more)
    assert caught.value.scene == "S2A_x"
    assert str(caught.value) == f"scene S2A_x: {caught.value.reason}"
    assert str(path) in caught.value.reason
    assert "\n" not in caught.value.reason
    return caught.value


def test_missing_file(tmp_path):
    assert "cannot be read" in trouble(tmp_path / "nothing.tif").reason


@pytest.mark.parametrize("text", [b"", b"not a raster", b"<html>503</html>"])
def test_no_raster(tmp_path, text):
    path = tmp_path / "x.tif"
    path.write_bytes(text)
    assert "cannot be read" in trouble(path).reason


@pytest.mark.parametrize("compress", ["none", "deflate"])
def test_truncated_file(tmp_path, compress):
    path = tmp_path / "x.tif"
    write(path, scene("noise"), compress=compress)
    read_band(str(path), "x", INSIDE)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in trouble(path).reason


def test_wrong_data_type(tmp_path):
    assert "holds int16, not uint16" in trouble(write(tmp_path / "a.tif", scene("noise").astype("int16"))).reason
    assert "holds uint8, not uint16" in trouble(write(tmp_path / "b.tif", np.ones((50, 50), "uint8"))).reason
    assert "holds uint16, not uint8" in trouble(write(tmp_path / "c.tif", scene("noise")), classes=True).reason


def test_no_reference_system(tmp_path):
    path = write(tmp_path / "x.tif", scene("noise"), crs=None)
    assert "has no coordinate reference system" in trouble(path).reason


def test_the_error_travels_between_processes(tmp_path):
    error = trouble(tmp_path / "nothing.tif")
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, SceneError)
    assert (again.scene, again.reason, str(again)) == (error.scene, error.reason, str(error))


# how much of a file is read -------------------------------------------------------------------------------------


def test_the_bytes_of_a_window_are_those_of_the_blocks_that_it_touches(tmp_path):
    """Noise does not compress: a block of 64 x 64 pixels of two bytes takes 8 KB, and one without data no place at all."""
    pixels = np.random.default_rng(0).integers(1, 65535, (200, 256)).astype("uint16")
    pixels[:64, :64] = 0
    tiled = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate", "nodata": 0, "SPARSE_OK": "TRUE"}
    path = write(tmp_path / "noise.tif", pixels, **tiled)
    with rasterio.open(path) as source:
        whole = stored_bytes(source, 0, 0, 200, 256)
        assert 0.9 * Path(path).stat().st_size < whole < Path(path).stat().st_size
        assert stored_bytes(source, 0, 0, 64, 64) == 0
        one = stored_bytes(source, 70, 70, 100, 100)
        assert 8000 < one < 8400
        assert stored_bytes(source, 127, 127, 129, 129) == pytest.approx(4 * one, rel=0.01)
        assert stored_bytes(source, 90, 90, 90, 200) == 0  # nothing of it
    with rasterio.open(write(tmp_path / "strips.tif", pixels, blockysize=50)) as source:
        assert stored_bytes(source, 49, 100, 51, 101) == 2 * 50 * 256 * 2


def test_a_format_that_does_not_tell_takes_its_share(tmp_path):
    png = tmp_path / "x.png"
    with rasterio.open(png, "w", driver="PNG", height=100, width=80, count=1, dtype="uint8") as target:
        target.write(np.zeros((1, 100, 80), "uint8"))
    with rasterio.open(png) as source:
        height, width = source.block_shapes[0]
        assert stored_bytes(source, 0, 0, 1, 1) == int(0.75 * height * width)


@pytest.mark.parametrize("pixel", [10.0, 5.0])
def test_a_window_tells_what_was_read_for_it(tmp_path, pixel):
    rows, columns = (int(n * 10 / pixel) for n in (300, 320))
    pixels = np.random.default_rng(1).integers(1, 9000, (rows, columns)).astype("uint16")
    path = write(tmp_path / "noise.tif", pixels, pixel=pixel, tiled=True, blockxsize=64, blockysize=64)
    whole = read_window(path, "s", Target(INSIDE))
    part = read_window(path, "s", Target(INSIDE[:20, :20]))
    assert 0 < part.stored < whole.stored <= Path(path).stat().st_size
