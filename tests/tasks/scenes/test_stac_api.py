"""Searching STAC APIs: a kept server over real items, and one that fails on demand.

Policy: a busy server is asked again, a limited number of times; an answer of 4xx is final; a hole in what was found is an
error; every failure is one line that names the URL and the remedy.
"""

from __future__ import annotations

import copy
import datetime as dt
import json
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from email.utils import format_datetime
from pathlib import Path

import pytest
import requests

from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.job import Job
from imperv.tasks.scenes import stac_api
from imperv.tasks.scenes.bands import BANDS
from imperv.tasks.scenes.item_files import ItemFiles
from imperv.tasks.scenes.items import with_absolute_hrefs
from imperv.tasks.scenes.scenes import select_scenes
from imperv.tasks.scenes.stac_api import Patience, StacApi
from imperv.tasks.settings.periods import Period
from imperv.tasks.settings.production import Production
from imperv.tasks.yearly.freezing import make_scene_list, open_catalogue
from tests.support.stac_server import StacServer, cut_off, hang, serving, status, text

QUICK = Patience(attempts=4, first_wait=0.01, longest_wait=2, connect_timeout=60, read_timeout=60)
HASTY, HANGING = replace(QUICK, read_timeout=1), hang(3)
EVERYWHERE = (-180.0, -90.0, 180.0, 90.0)
YEAR = Period.parse("2021")


def item(k: int, when: str = "2021-06-12T10:10:30Z", longitude: float = 11.0, **more) -> dict:
    corner = [[longitude, 46.4], [longitude + 0.1, 46.4], [longitude + 0.1, 46.5], [longitude, 46.5], [longitude, 46.4]]
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": f"s{k:03d}", "collection": "sentinel-2-l2a",
        "properties": {"datetime": when, "platform": "sentinel-2a"}, "links": [],
        "geometry": {"type": "Polygon", "coordinates": [corner]},
        "assets": {band: {"href": f"https://host/{k}/{band}.tif"} for band in BANDS},
    } | more  # fmt: skip


def series(count: int) -> list[dict]:
    first = dt.date(2021, 1, 1)
    return [item(k, f"{first + dt.timedelta(k * 364 // max(count - 1, 1))}T10:10:30Z") for k in range(count)]


def ids(found) -> list[str]:
    return sorted(entry["id"] for entry in found)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server():
    with serving(StacServer(series(23))) as running:
        yield running


def search(server: StacServer, collection: str = "sentinel-2-l2a", bounds=EVERYWHERE, period: Period = YEAR, patience=QUICK):
    return StacApi(server.url, collection, patience).search(bounds, period)


