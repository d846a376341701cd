"""CLC+ of now: when a tile has it, when a proxy takes its place, when neither can be; what is not needed costs nothing."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine

from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.nodes.clcplus import GIVEN, clcplus_is_given, clcplus_missing, make_clcplus_now, not_needed
from imperv.tasks.imperviousness.nodes.distance import make_distance
from imperv.tasks.job import Job
from imperv.tasks.nodes import ingredients, make_node, standing
from imperv.tasks.references.references import make_reference
from imperv.tasks.settings.production import Production
from imperv.tasks.store.records import Record

CORNER = (3_829_000, 3_103_000)
SHAPE = (200, 200)
ROADS = 'roads = ["roads.gpkg"]'


@pytest.fixture
def job(tmp_path):
    def make(references: str) -> Job:
        (tmp_path / "production.toml").write_text(
            '[periods]\nthen = "2018"\nnow = "2021"\n[area]\nbbox = [3829000, 3101000, 3831000, 3103000]\n'
            f'[scenes]\ncatalogue = "x"\n[engine]\nworkers = 1\n[references]\n{references}\n'
        )
        return Job.of(Production.read(tmp_path), "E38N31")

    return make


@pytest.fixture
def raster(tmp_path):
    """Writes a CLC+ raster, and says how a production names it."""

    def write(codes, corner=CORNER, key="clcplus_now", nodata=255) -> str:
        with rasterio.open(
            tmp_path / f"{key}.tif", "w", driver="GTiff", height=codes.shape[0], width=codes.shape[1], count=1, dtype="uint8",
            crs="EPSG:3035", transform=Affine(10, 0, corner[0], 0, -10, corner[1]), nodata=nodata,
        ) as out:  # fmt: skip
            out.write(codes, 1)
        return f'{key} = "{key}.tif"\n'

    return write


def codes(*patches: tuple[slice, int]) -> np.ndarray:
    found = np.full(SHAPE, 7, "u1")
    for rows, code in patches:
        found[rows] = code
    return found


def made_of(job: Job, symbol: str, **statistics) -> None:
    """A record as if the layer were made."""
    record = Record(symbol, "E38N31", "key", statistics=statistics, start="2021-01-01", end="2021-12-31")
    job.store.write_record(job.place(symbol).record, record)


def test_a_raster_with_data_is_given(job, raster):
    here = job(raster(codes((slice(0, 199), 255))) + ROADS)
    assert clcplus_missing(here) == ""
    assert make_clcplus_now(here, CATALOGUE["CLCP_now"]).made


@pytest.mark.parametrize(
    ("array", "corner", "words"),
    [
        (codes(), (4_829_000, 3_103_000), "does not cover tile E38N31"),
        (codes((slice(None), 255)), CORNER, "holds no data inside tile E38N31"),
        (codes((slice(None), 254)), CORNER, "holds no data inside tile E38N31"),
        (None, CORNER, "is missing"),
    ],
)
def test_otherwise_a_proxy_takes_its_place_if_there_are_roads(job, raster, array, corner, words):
    named = "" if array is None else raster(array, corner)
    made = make_clcplus_now(job(named + ROADS), CATALOGUE["CLCP_now"])
    assert not made.made and words in made.reason and "CLCP_proxy takes its place" in made.reason
    with pytest.raises(InputError, match="name references.roads") as caught:
        clcplus_missing(job(named))
    said = str(caught.value)
    assert words in said and said.startswith("references.clcplus_now: ") and "\n" not in said


def test_sea_is_not_missing(job, raster):
    here = job(raster(codes((slice(None), 253))) + ROADS)
    assert clcplus_missing(here) == ""


def test_a_file_that_is_named_but_not_there_is_no_reason_for_a_proxy(job):
    with pytest.raises(InputError, match="clcplus_now: .*gone.tif does not exist"):
        clcplus_missing(job('clcplus_now = "gone.tif"\n' + ROADS))


@pytest.mark.parametrize(
    ("histogram", "roads", "reason"),
    [
        ({"1": 9, "7": 1}, True, GIVEN),
        ({"1": 9, "253": 1}, True, GIVEN),
        ({"1": 9, "254": 1}, True, ""),
        ({"1": 9, "255": 1}, True, ""),
        ({"1": 9, "255": 1}, False, GIVEN),
    ],
)
def test_a_tile_with_clcplus_needs_no_proxy_but_for_its_holes(job, histogram, roads, reason):
    here = job(ROADS if roads else "")
    made_of(here, "CLCP_now", CLCP_now={"histogram": histogram})
    assert not_needed(here, "OSM_distance") == reason
    assert clcplus_is_given(here) == bool(reason)


def test_before_there_is_a_record_the_production_file_tells(job, raster):
    assert clcplus_is_given(job(raster(codes())))
    assert not clcplus_is_given(job(ROADS))


def test_holes_where_then_knows_nothing_either_need_no_proxy(job, raster):
    """Off the coast CLC+ ends in both years."""
    for now, then, needed in [((0, 50), (0, 50), False), ((0, 50), (0, 40), True), ((0, 40), (0, 50), False)]:
        named = raster(codes((slice(*now), 255))) + raster(codes((slice(*then), 255)), key="clcplus_then") + ROADS
        here = job(named)
        for symbol in ("CLCP_then", "CLCP_now"):
            made = make_reference(here, CATALOGUE[symbol])
            made_of(here, symbol, **made.statistics)
        if needed:  # then it asks for the roads, which are not there
            with pytest.raises(InputError, match="roads.gpkg does not exist"):
                make_distance(here, CATALOGUE["OSM_distance"])
        else:
            made = make_distance(here, CATALOGUE["OSM_distance"])
            assert not made.made and made.reason == "CLCplus of now is given wherever that of then is"


def test_what_is_not_needed_is_not_made_and_nothing_but_the_reason_is_in_its_key(job):
    here = job("")
    made_of(here, "CLCP_now", CLCP_now={"histogram": {"1": 9}})
    for symbol in ("CLCP_then", "PP_then", "PP_now"):
        made_of(here, symbol)
    for symbol in ("OSM_distance", "CLCP_proxy_model", "CLCP_proxy"):
        assert ingredients(here, CATALOGUE[symbol])["not made"] == GIVEN
        made, ran = make_node(here, symbol)
        assert ran and (made.made, made.reason, made.digest) == (False, GIVEN, "")
        assert standing(here, symbol).state == "up to date"
    other = job("[parameters.proxy]\ntrees = 3\nreach = 100")
    assert standing(other, "CLCP_proxy_model").state == standing(other, "OSM_distance").state == "up to date"


def test_a_layer_that_is_no_longer_made_leaves_no_data(job, raster):
    here = job(raster(codes()) + ROADS)
    make_node(here, "CLCP_now")
    data = here.store.full(here.place("CLCP_now").data)
    assert here.store.fs.exists(data)
    there = job(ROADS)
    record, ran = make_node(there, "CLCP_now")
    assert ran and not record.made and not here.store.fs.exists(data)
    assert standing(there, "CLCP_now").state == "up to date"
    assert standing(here, "CLCP_now").state == "run"
