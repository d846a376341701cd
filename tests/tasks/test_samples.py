"""Polygons of a person: what is read, what is mended, and every fault of a file in one answer."""

from __future__ import annotations

import json
import time
import tracemalloc

import geopandas
import numpy as np
import pytest
import shapely
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from imperv.layers.landcover.classes import FRAME
from imperv.tasks.errors import InputError
from imperv.tasks.samples import MOST_SHARED, Drawn, as_geojson, check_samples, of_store, pixels_of, rasterise, read_samples
from imperv.tasks.vectors import shape_pixels

LEFT, TOP = 4_420_000, 2_600_000
GRID = GeoBox.from_bbox((LEFT, TOP - 1000, LEFT + 1000, TOP), crs="EPSG:3035", resolution=5)
TO_DEGREES = Transformer.from_crs("EPSG:3035", "OGC:CRS84", always_xy=True)


def square(row: int, column: int, edge: int = 4) -> shapely.Polygon:
    """Of whole pixels."""
    x, y = LEFT + 5 * column, TOP - 5 * row
    return shapely.box(x, y - 5 * edge, x + 5 * edge, y)


def frame(*rows: tuple[str, shapely.Geometry], **columns) -> geopandas.GeoDataFrame:
    names, shapes = zip(*rows, strict=True) if rows else ((), ())
    return geopandas.GeoDataFrame({"class": list(names), **columns}, geometry=list(shapes), crs="EPSG:3035")


def written(tmp_path, found: geopandas.GeoDataFrame, name: str = "p.geojson", crs: str | None = "EPSG:4326"):
    path = tmp_path / name
    (found.to_crs(crs) if crs else found).to_file(path)
    return path


def degrees(shape: shapely.Geometry) -> dict:
    return json.loads(shapely.to_geojson(shapely.transform(shape, TO_DEGREES.transform, interleaved=False)))


def read(path):
    return read_samples(path, FRAME, GRID)


@pytest.mark.parametrize(("name", "crs"), [("p.geojson", "EPSG:4326"), ("p.gpkg", "EPSG:3035"), ("p.gpkg", "EPSG:32632")])
def test_any_form_and_reference_system_gives_the_same_pixels(tmp_path, name, crs):
    found = read(written(tmp_path, frame(("Bare Soil", square(10, 20)), ("WATER", square(50, 60, 3))), name, crs))
    assert [(s.code, s.class_name) for s in found] == [(1, "bare soil"), (7, "water")]
    codes, numbers = rasterise(found, GRID)
    assert (codes[10:14, 20:24] == 1).all() and (codes[50:53, 60:63] == 7).all() and (codes > 0).sum() == 25
    assert (numbers[50:53, 60:63] == 1).all() and (numbers >= 0).sum() == 25


def test_names_weights_and_points(tmp_path):
    point = shapely.Point(LEFT + 252, TOP - 502)
    found = read(written(tmp_path, frame(("grass", square(1, 1)), ("6", point), name=["park", None], weight=[2.5, None])))
    assert (found[0].name, found[0].weight, found[1].name, found[1].weight) == ("park", 2.5, "", 1.0)
    assert [v.tolist() for v in pixels_of(found[1], GRID)] == [[100], [50]]


def test_all_faults_are_listed_at_once(tmp_path):
    path = written(
        tmp_path,
        frame(
            ("gras", square(1, 1)), ("grass", square(-50, 10)), ("grass", square(10, 198)),
            ("water", shapely.box(LEFT + 100.5, TOP - 104, LEFT + 101.5, TOP - 103)),
            ("water", shapely.LineString([(LEFT + 9, TOP - 9), (LEFT + 90, TOP - 90)])), (None, square(30, 30)),
            ("water", square(40, 40)), weight=[1, 1, 1, 1, 1, 1, -1],
        ),
    )  # fmt: skip
    with pytest.raises(InputError) as caught:
        read(path)
    lines = str(caught.value).splitlines()
    words = [
        "polygon 1 (gras): unknown class 'gras'; did you mean grass?", "polygon 2 (grass): lies outside of the area",
        "polygon 3 (grass): reaches beyond the area", "polygon 4 (water): holds the centre of no pixel of 5 m",
        "polygon 5 (water): is a line", "polygon 6: has no class", "polygon 7 (water): weight -1",
    ]  # fmt: skip
    assert len(lines) == 7
    for line, word in zip(lines, words, strict=True):
        assert word in line and str(path) in line


