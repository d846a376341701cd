"""Polygons of a project: versions, two writers, faults, files in and out.

Whatever was drawn is kept, with its faults; what is no polygon, or too much, is refused in a line and changes nothing. A file
that is uploaded is read in a process with limits: what breaks that process is told in a line. A save that fails leaves the
version before.
"""

from __future__ import annotations

import base64
import json
import re
import resource
import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely

from imperv.flows.portal import sample_files, samples
from imperv.flows.portal.projects import Project
from imperv.flows.portal.sample_files import drawn_in
from imperv.flows.portal.samples import NewerError, check, present_file, read, save, told_of, versions
from imperv.layers.landcover.classes import FRAME
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.samples import of_store
from tests.support.drawn import LEFT, TOP, feature, new_project, square, written
from tests.support.portal import Portal, portal_on


@pytest.fixture
def project(tmp_path) -> Project:
    return new_project(tmp_path / "projects")


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[tuple[Portal, Project]]:
    project = new_project(tmp_path_factory.mktemp("samples") / "projects")
    with portal_on(f"--projects={project.folder.parent}") as portal:
        yield portal, project


def asked(running, method: str, path: str, body: Any, version: int | None = None) -> tuple[int, Any]:
    portal, project = running
    headers = {"Authorization": f"Bearer {portal.token}", "Content-Type": "application/json"}
    if version is not None:
        headers["If-Match"] = f'"{version}"'
    status, _, answer = portal.ask(f"/projects/{project.id}/api{path}", headers, method, json.dumps(body))
    return status, json.loads(answer)


def uploaded(running, path: Path, name: str = "") -> tuple[int, Any]:
    data = base64.b64encode(path.read_bytes()).decode()
    return asked(running, "POST", "/uploads", {"name": name or path.name, "data": data})


def drawn(project: Project, expected: int, *features: dict[str, Any]) -> dict[str, Any]:
    return save(project, expected, check(project, features), "drawn")


def test_versions_are_files_that_the_tasks_read(project):
    assert present_file(project) is None and read(project)["version"] == 0
    first = feature(1, "grass", square(10, 10), "park")
    assert drawn(project, 0, first)["version"] == 1
    assert drawn(project, 1, first, feature(2, "water", square(40, 40)))["version"] == 2
    assert drawn(project, 2, first, feature(2, "water", square(40, 40)))["version"] == 2  # nothing new
    file = present_file(project)
    assert file == project.folder / "samples/000002.geojson" and sorted(f.name for f in file.parent.iterdir()) == [
        "000001.geojson",
        "000002.geojson",
    ]
    samples = of_store(json.loads(file.read_text()), FRAME)
    assert [(s.class_name, s.name, s.weight) for s in samples] == [("grass", "park", 1.0), ("water", "", 1.0)]
    assert samples[0].shape.equals_exact(square(10, 10)) and geopandas.read_file(file).crs == "EPSG:3035"
    assert [(v["version"], v["counts"]) for v in versions(project)] == [(2, {"grass": 1, "water": 1}), (1, {"grass": 1})]


def test_a_version_in_the_place_of_another_is_told_as_it_is(project):
    """Somebody took the file of the present version out, and the next save has its number."""
    drawn(project, 0, feature(1, "grass", square(1, 1)))
    drawn(project, 1, feature(1, "grass", square(1, 1)), feature(2, "water", square(9, 9)))
    assert versions(project)[0]["counts"] == {"grass": 1, "water": 1}
    present_file(project).unlink()
    drawn(project, 1, feature(2, "water", square(9, 9)))
    assert versions(project)[0]["counts"] == {"water": 1}


def test_a_second_writer_is_told_who_is_newer(project):
    drawn(project, 0, feature(1, "grass", square(1, 1)))
    with pytest.raises(NewerError, match=r"version 1 was saved by another window at 20\d\d-"):
        drawn(project, 0, feature(2, "water", square(1, 1)))
    with pytest.raises(NewerError, match="version 7 is not the present one, which is 1"):
        drawn(project, 7, feature(2, "water", square(1, 1)))
    assert read(project)["features"] == [feature(1, "grass", square(1, 1))]
    with ThreadPoolExecutor(8) as pool:

        def write(number: int) -> bool:
            try:
                drawn(project, 1, feature(number, "water", square(number, 1)))
            except NewerError:
                return False
            return True

        assert sum(pool.map(write, range(2, 10))) == 1


