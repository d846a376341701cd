"""Quicklooks, read back with a reader of pictures."""

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from PIL import Image

from imperv.layers.palette import CLASSES, DENSITY
from imperv.tasks.delivery.geotiff import write_geotiff
from imperv.tasks.delivery.quicklooks import write_quicklook

pytest.importorskip("osgeo.gdal")


def draw(folder, pixels, palette):
    grid = GeoBox(pixels.shape, GeoBox.from_bbox((0, 0, 100, 100), "EPSG:3035", shape=(10, 10)).affine, "EPSG:3035")
    write_geotiff(folder / "map.tif", grid, palette, lambda first, last: pixels[first:last])
    size = write_quicklook(folder / "map.png", folder / "map.tif", palette)
    return size, np.array(Image.open(folder / "map.png").convert("RGBA"))


def test_a_small_map_keeps_its_pixels(tmp_path):
    pixels = np.resize(np.array(CLASSES.codes, np.uint8), (30, 20))
    size, found = draw(tmp_path, pixels, CLASSES)
    assert size == (20, 30)
    np.testing.assert_array_equal(found[..., :3], np.array(CLASSES.colours)[pixels])
    np.testing.assert_array_equal(found[..., 3], np.where(pixels == 255, 0, 255))


def test_a_large_map_is_its_first_overview_that_is_small_enough(tmp_path):
    pixels = np.zeros((2100, 1500), np.uint8)
    pixels[:, 750:] = 100
    pixels[1000:] = 255
    size, found = draw(tmp_path, pixels, DENSITY)
    assert size == (375, 525)
    assert (tmp_path / "map.png").stat().st_size < 20_000
    assert tuple(found[0, 0]) == (240, 240, 240, 255)
    assert tuple(found[0, -1]) == (113, 12, 2, 255)
    assert tuple(found[0, 187]) == (175, 74, 51, 255)  # half of each side
    assert found[-1, 0, 3] == 0