def test_two_classes_over_one_pixel_are_refused_and_one_class_is_not(tmp_path):
    assert len(read(written(tmp_path, frame(("grass", square(10, 10)), ("grass", square(12, 12)))))) == 2
    with pytest.raises(InputError, match=r"polygon 1 \(grass\) and polygon 2 \(water\) share 4 pixels"):
        read(written(tmp_path, frame(("grass", square(10, 10)), ("water", square(12, 12)))))
    assert len(read(written(tmp_path, frame(("grass", square(10, 10)), ("water", square(10, 14)))))) == 2  # neighbours


def test_rings_that_cross_themselves_are_mended(tmp_path):
    x, y = LEFT + 100, TOP - 100
    bow = shapely.Polygon([(x, y), (x + 40, y - 40), (x + 40, y), (x, y - 40)])
    (found,) = read(written(tmp_path, frame(("water", bow))))
    assert found.shape.is_valid and found.shape.area == pytest.approx(800, rel=1e-3)
    assert 30 <= len(pixels_of(found, GRID)[0]) <= 34


def test_a_ring_without_an_area_is_told(tmp_path):
    x, y = LEFT + 100, TOP - 100
    flat = shapely.Polygon([(x, y), (x + 40, y), (x + 20, y), (x, y)])
    with pytest.raises(InputError, match=r"polygon 1 \(water\): encloses no area; draw it anew"):
        read(written(tmp_path, frame(("water", flat)), "p.gpkg", None))


@pytest.mark.slow
def test_what_lies_in_heaps_is_told_in_a_moment():
    """Every polygon over every other one: pairs are named up to a limit, and nothing takes long."""
    heap = [Drawn(square(10 + k % 7, 10 + k % 11, 100), ("grass", "water")[k % 2]) for k in range(600)]
    start = time.process_time()
    samples, faults = check_samples(heap, FRAME, GRID)
    assert time.process_time() - start < 15 and len(samples) == 600
    assert len(faults) == MOST_SHARED + 1 and faults[0].numbers == (1, 2) and faults[-1].numbers == ()
    assert faults[-1].text == "more polygons of two classes share pixels; draw them apart"


def test_few_cells_at_once_tell_the_same_faults(monkeypatch):
    heap = [Drawn(square(10 + k * 3, 10 + k % 5, 6), ("grass", "water", "impervious")[k % 3]) for k in range(40)]
    _, whole = check_samples(heap, FRAME, GRID)
    monkeypatch.setattr(shape_pixels, "MOST_CELLS", 100)
    assert len(whole) > 30 and check_samples(heap, FRAME, GRID)[1] == whole


def test_what_covers_a_whole_tile_takes_no_memory_of_its_size():
    """Two million hectares twice over: the pixels of the common area are counted by its size."""
    grid = GeoBox.from_bbox((LEFT, TOP - 100_000, LEFT + 100_000, TOP), crs="EPSG:3035", resolution=5)
    west, east = (shapely.box(LEFT + x, TOP - 99_000, LEFT + x + 60_000, TOP - 1000) for x in (1000, 30_000))
    tracemalloc.start()
    samples, faults = check_samples([Drawn(west, "grass"), Drawn(east, "water")], FRAME, grid)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(samples) == 2 and peak < 50e6
    assert f"share {31_000 * 98_000 // 25} pixels" in faults[0].text


