"""Building footprints: every format gives the same layer, only the window is read, and what is wrong is counted or refused."""

from __future__ import annotations

import gzip
import json
import math
import pickle
import struct
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pyogrio
import pytest
import shapely
from pyproj import Transformer

from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.engine import Engine
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.references.footprints import count_footprints, look_at_footprints, make_footprints
from imperv.tasks.references.sources import Source, Tally, check_footprints, footprint_sources, sound_polygons
from imperv.tasks.settings.production import Production
from imperv.tasks.store.store import Store
from tests.support.range_server import serving

LEFT, BOTTOM, RIGHT, TOP = WINDOW = (3_829_000, 3_101_000, 3_831_000, 3_103_000)
"""Two by two kilometres of tile E38N31."""


@pytest.fixture
def job(tmp_path):
    """Makes the job of the window, or another, with some footprints."""

    def make(*footprints: object, more: str = "", window=WINDOW) -> Job:
        (tmp_path / "production.toml").write_text(
            f'tiles = ["E38N31"]\n[periods]\nthen = "2018"\nnow = "2021"\n[area]\nbbox = {list(window)}\n'
            f'[scenes]\ncatalogue = "items.json"\n[references]\nfootprints = {[str(f) for f in footprints]}\n{more}'
        )
        return Job.of(Production.read(tmp_path), "E38N31")

    return make


def make(job: Job):
    """What the task tells, and the pixels it stored."""
    made = make_footprints(job, CATALOGUE["IBUD_ref"])
    leftovers = list(Path(job.store.root).rglob("*.part-*"))
    assert not leftovers
    return made, job.array("IBUD_ref")[:]


def refusal(job: Job) -> str:
    place = job.store.full(job.place("IBUD_ref").data)
    before = job.store.fs.exists(place)
    with pytest.raises(InputError) as caught:
        make_footprints(job, CATALOGUE["IBUD_ref"])
    message = str(caught.value)
    assert message.startswith("references.footprints: ") and "\n" not in message
    assert job.store.fs.exists(place) == before
    assert not list(Path(job.store.root).rglob("*.part-*"))
    return message


def rectangle(x0, y0, x1, y1) -> shapely.Polygon:
    """In metres to the right of and below the window's corner."""
    return shapely.box(LEFT + x0, TOP - y1, LEFT + x1, TOP - y0)


def houses(count: int = 60, seed: int = 0) -> list[shapely.Polygon]:
    """Buildings at all angles, some with courtyards, all around the window too."""
    rng = np.random.default_rng(seed)
    found = []
    for x, y in rng.uniform(-300, 2300, (count, 2)):
        shape = rectangle(x, y, x + rng.uniform(5, 60), y + rng.uniform(5, 40))
        if rng.random() < 0.3:
            shape = shape.difference(shape.centroid.buffer(2))
        found.append(shapely.affinity.rotate(shape, rng.uniform(0, 90)))
    return found


def exact(shapes) -> np.ndarray:
    """Share of each pixel by its intersection with the union, where any building comes near."""
    union, share = shapely.union_all(list(shapes)), np.zeros((200, 200))
    shapely.prepare(union)
    y, x = np.mgrid[0:200, 0:200]
    cells = shapely.box(LEFT + 10 * x, TOP - 10 * y - 10, LEFT + 10 * x + 10, TOP - 10 * y)
    some = shapely.intersects(union, cells)
    share[some] = shapely.area(shapely.intersection(cells[some], union)) / 100
    return share


def frame(shapes, crs="EPSG:3035") -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(geometry=list(shapes), crs="EPSG:3035").to_crs(crs)


def features(shapes) -> list[str]:
    """One GeoJSON feature a shape, as Microsoft writes them."""
    return [
        json.dumps(
            {"type": "Feature", "properties": {"height": -1.0, "confidence": -1.0}, "geometry": shapely.geometry.mapping(s)}
        )
        for s in frame(shapes, "EPSG:4326").geometry
    ]


def google(shapes, confidence=0.9) -> str:
    rows = ["latitude,longitude,area_in_meters,confidence,geometry,full_plus_code"]
    for shape, known in zip(frame(shapes, "EPSG:4326").geometry, np.broadcast_to(confidence, len(shapes)), strict=True):
        middle = shape.centroid
        text = shapely.to_wkt(shape, rounding_precision=-1)
        rows.append(f'{middle.y},{middle.x},{100.0},{known},"{text}",9F36Q28X+XX')
    return "\n".join(rows) + "\n"


WRITERS = {
    "a.gpkg": lambda path, s: frame(s).to_file(path),
    "a.fgb": lambda path, s: frame(s, "EPSG:31370").to_file(path),
    "a.shp": lambda path, s: frame(s, "EPSG:32631").to_file(path),
    "a.geojson": lambda path, s: frame(s, "EPSG:4326").to_file(path, COORDINATE_PRECISION=12),
    "a.geojson.gz": lambda path, s: path.write_bytes(gzip.compress(frame(s, "EPSG:4326").to_json().encode())),
    "a.geojsonl": lambda path, s: path.write_text("\n".join(features(s))),
    "a.csv.gz": lambda path, s: path.write_bytes(gzip.compress(("\n".join(features(s)) + "\n").encode())),
    "google.csv": lambda path, s: path.write_text(google(s)),
    "google.csv.gz": lambda path, s: path.write_bytes(gzip.compress(google(s).encode())),
    "google.csv.zst": lambda path, s: path.write_bytes(bytes(pa.compress(google(s).encode(), "zstd"))),
    "a.parquet": lambda path, s: frame(s, "EPSG:4326").to_parquet(path),
    "bbox.geoparquet": lambda path, s: frame(s).to_parquet(path, write_covering_bbox=True, row_group_size=10),
}