@pytest.mark.slow
def test_the_last_versions_are_kept_and_every_tenth_before(project):
    """And what was there before a pause, and what a job that waits will read."""
    for number in range(75):
        drawn(project, number, feature(1, "grass", square(1, 1 + number)))
        file = present_file(project)
        if number + 1 <= 13:  # an hour before the others
            file.write_text(
                re.sub(
                    '"created": "[^"]*"',
                    f'"created": "{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"',
                    file.read_text(),
                )
            )
        if number + 1 == 17:
            (project.folder / "jobs").mkdir()
            entry = {"number": 1, "kind": "tune", "arguments": {"samples": "000017"}, "process": None, "state": "waiting"}
            (project.folder / "jobs/000001.json").write_text(json.dumps(entry))
    assert sorted(v["version"] for v in versions(project)) == [10, 13, 17, 20, 30, 40, 50, *range(56, 76)]
    (project.folder / "jobs/000001.json").write_text(json.dumps(entry | {"state": "done"}))
    drawn(project, 75, feature(1, "grass", square(9, 9)))
    assert sorted(v["version"] for v in versions(project)) == [10, 13, 20, 30, 40, 50, *range(57, 77)]


@pytest.mark.slow
def test_the_newest_versions_are_kept(project, monkeypatch):
    monkeypatch.setattr(samples, "KEPT", 22)
    for number in range(60):
        drawn(project, number, feature(1, "grass", square(1, 1 + number)))
    assert sorted(v["version"] for v in versions(project)) == [30, 40, *range(41, 61)]


def test_a_save_whose_answer_was_lost_can_be_asked_for_again(project):
    first = drawn(project, 0, feature(1, "grass", square(1, 1)))
    assert drawn(project, 0, feature(1, "grass", square(1, 1))) == first and len(versions(project)) == 1
    drawn(project, 1, feature(1, "grass", square(1, 2)))
    with pytest.raises(NewerError):
        drawn(project, 0, feature(1, "grass", square(1, 2)))


def test_faults_are_kept_and_told_by_polygon(project):
    bow = shapely.Polygon([(LEFT + 100, TOP - 100), (LEFT + 140, TOP - 140), (LEFT + 140, TOP - 100), (LEFT + 100, TOP - 140)])
    given = [
        feature(1, "grass", square(10, 10)), feature(2, "water", square(12, 12)), feature(3, "gras", square(50, 50)),
        feature(4, "water", square(-90, 0)), feature(5, "water", square(60.1, 60.1, 0.2)), feature(6, "water", bow),
    ]  # fmt: skip
    found = check(project, given)
    told = [(fault["ids"], fault["text"]) for fault in found.faults]
    assert [[int(i, 16) for i in ids] for ids, _ in told] == [[3], [4], [5], [1, 2]]
    for (_, text), words in zip(
        told,
        ["unknown class 'gras'; did you mean grass?", "lies outside of the area", "holds the centre of no pixel of 5 m",
         "polygon 1 (grass) and polygon 2 (water) share 4 pixels; draw them apart"],
        strict=True,
    ):  # fmt: skip
        assert words in text
    assert [int(i, 16) for i in found.mended] == [6]
    mended = shapely.from_geojson(json.dumps(found.features[5]["geometry"]))
    assert mended.is_valid and mended.area == pytest.approx(800)
    assert found.features[:5] == given[:5] and found.notes == [
        "No polygon of bare soil, buildings, coniferous trees, deciduous trees, impervious yet: the base map decides there."
    ]
    assert drawn(project, 0, *given)["version"] == 1 and len(read(project)["features"]) == 6
    assert check(project, given[:1]).notes == ["All polygons are of class grass; draw another class, or the map may turn to it."]
    assert check(project, []).notes == []


def test_a_version_is_checked_once_for_the_same_classes(project):
    drawn(project, 0, feature(1, "grass", square(1, 1)), feature(2, "water", square(2, 2)))
    told = told_of(project, read(project))
    assert "share 9 pixels" in told["faults"][0]["text"] and told_of(project, read(project)) is told
    listed = '[[parameters.classes.list]]\ncode = 1\nname = "grass"\ncolour = "#00ff00"\n'
    listed += '[[parameters.classes.list]]\ncode = 2\nname = "wood"\ncolour = "#008800"\n'
    project.config.write_text(project.config.read_text() + listed)
    assert "unknown class 'water'" in told_of(project, read(project))["faults"][0]["text"]


