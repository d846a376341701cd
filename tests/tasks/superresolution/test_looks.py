"""Looks on the native grid, against plain reads by rasterio: every pixel is that of the file, or none.

Policy: what could not be told from measured pixels (another pixel size, another grid, floats) is refused in one line.
"""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox

from imperv.tasks.scenes.item_files import ItemFiles
from imperv.tasks.scenes.scenes import BANDS, SceneList, select_scenes
from imperv.tasks.settings.periods import Period
from imperv.tasks.superresolution.looks import CODES, bands_of, looks_of, mask_of, rank_looks

EVERYWHERE = (-180.0, -90.0, 180.0, 90.0)


def grid_of(left: float, bottom: float, right: float, top: float, resolution: float, epsg: int = 32632) -> GeoBox:
    return GeoBox.from_bbox((left, bottom, right, top), crs=f"EPSG:{epsg}", resolution=resolution, tight=True)


def plain(path: str, grid: GeoBox) -> np.ndarray:
    """Pixels of a file around a grid, one by one from the coordinates of their centres; 0 outside."""
    out = np.zeros(grid.shape, "int64")
    with rasterio.open(path) as source:
        pixels = source.read(1)
        for row in range(grid.shape.y):
            for column in range(grid.shape.x):
                y, x = source.index(*(grid.affine * (column + 0.5, row + 0.5)))
                if 0 <= y < source.height and 0 <= x < source.width:
                    out[row, column] = pixels[y, x]
    return out


@pytest.fixture(scope="module")
def flanders_scenes(shared_data) -> SceneList:
    return select_scenes(ItemFiles(shared_data / "flanders").search(EVERYWHERE, Period.parse("2018-05")), needed=BANDS)


@pytest.mark.parametrize(("resolution", "names"), [(10, ("B02", "B08")), (20, ("B05", "B12"))])
def test_real_bands_are_those_of_the_files(flanders_scenes, resolution, names):
    grid = grid_of(501360 - 40, 5629660 - 700, 501360 + 500, 5629660 + 60, resolution, 32631)
    for look in looks_of(flanders_scenes)[:3]:
        found = bands_of(look, names, grid)
        assert found.dtype == np.uint16
        for k, name in enumerate(names):
            raw = plain(look.scenes[0].bands[name], grid)
            np.testing.assert_array_equal(found[k], np.where(raw > 0, np.maximum(raw - look.scenes[0].subtract, 1), 0))


def test_looks_are_ranked_by_what_is_clear(flanders_scenes):
    grid = grid_of(501360, 5629660 - 620, 501360 + 640, 5629660, 10, 32631)
    ranked = rank_looks(flanders_scenes, grid)
    assert len(ranked) == len(looks_of(flanders_scenes)) > 5
    assert [clear for _, _, clear in ranked] == sorted((clear for _, _, clear in ranked), reverse=True)
    for look, data, clear in ranked:
        with rasterio.open(look.scenes[0].bands["SCL"]) as source:
            classes = source.read(1)
        assert data == (classes > 0).mean()
        assert clear == np.isin(classes, (1, 2, 4, 5, 6, 7)).mean()
        np.testing.assert_array_equal(mask_of(look, grid.zoom_to(resolution=20)), CODES[classes])
