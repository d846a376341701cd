"""Teaching by requests: views, rounds as layers, comparisons, restoring, packages; own classes of a new project.

What cannot be done yet is one line that says what is missing. A round whose base map goes is shown no more.
"""

from __future__ import annotations

import io
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from imperv.flows.portal.projects import Projects
from imperv.grids import Block
from imperv.grids.pyramid import EDGE, ORIGIN
from imperv.layers.colouring import colour_table
from imperv.layers.landcover.classes import FRAME, palette_of
from imperv.tasks.landcover import session
from tests.support.portal import portal_on, tile_at
from tests.support.teaching import Pupil, draw, polygons_of
from tests.support.urban import BBOX, TILE

pytestmark = pytest.mark.slow

COLOURS = colour_table(palette_of(FRAME), 255)
LEFT, BOTTOM, RIGHT, TOP = BBOX


@pytest.fixture(scope="module")
def projects(town, tmp_path_factory) -> Projects:
    folder = tmp_path_factory.mktemp("teaching") / "projects"
    shutil.copytree(town, folder)
    return Projects(folder)


@pytest.fixture(scope="module")
def pupil(town, projects) -> Iterator[Pupil]:
    """A project with a base map and polygons, never taught so far."""
    project = next(p for p in projects.every() if p.about["label"] == "Town")
    draw(project, polygons_of(town))
    with portal_on(f"--projects={projects.folder}") as portal:
        yield Pupil(portal, project)


