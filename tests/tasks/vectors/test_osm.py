"""Roads and buildings from files: other reference systems, OpenStreetMap's own format, tags, and files that cannot serve."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely
from pyproj import Transformer

from imperv.tasks.errors import InputError
from imperv.tasks.vectors.osm import check_shapes, read_shapes

BOUNDS = (3_829_000, 3_101_000, 3_831_000, 3_103_000)


def at(x: float, y: float, length: float = 100) -> shapely.LineString:
    """A road to the east from a place given in metres from the window's corner."""
    return shapely.LineString([(BOUNDS[0] + x, BOUNDS[1] + y), (BOUNDS[0] + x + length, BOUNDS[1] + y)])


def write(path, shapes, crs=3035, **columns):
    gpd.GeoDataFrame(columns, geometry=shapes, crs="EPSG:3035").to_crs(crs).to_file(path)
    return str(path)


def read(path, theme="roads", bounds=BOUNDS):
    parts = list(read_shapes(path, theme, bounds))
    return np.concatenate(parts) if parts else np.array([])


@pytest.mark.parametrize(("name", "crs"), [("a.gpkg", 3035), ("a.geojson", 4326), ("a.fgb", 25831), ("a.shp", 32631)])
def test_shapes_of_the_window_in_metres(tmp_path, name, crs):
    roads = [at(100, 100), at(500, 1900), at(50_000, 0)]
    found = read(write(tmp_path / name, roads, crs))
    assert len(found) == 2
    for shape, road in zip(sorted(found, key=lambda s: s.bounds[1]), roads, strict=False):
        assert shapely.hausdorff_distance(shape, road) < 0.1


def test_what_is_not_sealed_by_its_tag_is_left_out(tmp_path):
    tags = ["residential", "track", "footway", None, "motorway"]
    path = write(tmp_path / "r.gpkg", [at(100 * k, 100) for k in range(5)], highway=tags)
    assert sorted(s.bounds[0] - BOUNDS[0] for s in read(path)) == pytest.approx([0, 400])
    path = write(tmp_path / "g.shp", [at(100 * k, 100) for k in range(2)], fclass=["path", "primary"])
    assert len(read(path)) == 1
    houses = [at(100 * k, 100).buffer(5) for k in range(3)]
    assert len(read(write(tmp_path / "h.gpkg", houses, building=["yes", "no", None]), "buildings")) == 1
    assert len(read(write(tmp_path / "plain.gpkg", houses), "buildings")) == 3


@pytest.mark.slow
def test_a_file_of_openstreetmap(tmp_path):
    """Roads are in its layer of lines, buildings in that of polygons; ways without the tag are in neither."""
    back = Transformer.from_crs("EPSG:3035", "EPSG:4326", always_xy=True)
    corners = [(100, 100), (120, 100), (120, 120), (100, 120), (900, 900), (1000, 900)]
    nodes = []
    for k, (x, y) in enumerate(corners, 1):
        lon, lat = back.transform(BOUNDS[0] + x, BOUNDS[1] + y)
        nodes.append(f'<node id="{k}" version="1" lat="{lat:.7f}" lon="{lon:.7f}"/>')
    ways = [((1, 2, 3, 4, 1), "building", "yes"), ((5, 6), "highway", "primary"), ((4, 5), "highway", "track"),
            ((1, 5), "waterway", "river")]  # fmt: skip
    for k, (members, key, value) in enumerate(ways, 1):
        refs = "".join(f'<nd ref="{m}"/>' for m in members)
        nodes.append(f'<way id="{k}" version="1">{refs}<tag k="{key}" v="{value}"/></way>')
    path = tmp_path / "extract.osm"
    path.write_text(f'<?xml version="1.0"?><osm version="0.6">{"".join(nodes)}</osm>')
    assert check_shapes(str(path), "roads") == ["lines"] and check_shapes(str(path), "buildings") == ["multipolygons"]
    (road,), (house,) = read(str(path)), read(str(path), "buildings")
    assert road.bounds == pytest.approx((BOUNDS[0] + 900, BOUNDS[1] + 900, BOUNDS[0] + 1000, BOUNDS[1] + 900), abs=0.1)
    assert house.area == pytest.approx(400, abs=1)


def test_many_shapes_come_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("imperv.tasks.vectors.osm.PIECE", 10)
    path = write(tmp_path / "r.gpkg", [at(10 * k, 10 * k) for k in range(35)])
    sizes = [len(piece) for piece in read_shapes(path, "roads", BOUNDS)]
    assert sum(sizes) == 35 and max(sizes) <= 10


def test_a_file_without_anything_near(tmp_path):
    assert len(read(write(tmp_path / "far.gpkg", [at(90_000, 0)]))) == 0


def test_broken_and_empty_shapes_do_not_stop_the_others(tmp_path):
    bow = shapely.Polygon([(x + BOUNDS[0], y + BOUNDS[1]) for x, y in ((0, 0), (50, 50), (50, 0), (0, 50))])
    path = write(tmp_path / "h.gpkg", [bow, None, shapely.Polygon(), at(100, 100).buffer(5)])
    assert len(read(path, "buildings")) == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [("no.gpkg", "does not exist"), ("text.gpkg", "cannot be read"), ("bare.gpkg", "no coordinate reference system"),
     ("table.gpkg", "no layer with shapes")],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_files_that_cannot_serve(tmp_path, name, words):
    (tmp_path / "text.gpkg").write_text("no file of shapes")
    gpd.GeoDataFrame(geometry=[at(0, 0)]).to_file(tmp_path / "bare.gpkg")
    import pyogrio

    pyogrio.write_dataframe(gpd.GeoDataFrame({"a": [1]}, geometry=[None]).drop(columns="geometry"), tmp_path / "table.gpkg")
    with pytest.raises(InputError, match=words) as caught:
        check_shapes(str(tmp_path / name), "buildings")
    assert str(caught.value).startswith("references.buildings: ") and "\n" not in str(caught.value)
