"""Sharpened bands in EPSG:3035: no data stays with the band that has none."""

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from imperv.grids import Block
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.catalogue.superresolution import SHARP
from imperv.tasks.superresolution.sharpening import WarpBlock


@pytest.mark.parametrize("band", [0, 3, len(SHARP) - 1])
def test_a_band_without_data_darkens_nothing_around_it(band):
    """Files of 60 m bands reach further than those of 10 m: on the edge of a scene some bands have data and others have none."""
    native = GeoBox.from_bbox((677760, 5152000, 678760, 5153000), crs="EPSG:32632", resolution=10)
    source = np.full((len(SHARP), *native.shape.yx), 1000, "u2")
    source[band, 60:] = 0
    where = native.to_crs("EPSG:3035").boundingbox
    grid = GeoBox.from_bbox(
        tuple(10 * round(v / 10) for v in (where.left, where.bottom, where.right, where.top)), crs="EPSG:3035", resolution=10
    )
    out = np.zeros((len(SHARP), *grid.shape.yx), "u2")
    WarpBlock(source, native, grid, out, CATALOGUE["SR10_laea"])(Block(0, 0, *grid.shape.yx))
    others = [k for k in range(len(SHARP)) if k != band]
    assert set(np.unique(out)) == {0, 1000}
    assert (out[others] == out[others[0]]).all()
    assert 0.3 < (out[band] > 0).sum() / (out[others[0]] > 0).sum() < 0.7
    # Nor does it reach over its own edge: a pixel has data where the one of the native grid below its centre has.
    rows, columns = np.mgrid[: grid.shape.y, : grid.shape.x] + 0.5
    x, y = Transformer.from_crs("EPSG:3035", "EPSG:32632", always_xy=True).transform(*(grid.affine * (columns, rows)))
    row, column = np.floor((5153000 - y) / 10).astype(int), np.floor((x - 677760) / 10).astype(int)
    inside = (row >= 0) & (row < 100) & (column >= 0) & (column < 100)
    seen = inside & (source[band][row.clip(0, 99), column.clip(0, 99)] > 0)
    assert ((out[band] > 0) != seen).mean() < 0.002
