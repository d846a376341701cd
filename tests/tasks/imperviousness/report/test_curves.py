"""NDVI of typical pixels: observations as they are resampled for the features, and why a line may lie beside them."""

import numpy as np
import pytest
import rasterio
from scipy.ndimage import map_coordinates

from imperv.tasks.imperviousness.report.curves import Curve, bilinear, distance_note, nearest


@pytest.fixture
def raster(tmp_path):
    pixels = np.random.default_rng(3).integers(1, 5000, (12, 17)).astype("u2")
    profile = {"driver": "GTiff", "height": 12, "width": 17, "count": 1, "dtype": "uint16", "crs": "EPSG:32631"}
    with rasterio.open(tmp_path / "band.tif", "w", transform=rasterio.Affine(10, 0, 0, 0, -10, 0), **profile) as out:
        out.write(pixels, 1)
    with rasterio.open(tmp_path / "band.tif") as source:
        yield source, pixels


def testbilinear_pixels_as_another_implementation_has_it(raster):
    source, pixels = raster
    rng = np.random.default_rng(4)
    columns, rows = rng.uniform(0.5, 16.5, 200), rng.uniform(0.5, 11.5, 200)
    expected = map_coordinates(pixels.astype(float), [rows - 0.5, columns - 0.5], order=1)
    found = [bilinear(source, x, y) for x, y in zip(columns, rows, strict=True)]
    assert np.allclose(found, expected)
    assert [nearest(source, x, y) for x, y in zip(columns, rows, strict=True)] == pixels[
        rows.astype(int), columns.astype(int)
    ].tolist()


def test_at_the_edge_and_beyond(raster):
    source, pixels = raster
    assert bilinear(source, 0.1, 0.1) == pixels[0, 0] and bilinear(source, 16.9, 11.9) == pixels[11, 16]
    for place in ((-1.0, 5.0), (5.0, -1.0), (18.0, 5.0), (5.0, 13.0)):
        assert bilinear(source, *place) == 0 and nearest(source, *place) == 0


def test_pixels_without_data_take_no_part(tmp_path):
    profile = {"driver": "GTiff", "height": 2, "width": 2, "count": 1, "dtype": "uint16", "crs": "EPSG:32631"}
    with rasterio.open(tmp_path / "band.tif", "w", transform=rasterio.Affine(10, 0, 0, 0, -10, 0), **profile) as out:
        out.write(np.array([[100, 0], [0, 0]], "u2"), 1)
    with rasterio.open(tmp_path / "band.tif") as source:
        assert bilinear(source, 1.0, 1.0) == 100 and bilinear(source, 1.6, 1.6) == 0


def curve(offset: float, clear: bool = True) -> Curve:
    time = np.linspace(0, 1, 183, endpoint=False)
    line = 0.5 + 0.2 * np.sin(2 * np.pi * time)
    looks = tuple((t, 0.5 + 0.2 * np.sin(2 * np.pi * t) + offset, clear) for t in (0.05, 0.3, 0.55, 0.997))
    return Curve("Trees", 0, 0, (0, 0), time, {"now": line}, {"now": looks})


def test_a_line_that_misses_its_dots_says_why():
    assert distance_note(curve(0.08)).startswith("Clear observations lie on average 0.08 above the line of now, which is fitted")
    assert "0.05 below" in distance_note(curve(-0.05))
    assert distance_note(curve(0.01)) == "" and distance_note(curve(0.2, clear=False)) == ""