# a kept server ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept(tmp_path_factory, shared_data):
    """rustac's server with all items of Flanders and those of Earth Search; it does not count."""
    program = shutil.which("rustac", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("rustac is not installed")
    folder = tmp_path_factory.mktemp("kept")
    flanders = shared_data / "flanders" / "items.json"
    table = json.loads(flanders.read_text())
    table["features"] = [with_absolute_hrefs(entry, flanders) for entry in table["features"]]
    (folder / "flanders.json").write_text(json.dumps(table))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    files = [str(folder / "flanders.json"), str(shared_data / "stac" / "earthsearch_items.json")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", "--create-collections", "--addr", address, *files], stdout=log, stderr=log
        )  # fmt: skip
        try:
            for _ in range(2400):
                try:
                    requests.get(f"http://{address}/", timeout=10)
                    break
                except requests.RequestException:
                    assert process.poll() is None, (folder / "log").read_text()
                    time.sleep(0.05)
            else:
                raise AssertionError((folder / "log").read_text())
            yield f"http://{address}"
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("page", [7, 40, 200])
@pytest.mark.parametrize("period", ["2017-08-01/2018-07-31", "2017-12-01/2018-11-30", "2018"])
def test_a_kept_server_gives_what_the_file_holds(kept, shared_data, monkeypatch, page, period):
    monkeypatch.setattr(stac_api, "PAGE", page)
    bounds = (3.0, 50.8, 3.1, 50.9)
    expected = ItemFiles(shared_data / "flanders" / "items.json", "sentinel-2-l2a").search(bounds, Period.parse(period))
    found = StacApi(kept, "sentinel-2-l2a", QUICK).search(bounds, Period.parse(period))
    assert len(found) > 75
    assert select_scenes(found) == select_scenes(expected)


def test_a_kept_server_and_published_items(kept):
    found = select_scenes(StacApi(kept, "sentinel-2-c1-l2a", QUICK).search(EVERYWHERE, Period.parse("2025")))
    assert [(s.id, s.subtract, s.reason) for s in found.scenes] == [
        ("S2B_T24MUV_20250731T130245_L2A", 1000, "raster offset -0.1")
    ]
    found = select_scenes(StacApi(kept, "sentinel-2-l2a", QUICK).search((-40.3, -4.7, -40.0, -4.6), Period.parse("2025")))
    assert [(s.id, s.subtract, s.reason) for s in found.scenes] == [
        ("S2B_24MUV_20250731_0_L2A", 0, "offset applied already, by flag")
    ]


def test_a_kept_server_without_the_collection(kept):
    with pytest.raises(InputError, match=r"has no collection sentinel-2 \(it has .*sentinel-2-l2a.*\); correct"):
        StacApi(kept, "sentinel-2", QUICK).search(EVERYWHERE, YEAR)


# questions and pages ----------------------------------------------------------------------------------------------


def test_the_question(server):
    search(server, bounds=(10.5, 46.0, 11.5, 47.0))
    assert server.asked == [
        {
            "collections": ["sentinel-2-l2a"], "bbox": [10.5, 46.0, 11.5, 47.0], "limit": 200, "method": "POST",
            "datetime": "2021-01-01T00:00:00Z/2022-01-01T00:00:00Z",
        }
    ]  # fmt: skip


@pytest.mark.parametrize("methods", [("GET", "POST"), ("POST",), ("GET",)])
@pytest.mark.parametrize("limit", [1, 5, 23, 24])
def test_all_pages_are_followed(server, methods, limit):
    server.methods, server.limit = methods, limit
    assert ids(search(server)) == ids(server.items)
    assert len(server.asked) == -(-23 // limit)


@pytest.mark.parametrize("field", ["numberMatched", "context"])
@pytest.mark.parametrize("error", [-1, 1, 200])
def test_a_wrong_count_is_an_error(server, field, error):
    server.count_field, server.count = field, lambda matched: matched + error
    with pytest.raises(WorkError) as caught:
        search(server)
    assert str(caught.value) == (
        f"scenes.catalogue: {server.url}: gives 23 items but counts {23 + error}; "
        "run again, and if it stays so, freeze the scenes from another catalogue or an item file"
    )
    assert len(server.asked) == 2


def test_a_count_that_is_wrong_once_is_asked_again(server):
    counts = iter([24, 23])
    server.count = lambda _: next(counts)
    assert len(search(server)) == 23


def test_a_page_that_is_empty_though_items_are_counted(server):
    server.faults.extend([text(json.dumps({"type": "FeatureCollection", "features": [], "numberMatched": 23}).encode())] * 2)
    with pytest.raises(WorkError, match="gives 0 items but counts 23"):
        search(server)


def test_a_server_that_does_not_count(server):
    server.count, server.limit = lambda _: None, 5
    assert len(search(server)) == 23


def test_pages_that_repeat_end(server):
    server.repeat, server.limit = True, 5
    with pytest.raises(WorkError, match="its pages repeat after 5 items"):
        search(server)


def test_an_item_that_comes_twice_does_not_hide_one_that_is_missing(server):
    """Pages shifted while they were read: as many features as counted, but one of them twice."""
    server.items[7] = copy.deepcopy(server.items[6])
    with pytest.raises(WorkError, match="gives 22 items but counts 23"):
        search(server)


def test_strays_and_broken_items_are_named(server):
    server.strays = [
        item(901, longitude=20.0), item(902, "2020-06-12T10:10:30Z"), item(903, collection="sentinel-2-l1c"),
        item(904, geometry=None), item(905, assets=None),
    ]  # fmt: skip
    server.count = lambda matched: matched + 5
    found = select_scenes(search(server, bounds=(10.5, 46.0, 11.5, 47.0)))
    assert len(found.scenes) == 23
    assert found.dropped == {
        "s901": "lies outside of the area, by error of the catalogue",
        "s902": "was seen outside of the period, by error of the catalogue",
        "s903": "belongs to the collection sentinel-2-l1c, by error of the catalogue",
        "s904": "has no valid datetime or geometry, by error of the catalogue",
        "s905": "holds a feature that is not a STAC item, by error of the catalogue",
    }
    assert found.lost == ("s904", "s905")


@pytest.mark.parametrize("links", [None, {}, "none", [None, 7], [{"rel": "self"}], [{"rel": "self", "href": None}]])
def test_items_whose_links_are_of_a_wrong_type(server, links):
    server.items = [item(1, links=links)]
    assert ids(search(server)) == ["s001"]


def test_one_id_in_several_collections(server):
    """Ids are unique within a collection only; without `scenes.collection` all are searched."""
    server.items = [item(1), item(1, collection="sentinel-2-c1-l2a"), item(2)]
    found = search(server, collection="")
    assert ids(found) == ["s001", "s001", "s002"]
    assert len(select_scenes(found).scenes) == 1  # all show the same look


def test_across_the_antimeridian(server):
    """Granules of both forms that catalogues write, and an area on both sides."""
    halves = [[[[w, 60], [e, 60], [e, 61], [w, 61], [w, 60]]] for w, e in ((179.5, 180), (-180, -179))]
    across = [[179.5, 60], [-179.0, 60], [-179.0, 61], [179.5, 61], [179.5, 60]]
    server.items = [
        item(1, geometry={"type": "MultiPolygon", "coordinates": halves}),
        item(2, geometry={"type": "Polygon", "coordinates": [across]}),
        item(3, longitude=178.0, geometry={"type": "Polygon", "coordinates": [[[178, 60], [179, 60], [179, 61], [178, 60]]]}),
    ]
    assert ids(search(server, bounds=(179.2, 60.0, -179.9, 61.0))) == ["s001", "s002"]
    usable = [i for i in search(server, bounds=(0.0, 60.0, 10.0, 61.0)) if "unusable" not in i]
    assert usable == []  # the server takes the second for a band around the globe


def test_relative_files_are_seen_from_the_item(server):
    server.items = [item(1, links=[{"rel": "self", "href": "https://host/a/b/item.json"}], assets={"B02": {"href": "./B02.tif"}})]
    (found,) = search(server)
    assert found["assets"]["B02"]["href"] == "https://host/a/b/B02.tif"


# faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [*map(status, (429, 500, 502, 503, 504)), HANGING, cut_off],
    ids=["429", "500", "502", "503", "504", "hangs", "cut off"],
)
@pytest.mark.parametrize("times", [1, 3])
def test_a_busy_server_is_asked_again(server, fault, times):
    server.faults.extend([fault] * times)
    assert len(search(server, patience=HASTY if fault is HANGING else QUICK)) == 23
    assert len(server.asked) == times + 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "said"),
    [(status(503), "still answers 503"), (HANGING, "timed out"), (cut_off, "does not answer")],
    ids=["503", "hangs", "cut off"],
)
def test_attempts_have_an_end(server, fault, said):
    server.faults.extend([fault] * 9)
    with pytest.raises(WorkError) as caught:
        search(server, patience=HASTY if fault is HANGING else QUICK)
    message = str(caught.value)
    assert message.startswith(f"scenes.catalogue: {server.url}: ") and "\n" not in message
    assert said in message
    assert message.endswith("after 4 attempts; run again when it is up")
    assert len(server.asked) == 4