# formats ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_shares(tmp_path, job, name):
    shapes = houses()
    WRITERS[name](tmp_path / name, shapes)
    made, found = make(job(name))
    np.testing.assert_allclose(found, exact(shapes), atol=2e-3 if name.endswith("shp") else 1e-4)
    inside = int(shapely.intersects(shapes, shapely.box(*WINDOW)).sum())
    assert 0 < inside < len(shapes)
    assert made.statistics["footprints"] == inside
    assert made.statistics["sources"] == [
        {"source": str(tmp_path / name), "files": 1, "read": inside, "used": inside, "repaired": 0, "dropped": {}}
    ]
    assert made.warnings == ()


def test_real_footprints(shared_data, job):
    path = shared_data / "flanders" / "reference" / "footprints.geojson"
    made, found = make(job(path))
    shapes = gpd.read_file(path).to_crs("EPSG:3035").geometry
    assert made.statistics["footprints"] == len(shapes) == 45
    assert made.warnings == ()
    np.testing.assert_allclose(found, exact(shapes), atol=1e-6)
    assert found.min() == 0 and found.max() == 1


def test_the_union_of_several_sources_counts(tmp_path, job):
    frame([rectangle(0, 0, 8, 10), rectangle(100, 100, 110, 110)]).to_file(tmp_path / "osm.gpkg")
    (tmp_path / "msb.csv").write_text("\n".join(features([rectangle(2, 0, 10, 10), rectangle(200, 100, 210, 110)])))
    made, found = make(job("osm.gpkg", "msb.csv"))
    assert [s["used"] for s in made.statistics["sources"]] == [2, 2]
    assert found[0, 0] == pytest.approx(1, abs=1e-4)
    assert found.sum() == pytest.approx(3, abs=1e-3)


def test_files_patterns_and_folders(tmp_path, job):
    (tmp_path / "be" / "deep").mkdir(parents=True)
    frame([rectangle(0, 0, 10, 10)]).to_file(tmp_path / "be" / "a.gpkg")
    (tmp_path / "be" / "deep" / "b.csv").write_text(features([rectangle(20, 0, 30, 10)])[0])
    (tmp_path / "be" / "readme.txt").write_text("no footprints")
    for entry, files, total in (("be", 2, 2), ("be/*.gpkg", 1, 1), ("be/**/*.csv", 1, 1), ("be/a.gpkg", 1, 1)):
        made, found = make(job(entry))
        assert made.statistics["sources"][0]["files"] == files
        assert found.sum() == pytest.approx(total, abs=1e-3)
    (tmp_path / "empty").mkdir()
    for entry in ("empty", "be/*.fgb"):
        assert f"{tmp_path / entry} stands for no vector file; correct the path" in refusal(job(entry))


def quadkey(longitude: float, latitude: float, level: int = 9) -> str:
    """By interleaving the bits of column and row, as Bing Maps describes it."""
    squares = 2**level
    column = int((longitude + 180) / 360 * squares)
    sine = math.sin(math.radians(latitude))
    row = int((0.5 - math.log((1 + sine) / (1 - sine)) / (4 * math.pi)) * squares)
    return "".join(str((column >> k & 1) + 2 * (row >> k & 1)) for k in reversed(range(level)))


def test_squares_of_microsoft_that_lie_elsewhere_are_not_opened(tmp_path, job):
    x, y = Transformer.from_crs("EPSG:3035", "EPSG:4326", always_xy=True).transform(LEFT + 1000, BOTTOM + 1000)
    for key in (quadkey(x, y), quadkey(x + 3, y), quadkey(-x, y), quadkey(x, y - 3)):
        folder = tmp_path / "ms" / "RegionName=Belgium" / f"quadkey={key}"
        folder.mkdir(parents=True)
        (folder / "part-0.csv.gz").write_bytes(b"broken")
    here = tmp_path / "ms" / "RegionName=Belgium" / f"quadkey={quadkey(x, y)}" / "part-0.csv.gz"
    here.write_bytes(gzip.compress(features([rectangle(0, 0, 10, 10)])[0].encode()))
    made, found = make(job("ms"))
    assert made.statistics["sources"][0]["files"] == 1
    assert found.sum() == pytest.approx(1, abs=1e-3)


def test_a_layer_of_several_must_be_named(tmp_path, job):
    frame([rectangle(0, 0, 10, 10)]).to_file(tmp_path / "x.gpkg", layer="buildings")
    frame([rectangle(0, 0, 500, 500)]).to_file(tmp_path / "x.gpkg", layer="landuse")
    frame([shapely.Point(LEFT, TOP)]).to_file(tmp_path / "x.gpkg", layer="places")
    text = refusal(job("x.gpkg"))
    assert "several layers of polygons (buildings, landuse); append |layername= and one of them" in text
    assert make(job("x.gpkg|layername=buildings"))[1].sum() == pytest.approx(1)
    from imperv.tasks.nodes import ingredients

    assert list(ingredients(job("x.gpkg|layername=buildings"), CATALOGUE["IBUD_ref"])["files"]) == ["x.gpkg"]


def test_folders_of_other_themes_and_debris_are_told(tmp_path, job):
    """Geofabrik's folder of shapefiles has land use beside buildings, Overture's themes; macOS leaves files of its own."""
    for name in (
        "gis_osm_buildings_a_free_1.shp",
        "gis_osm_landuse_a_free_1.shp",
        "sub/landuse.gpkg",
        "theme=base/type=land/p.parquet",
    ):
        path = tmp_path / "osm" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = frame([rectangle(0, 0, 10, 10) if "buildings" in name else rectangle(0, 0, 500, 500)])
        shape.to_parquet(path) if name.endswith("parquet") else shape.to_file(path)
    for name in ("._gis_osm_buildings_a_free_1.shp", "__MACOSX/sub/x.gpkg"):
        (tmp_path / "osm" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "osm" / name).write_bytes(b"\0\5\26\7Mac OS X        ")
    made, found = make(job("osm"))
    assert found.sum() == pytest.approx(1, abs=1e-3)
    assert made.warnings == (
        f"5 files of {tmp_path / 'osm'} are left out, by their names no buildings: ._gis_osm_buildings_a_free_1.shp, "
        "gis_osm_landuse_a_free_1.shp, landuse.gpkg, p.parquet and 1 more",
    )
    source = made.statistics["sources"][0]
    assert source["files"] == 1 and len(source["files_left_out"]) == 5
    assert "stands for no vector file but gis_osm_landuse_a_free_1.shp, by its name no buildings" in refusal(
        job("osm/*landuse*.shp")
    )
    assert make(job("osm/gis_osm_landuse_a_free_1.shp"))[1].sum() == pytest.approx(2500, rel=1e-3)  # whoever names it wants it


