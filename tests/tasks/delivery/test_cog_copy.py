"""Drafts of any number of bands as cloud-optimised GeoTIFFs: what their overviews hold."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from imperv.tasks.delivery.cog import BLOCK, copy_as_cog, draft_form

NODATA = 0


@pytest.mark.parametrize(("rows", "columns", "factors"), [(1300, 1030, [2, 4]), (BLOCK, BLOCK, []), (300, 2 * BLOCK + 2, [2, 4])])
@pytest.mark.parametrize("kernel", [Resampling.average, Resampling.nearest])
def test_every_band_has_the_overviews_of_its_own_pixels(tmp_path, rows, columns, factors, kernel):
    grid = GeoBox((rows, columns), Affine(10, 0, 4_200_000, 0, -10, 2_700_000), "EPSG:3035")
    pixels = np.random.default_rng(1).integers(0, 4, (3, rows, columns)).astype("uint16") * np.uint16([[[1]], [[50]], [[9000]]])
    draft, path = tmp_path / "x.draft", tmp_path / "x.tif"
    with rasterio.open(draft, "w", **draft_form(grid, 3, "uint16", NODATA)) as out:
        out.write(pixels)
        out.descriptions = ("one", "two", "three")
    copy_as_cog(draft, path, kernel)
    with rasterio.open(path) as source:
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG" and source.descriptions == ("one", "two", "three")
        assert [source.overviews(band) for band in (1, 2, 3)] == 3 * [factors]
        assert np.array_equal(source.read(), pixels)
    if not factors:
        return
    with rasterio.open(path, overview_level=0) as source:
        found = source.read()
    y, x = (size // 2 for size in (rows, columns))
    four = pixels[:, : 2 * y, : 2 * x].reshape(3, y, 2, x, 2).astype(float)
    if kernel is Resampling.nearest:
        assert np.array_equal(found[:, :y, :x], four[:, :, 0, :, 0])
        return
    valid = (four != NODATA).sum((2, 4))
    mean = four.sum((2, 4)) / np.maximum(valid, 1)
    assert np.abs(found[:, :y, :x] - mean).max() <= 0.5 and np.array_equal(found[:, :y, :x] == NODATA, valid == 0)
