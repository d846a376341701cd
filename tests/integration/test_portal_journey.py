"""From the demo of the portal to what a person takes away: a sharpened scene, a taught map, a package."""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from imperv.flows.cli.landcover.portal_demo import make_demo
from imperv.flows.portal.jobs import LOCK, locked
from imperv.flows.portal.projects import projects_in
from imperv.flows.runtime.console import err
from imperv.tasks.errors import InputError
from tests.support.browser import browser_path, chromium, screenshots
from tests.support.pages import drawn, opened
from tests.support.portal import Portal, portal_on

TILE, LATEST = "E44N27", 1200
"""Tile of the simulated town; seconds that a job may take on a busy machine."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    found = tmp_path_factory.mktemp("demo") / "towns"
    make_demo(found, err)
    return found


@pytest.fixture(scope="module")
def portal(folder: Path) -> Iterator[Portal]:
    with portal_on(f"--projects={folder}") as running:
        yield running


def ask(portal: Portal, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """JSON of an answer."""
    script = {"Authorization": f"Bearer {portal.token}", "Content-Type": "application/json", **headers}
    status, _, found = portal.ask(path, script, method, None if body is None else json.dumps(body))
    assert status < 300, found
    return json.loads(found)


def ended(portal: Portal, home: str, job: dict[str, Any]) -> None:
    """Wait for a job of a project."""
    end = time.monotonic() + LATEST
    while (state := portal.get(f"{home}/api/jobs/{job['number']}"))["state"] in ("waiting", "running"):
        assert time.monotonic() < end, state
        time.sleep(0.3)
    assert state["state"] == "done", state


def test_a_second_start_makes_nothing_again(folder: Path):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    make_demo(folder, err)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


def test_a_folder_of_something_else_is_no_demo(tmp_path: Path):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(InputError, match="is no demo; name an empty folder"):
        make_demo(tmp_path, err)


def test_two_starts_at_once_make_one_demo(tmp_path: Path):
    """The second one is refused before anything is written; what it leaves is no other's folder."""
    demo = projects_in(tmp_path / "demo").folder
    with locked(demo / LOCK), pytest.raises(InputError, match="another portal works on"):
        make_demo(demo, err)
    assert sorted(path.name for path in demo.iterdir()) == [LOCK, "templates"]
    (demo / "templates/mine.toml").write_text("")
    with pytest.raises(InputError, match="is no demo"):
        make_demo(demo, err)


def test_an_area_is_seen_raw_and_sharpened_and_taken_away(portal: Portal):
    """digisat's way."""
    [town] = ask(portal, "GET", "/api/projects")["projects"]
    wanted = {"template": "scene", "bbox": [4_470_000, 2_750_000, 4_471_000, 2_751_000], "span": "2021-06"}
    planned = ask(portal, "POST", "/api/estimate", wanted)
    assert planned["core_hours"] > 0 and planned["memory"] > 0
    made = ask(portal, "POST", "/api/projects", wanted | {"label": "Scene"})
    home = f"/projects/{made['id']}"
    assert made["bbox"] == wanted["bbox"] and town["id"] != made["id"]
    ended(portal, home, ask(portal, "POST", f"{home}/api/jobs", {"kind": "run"}))
    found = portal.get(f"{home}/api/layers")
    while found["progress"] or not found["compared"]:
        time.sleep(0.5)
        found = portal.get(f"{home}/api/layers")
    raw, sharp = found["compared"][0]["left"], found["compared"][0]["right"]
    assert raw.startswith("SR_B10.") and sharp.startswith("SR5_laea.") and found["first"] == sharp
    status, _, body = portal.ask(f"{home}/file/{sharp}/{TILE}.tif", {"Authorization": f"Bearer {portal.token}"})
    with rasterio.MemoryFile(body) as file, file.open() as source:
        assert status == 200 and source.res == (5, 5) and source.count == 12 and source.bounds[:2] == (4_470_000, 2_750_000)


def test_a_town_is_taught_and_taken_away(portal: Portal):
    [town] = [p for p in ask(portal, "GET", "/api/projects")["projects"] if p["product"] == "landcover"]
    home = f"/projects/{town['id']}"
    drawn = portal.get(f"{home}/api/samples")
    assert len(drawn["features"]) == 35 and not drawn["faults"]
    # Fourteen of them, as in FRAME's manual: two of each class.
    kept = [f for k, f in enumerate(drawn["features"]) if k % 5 < 2]
    assert len(kept) == 14 and len({f["properties"]["class"] for f in kept}) == 7
    saved = ask(portal, "PUT", f"{home}/api/samples", {"features": kept}, **{"If-Match": f'"{drawn["version"]}"'})
    assert saved["version"] == drawn["version"] + 1
    began = time.monotonic()
    views = ask(portal, "POST", f"{home}/api/teach/view", {"bounds": town["bbox"]})["views"]
    assert views and time.monotonic() - began < 300
    ended(portal, home, ask(portal, "POST", f"{home}/api/teach/tune", {}))
    known = ask(portal, "GET", f"{home}/api/teach?fresh=true")
    [tile] = known["tiles"]
    assert [r["round"] for r in tile["rounds"]] == [1, 2] and tile["rounds"][-1]["present"]
    ended(portal, home, ask(portal, "POST", f"{home}/api/teach/package", {"tile": TILE, "round": 2}))
    status, _, body = portal.ask(f"{home}/packages/{TILE}.2.zip", {"Authorization": f"Bearer {portal.token}"})
    assert status == 200
    with zipfile.ZipFile(io.BytesIO(body)) as package:
        assert {"classification.tif", "classification.qml", "summary.txt", "training_polygons.geojson"} <= set(package.namelist())
        assert len(json.loads(package.read("training_polygons.geojson"))["features"]) == 14
        with rasterio.MemoryFile(package.read("classification.tif")) as file, file.open() as source:
            assert set(np.unique(source.read(1))) <= {1, 2, 3, 4, 5, 6, 7, 255}


def test_the_first_minute_shows_everything(portal: Portal, folder: Path):
    """The pictures of docs/portal.md, where ``IMPERV_TEST_PICTURES`` names a folder."""
    browser_path()
    [town] = [p for p in ask(portal, "GET", "/api/projects")["projects"] if p["product"] == "landcover"]
    into = screenshots()
    with chromium() as browser, opened(browser, portal) as page:
        page.locator("#project-list li").first.wait_for()

        def keep(name: str) -> None:
            drawn(page)
            if into is not None:
                page.screenshot(path=into / f"portal-{name}.png")

        page.locator("#new-template option").first.wait_for(state="attached")
        for edge, value in zip(("left", "bottom", "right", "top"), town["bbox"], strict=True):
            page.locator(f"#region-{edge}").fill(str(value))
            page.keyboard.press("Tab")
        keep("create")
        page.goto(f"{portal.origin}/projects/{town['id']}/")
        page.locator("#shown > li").first.wait_for(state="attached")
        for tab in ("Project", "Draw", "Teach"):
            page.get_by_role("tab", name=tab).click()
            page.get_by_role("tabpanel", name=tab).get_by_role("button").first.wait_for()
            keep(tab.lower())
        page.get_by_role("tab", name="Layers").click()
        page.get_by_role("button", name=re.compile("^LC_mosaic beside LC_base")).click()
        page.locator("#swipe").wait_for()
        keep("swipe")