MIXED = {"building": ["yes", None, "yes", "no"], "layer": [None, None, "-1", None], "landuse": [None, "forest", None, None]}
MIXED_AS = {
    "x.gpkg": lambda path, shapes: gpd.GeoDataFrame(MIXED, geometry=shapes, crs="EPSG:3035").to_file(path),
    "x.parquet": lambda path, shapes: gpd.GeoDataFrame(MIXED, geometry=shapes, crs="EPSG:3035").to_parquet(path),
    "x.geojson": lambda path, shapes: gpd.GeoDataFrame(MIXED, geometry=shapes, crs="EPSG:3035").to_crs(4326).to_file(path),
    "x.geojsonl": lambda path, shapes: path.write_text("\n".join(
        json.dumps({**json.loads(feature), "properties": {k: v[n] for k, v in MIXED.items() if v[n]}})
        for n, feature in enumerate(features(shapes)))),
}  # fmt: skip


@pytest.mark.parametrize("name", MIXED_AS)
def test_what_is_no_building_or_under_ground_is_left_out_with_a_word(tmp_path, job, name):
    MIXED_AS[name](tmp_path / name, [rectangle(20 * k, 0, 20 * k + 10, 10) for k in range(4)])
    made, found = make(job(name))
    assert found.sum() == pytest.approx(1, abs=1e-3) and found[0, 0] > 0.99
    assert made.statistics["sources"][0]["dropped"] == {"no buildings": 2, "under ground": 1}
    assert made.warnings == (f"3 of 4 footprints of {tmp_path / name} are left out: 2 no buildings, 1 under ground",)


def test_a_file_of_nothing_but_land_use(tmp_path, job):
    gpd.GeoDataFrame({"fclass": ["forest"]}, geometry=[rectangle(0, 0, 900, 900)], crs="EPSG:3035").to_file(tmp_path / "x.gpkg")
    made, found = make(job("x.gpkg"))
    assert not found.any()
    assert made.warnings == (
        "no footprint lies inside tile E38N31", f"no footprint of {tmp_path / 'x.gpkg'} can be used in tile E38N31",
        f"1 of 1 footprints of {tmp_path / 'x.gpkg'} are left out: 1 no buildings",
    )  # fmt: skip


