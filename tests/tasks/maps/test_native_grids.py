"""Map tiles of layers on native UTM grids, against GDAL's nearest neighbour from the same pixels, and values against pyproj."""

from __future__ import annotations

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.transform import from_origin
from rasterio.warp import Resampling, reproject

from imperv.grids.pyramid import EDGE, pixel_size, tile_bounds
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.colouring import coarser, colour_table
from imperv.tasks.job import Job, attributes
from imperv.tasks.maps.layers import MapLayer, StoreSource
from imperv.tasks.maps.tiles import MapTiles
from imperv.tasks.settings.production import Production
from imperv.tasks.store.records import Record
from tests.support.portal import tile_at
from tests.tasks.maps.test_map_tiles import held, picture

TILE, BBOX = "E44N26", (4_420_000, 2_680_000, 4_424_000, 2_684_000)


@pytest.fixture(scope="module")
def native(tmp_path_factory) -> tuple[Job, MapLayer, np.ndarray, GeoBox]:
    """A cloud mask of random codes, 2 x 2 pixels each, on the granules' grid."""
    folder = tmp_path_factory.mktemp("native")
    (folder / "production.toml").write_text(
        f'product = "superresolution"\ntiles = ["{TILE}"]\n[periods]\nspan = "2021-06"\n[scenes]\ncatalogue = "items.json"\n'
        f"[area]\nbbox = {list(BBOX)}\n"
    )
    job, layer = Job.of(Production.read(folder / "production.toml"), TILE), CATALOGUE["SR_mask"]
    grid, place = job.grid_of(layer), job.place("SR_mask")
    codes = np.random.default_rng(5).integers(0, 6, ((grid.shape.y + 1) // 2, (grid.shape.x + 1) // 2)).repeat(2, 0).repeat(2, 1)
    codes = codes[: grid.shape.y, : grid.shape.x].astype("u1")
    with job.store.writing_arrays(place, grid, layer.resolution, layer.variables, attributes(job, layer)) as out:
        out["SR_mask"][:] = codes
    files, size = job.store.measure(place.data)
    days = {"start": "2021-06-01", "end": "2021-06-30"}
    job.store.write_record(
        place.record, Record("SR_mask", TILE, "key", href=place.data, bbox=job.bounds, files=files, size=size, **days)
    )
    return job, held(StoreSource(job.store)).layers["SR_mask.2021-06.0"], codes, grid


@pytest.mark.parametrize("z", [14, 12, 11, 10, 9, 7])
def test_a_pixel_shows_the_one_below_its_centre(native, z):
    _, layer, codes, grid = native
    x, y = tile_at(z, BBOX[0] + 1500, BBOX[3] - 1500)
    factor = max(1, int(pixel_size(z) / 20))
    cells = coarser(layer.view, codes[None], factor)[0] if factor > 1 else codes
    left, _, _, top = tile_bounds(z, x, y)
    wanted = np.zeros((EDGE, EDGE), "u1")
    reproject(
        cells, wanted, src_transform=grid.affine * grid.affine.scale(factor), src_crs=str(grid.crs),
        dst_transform=from_origin(left, top, pixel_size(z), pixel_size(z)), dst_crs="EPSG:3035", resampling=Resampling.nearest,
        src_nodata=0, dst_nodata=0, tolerance=0,
    )  # fmt: skip
    found = picture(MapTiles().tile(layer, z, x, y))
    table = colour_table(layer.view.palette, layer.view.variable.nodata)
    same = (found == table[wanted]).all(axis=2)
    # Centres that lie on an edge of two pixels, and the rim, where cells reach over the grid.
    assert same[wanted > 0].mean() > 0.995 and (found[..., 3] > 0).mean() == pytest.approx((wanted > 0).mean(), abs=0.02)


def test_values_are_of_the_pixel_below_the_place(native):
    _, layer, codes, grid = native
    tiles, turn = MapTiles(), Transformer.from_crs("EPSG:3035", grid.crs, always_xy=True)
    rng = np.random.default_rng(1)
    for easting, northing in rng.uniform((BBOX[0], BBOX[1]), (BBOX[2], BBOX[3]), (50, 2)):
        column, row = ~grid.affine * turn.transform(easting, northing)
        code = int(codes[int(row), int(column)])
        told = tiles.values(layer, easting, northing)["values"][0]["stored"]
        assert told == (code or None)


def test_a_map_tile_beside_the_layer_is_empty(native):
    _, layer, _, _ = native
    assert MapTiles().tile(layer, 12, *tile_at(12, BBOX[0] - 50_000, BBOX[3])) == b""
