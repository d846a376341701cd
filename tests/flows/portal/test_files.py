"""What the page is made of: vendored libraries as they were fetched, files in the package, nothing from elsewhere."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from pathlib import Path

import pytest

from imperv.flows.portal.vendoring import DATA, EUROPE, PACKAGES, STATIC, VENDOR
from imperv.grids import official_tiles
from tests.support.browser import REQUIRED, browser_path

ROOT = Path(__file__).resolve().parents[3]
OWN = sorted([*STATIC.glob("js/*.js"), STATIC / "index.html", STATIC / "portal.css", STATIC / "favicon.svg"])


def test_vendored_files_are_those_of_the_list():
    entries = json.loads((VENDOR / "vendor.json").read_text())
    assert {(e["name"], e["version"], e["licence"], e["file"]) for e in entries} == {
        (package.name, package.version, package.licence, file) for package in PACKAGES for file in package.files.values()
    }
    for entry in entries:
        assert hashlib.sha256((VENDOR / entry["file"]).read_bytes()).hexdigest() == entry["sha256"], entry["file"]
    assert {path.name for path in VENDOR.iterdir()} == {"vendor.json", *(entry["file"] for entry in entries)}
    assert all(any(file.endswith("LICENSE.txt") for file in package.files.values()) for package in PACKAGES)


def test_a_browser_that_is_required_must_be_there(monkeypatch):
    """As in CI; by hand the tests that need one are skipped."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv(REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception):
        browser_path()
    monkeypatch.setenv(REQUIRED, "required")
    with pytest.raises(pytest.fail.Exception):
        browser_path()
    assert f"export {REQUIRED}=required" in (ROOT / ".ci" / "run").read_text()


def test_everything_is_in_the_package():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["imperv.flows.portal"]
    package = STATIC.parent
    shipped = {path for pattern in patterns for path in package.glob(pattern) if path.is_file()}
    assert shipped == {path for path in STATIC.rglob("*") if path.is_file()}


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_our_files_ask_nobody_else_and_run_no_text(path):
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"https?://(?!www\.w3\.org/)", text) == []
    assert (
        re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|localStorage|sessionStorage", text
        )
        == []
    )
    assert re.findall(r"<script(?![^>]*src=)|\son\w+=|\sstyle=", text) == []


def test_places_lie_in_europe():
    places = json.loads((DATA / "places.json").read_text())
    official = set(official_tiles("eea38-2024"))
    assert len(places["towns"]) > 40 and len(places["countries"]) > 35
    for name, x, y in places["towns"]:
        assert f"E{x // 100_000:02d}N{y // 100_000:02d}" in official, name
    towns = {name: (x, y) for name, x, y in places["towns"]}
    assert towns["Vienna"] == pytest.approx((4_793_800, 2_808_500), abs=2500)
    left, bottom, right, top = places["countries"]["Austria"]
    assert left < 4.3e6 < 4.85e6 < right and bottom < 2.62e6 and top > 2.85e6
    land = json.loads((DATA / "europe.json").read_text())["geometry"]["coordinates"]
    points = [point for polygon in land for ring in polygon for point in ring]
    assert (
        all(EUROPE[0] - 1 <= x <= EUROPE[2] + 1 and EUROPE[1] - 1 <= y <= EUROPE[3] + 1 for x, y in points)
        and len(points) > 10_000
    )