def picture(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def test_what_cannot_be_done_yet_is_one_line(pupil, projects, town):
    new = Pupil(pupil.portal, projects.create("New", "town", BBOX, "2021-06"))
    base = f"LC_probability of tile {TILE} is not there for this area; start the run, which makes the base map"
    none = "there are no samples yet; draw some of at least two classes"
    known = new.ask("/api/teach")[1]
    assert known["version"] == "" and known["tiles"] == [
        {"tile": TILE, "missing": base, "samples": {}, "trouble": "", "rounds": []}
    ]
    assert [one["name"] for one in known["classes"]] == [one.name for one in FRAME]
    view = {"bounds": BBOX}
    assert new.ask("/api/teach/view", "POST", view) == (422, {"detail": none})
    assert new.ask("/api/teach/tune", "POST", {}) == (422, {"detail": none})
    draw(new.project, polygons_of(town))
    for path, body in (
        ("view", view),
        ("tune", {}),
        ("restore", {"tile": TILE, "round": 0}),
        ("package", {"tile": TILE, "round": 0}),
    ):
        assert new.ask(f"/api/teach/{path}", "POST", body) == (422, {"detail": base})
    assert new.ask("/api/teach/places") == (422, {"detail": base})
    for path, body, status in (
        ("/api/teach/restore", {"tile": TILE, "round": 7}, 404), ("/api/teach/restore", {"tile": "E01N01", "round": 0}, 404),
        ("/api/teach/restore", {"tile": "../x", "round": 0}, 422), ("/api/teach/package", {"tile": TILE, "round": -1}, 422),
        ("/api/teach/tune", {"samples": "x"}, 422), ("/api/teach/view", {"bounds": [0, 0, "nan", 1]}, 422),
    ):  # fmt: skip
        found, answer = pupil.ask(path, "POST", body)
        assert found == status and "\n" not in answer["detail"], path
    for path in (f"/packages/{TILE}.1.zip", "/taught/0123456789abcdef.png", f"/api/teach/compare?tile={TILE}&first=0&second=9"):
        assert pupil.ask(path)[0] in (404, 422)
    # Faults of what was drawn are told beside the counts.
    shared = [*polygons_of(town), {**polygons_of(town)[0], "properties": {**polygons_of(town)[-1]["properties"], "id": "f" * 12}}]
    draw(new.project, shared)
    told = new.ask("/api/teach")[1]["tiles"][0]
    assert "share 9 pixels; draw them apart" in told["trouble"]
    assert told["samples"] == Counter(one["properties"]["class"] for one in shared)


def test_without_a_session_nothing_is_told_or_taught(pupil):
    start = f"/projects/{pupil.project.id}"
    for path in ("/api/teach", "/api/teach/places", f"/packages/{TILE}.0.zip", "/taught/0123456789abcdef.png"):
        assert pupil.portal.ask(start + path)[0] == 401
    foreign = {"Content-Type": "application/json", "Origin": "http://evil.example"}
    for path in ("view", "tune", "restore", "package"):
        assert pupil.portal.ask(f"{start}/api/teach/{path}", foreign, "POST", "{}")[0] in (401, 403)
    assert pupil.ask("/api/jobs")[1] == {"jobs": []} and pupil.rounds == []


def test_a_view_is_taught_at_once_and_kept_nowhere(pupil):
    before = sorted(pupil.project.folder.rglob("*"))
    began = time.monotonic()
    status, answer = pupil.ask("/api/teach/view", "POST", {"bounds": [LEFT - 500, BOTTOM, LEFT + 600, TOP - 100]})
    assert status == 200 and time.monotonic() - began < 300
    (view,) = answer["views"]
    assert view["bounds"] == [LEFT, BOTTOM, LEFT + 600, TOP - 100] and view["scores"]["polygons"] == 21
    found = picture(pupil.bytes_of(f"/taught/{view['key']}.png"))
    (job,) = pupil.project.jobs()
    samples = session.read_polygons(job, pupil.project.folder / "samples/000001.geojson")
    codes, scores = session.preview(job, samples, Block(20, 0, 200, 120))
    assert np.array_equal(found, COLOURS[codes]) and scores == view["scores"]
    assert (codes != job.array("LC_base")[20:200, :120]).any()
    assert pupil.ask("/api/teach/view", "POST", {"bounds": [LEFT - 500, BOTTOM, LEFT + 600, TOP - 100]})[1] == answer
    assert pupil.ask("/api/teach/view", "POST", {"bounds": [RIGHT, TOP, RIGHT + 500, TOP + 500]}) == (200, {"views": []})
    assert sorted(pupil.project.folder.rglob("*")) == before and pupil.rounds == []


def test_rounds_are_made_shown_compared_restored_and_packed(pupil, town):
    pupil.done("tune", {})
    every = polygons_of(town)
    draw(pupil.project, [f for f in every if f["properties"]["class"] == "water"])
    assert pupil.done("tune", {})["arguments"] == {"samples": "000002", "tiles": [TILE]}
    first, second = pupil.rounds
    assert (first["polygons"], second["polygons"], first["present"], second["present"]) == (21, 3, False, True)
    assert first["scores"]["scores"]["oa"]["low"] is not None and first["warnings"] == []
    assert first["classes"]["grass"]["polygons"] == 3 and "grass" not in second["classes"]
    assert second["warnings"] == ["all polygons are of class water; draw another class, or the map may turn to it"]
    (job,) = pupil.project.jobs()
    layers = {layer["id"]: layer for layer in pupil.ask("/api/layers")[1]["layers"]}
    for one in (first, second):
        layer = layers[one["layer"]]
        assert layer["title"] == f"Round {one['round']}"
        x, y = tile_at(13, LEFT + 1, TOP - 1)
        drawn = picture(pupil.bytes_of(f"/map/{layer['id']}/{layer['key']}/13/{x}/{y}.png"))
        row, column = int(ORIGIN[1] - TOP) // 5 - EDGE * y, int(LEFT - ORIGIN[0]) // 5 - EDGE * x
        wanted = COLOURS[session.map_of_round(job, one["round"], Block(0, 0, min(EDGE - row, 200), EDGE - column))]
        assert np.array_equal(drawn[row : row + wanted.shape[0], column:], wanted)
    known = pupil.ask("/api/teach")[1]
    assert [known["layers"][name].partition(".")[0] for name in ("base", "tuned", "confidence")] == [
        "LC_base", "LC_tuned", "LC_confidence",
    ]  # fmt: skip
    table = pupil.ask(f"/api/teach/compare?tile={TILE}&first=0&second=1")[1]
    assert table["changed_share"] == pytest.approx(first["changed_share"]) and table["rounds"] == [0, 1]
    places = pupil.ask("/api/teach/places")[1]["places"]
    assert len(places) == 20 and all(a["doubt"] >= b["doubt"] for a, b in zip(places, places[1:], strict=False))
    left, bottom, right, top = places[0]["bounds"]
    assert right - left == top - bottom == 15 and LEFT <= left < RIGHT and BOTTOM <= bottom < TOP
    wanted = session.map_of_round(job, 1, Block(0, 0, 200, 400))
    assert not np.array_equal(job.array("LC_tuned")[:], wanted)
    pupil.done("restore", {"tile": TILE, "round": 1})
    assert [one["present"] for one in pupil.rounds] == [True, False] and np.array_equal(job.array("LC_tuned")[:], wanted)
    # The same round gives the same bytes, whether it is the present one or not.
    packed = {}
    for number in (1, 2):
        pupil.done("package", {"tile": TILE, "round": number})
        packed[number] = pupil.bytes_of(f"/packages/{TILE}.{number}.zip")
    pupil.done("restore", {"tile": TILE, "round": 0})
    pupil.done("package", {"tile": TILE, "round": 1})
    assert pupil.bytes_of(f"/packages/{TILE}.1.zip") == packed[1] != packed[2]
    assert [one["present"] for one in pupil.rounds] == [False, False] and not pupil.ask("/api/teach")[1]["layers"]["tuned"]


def test_a_new_project_may_have_classes_of_its_own(pupil):
    (template,) = pupil.portal.get("/api/projects")["templates"]
    usual = template["classes"]
    assert [(one["name"], one["code"]) for one in usual] == [(one.name, one.code) for one in FRAME]
    headers = {"Authorization": f"Bearer {pupil.portal.token}", "Content-Type": "application/json"}

    def made(classes: object) -> tuple[int, dict]:
        body = {"label": "Own", "template": "town", "bbox": BBOX, "span": "2021-06", "classes": classes}
        status, _, answer = pupil.portal.ask("/api/projects", headers, "POST", json.dumps(body))
        return status, json.loads(answer)

    roof = {"name": " green  roof", "code": 9, "colour": "#E8862E"}
    status, found = made([*usual, roof])
    assert status == 201
    own = Pupil(pupil.portal, Projects(pupil.project.folder.parent).find(found["id"]))
    assert own.ask("/api/teach")[1]["classes"] == [*usual, {"name": "green roof", "code": 9, "colour": "#e8862e"}]
    parameters = own.project.production().parameters
    assert parameters.unet.base_filters == 6 and parameters.classes.classes[-1].colour == (232, 134, 46)
    status, found = made(usual)
    assert status == 201
    assert "classes" not in Projects(pupil.project.folder.parent).find(found["id"]).config.read_text()
    for classes, why in (
        ([*usual, {**roof, "code": 7}], "two classes have the code 7"),
        ([*usual, {**roof, "name": "GRASS"}], "two classes have the name grass"),
        ([*usual, {**roof, "colour": "red"}], "'red' is not a colour"),
        ([*usual, {**roof, "code": 0}], "greater than or equal to 1"),
        ([*usual, {**roof, "name": ""}], "at least 1 character"),
        ([*usual, {**roof, "more": 1}], "Extra inputs"),
        (usual[:1], "at least 2 items"),
        ([roof, {**roof, "name": "other", "code": 10}], "fewer than two of them"),
    ):
        status, answer = made(classes)
        assert status == 422 and why in answer["detail"], answer


def test_a_project_that_nobody_can_teach(tmp_path):
    folder = tmp_path / "projects"
    (folder / "templates").mkdir(parents=True)
    (folder / "templates/scene.toml").write_text('product = "superresolution"\n[scenes]\ncatalogue = "items.json"\n')
    project = Projects(folder).create("Scene", "scene", BBOX, "2021-06")
    with portal_on(f"--projects={folder}") as portal:
        scene = Pupil(portal, project)
        assert portal.get("/api/projects")["templates"][0]["classes"] is None and not scene.ask("/api/site")[1]["taught"]
        for method, path, body in (("GET", "/api/teach", None), ("POST", "/api/teach/tune", {})):
            assert scene.ask(path, method, body) == (422, {"detail": "a project of superresolution cannot be taught by polygons"})