@pytest.mark.slow
def test_a_landing_page_that_hangs(server):
    server.landing_fault = HANGING
    with pytest.raises(WorkError, match="timed out.* after 4 attempts; run again when it is up"):
        search(server, patience=HASTY)


def test_faults_between_pages_lose_nothing(server):
    server.limit = 5
    original = server.search

    def then_fail(question, method):
        server.faults.append(status(503))
        return original(question, method)

    server.search = then_fail
    assert len(search(server)) == 23


@pytest.mark.slow
def test_the_server_says_when_to_come_back(server):
    server.faults.append(status(429, Retry_After="1"))
    began = time.monotonic()
    assert len(search(server)) == 23
    assert 1 <= time.monotonic() - began < 30
    server.faults.append(status(503, Retry_After=format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2), usegmt=True)))
    began = time.monotonic()
    assert len(search(server)) == 23
    assert 0.5 < time.monotonic() - began < 30


def test_a_server_that_asks_for_an_hour_is_given_up(server):
    server.faults.append(status(429, Retry_After="3600"))
    with pytest.raises(WorkError, match=r"127.0.0.1:\d+: answers 429, wait 3600 s; run again then$"):
        search(server)
    assert len(server.asked) == 1


@pytest.mark.parametrize("code", [400, 401, 403, 404, 422])
def test_other_answers_are_final(server, code):
    server.faults.append(status(code))
    with pytest.raises(InputError) as caught:
        search(server)
    message = str(caught.value)
    assert message.startswith(f"scenes.catalogue: {server.url}: ") and str(code) in message and "correct" in message
    assert "\n" not in message
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>", "answers with broken JSON"),
        (b'{"type": "FeatureCollection", "features": null}', "answers with something other than items"),
        (b"[]", "answers with something other than items"),
        (b'{"features": [1]}', "gives a feature that is no STAC item"),
    ],
)
def test_answers_that_are_no_items(server, body, said):
    server.faults.append(text(body))
    with pytest.raises(WorkError, match=said):
        search(server)