def test_buildings_of_an_extract_of_openstreetmap(tmp_path, shared_data):
    """GDAL's layer of multipolygons, in which forests and squares lie too, against the tags read by themselves."""
    path = shared_data / "osm" / "krems.osm.gz"
    (tmp_path / "krems.osm").write_bytes(gzip.decompress(path.read_bytes()))
    every = pyogrio.read_dataframe(tmp_path / "krems.osm", layer="multipolygons").to_crs("EPSG:3035")
    west, south, east, north = every[every.building.notna()].total_bounds
    window = [v // 1000 * 1000 for v in (west, south, east + 1000, north + 1000)]
    source, tally = Source("k", (f"{tmp_path / 'krems.osm'}|layername=multipolygons",)), Tally("k")
    used = np.concatenate(list(sound_polygons(source, tuple(window), tally)))
    inside = every[every.intersects(shapely.box(*window))]
    buildings = inside[inside.building.notna() & (inside.building != "no")]
    low = buildings.other_tags.fillna("").str.contains('"layer"=>"-|"location"=>"underground"')
    assert 1000 < len(used) == len(buildings) - low.sum()
    assert tally.dropped["no buildings"] == len(inside) - len(buildings) > 100
    assert tally.dropped["under ground"] == low.sum()
    assert shapely.area(used).sum() == pytest.approx(buildings[~low].make_valid().area.sum(), rel=1e-6)


def test_signs_of_patterns_in_names_that_are_there(tmp_path, job):
    """Only a pattern is a pattern: a file or folder with brackets, stars or question marks is that one."""
    for name in ("[old]/a[1].gpkg", "[old]/b*.gpkg", "[old]/b2.gpkg", "what?/c #%20 ä.csv", "l/c.csv"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if name.endswith("csv"):
            path.write_text(features([rectangle(0, 0, 10, 10)])[0])
        else:
            frame([rectangle(0, 0, 10, 10)]).to_file(path)
    for entry, count in {
        "[old]": 3, "[old]/a[1].gpkg": 1, "[old]/b*.gpkg": 1, "[old]/b?.gpkg": 2, "[old]/*": 3, "what?": 1, "what?/*.csv": 1,
        "what?/c #%20 ä.csv": 1, "[kl]/*.csv": 1, "**/*.gpkg": 3, "[old]/a[1].gpkg|layername=a_1_": 1,
        "[old]/a*.gpkg|layername=a[1]": 1,
    }.items():  # fmt: skip
        assert [len(source.files) for source in footprint_sources(job(entry))] == [count], entry
        assert "[old]/nothing[1].gpkg stands for no vector file" in refusal(job("[old]/nothing[1].gpkg"))
    make(job("[old]/a[1].gpkg", "what?/c #%20 ä.csv"))


def test_signs_of_patterns_in_a_bucket(tmp_path, job):
    import fsspec

    text = features([rectangle(0, 0, 10, 10)])[0].encode()
    fs = fsspec.filesystem("memory")
    for name in ("/data[1]/a.csv", "/data[1]/sub/b[2].csv", "/data1/c.csv"):
        fs.pipe_file(name, text)
    for entry, count in {
        "memory://data[1]/": 2, "memory://data[1]/*.csv": 1, "memory://data[1]/sub/b[2].csv": 1, "memory://data[1]": 2,
        "memory://data[1]/**/*.csv": 2, "memory://data?/*.csv": 1,
    }.items():  # fmt: skip
        files = [file for source in footprint_sources(job(entry)) for file in source.files]
        assert len(files) == count, (entry, files)
    assert make(job("memory://data[1]/sub/b[2].csv"))[1].sum() == pytest.approx(1, abs=1e-3)


def test_confidence_counts_where_there_is_one(tmp_path, job):
    (tmp_path / "g.csv").write_text(
        google([rectangle(0, 0, 10, 10), rectangle(20, 0, 30, 10), rectangle(50, 0, 60, 10)], [0.6, 0.8, ""])
    )
    (tmp_path / "m.csv").write_text(features([rectangle(40, 0, 50, 10)])[0])
    made, found = make(job("g.csv", "m.csv", more="footprint_confidence = 0.7"))
    assert (found[0] > 0.5).nonzero()[0].tolist() == [2, 4, 5]
    assert made.statistics["sources"][0]["dropped"] == {"low confidence": 1}
    assert make(job("g.csv"))[1].sum() == pytest.approx(3, abs=1e-3)


# the window only --------------------------------------------------------------------------------------------------


def test_text_elsewhere_is_not_parsed(tmp_path, job):
    """What lies elsewhere may be broken: it is passed over by its position."""
    far = '{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[7.0,46.0],[broken'
    (tmp_path / "m.csv").write_text("\n".join([far, *features([rectangle(0, 0, 10, 10)]), far]))
    rows = google([rectangle(0, 0, 10, 10)]).splitlines()
    (tmp_path / "g.csv").write_text("\n".join([*rows, '46.0,7.0,100,0.9,"POLYGON((broken",X', '46.0,7.0,100,0.9,"",X']))
    for name in ("m.csv", "g.csv"):
        made, found = make(job(name))
        assert made.statistics["sources"][0] | {"source": ""} == {
            "source": "", "files": 1, "read": 1, "used": 1, "repaired": 0, "dropped": {},
        }  # fmt: skip
        assert found.sum() == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x.fgb", "x.geoparquet"])
def test_of_a_remote_file_the_window_is_fetched(tmp_path, job, name):
    """Two thousandths of the buildings lie inside."""
    rng = np.random.default_rng(0)
    x, y = np.sort(rng.uniform(-40_000, 40_000, (2, 60_000)), axis=1)
    rng.shuffle(y)
    shapes = shapely.box(LEFT + x, TOP + y, LEFT + x + 9, TOP + y + 9)
    table = frame(shapes)
    if name == "x.fgb":
        table.to_file(tmp_path / name)
    else:
        table.to_parquet(tmp_path / name, write_covering_bbox=True, row_group_size=500, compression=None)
    size = (tmp_path / name).stat().st_size
    with serving(tmp_path) as server:
        remote, _ = make(job(f"{server.url}/{name}"))
        assert 0 < server.sent < size / 4
    local, _ = make(job(name))
    assert remote.digest == local.digest
    assert remote.statistics["footprints"] == int(shapely.intersects(shapes, shapely.box(*WINDOW)).sum())


def test_text_on_a_server(tmp_path, job):
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "m.csv.gz").write_bytes(gzip.compress("\n".join(features(houses())).encode()))
    with serving(tmp_path / "web") as server:
        remote, _ = make(job(f"{server.url}/m.csv.gz"))
        signed, _ = make(job(f"{server.url}/m.csv.gz?sig=a%2Fb"))
        assert signed.digest == remote.digest
        assert "cannot be read" in refusal(job(f"{server.url}/nothing.csv.gz", window=(LEFT, BOTTOM, RIGHT, TOP + 1000)))
    assert remote.digest == make(job("web/m.csv.gz"))[0].digest


def test_blocks_meet_in_their_polygons(tmp_path, job):
    """A hall across four blocks of ten kilometres is whole."""
    window = (3_820_000, 3_100_000, 3_840_000, 3_120_000)
    hall = shapely.affinity.rotate(shapely.box(3_829_700, 3_109_800, 3_830_150, 3_110_333), 20)
    frame([hall, shapely.box(3_821_000, 3_101_000, 3_821_010, 3_101_010)]).to_file(tmp_path / "x.gpkg")
    here = job("x.gpkg", window=window)
    made, found = make(here)
    assert found.sum() * 100 == pytest.approx(hall.area + 100, rel=1e-6)
    assert made.statistics["footprints"] == 2
    assert all(
        found[rows, columns].any()
        for rows in (slice(0, 1000), slice(1000, 2000))
        for columns in (slice(0, 1000), slice(1000, 2000))
    )


def test_blocks_may_travel_to_another_process(tmp_path, job, monkeypatch):
    frame(houses()).to_file(tmp_path / "x.gpkg")
    expected = make(job("x.gpkg"))[0].digest
    monkeypatch.setattr(Engine, "map", lambda self, f, blocks, size, what: [pickle.loads(pickle.dumps(f))(b) for b in blocks])
    assert make(job("x.gpkg"))[0].digest == expected


def test_a_store_without_folders(tmp_path, job):
    """What is laid down for the blocks goes through the store, where workers elsewhere reach it, and is gone at the end."""
    frame(houses()).to_file(tmp_path / "x.gpkg")
    expected = make(job("x.gpkg"))[0].digest
    here = job("x.gpkg")
    there = replace(here, store=Store("memory://footprints"))
    assert make_footprints(there, CATALOGUE["IBUD_ref"]).digest == expected
    assert not [path for path in there.store.fs.find(there.store.root) if ".part-" in path]


# what is wrong with shapes ----------------------------------------------------------------------------------------


def degrees(*corners: tuple[float, float]) -> list[list[float]]:
    to_degrees = Transformer.from_crs("EPSG:3035", "EPSG:4326", always_xy=True)
    return [list(to_degrees.transform(LEFT + x, TOP - y)) for x, y in corners]


SQUARE = [(0, 0), (10, 0), (10, 10), (0, 10), (0, 0)]
TROUBLED: dict[str, object] = {
    "sound": {"type": "Polygon", "coordinates": [degrees(*SQUARE)]},
    "bow tie": {"type": "Polygon", "coordinates": [degrees((20, 0), (40, 20), (40, 0), (20, 20), (20, 0))]},
    "not closed": {"type": "Polygon", "coordinates": [degrees((60, 0), (70, 0), (70, 10), (60, 10))]},
    "too few": {"type": "Polygon", "coordinates": [degrees((60, 0), (70, 0), (60, 0))]},
    "point": {"type": "Point", "coordinates": degrees((80, 0))[0]},
    "line": {"type": "LineString", "coordinates": degrees((80, 0), (90, 10))},
    "empty": {"type": "Polygon", "coordinates": []},
    "null": None,
    "mixed": {"type": "GeometryCollection", "geometries": [
        {"type": "Polygon", "coordinates": [degrees(*((x + 100, y) for x, y in SQUARE))]},
        {"type": "LineString", "coordinates": degrees((80, 0), (90, 10))},
    ]},
    "hole outside": {"type": "Polygon", "coordinates": [degrees(*((x + 120, y) for x, y in SQUARE)),
                                                        degrees(*((x + 140, y) for x, y in SQUARE))]},
}  # fmt: skip


@pytest.mark.parametrize("name", ["t.geojson", "t.csv"])
def test_broken_shapes_are_mended_or_left_out(tmp_path, job, name):
    found = [{"type": "Feature", "properties": {}, "geometry": g} for g in TROUBLED.values()]
    if name == "t.csv":
        (tmp_path / name).write_text("\n".join([*map(json.dumps, found), '{"type":"Feature"', "no JSON at all"]))
    else:
        (tmp_path / name).write_text(json.dumps({"type": "FeatureCollection", "features": found}))
    made, share = make(job(name))
    expected = np.zeros((200, 200))
    expected[0, [0, 6, 10, 12]] = 1
    expected[:2, 2:4] = 0.5  # two triangles
    share[0, 14] = 0  # whether a hole outside is open or built is not ours to say
    np.testing.assert_allclose(share, expected, atol=2e-3)
    source = made.statistics["sources"][0]
    assert source["used"] == 5
    assert source["repaired"] == 3
    assert source["dropped"]["no polygons"] == 2
    assert source["dropped"]["without area"] + source["dropped"].get("unreadable", 0) >= 1
    assert source["read"] == source["used"] + sum(source["dropped"].values())
    if name == "t.csv":
        assert source["dropped"] == {"no polygons": 2, "no geometry": 1, "empty": 1, "without area": 1, "unreadable": 2}
    text = " / ".join(made.warnings)
    assert f"{source['read'] - 5} of {source['read']} footprints of {tmp_path / name} are left out: " in text
    assert f"3 of {source['read']} footprints of {tmp_path / name} had broken outlines, which were mended" in text


def test_coordinates_that_are_no_numbers(tmp_path, job):
    bad = shapely.transform(rectangle(40, 0, 50, 10), lambda p: np.vstack([p[:1], [[np.nan, p[1, 1]]], p[2:]]))
    frame([rectangle(0, 0, 10, 10), bad]).to_parquet(tmp_path / "x.parquet")
    rows = google([rectangle(0, 0, 10, 10)]).splitlines()
    damaged = rows[1].replace("POLYGON ((", "POLYGON ((nan nan, ")
    (tmp_path / "g.csv").write_text(
        "\n".join([*rows, damaged, rows[1].replace("9F36Q28X+XX", "1,2,3"), rows[1].replace("((", "((x")])
    )
    made, found = make(job("x.parquet"))
    assert made.statistics["sources"][0]["dropped"] == {"with coordinates that are no numbers": 1}
    assert found.sum() == pytest.approx(1)
    made, found = make(job("g.csv"))
    assert made.statistics["sources"][0]["used"] == 1
    assert sum(made.statistics["sources"][0]["dropped"].values()) == 3
    assert found.sum() == pytest.approx(1, abs=1e-3)


def test_parts_that_overlap_are_one_area(tmp_path, job):
    """By their lines alone, where two parts lie would be a hole: 3 750 m2."""
    parts = rectangle(0, 0, 50, 50), rectangle(25, 25, 75, 75)
    frame([shapely.MultiPolygon(parts)]).to_file(tmp_path / "x.gpkg")
    made, found = make(job("x.gpkg"))
    assert found.sum() * 100 == pytest.approx(4375)
    assert made.statistics["sources"][0]["repaired"] == 1


def ring(x0, y0, x1, y1):
    return list(rectangle(x0, y0, x1, y1).exterior.coords)


OUTER = ring(0, 0, 50, 50)
BROKEN = {
    "the same part twice": (shapely.MultiPolygon([shapely.Polygon(OUTER)] * 2), 2500),
    "a part in a part": (shapely.MultiPolygon([shapely.Polygon(OUTER), rectangle(10, 10, 20, 20)]), 2500),
    "its outline as a hole": (shapely.Polygon(OUTER, [OUTER]), 2500),
    "its outline as a hole beside another": (shapely.Polygon(OUTER, [OUTER, ring(10, 10, 20, 20)]), 2400),
    "twice around": (shapely.Polygon(OUTER[:-1] + OUTER), 2500),
    "there and back": (shapely.Polygon(OUTER[:-1] + OUTER[::-1]), 2500),
    "the same hole twice": (shapely.Polygon(OUTER, [ring(10, 10, 20, 20)] * 2), 2400),
    "holes that overlap": (shapely.Polygon(OUTER, [ring(10, 10, 20, 20), ring(15, 15, 25, 25)]), 2325),
    "a hole across the outline": (shapely.Polygon(ring(0, 0, 10, 10), [ring(5, 5, 15, 15)]), 75),
    "a loop over itself": (shapely.Polygon([(LEFT + x, TOP - 50 + y) for x, y in (
        (0, 10), (30, 10), (30, 40), (10, 40), (10, 0), (40, 0), (40, 50), (0, 50))]), 1900),
    "a spike": (shapely.Polygon([(LEFT + x, TOP - 50 + y) for x, y in (
        (0, 0), (10, 0), (10, 10), (10, 30), (10, 10), (0, 10))]), 100),
    "collections in a collection": (shapely.GeometryCollection([shapely.GeometryCollection([
        shapely.MultiPolygon([rectangle(0, 0, 50, 50), rectangle(25, 25, 75, 75)]), shapely.Point(LEFT, TOP)]),
        rectangle(60, 60, 80, 80)]), 4375 + 175),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_rings_that_are_drawn_twice_or_cross_keep_their_area(tmp_path, job, name):
    shape, area = BROKEN[name]
    frame([shape]).to_parquet(tmp_path / "x.parquet")
    made, found = make(job("x.parquet"))
    assert found.sum() * 100 == pytest.approx(area)
    assert made.statistics["sources"][0]["used"] == 1


@pytest.mark.slow
def test_random_shapes_of_overlapping_parts_are_their_union(tmp_path, job):
    """Against the union of all parts of all shapes, pixel by pixel."""
    rng = np.random.default_rng(4)
    houses_, shapes = houses(900, seed=4), []
    while len(houses_):
        count = min(len(houses_), rng.integers(1, 7))
        near = houses_[0].centroid
        moves = rng.normal(0, 20, (count, 2)) + [[near.x - h.centroid.x, near.y - h.centroid.y] for h in houses_[:count]]
        group = [shapely.affinity.translate(h, *move) for h, move in zip(houses_[:count], moves, strict=True)]
        houses_, shapes = houses_[count:], [*shapes, shapely.MultiPolygon(group)]
    broken = ~shapely.is_valid(shapes)
    assert broken.sum() > 100
    frame(shapes).to_parquet(tmp_path / "x.parquet")
    made, found = make(job("x.parquet"))
    np.testing.assert_allclose(found, exact([part for shape in shapes for part in shape.geoms]), atol=1e-6)
    window = shapely.box(*WINDOW)
    assert made.statistics["sources"][0]["repaired"] == sum(s.intersects(window) for s in shapely.make_valid(shapes)[broken])


def curve(kind: str) -> tuple[bytes, float]:
    """Well-known binary (ISO) of a round tank, a house with a round end, or both as one shape, and their area as drawn."""
    circle_area = 90 * 0.5 * 40**2 * math.sin(2 * math.pi / 90)
    end_area = 45 * 0.5 * 25**2 * math.sin(math.pi / 45)

    def points(*corners):
        return struct.pack("<I", len(corners)) + b"".join(struct.pack("<2d", LEFT + x, TOP - 500 + y) for x, y in corners)

    def shape(code, *parts):
        return struct.pack("<BII", 1, code, len(parts)) + b"".join(parts)

    arc, line = struct.pack("<BI", 1, 8), struct.pack("<BI", 1, 2)
    tank = shape(10, arc + points((0, 40), (40, 80), (80, 40), (40, 0), (0, 40)))
    sides = line + points((150, 50), (150, 0), (100, 0), (100, 50))
    house = shape(10, shape(9, sides, arc + points((100, 50), (125, 75), (150, 50))))
    return {
        "CurvePolygon": (tank, circle_area),
        "CompoundCurve": (house, 2500 + end_area),
        "MultiSurface": (shape(12, tank, house, shapely.to_wkb(rectangle(200, 0, 210, 10))), circle_area + 2600 + end_area),
    }[kind]


def write_geopackage(path, shapes: list[bytes], kind="Unknown"):
    table = pa.table({"geometry": pa.array(shapes, pa.binary())})
    pyogrio.raw.write_arrow(table, path, driver="GPKG", geometry_name="geometry", geometry_type=kind, crs="EPSG:3035")


@pytest.mark.parametrize("kind", ["CurvePolygon", "CompoundCurve", "MultiSurface"])
def test_one_curve_among_plain_shapes(tmp_path, job, kind):
    """Drawn as GDAL draws curves; the plain shapes count as ever."""
    shape, area = curve(kind)
    plain = [shapely.to_wkb(rectangle(300 + 20 * k, 0, 310 + 20 * k, 10)) for k in range(30)]
    write_geopackage(tmp_path / "x.gpkg", [*plain[:7], shape, *plain[7:]])
    made, found = make(job("x.gpkg"))
    assert found.sum() * 100 == pytest.approx(3000 + area, rel=1e-5)
    assert made.statistics["sources"][0] | {"source": ""} == {
        "source": "", "files": 1, "read": 31, "used": 31, "repaired": 0, "dropped": {},
    }  # fmt: skip
    drawn = pyogrio.read_dataframe(tmp_path / "x.gpkg", columns=[], use_arrow=False).geometry  # by GDAL's own lines
    np.testing.assert_allclose(found, exact(drawn), atol=1e-6)
    assert made.warnings == ()


def test_curves_that_nobody_reads_are_counted(tmp_path, job):
    """In GeoParquet they are as damaged as ones cut short, inside of collections GDAL hands them on."""
    shape, _ = curve("CurvePolygon")
    collection = struct.pack("<BII", 1, 7, 1) + shape
    table = frame([rectangle(0, 0, 10, 10)] * 4).to_arrow(geometry_encoding="WKB")
    shapes = [shapely.to_wkb(rectangle(0, 0, 10, 10)), collection, shape[:40], shapely.to_wkb(rectangle(20, 0, 30, 10))]
    frame([rectangle(0, 0, 10, 10)] * 4).to_parquet(tmp_path / "x.parquet")
    table = pa.parquet.read_table(tmp_path / "x.parquet")
    pa.parquet.write_table(table.set_column(0, table.schema.field(0), pa.array(shapes, pa.binary())), tmp_path / "x.parquet")
    made, found = make(job("x.parquet"))
    source = made.statistics["sources"][0]
    assert (source["used"], source["read"], sum(source["dropped"].values())) == (2, 4, 2)
    assert found.sum() == pytest.approx(2)
    rows = google([rectangle(0, 0, 10, 10)]).splitlines()
    (tmp_path / "g.csv").write_text("\n".join([*rows, rows[1].replace("POLYGON ((", "CURVEPOLYGON ((")]))
    made, found = make(job("g.csv"))
    assert made.statistics["sources"][0]["dropped"] == {"with curves that cannot be read": 1}
    assert found.sum() == pytest.approx(1, abs=1e-3)


# where shapes lie -------------------------------------------------------------------------------------------------


def boxed(path, shapes, change):
    """GeoParquet with a column of boxes, row groups of two, and `change` made to the boxes (n, 4) and the box of the file."""
    frame(shapes).to_parquet(path, write_covering_bbox=True)
    table = pa.parquet.read_table(path)
    about = json.loads(table.schema.metadata[b"geo"])
    boxes = np.column_stack([table.column("bbox").combine_chunks().field(k).to_numpy() for k in ("xmin", "ymin", "xmax", "ymax")])
    boxes, whole = change(boxes.copy(), about["columns"]["geometry"]["bbox"])
    about["columns"]["geometry"]["bbox"] = list(whole)
    column = pa.StructArray.from_arrays([pa.array(b) for b in boxes.T], ["xmin", "ymin", "xmax", "ymax"])
    table = table.set_column(table.schema.get_field_index("bbox"), "bbox", column)
    table = table.replace_schema_metadata({**table.schema.metadata, b"geo": json.dumps(about).encode()})
    pa.parquet.write_table(table, path, row_group_size=2)


NAN, INFINITE = math.nan, math.inf
ODD_BOXES = {
    "one row": lambda b, w: (np.where(np.arange(len(b))[:, None] == 1, NAN, b), w),
    "all rows": lambda b, w: (np.full_like(b, NAN), w),
    "an edge": lambda b, w: (np.where(np.arange(4) == 2, NAN, b), w),
    "infinite": lambda b, w: (np.full_like(b, 1) * [INFINITE, INFINITE, -INFINITE, -INFINITE], w),
    "the file": lambda b, w: (b, [NAN] * 4),
    "the file, infinite": lambda b, w: (b, [INFINITE, INFINITE, -INFINITE, -INFINITE]),
    "the file, missing numbers": lambda b, w: (b, [None] * 4),
    "across the antimeridian": lambda b, w: (b[:, [2, 1, 0, 3]], [w[2], w[1], w[0], w[3]]),
}


@pytest.mark.parametrize("name", ODD_BOXES)
def test_boxes_that_tell_nothing_are_passed_over(tmp_path, job, name):
    """Rows here lie in groups with rows elsewhere, so that a group's statistics say elsewhere, too."""
    far = [rectangle(90_000 + 20 * k, 0, 90_010 + 20 * k, 10) for k in range(4)]
    shapes = [far[0], rectangle(0, 0, 10, 10), far[1], far[2], rectangle(40, 0, 50, 10), rectangle(60, 0, 70, 10), far[3]]
    boxed(tmp_path / "x.parquet", shapes, ODD_BOXES[name])
    made, found = make(job("x.parquet"))
    assert made.statistics["footprints"] == 3 and made.warnings == ()
    assert (found[0] > 0.5).nonzero()[0].tolist() == [0, 4, 6]


def test_boxes_that_are_wrong_are_told(tmp_path, job):
    boxed(tmp_path / "x.parquet", [rectangle(0, 0, 10, 10)] * 3, lambda b, w: (b + 90_000, w))
    made, _ = make(job("x.parquet"))
    words = "though some of its first ones do: its column of boxes or its index is wrong; write the file anew"
    assert made.warnings[1] == f"no footprint of {tmp_path / 'x.parquet'} lies inside tile E38N31, {words}"


def test_an_area_without_footprints_is_warned_of(tmp_path, job):
    frame([rectangle(5000, 0, 5010, 10)]).to_file(tmp_path / "x.gpkg")
    made, found = make(job("x.gpkg"))
    assert made.warnings[0] == "no footprint lies inside tile E38N31"
    assert (
        f"no footprint of {tmp_path / 'x.gpkg'} lies inside tile E38N31: its first ones lie at longitude 3." in made.warnings[1]
    )
    assert made.statistics["footprints"] == 0
    assert not found.any()


@pytest.mark.parametrize("name", ["s.geojson", "s.csv", "s.parquet", "g.csv"])
def test_swapped_coordinates_are_told(tmp_path, job, name):
    swapped = shapely.transform(np.array(frame(houses(), "EPSG:4326").geometry), lambda p: p[:, ::-1])
    table = gpd.GeoDataFrame(geometry=swapped, crs="EPSG:4326")
    if name == "s.geojson":
        table.to_file(tmp_path / name)
    elif name == "s.parquet":
        table.to_parquet(tmp_path / name)
    else:
        (tmp_path / name).write_text(
            google(table.to_crs("EPSG:3035").geometry)
            if name == "g.csv"
            else "\n".join(features(table.to_crs("EPSG:3035").geometry))
        )
    made, _ = make(job(name))
    assert made.warnings[1].endswith("longitude and latitude seem to be swapped, write longitude first")


def test_another_country_is_not_swapped(tmp_path, job):
    frame([rectangle(500_000, 0, 500_010, 10)]).to_file(tmp_path / "x.gpkg")
    assert "swapped" not in " ".join(make(job("x.gpkg"))[0].warnings)


def test_metres_under_the_name_of_degrees(tmp_path, job):
    gpd.GeoDataFrame(geometry=[rectangle(0, 0, 10, 10)], crs="EPSG:4326").to_file(tmp_path / "x.gpkg")
    assert "are no degrees; correct its reference system" in make(job("x.gpkg"))[0].warnings[1]


# files that cannot be used ----------------------------------------------------------------------------------------


def test_footprints_that_cannot_be_used(tmp_path, job):
    assert "is missing; IBUD_ref of tile E38N31 needs at least one file" in refusal(job())
    assert f"{tmp_path / 'nothing.gpkg'} does not exist; correct the path" in refusal(job("nothing.gpkg"))
    (tmp_path / "text.geojson").write_text("no vectors")
    (tmp_path / "one.csv").write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    (tmp_path / "table.csv").write_text("id,name\n1,a\n")
    (tmp_path / "lines.csv").write_text("{broken\n{broken too\n")
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    pa.parquet.write_table(pa.table({"a": [1]}), tmp_path / "plain.parquet")
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        gpd.GeoDataFrame(geometry=[rectangle(0, 0, 5, 5)]).to_file(tmp_path / "nowhere.gpkg")
    gpd.GeoDataFrame(geometry=[rectangle(0, 0, 5, 5)]).to_parquet(tmp_path / "nowhere.parquet")
    for name, words in {
        "text.geojson": "cannot be read",
        "one.csv": "is one GeoJSON, not one a line; let its name end with .geojson",
        "table.csv": "has neither lines of GeoJSON nor the columns latitude, longitude, geometry",
        "lines.csv": "has no line of GeoJSON that can be read",
        "x.parquet": "cannot be read",
        "plain.parquet": "is no GeoParquet",
        "nowhere.gpkg": "has no coordinate reference system; assign one",
        "nowhere.parquet": "has no coordinate reference system; assign one",
    }.items():
        frame([rectangle(0, 0, 5, 5)]).to_file(tmp_path / "sound.gpkg")
        message = refusal(job("sound.gpkg", name))
        assert f"{tmp_path / name} {words}" in message
        if name != "lines.csv":
            with pytest.raises(InputError, match=name):
                check_footprints(job("sound.gpkg", name))


@pytest.mark.parametrize("name", ["a.csv.gz", "google.csv.gz", "google.csv.zst", "a.geojson", "a.parquet", "a.gpkg"])
def test_files_cut_short(tmp_path, job, name):
    shapes = houses(400)
    WRITERS[name](tmp_path / name, shapes)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) * 2 // 3])
    assert f"{tmp_path / name} cannot be read" in refusal(job(name))


# users ------------------------------------------------------------------------------------------------------------


def test_one_file_by_itself(tmp_path):
    """A bow tie is mended; points and lines are no buildings; what lies beside is not given."""
    bow_tie = shapely.Polygon([(LEFT, TOP), (LEFT + 20, TOP - 20), (LEFT + 20, TOP), (LEFT, TOP - 20)])
    others = [
        shapely.Point(LEFT + 5, TOP - 5),
        shapely.LineString([(LEFT, TOP), (LEFT + 9, TOP - 9)]),
        rectangle(5000, 0, 5010, 10),
    ]
    gpd.GeoDataFrame(geometry=[bow_tie, *others], crs="EPSG:3035").to_file(tmp_path / "x.gpkg")
    source = Source("x", (str(tmp_path / "x.gpkg"),))
    (found,) = sound_polygons(source, WINDOW, source.tally())
    assert shapely.area(found).tolist() == pytest.approx([200])
    assert not list(sound_polygons(source, (0, 0, 10, 10), source.tally()))


def test_the_check_of_the_production_counts(tmp_path, job):
    frame(houses()).to_file(tmp_path / "x.gpkg")
    frame([rectangle(5000, 0, 5010, 10)]).to_file(tmp_path / "y.gpkg")
    here = job("x.gpkg", "y.gpkg")
    used = [t.used for t in count_footprints(here)]
    assert used == [int(shapely.intersects(houses(), shapely.box(*WINDOW)).sum()), 0]
    lines = [finding.text for finding in look_at_footprints(here, "IBUD_ref")]
    assert lines[0] == f"E38N31: references.footprints: {tmp_path / 'x.gpkg'}, {used[0]} polygons in the area"
    assert "no footprint of" in lines[2]


def test_files_of_one_name_in_two_folders_both_count(tmp_path, job):
    """Building footprints come one folder a country, each with a buildings.gpkg."""
    from imperv.tasks.nodes import ingredients

    for k, folder in enumerate(("be", "nl")):
        (tmp_path / folder).mkdir()
        frame([rectangle(20 * k, 0, 20 * k + 5, 5)]).to_file(tmp_path / folder / "buildings.gpkg")
    here = job("be/buildings.gpkg", "nl/buildings.gpkg")
    assert len(footprint_sources(here)) == 2
    before = ingredients(here, CATALOGUE["IBUD_ref"])
    frame([rectangle(0, 0, 9, 9), rectangle(50, 0, 55, 5)]).to_file(tmp_path / "be" / "buildings.gpkg")
    assert ingredients(here, CATALOGUE["IBUD_ref"]) != before
    assert (
        ingredients(job("be/buildings.gpkg", "nl/buildings.gpkg", more="footprint_confidence = 0.7"), CATALOGUE["IBUD_ref"])
        != before
    )
