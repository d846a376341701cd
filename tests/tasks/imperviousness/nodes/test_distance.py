"""OSM_distance as a node: the same metres as SciPy's over everything at once, whatever window or block computes them."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import rasterio.features
import shapely
from affine import Affine
from scipy.ndimage import distance_transform_edt

from imperv.grids import GridSpec
from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.nodes.distance import CELL, make_distance
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from imperv.tasks.store.records import Record

LEFT, BOTTOM, RIGHT, TOP = WINDOW = (3_898_000, 3_101_000, 3_900_000, 3_103_000)
"""Two by two kilometres at the eastern edge of tile E38N31."""


@pytest.fixture
def job(tmp_path):
    """Makes the job of a window of a tile that has no CLC+ of now."""

    def make(window=WINDOW, tile="E38N31", references="", reach=600) -> Job:
        (tmp_path / "production.toml").write_text(
            f'[periods]\nthen = "2018"\nnow = "2021"\n[area]\nbbox = {list(window)}\n[scenes]\ncatalogue = "x"\n'
            f"[engine]\nworkers = 1\n[references]\n{references}\n[parameters.proxy]\nreach = {reach}\n"
        )
        made = Job.of(Production.read(tmp_path), tile)
        record = Record("CLCP_now", tile, "key", made=False, reason="none", start="2021-01-01", end="2021-12-31")
        made.store.write_record(made.place("CLCP_now").record, record)
        return made

    return make


@pytest.fixture(scope="module")
def scenery(tmp_path_factory):
    """Roads and houses in and around the window, some of them beyond its tile; thinned out to the west."""
    rng, folder = np.random.default_rng(3), tmp_path_factory.mktemp("vectors")
    corners = rng.uniform((LEFT + 900, BOTTOM - 800), (RIGHT + 800, TOP + 800), (12, 2))
    roads = [shapely.LineString([p, p + rng.normal(0, 250, 2), p + rng.normal(0, 400, 2)]) for p in corners]
    roads.append(shapely.LineString([(LEFT + 1000, BOTTOM - 9000), (LEFT + 1000, TOP + 9000)]))  # along the edge of pixels
    houses = [shapely.box(x, y, x + 14, y + 9) for x, y in rng.uniform((LEFT + 900, BOTTOM - 500), (RIGHT + 500, TOP), (40, 2))]
    tables = {"roads.gpkg": roads, "houses.geojson": houses}
    for name, shapes in tables.items():
        gpd.GeoDataFrame(geometry=shapes, crs="EPSG:3035").to_crs(4326).to_file(folder / name)
    return f'roads = ["{folder}/roads.gpkg"]\nbuildings = ["{folder}/houses.geojson"]', [*roads, *houses]


def pixels(job: Job, monkeypatch=None, block: int | None = None) -> np.ndarray:
    if block:
        monkeypatch.setattr("imperv.tasks.job.spec_of", lambda resolution: GridSpec(10, block // 10, block // 10))
    made = make_distance(job, CATALOGUE["OSM_distance"])
    assert made.made and made.statistics["roads"] == 13
    return job.array("OSM_distance")[:]


def test_metres_are_those_of_the_whole(job, scenery):
    """Everything within 2 km drawn at once by GDAL, the distance by SciPy."""
    references, shapes = scenery
    found = pixels(job(references=references))
    around = Affine(10, 0, LEFT - 2000, 0, -10, TOP + 2000)
    # As the file has them: what degrees round away may move a road off the edge of a pixel.
    stored = list(gpd.GeoSeries(shapes, crs=3035).to_crs(4326).to_crs(3035))
    mask = rasterio.features.rasterize(stored, out_shape=(600, 600), transform=around, all_touched=True).astype(bool)
    expected = np.minimum(10 * distance_transform_edt(~mask), 600)[200:400, 200:400]
    # Apart from shapes along an edge, whose pixels GDAL takes from one side or the other.
    assert (np.abs(found - expected) < 1e-3).mean() > 0.9 and np.abs(found - expected).max() <= 10.01
    assert found.min() == 0 and found.max() == 600


@pytest.mark.slow
def test_blocks_and_windows_do_not_matter(job, scenery, monkeypatch):
    references, _ = scenery
    whole = pixels(job(references=references))
    np.testing.assert_array_equal(pixels(job(references=references), monkeypatch, 700), whole)
    part = job((LEFT + 1000, BOTTOM, RIGHT, BOTTOM + 1000), references=references)
    np.testing.assert_array_equal(pixels(part), whole[100:, 100:])


def test_neighbouring_tiles_agree(job, scenery, monkeypatch):
    """The roads beyond the tile's edge count: one window over both tiles gives the same as each tile alone."""
    references, _ = scenery
    ours = pixels(job(references=references))
    other = pixels(job((RIGHT, BOTTOM, RIGHT + 1000, TOP), "E39N31", references))
    assert (np.abs(ours[:, -1] - other[:, 0]) <= 10.001).all()  # a step of a pixel changes a distance by a pixel at most
    assert other[:, 0].min() < 600 and CELL * 10 == 5000


def test_nothing_near_is_far_away_and_said(job, tmp_path, scenery):
    gpd.GeoDataFrame(geometry=[shapely.LineString([(0, 0), (1, 1)])], crs="EPSG:4326").to_file(tmp_path / "far.gpkg")
    here = job(references='roads = ["far.gpkg"]')
    made = make_distance(here, CATALOGUE["OSM_distance"])
    assert (here.array("OSM_distance")[:] == 600).all()
    assert made.warnings == (f"none of the roads of {tmp_path / 'far.gpkg'} lies in or near tile E38N31",)


def test_without_roads_it_is_refused(job):
    with pytest.raises(InputError, match="references.roads: is missing; tile E38N31 has no CLCplus of now"):
        make_distance(job(), CATALOGUE["OSM_distance"])