def test_a_thin_polygon_has_a_pixel_where_it_holds_a_centre():
    """Though not where a point inside of it lies."""
    x, y = LEFT + 100, TOP - 102.5
    thin = shapely.Polygon([(x, y - 0.2), (x + 40, y - 2.4), (x + 40, y - 2.2), (x + 7.5, y + 0.1), (x, y + 0.1)])
    samples, faults = check_samples([Drawn(thin, "grass")], FRAME, GRID)
    inside = thin.representative_point()
    assert not thin.contains(shapely.Point(LEFT + (inside.x - LEFT) // 5 * 5 + 2.5, y)) and not faults
    assert [v.tolist() for v in pixels_of(samples[0], GRID)] == [[20, 20], [20, 21]]


def test_metres_in_a_geojson_are_told_from_degrees(tmp_path):
    feature = {"type": "Feature", "properties": {"class": "grass"}, "geometry": json.loads(shapely.to_geojson(square(1, 1)))}
    path = tmp_path / "p.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    with pytest.raises(InputError, match="are no degrees, which GeoJSON has; they look like metres of EPSG:3035"):
        read(path)
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3035"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    assert len(read(path)) == 1


def test_no_polygon_is_no_fault(tmp_path):
    path = tmp_path / "none.geojson"
    path.write_text('{"type": "FeatureCollection", "features": []}')
    assert read(path) == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "does not exist"), ("no vector file", "cannot be read"),
        ('{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"kind": "grass"}, "geometry": '
         '{"type": "Point", "coordinates": [11, 46]}}]}', "has no column class (it has kind)"),
    ],
)  # fmt: skip
def test_files_that_cannot_serve(tmp_path, text, words):
    path = tmp_path / "p.geojson"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=words.replace("(", r"\(").replace(")", r"\)")):
        read(path)


def test_a_ring_of_a_hundred_thousand_vertices_is_quick(tmp_path):
    angle = np.linspace(0, 2 * np.pi, 100_000, endpoint=False)
    radius = 200 + 3 * np.sin(300 * angle)
    ring = shapely.Polygon(np.column_stack([LEFT + 500 + radius * np.cos(angle), TOP - 500 + radius * np.sin(angle)]))
    path = written(tmp_path, frame(("grass", ring)), "p.gpkg", "EPSG:3035")
    start = time.process_time()
    (found,) = read(path)
    assert time.process_time() - start < 10 and len(pixels_of(found, GRID)[0]) == pytest.approx(ring.area / 25, rel=0.01)


def test_the_store_keeps_polygons_exactly_and_people_get_degrees(tmp_path):
    samples = read(written(tmp_path, frame(("grass", square(10, 10)), ("water", square(30, 12)))))
    again = of_store(json.loads(as_geojson(samples, degrees=False)), FRAME)
    assert [s.shape.wkb for s in again] == [s.shape.wkb for s in samples]
    path = tmp_path / "people.geojson"
    path.write_text(as_geojson(samples))
    for one, other in zip(samples, read(path), strict=True):
        assert one.shape.hausdorff_distance(other.shape) < 0.01  # a centimetre
    with pytest.raises(InputError, match="polygon 2 of the round is of class water, which this production has not"):
        of_store(json.loads(as_geojson(samples, degrees=False)), FRAME[:6])


def test_thin_polygons_that_cross_without_a_common_pixel_are_quick():
    """A net of 14 400 crossings between the centres of pixels, and one that holds a centre."""
    teeth = [
        [shapely.union(shapely.box(x - 1, TOP - 1400, x + 1, TOP - 15), shapely.box(x - 3, TOP - 1399, x, TOP - 1391)),
         shapely.union(shapely.box(LEFT + 10, y - 1, LEFT + 1400, y + 1), shapely.box(LEFT + 11, y - 3, LEFT + 14, y))]
        for x, y in ((LEFT + 10 * k, TOP - 10 * k) for k in range(4, 124))
    ]  # fmt: skip
    net = [Drawn(shape, name) for two in teeth for shape, name in zip(two, ("water", "grass"), strict=True)]
    grid = GeoBox.from_bbox((LEFT, TOP - 1500, LEFT + 1500, TOP), crs="EPSG:3035", resolution=5)
    start = time.process_time()
    samples, faults = check_samples(net, FRAME, grid)
    assert time.process_time() - start < 5 and len(samples) == 240 and not faults
    pond = Drawn(shapely.box(LEFT + 10, TOP - 45, LEFT + 15, TOP - 40), "water", "pond")
    _, faults = check_samples([*net, pond], FRAME, grid)
    assert [fault.text for fault in faults] == [
        "polygon 2 (grass) and polygon 241 (pond) of water share 1 pixel; draw them apart"
    ]
