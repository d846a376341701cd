"""Downloads of delivered files: of a production's store, and of a folder of products; the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.portal import Portal, portal_on
from tests.support.report_store import TILE

LAYER = "IMD_now.2018-2021.0"


def fetched(portal: Portal, path: str) -> tuple[int, dict[str, str], bytes]:
    return portal.ask(path, {"Authorization": f"Bearer {portal.token}"})


@pytest.mark.slow
def test_the_file_of_a_layer_is_the_one_that_was_delivered(portal: Portal, production: Path):
    [listed] = portal.get(f"/api/layers/{LAYER}/files")
    file = next((production / "store/products").rglob(listed["name"]))
    status, headers, body = fetched(portal, f"/file/{LAYER}/{TILE}.tif")
    assert status == 200 and body == file.read_bytes() and listed["bytes"] == len(body) and listed["tile"] == TILE
    assert headers["content-disposition"].endswith(f'filename="{file.name}"') and headers["content-type"] == "image/tiff"
    assert headers["cache-control"] == "no-store"


def test_a_layer_without_a_file_says_so(portal: Portal):
    layer = next(entry["id"] for entry in portal.get("/api/layers")["layers"] if entry["group"] == "Features")
    assert portal.get(f"/api/layers/{layer}/files") == []
    assert fetched(portal, f"/file/{layer}/{TILE}.tif")[0] == 404
    assert fetched(portal, f"/file/{LAYER}/E10N10.tif")[0] == 404
    assert fetched(portal, f"/file/{LAYER}/..%2f..%2fetc.tif")[0] in (404, 422)
    assert portal.ask(f"/file/{LAYER}/{TILE}.tif")[0] == 401


@pytest.mark.slow
def test_files_of_a_folder(production: Path):
    with portal_on(production / "store/products") as portal:
        [listed] = portal.get("/api/layers/IMD_now.2021.0/files")
        assert (
            fetched(portal, f"/file/IMD_now.2021.0/{TILE}.tif")[2]
            == next((production / "store/products").rglob(listed["name"])).read_bytes()
        )