def test_a_save_that_fails_leaves_the_version_before(project):
    """A disk that is full gives an error in the midst of a file, as a limit of its size does."""
    drawn(project, 0, feature(1, "grass", square(1, 1)))
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, limits[1]))
    try:
        with pytest.raises(WorkError, match="cannot be saved .*free space"):
            drawn(project, 1, *(feature(k, "grass", square(1, 1 + 5 * k)) for k in range(9)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert [f.name for f in (project.folder / "samples").iterdir()] == ["000001.geojson"] and len(read(project)["features"]) == 1
    assert drawn(project, 1, feature(2, "grass", square(1, 1)))["version"] == 2


def test_a_version_that_was_cut_short_is_named(project):
    drawn(project, 0, feature(1, "grass", square(1, 1)))
    drawn(project, 1, feature(1, "grass", square(1, 9)))
    file = present_file(project)
    file.write_text(file.read_text()[:90])
    with pytest.raises(InputError, match=r"samples/000002\.geojson cannot be read; take it out"):
        read(project)
    assert read(project, 1)["features"][0]["properties"]["class"] == "grass"
    assert "cannot be read" in versions(project)[0]["trouble"]


@pytest.mark.slow
def test_drawing_by_requests(running):
    portal, project = running
    status, found = asked(running, "PUT", "/samples", {"features": [feature(1, "grass", square(1, 1))]}, 0)
    assert (status, found["version"], found["mended"], found["faults"]) == (200, 1, [], [])
    assert asked(running, "PUT", "/samples", {"features": []}, 0)[0] == 412
    assert asked(running, "PUT", "/samples", {"features": []}, 1)[1]["version"] == 2
    assert asked(running, "POST", "/samples/versions/1", {}, 2)[1]["features"][0]["properties"]["class"] == "grass"
    assert [v["how"] for v in portal.get(f"/projects/{project.id}/api/samples/versions")["versions"]] == [
        "version 1 again",
        "drawn",
        "drawn",
    ]
    assert asked(running, "POST", "/samples/versions/99", {}, 3)[0] == 404
    status, headers, body = portal.ask(f"/projects/{project.id}/api/samples", {"Authorization": f"Bearer {portal.token}"})
    assert (status, headers["etag"]) == (200, '"3"') and len(json.loads(body)["classes"]) == 7
    assert portal.get(f"/projects/{project.id}/api/project")["draws"] is True


BAD = {
    "no version": ({"features": []}, None, "If-Match: name the version"),
    "a line": ({"features": [feature(1, "grass", shapely.LineString([(0, 0), (1, 1)]))]}, 3, "polygon 1 is no polygon"),
    "no ring": (
        {"features": [feature(1, "grass", square(1, 1)) | {"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}}]},
        3, "polygon 1 is no polygon",
    ),
    "not a number": (
        {"features": [feature(1, "grass", square(1, 1)) | {"geometry": {"type": "Point", "coordinates": ["a", 1]}}]},
        3, "polygon 1 is no polygon",
    ),
    "beyond the projection": (
        {"features": [feature(1, "grass", square(1, 1)), feature(2, "grass", shapely.Point(-1e8, 5))]}, 3,
        "polygon 2: -1e+08 5 is no place of EPSG:3035",
    ),
    "the same id": ({"features": [feature(1, "grass", square(1, 1)), feature(1, "grass", square(9, 9))]}, 3, "the same id"),
    "too many": ({"features": [feature(k, "grass", shapely.Point(LEFT + 5, TOP - 5)) for k in range(2001)]}, 3,
                 "2001 polygons, more than 2000"),
    "no name": ({"features": [feature(1, "", square(1, 1))]}, 3, "at least 1 character"),
    "a long name": ({"features": [feature(1, "grass", square(1, 1), "x" * 81)]}, 3, "at most 80 characters"),
    "a path": ({"features": [], "file": "/etc/passwd"}, 3, "Extra inputs"),
    "no list": ({"features": "all"}, 3, "valid list"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_drawing_is_refused_in_a_line(running, case):
    body, version, words = BAD[case]
    before = sorted(running[1].folder.rglob("*"))
    status, found = asked(running, "PUT", "/samples", body, version)
    assert status == 422 and words in found["detail"] and "\n" not in found["detail"]
    assert sorted(running[1].folder.rglob("*")) == before


@pytest.mark.slow
def test_more_vertices_than_can_be_kept(project):
    angle = np.linspace(0, 2 * np.pi, 200_001)
    ring = shapely.Polygon(np.column_stack([LEFT + 500 + 100 * np.cos(angle), TOP - 500 + 100 * np.sin(angle)]))
    with pytest.raises(InputError, match="have 20000[0-9] vertices, more than 200000; simplify"):
        check(project, [feature(1, "grass", ring)])


@pytest.mark.slow
def test_products_that_are_not_tuned_have_no_drawing(tmp_path):
    project = new_project(tmp_path / "projects")
    text = project.config.read_text().replace('"landcover"', '"superresolution"')
    project.config.write_text(text)
    with portal_on(f"--projects={tmp_path / 'projects'}") as portal:
        bearer = {"Authorization": f"Bearer {portal.token}"}
        assert portal.get(f"/projects/{project.id}/api/project")["draws"] is False
        assert portal.ask(f"/projects/{project.id}/api/samples", bearer)[0] == 404
        assert portal.ask(f"/projects/{'0' * 12}/api/samples", bearer)[0] == 404
        assert portal.ask("/api/samples", bearer)[0] == 404


@pytest.mark.parametrize(
    ("name", "crs"),
    [("p.geojson", "EPSG:4326"), ("p.gpkg", "EPSG:3035"), ("p.gpkg", "EPSG:32632"), ("p.geojson", "EPSG:3035")],
)
def test_a_file_comes_in_within_a_centimetre(running, tmp_path, name, crs):
    shapes = [square(10, 10), shapely.Point(LEFT + 500.5, TOP - 500.5)]
    path = written(tmp_path / name, ("Bare Soil", shapes[0]), ("6", shapes[1]), crs=crs)
    status, found = uploaded(running, path)
    assert status == 200 and found["faults"] == []
    assert [f["properties"]["class"] for f in found["features"]] == ["bare soil", "impervious"]
    for one, shape in zip(found["features"], shapes, strict=True):
        assert shapely.from_geojson(json.dumps(one["geometry"])).hausdorff_distance(shape) < 0.01


@pytest.mark.parametrize("form", ["geojson", "gpkg"])
def test_what_is_drawn_goes_out_and_comes_back_within_a_centimetre(running, tmp_path, form):
    portal, project = running
    shapes = [
        square(20, 20, 3.33),
        shapely.MultiPolygon([square(50, 50), square(60, 60)]),
        shapely.Point(LEFT + 701.234, TOP - 5.678),
    ]
    features = [
        feature(k, kind, shape, "näme") for k, (kind, shape) in enumerate(zip(("grass", "water", "grass"), shapes, strict=True))
    ]
    now = portal.get(f"/projects/{project.id}/api/samples")["version"]
    assert asked(running, "PUT", "/samples", {"features": features}, now)[0] == 200
    bearer = {"Authorization": f"Bearer {portal.token}"}
    status, headers, data = portal.ask(f"/projects/{project.id}/api/samples/file.{form}", bearer)
    assert status == 200 and headers["content-disposition"] == f'attachment; filename="samples.{form}"'
    file = tmp_path / f"out.{form}"
    file.write_bytes(data)
    table = geopandas.read_file(file)
    assert table.crs == ("EPSG:4326" if form == "geojson" else "EPSG:3035") and list(table["name"]) == ["näme"] * 3
    if form == "geojson":
        assert max(len(text.partition(".")[2]) for text in map(str, shapely.get_coordinates(table.geometry.values).ravel())) <= 8
    _, found = uploaded(running, file)
    for one, shape in zip(found["features"], shapes, strict=True):
        assert shapely.from_geojson(json.dumps(one["geometry"])).hausdorff_distance(shape) < 0.01
        assert one["properties"]["name"] == "näme"


def test_all_faults_of_a_file_are_listed_and_the_others_can_be_taken(running, tmp_path):
    bow = shapely.Polygon([(LEFT + 100, TOP - 100), (LEFT + 140, TOP - 140), (LEFT + 140, TOP - 100), (LEFT + 100, TOP - 140)])
    path = written(
        tmp_path / "p.gpkg", ("gras", square(1, 1)), ("grass", square(-50, 1)), ("water", square(60.1, 60.1, 0.2)),
        ("water", bow), (None, square(90, 90)), ("water", shapely.LineString([(LEFT, TOP), (LEFT + 9, TOP - 9)])),
        crs="EPSG:3035",
    )  # fmt: skip
    status, found = uploaded(running, path)
    assert status == 200 and len(found["features"]) == 1
    words = ["did you mean grass?", "outside of the area", "no pixel of 5 m", "has no class", "is a line"]
    assert len(found["faults"]) == 5 and all(w in text for w, text in zip(words, found["faults"], strict=True))
    assert found["notes"] == [
        "polygon 4 (water) crossed itself and was mended.",
        "All polygons are of class water; draw another class, or the map may turn to it.",
    ]


def test_metres_without_a_reference_system_get_the_hint(running, tmp_path):
    path = tmp_path / "p.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature(1, "grass", square(1, 1))]}))
    status, found = uploaded(running, path, "my town.geojson")
    assert status == 422 and found["detail"].startswith("my town.geojson: ") and "metres of EPSG:3035" in found["detail"]


def geopackage_of(tmp_path: Path, change: str) -> Path:
    path = written(tmp_path / "p.gpkg", ("grass", square(1, 1)), crs="EPSG:3035")
    with sqlite3.connect(path) as base:
        base.executescript(change)
    return path


FILES = {
    "no form": ("p.shp", b"x", "take a file of GeoJSON"),
    "no JSON": ("p.geojson", b"{", "is no JSON"),
    "a list": ("p.json", b"[1, 2]", "is no FeatureCollection"),
    "binary": ("p.geojson", bytes(range(256)), "is no JSON"),
    "deep": ("p.geojson", b"[" * 100_000, "is no JSON"),
    "a virtual layer": ("p.geojson", b"<OGRVRTDataSource><OGRVRTLayer name='x'/></OGRVRTDataSource>", "is no JSON"),
    "text as GeoPackage": ("p.gpkg", b"SQLite format 3\0" + b"x" * 200, "is no GeoPackage"),
    "half a GeoPackage": ("p.gpkg", b"SQLite format 3\0" + b"\0" * 52 + b"GPKG" + b"\0" * 500, "p.gpkg"),
    "no features": ("p.geojson", b'{"type": "FeatureCollection", "features": 3}', "p.geojson"),
    "too large": ("p.geojson", b" " * (5 * 2**20 + 1), "more than 5"),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_are_none_are_refused_in_a_line(running, tmp_path, case):
    name, data, words = FILES[case]
    path = tmp_path / "file"
    path.write_bytes(data)
    status, found = uploaded(running, path, name)
    assert words in (found["detail"] if status == 422 else found["notes"][0] if found["notes"] else "p.geojson")
    assert "Traceback" not in str(found) and "/tmp" not in str(found)
    assert status == 422 or found["features"] == []


def test_a_json_that_another_driver_would_take_is_read_as_json(running, tmp_path):
    """GDAL knows a virtual layer by a word anywhere in its first bytes, and would open the files that it names."""
    secret = written(tmp_path / "secret.geojson", ("grass", square(1, 1)))
    layer = (
        f"<OGRVRTDataSource><OGRVRTLayer name='secret'><SrcDataSource>{secret}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"
    )
    path = tmp_path / "p.geojson"
    path.write_text(
        json.dumps({"x": layer, "type": "FeatureCollection", "features": [feature(1, "water", shapely.Point(11.0, 46.6))]})
    )
    status, found = uploaded(running, path)
    assert "secret" not in str(found) and all(f["properties"]["class"] == "water" for f in found.get("features", []))
    assert status == 200


@pytest.mark.slow
def test_a_geopackage_without_end_is_stopped(tmp_path, monkeypatch):
    """A view that counts for ever; the process ends at its limit of time, and the page is told in a line."""
    monkeypatch.setattr(sample_files, "SECONDS", 3)
    endless = (
        "PRAGMA legacy_alter_table = ON; ALTER TABLE p RENAME TO q; CREATE VIEW p AS WITH RECURSIVE n(i) AS "
        "(SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS fid, geom, class FROM n, q WHERE i < 0;"
    )
    path = geopackage_of(tmp_path, endless)
    with pytest.raises(InputError, match=r"p\.gpkg cannot be read"):
        drawn_in("p.gpkg", path.read_bytes())


def test_a_geopackage_of_several_layers_says_which_is_read(tmp_path):
    path = written(tmp_path / "p.gpkg", ("grass", square(1, 1)), crs="EPSG:3035")
    geopandas.GeoDataFrame({"class": ["water"]}, geometry=[square(9, 9)], crs="EPSG:3035").to_file(path, layer="more")
    drawn, notes = drawn_in("p.gpkg", path.read_bytes())
    assert [d.class_name for d in drawn] == ["grass"] and notes == ["p.gpkg has 2 layers; polygons are those of p."]


def test_the_process_keeps_to_its_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_files, "MEMORY", 60 * 2**20)
    path = written(tmp_path / "p.gpkg", ("grass", square(1, 1)), crs="EPSG:3035")
    with pytest.raises(InputError, match=r"p\.gpkg cannot be read within"):
        drawn_in("p.gpkg", path.read_bytes())


@pytest.mark.slow
def test_the_process_has_few_variables(tmp_path, monkeypatch):
    """Credentials are none of them, nor settings of GDAL: with this one it would have no GeoPackage."""
    path = written(tmp_path / "p.gpkg", ("grass", square(1, 1)), crs="EPSG:3035")
    monkeypatch.setenv("GDAL_SKIP", "GPKG")
    assert len(drawn_in("p.gpkg", path.read_bytes())[0]) == 1
