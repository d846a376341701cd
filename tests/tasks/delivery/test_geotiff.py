"""The written GeoTIFF, read by other GDALs than the one that wrote it, and held against a validator of others."""

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from rio_cogeo.cogeo import cog_validate

from imperv.layers.palette import CHANGE, CLASSES, DENSITY
from imperv.tasks.delivery.geotiff import write_geotiff
from imperv.tasks.errors import WorkError

pytest.importorskip("osgeo.gdal")

SHAPE = (1100, 1300)
GRID = GeoBox(SHAPE, rasterio.Affine(20, 0, 4300000, 0, -20, 3300000), "EPSG:3035")


def write(path, pixels, palette, grid=GRID):
    return write_geotiff(path, grid, palette, lambda first, last: pixels[first:last], "Density, percent", "%")


@pytest.fixture
def pixels():
    return np.random.default_rng(7).choice(np.array(DENSITY.codes, np.uint8), SHAPE)


def test_a_cloud_optimised_file_in_the_form_that_is_asked_for(tmp_path, pixels, monkeypatch):
    monkeypatch.setattr("imperv.tasks.delivery.geotiff.STRIP_ROWS", 512)  # several strips, the last one cut
    path = tmp_path / "map.tif"
    counts = write(path, pixels, DENSITY)
    assert cog_validate(path, strict=True, quiet=True) == (True, [], [])
    assert counts == dict(zip(*(a.tolist() for a in np.unique(pixels, return_counts=True)), strict=True))
    with rasterio.open(path) as source:
        assert (source.dtypes, source.nodata, source.block_shapes) == (("uint8",), 255, [(512, 512)])
        assert source.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "LZW"
        assert source.overviews(1) == [2, 4]
        assert (source.descriptions, source.units) == (("Density, percent",), ("%",))
        assert (source.crs.to_epsg(), source.transform) == (3035, GRID.affine)
        assert [source.colormap(1)[code][:3] for code in range(256)] == list(DENSITY.colours)
        np.testing.assert_array_equal(source.read(1), pixels)
    assert [p.name for p in tmp_path.iterdir()] == ["map.tif"]


@pytest.mark.parametrize(("level", "factor"), [(0, 2), (1, 4)])
def test_overviews_of_a_quantity(tmp_path, pixels, level, factor):
    write(tmp_path / "map.tif", pixels, DENSITY)
    rows, columns = (n // factor * factor for n in SHAPE)
    blocks = pixels[:rows, :columns].reshape(rows // factor, factor, columns // factor, factor).astype(float)
    blocks[blocks == 255] = np.nan
    expected = np.floor(np.nanmean(blocks, axis=(1, 3)) + 0.5)
    with rasterio.open(tmp_path / "map.tif", overview_level=level) as source:
        found = source.read(1)
    np.testing.assert_array_equal(found[: rows // factor, : columns // factor], expected)
    assert found.shape == (-(-SHAPE[0] // factor), -(-SHAPE[1] // factor))


def test_overviews_of_classes_hold_classes_only(tmp_path):
    pixels = np.random.default_rng(1).choice(np.array(CLASSES.codes, np.uint8), SHAPE)
    write(tmp_path / "map.tif", pixels, CLASSES)
    with rasterio.open(tmp_path / "map.tif", overview_level=1) as source:
        np.testing.assert_array_equal(source.read(1), pixels[2::4, 2::4])


def test_a_small_window_has_no_overviews(tmp_path):
    grid = GeoBox((20, 30), GRID.affine, "EPSG:3035")
    pixels = np.full((20, 30), 201, np.uint8)
    assert write(tmp_path / "map.tif", pixels, CHANGE, grid) == {201: 600}
    assert cog_validate(tmp_path / "map.tif", strict=True, quiet=True)[0]
    with rasterio.open(tmp_path / "map.tif") as source:
        assert source.overviews(1) == []


def test_the_same_pixels_give_the_same_bytes(tmp_path, pixels):
    for name in ("a.tif", "b.tif"):
        write(tmp_path / name, pixels, DENSITY)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_codes_that_cannot_be_averaged_are_told(tmp_path):
    with pytest.raises(WorkError, match=r"^map.tif: .*codes above 201.*not delivered$"):
        write(tmp_path / "map.tif", np.full(SHAPE, 230, np.uint8), CHANGE)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path, pixels, capfd):
    (tmp_path / "map.tif").mkdir()
    with pytest.raises(WorkError, match=r"^map.tif: GDAL cannot write it"):
        write(tmp_path / "map.tif", pixels, DENSITY)
    assert [p.name for p in tmp_path.iterdir()] == ["map.tif"]
    assert capfd.readouterr().err == ""
