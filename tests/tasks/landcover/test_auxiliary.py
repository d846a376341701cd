"""Maps to compare with: HRLs by name, any coded raster by its colours, Urban Atlas as vectors."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin

from imperv.tasks.errors import InputError
from imperv.tasks.landcover.auxiliary import read_auxiliary

LEFT, TOP = 4_420_000, 2_600_000
GRID = GeoBox.from_bbox((LEFT, TOP - 100, LEFT + 100, TOP), crs="EPSG:3035", resolution=5)


def raster(path, codes, colours=None):
    profile = {"driver": "GTiff", "height": 10, "width": 10, "count": 1, "dtype": "uint8", "nodata": 255, "crs": "EPSG:3035"}
    with rasterio.open(path, "w", **profile, transform=from_origin(LEFT, TOP, 10, 10)) as file:
        file.write(codes.astype("u1"), 1)
        if colours:
            file.write_colormap(1, colours)
    return str(path)


def test_a_density_has_a_legend_of_percents(tmp_path):
    codes = np.full((10, 10), 40)
    codes[0] = 255
    found = read_auxiliary("imperviousness", raster(tmp_path / "imd.tif", codes), GRID)
    assert found.pixels.shape == (20, 20) and (found.pixels[2:] == 40).all() and (found.pixels[:2] == 255).all()
    assert found.title == "HRL Imperviousness density" and found.legend[40].name == "40 % imperviousness"
    assert found.to_json()["legend"][40]["share"] == 1


def test_classes_of_an_hrl_and_of_any_coded_raster(tmp_path):
    codes = np.where(np.arange(10) < 5, 1, 4)[None].repeat(10, 0)
    water = read_auxiliary("water_wetness", raster(tmp_path / "waw.tif", codes), GRID)
    assert [water.legend[k].name for k in np.unique(water.pixels)] == ["Permanent water", "Temporary wetness"]
    other = read_auxiliary("mine", raster(tmp_path / "o.tif", codes, {1: (1, 2, 3, 255), 4: (9, 8, 7, 255)}), GRID)
    assert [(e.code, e.colour) for e in other.legend] == [(1, (1, 2, 3)), (4, (9, 8, 7))]
    assert [e["share"] for e in other.to_json()["legend"]] == [0.5, 0.5]


def test_urban_atlas_is_drawn_with_its_names_and_colours(tmp_path):
    shapes = [shapely.box(LEFT, TOP - 100, LEFT + 50, TOP), shapely.box(LEFT + 50, TOP - 100, LEFT + 100, TOP)]
    frame = geopandas.GeoDataFrame({"code_2018": ["11100", "50000"]}, geometry=shapes, crs="EPSG:3035")
    frame.to_file(tmp_path / "ua.gpkg")
    found = read_auxiliary("ua", str(tmp_path / "ua.gpkg"), GRID)
    assert found.title == "Urban Atlas" and [e.name for e in found.legend] == ["Continuous urban fabric", "Water"]
    assert (found.pixels[:, :10] == 0).all() and (found.pixels[:, 10:] == 1).all()


def test_files_that_cannot_serve_are_one_line(tmp_path):
    with pytest.raises(InputError, match=r"references.auxiliary.x: .*does not exist"):
        read_auxiliary("x", str(tmp_path / "none.tif"), GRID)
    (tmp_path / "text.txt").write_text("no map")
    with pytest.raises(InputError, match="cannot be read"):
        read_auxiliary("x", str(tmp_path / "text.txt"), GRID)
    frame = geopandas.GeoDataFrame({"kind": ["a"]}, geometry=[shapely.box(LEFT, TOP - 100, LEFT + 50, TOP)], crs="EPSG:3035")
    frame.to_file(tmp_path / "k.gpkg")
    with pytest.raises(InputError, match="has none of the columns"):
        read_auxiliary("x", str(tmp_path / "k.gpkg"), GRID)