@pytest.mark.parametrize(
    "body", [b"<html>A page for people</html>", b"[]", b"{}", b'{"type": "Feature"}', b'{"type": "Catalog", "id": "x"}',
             b'{"type": "Catalog", "stac_version": "1.0.0", "id": "x", "description": "", "links": []}'],
)  # fmt: skip
def test_something_else_behind_the_url(server, body):
    server.landing_fault = text(body)
    with pytest.raises(InputError) as caught:
        search(server)
    assert "is no STAC API that can be searched" in str(caught.value) and "name the landing page" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_collection_that_is_not_there(server):
    with pytest.raises(InputError) as caught:
        search(server, "sentinel-2-l3b")
    assert str(caught.value) == (
        f"scenes.catalogue: {server.url}: has no collection sentinel-2-l3b (it has sentinel-2-l2a); correct scenes.collection"
    )


def test_nothing_found_is_no_error_here(server):
    assert search(server, period=Period.parse("1999")) == []


def test_nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(WorkError, match=r"does not answer \([^()]*refused\) after 4 attempts; run again when it is up"):
        StacApi(url, "sentinel-2-l2a", QUICK).search(EVERYWHERE, YEAR)


def test_a_host_that_does_not_exist_is_the_fault_of_the_request():
    with pytest.raises(InputError, match=r"http://nowhere.invalid/v1: cannot be asked \(.*\); correct the URL"):
        StacApi("http://nowhere.invalid/v1", "sentinel-2-l2a", QUICK).search(EVERYWHERE, YEAR)


# the frozen list --------------------------------------------------------------------------------------------------


def job_of(tmp_path: Path, catalogue: str) -> Job:
    (tmp_path / "production.toml").write_text(
        f'tiles = ["E44N25"]\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "{catalogue}"\n'
    )
    return Job.of(Production.read(tmp_path), "E44N25")


def test_a_list_is_frozen_from_a_server(server, tmp_path):
    job = job_of(tmp_path, server.url)
    assert isinstance(open_catalogue(job), StacApi)
    made = make_scene_list(job, CATALOGUE["S2_now"])
    assert made.statistics["overpasses"] == 23
    (question,) = server.asked
    assert question["bbox"] == pytest.approx([11.05, 46.4, 12.4, 47.3], abs=1)


def test_a_static_catalogue_behind_a_url(server, tmp_path):
    """A URL that ends in .json is read by its links."""
    server.landing_fault = None
    tree = {
        "/a/catalog.json": {"type": "Catalog", "links": [{"rel": "child", "href": "./2021/collection.json"}, {"rel": "root"}]},
        "/a/2021/collection.json": {
            "type": "Collection",
            "links": [{"rel": "item", "href": f"{k}.json"} for k in range(9)] + [{"rel": "parent", "href": "../catalog.json"}],
        },
        **{f"/a/2021/{k}.json": entry for k, entry in enumerate(series(9))},
    }  # fmt: skip
    for path, table in tree.items():
        (tmp_path / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path[1:]).write_text(json.dumps(table))
    assert ids(ItemFiles(tmp_path / "a" / "catalog.json").search(EVERYWHERE, YEAR)) == ids(series(9))
    assert ids(ItemFiles(tmp_path / "a").search(EVERYWHERE, YEAR)) == ids(series(9))
    with folder_server(tmp_path) as url:
        found = open_catalogue(job_of(tmp_path, f"{url}/a/catalog.json"))
        assert isinstance(found, ItemFiles)
        assert ids(found.search(EVERYWHERE, YEAR)) == ids(series(9))
        (tmp_path / "a" / "2021" / "3.json").unlink()
        with pytest.raises(InputError, match=rf"{url}/a/2021/3.json: answers 404 .*; correct the URL"):
            found.search(EVERYWHERE, YEAR)


def folder_server(folder: Path):
    import threading
    from contextlib import contextmanager
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    @contextmanager
    def run():
        with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder))) as http:
            threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
            yield f"http://127.0.0.1:{http.server_port}"
            http.shutdown()

    return run()
