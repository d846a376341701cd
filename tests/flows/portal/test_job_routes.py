"""Projects at work by requests: jobs, progress by node, estimates, the calendar; a portal that is killed and started anew."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import tomli_w

from imperv.flows.portal.estimates import START
from imperv.flows.portal.projects import Projects
from imperv.flows.runtime.journal import note_run
from imperv.tasks.settings.toml_files import read_toml
from tests.support.portal import Portal, portal_on, tile_at
from tests.support.stac_server import StacServer, serving
from tests.support.stac_server import status as refusing
from tests.support.urban import BBOX, TILE

SLOW = 600
NOWHERE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
WANTED = {"template": "town", "bbox": BBOX, "span": "2021-06"}


def send(portal: Portal, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Status and JSON, as a script asks."""
    headers = {"Authorization": f"Bearer {portal.token}", "Content-Type": "application/json"}
    status, _, found = portal.ask(path, headers, method, json.dumps({} if body is None else body))
    return status, json.loads(found)


def text(portal: Portal, path: str) -> tuple[dict[str, str], str]:
    """Headers and text of a file."""
    status, headers, body = portal.ask(path, {"Authorization": f"Bearer {portal.token}"})
    assert status == 200
    return headers, body.decode()


def until(portal: Portal, project: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Progress of a project as soon as it fits."""
    end = time.monotonic() + SLOW
    while not fits(found := portal.get(f"/projects/{project}/api/progress")) and time.monotonic() < end:
        time.sleep(0.2)
    assert fits(found), found
    return found


def states(found: dict[str, Any]) -> dict[str, str]:
    return {node["node"]: node["state"] for node in found["nodes"]}


@pytest.mark.slow
def test_a_run_its_nodes_and_a_portal_that_is_killed(copied_town):
    with portal_on(f"--projects={copied_town.folder}") as portal:
        status, made = send(portal, "POST", "/api/projects", WANTED | {"label": "New"})
        name = made["id"]
        before = portal.get(f"/projects/{name}/api/progress")
        assert before["job"] is None and set(states(before).values()) == {"waiting"} and len(before["nodes"]) == 34
        assert all(node["title"] and not node["note"] and node["tile"] == TILE for node in before["nodes"])
        assert send(portal, "POST", f"/projects/{name}/api/jobs", {"kind": "run"})[0] == 201
        assert send(portal, "POST", f"/projects/{name}/api/jobs", {"kind": "run"})[0] == 422
        assert send(portal, "POST", f"/projects/{name}/api/jobs", {"kind": "shell"})[0] == 422
        assert send(portal, "DELETE", f"/api/projects/{name}") == (
            422,
            {"detail": "a job is at work for this project; cancel it first, or wait for it"},
        )
        found = until(portal, name, lambda found: "running" in states(found).values() and "done" in states(found).values())
        nodes = list(states(found).values())
        working = nodes.index("running")
        assert set(nodes[:working]) <= {"done", "not made"} and set(nodes[working + 1 :]) == {"waiting"}
        portal.process.kill()
    with portal_on(f"--projects={copied_town.folder}") as portal:
        again = until(portal, name, lambda found: nodes.index("running") < list(states(found).values()).count("done"))
        assert again["job"]["state"] == "running" and again["job"]["number"] == 1
        assert send(portal, "DELETE", f"/projects/{name}/api/jobs/1")[1]["cancelling"]
        ended = until(portal, name, lambda found: not found["job"]["active"])
        assert ended["job"]["state"] == "cancelled" and "running" not in states(ended).values()
        finished = {node for node, state in states(ended).items() if state == "done"}
        assert finished and portal.ask(f"/projects/{name}/api/jobs/1/log")[0] == 401
        headers, log = text(portal, f"/projects/{name}/api/jobs/1/log")
        assert headers["content-disposition"] == f'attachment; filename="imperv-{name}-000001.log"'
        assert log.rstrip().endswith("imperv: stopped; what is finished is kept, run again to go on")
        # It goes on where it was.
        assert send(portal, "POST", f"/projects/{name}/api/jobs", {"kind": "run"})[1]["number"] == 2
        done = until(portal, name, lambda found: not found["job"]["active"])
        assert done["job"]["state"] == "done" and set(states(done).values()) == {"done", "up to date", "not made"}
        assert {node for node, state in states(done).items() if state == "up to date"} == finished
        assert next(node["note"] for node in done["nodes"] if node["state"] == "not made")
        assert [job["state"] for job in portal.get(f"/projects/{name}/api/jobs")["jobs"]] == ["done", "cancelled"]
        assert portal.get(f"/projects/{name}/api/estimate")["nodes"] == 0
        listed = {project["label"]: project["run"] for project in portal.get("/api/projects")["projects"]}
        assert listed["Town"] is None and listed["New"]["state"] == "done"
        assert send(portal, "DELETE", f"/api/projects/{name}")[0] == 200


@pytest.fixture
def portal(copied_town) -> Iterator[Portal]:
    with portal_on(f"--projects={copied_town.folder}") as running:
        yield running


def change(projects: Projects, name: str, **groups: dict[str, Any]) -> None:
    """Change the production file of a project, as somebody may beside the portal."""
    file = projects.find(name).config
    table = read_toml(file)
    for group, values in groups.items():
        table[group] = table.get(group, {}) | values
    file.write_text(tomli_w.dumps(table))


@pytest.mark.slow
def test_a_failure_is_one_line_and_its_report_has_no_secrets(portal, copied_town):
    name = send(portal, "POST", "/api/projects", WANTED | {"label": "New"})[1]["id"]
    change(copied_town, name, references={"clcplus": "/nothing/of/it.tif"}, store_options={"secret": "hunter22hunter22"})
    assert send(portal, "POST", f"/projects/{name}/api/jobs", {"kind": "run"})[0] == 201
    found = until(portal, name, lambda found: not found["job"]["active"])
    assert found["job"]["state"] == "failed" and "/nothing/of/it.tif" in found["job"]["line"]
    assert "\n" not in found["job"]["line"]
    headers, report = text(portal, f"/projects/{name}/api/jobs/1/report")
    assert headers["content-disposition"].endswith('.txt"') and headers["content-type"].startswith("text/plain")
    for part in (found["job"]["line"], "numpy ", 'product = "landcover"', "== Log ==", "imperv: "):
        assert part in report
    assert "hunter22" not in report
    assert portal.ask(f"/projects/{name}/api/jobs/7/report", {"Authorization": f"Bearer {portal.token}"})[0] == 404


@pytest.mark.slow
def test_a_node_that_failed_is_told(portal, copied_town):
    """A run by hand that fails within a node: the page says which and why."""
    name = send(portal, "POST", "/api/projects", WANTED | {"label": "New"})[1]["id"]
    (job,) = copied_town.find(name).jobs()
    note_run(job, "failed", "LC_mosaic: the disk is full")
    found = portal.get(f"/projects/{name}/api/progress")
    (node,) = [node for node in found["nodes"] if node["state"] == "failed"]
    assert (node["node"], node["note"]) == ("LC_mosaic", "the disk is full")


@pytest.mark.slow
def test_estimates_before_creation_and_before_start(portal, copied_town):
    status, found = send(portal, "POST", "/api/estimate", WANTED)
    assert status == 200 and found["nodes"] == 34 and found["tiles"] == 1 and not found["warnings"]
    assert 0 < found["hours"] <= found["core_hours"] < 1 and found["memory"] > 1e8 and found["stored"] > 1e5
    assert found["start"] == START and found["decoded"] > found["read"] > 0 and found["free"] > 1e9
    wider = send(portal, "POST", "/api/estimate", WANTED | {"bbox": [4_420_000, 2_590_000, 4_440_000, 2_599_000]})[1]
    assert wider["stored"] > 50 * found["stored"] and wider["core_hours"] > found["core_hours"]
    for wrong in ({"bbox": [0, 0, 1, 1]}, {"span": "never"}, {"template": "../x"}, {"store": "/etc"}):
        status, told = send(portal, "POST", "/api/estimate", WANTED | wrong)
        assert status == 422 and "\n" not in told["detail"]
    (town,) = copied_town.every()
    assert portal.get(f"/projects/{town.id}/api/estimate")["nodes"] == 0
    assert sorted(path.name for path in copied_town.folder.iterdir()) == sorted([".portal.lock", town.id, "templates"])


@pytest.mark.slow
def test_the_calendar_has_the_days_of_the_catalogue(portal, copied_town):
    """Two granules of one day count by their mean; a server that answers with an error is told in one line."""
    file = copied_town.folder / "templates/town.toml"
    table = read_toml(file)
    first, second = json.loads(Path(table["scenes"]["catalogue"]).read_text())["features"]
    half = json.loads(json.dumps(second).replace("32TPS", "32TQS"))
    first["properties"]["eo:cloud_cover"], second["properties"]["eo:cloud_cover"] = 75.0, 10.0
    half["properties"]["eo:cloud_cover"] = 30.0
    elsewhere = json.loads(json.dumps(first).replace("20210612", "20210801")) | {"geometry": NOWHERE}
    for item in (first, second, half, elsewhere):
        item["collection"] = "sentinel-2-l2a"
    wanted = {"template": "town", "bbox": BBOX, "year": 2021}
    with serving(StacServer([first, second, half, elsewhere])) as server:
        table["scenes"] = {"catalogue": server.url, "collection": "sentinel-2-l2a"}
        file.write_text(tomli_w.dumps(table))
        status, found = send(portal, "POST", "/api/calendar", wanted)
        assert status == 200 and found["days"] == [
            {"day": "2021-06-12", "scenes": 1, "clear": 0.25},
            {"day": "2021-07-12", "scenes": 2, "clear": 0.8},
        ]
        assert send(portal, "POST", "/api/calendar", wanted | {"year": 2019})[1]["days"] == []
        server.faults.append(refusing(403))
        status, told = send(portal, "POST", "/api/calendar", wanted)
        assert status == 422 and "refuses access" in told["detail"] and "\n" not in told["detail"]
    for wrong in ({"year": 2014}, {"template": "none"}, {"bbox": [0, 0, 1, 1]}):
        assert send(portal, "POST", "/api/calendar", wanted | wrong)[0] == 422


@pytest.mark.slow
def test_many_map_tiles_beside_a_run_take_no_more_memory(copied_town, capsys):
    """200 tiles, eight at once, each drawn for the first time, of a project that is ready, while a process runs another one."""
    [town] = copied_town.every()
    file = copied_town.folder / "templates/town.toml"
    table = read_toml(file)
    table["parameters"]["unet"] |= {"epochs": 10_000}  # it goes on until it is cancelled
    file.write_text(tomli_w.dumps(table))
    with portal_on(f"--projects={copied_town.folder}") as portal, ThreadPoolExecutor(8) as pool:
        bearer = {"Authorization": f"Bearer {portal.token}"}
        base, end = f"/projects/{town.id}", time.monotonic() + SLOW
        while not (layers := portal.get(f"{base}/api/layers")["layers"]) and time.monotonic() < end:
            time.sleep(0.2)
        middle = BBOX[0] + 1000, BBOX[3] - 500
        near = [
            (z, *tile_at(z, BBOX[0] + x, BBOX[3] - y))
            for z in (14, 13, 12)
            for x in range(100, 2000, 400)
            for y in (100, 500, 900)
        ]
        wanted = list(dict.fromkeys((layer["id"], layer["key"], *place) for place in near for layer in layers))[:200]

        def draw(place: tuple[str, str, int, int, int]) -> tuple[int, float]:
            began = time.monotonic()
            status, _, _ = portal.ask("{}/map/{}/{}/{}/{}/{}.png".format(base, *place), bearer)
            return status, time.monotonic() - began

        process = psutil.Process(portal.process.pid)
        _, made = send(portal, "POST", "/api/projects", WANTED | {"label": "New"})
        send(portal, "POST", f"/projects/{made['id']}/api/jobs", {"kind": "run"})
        until(portal, made["id"], lambda found: "done" in states(found).values())
        # What is imported, read once or loaded at a coarser level belongs to no number of map tiles.
        list(pool.map(draw, [(layer["id"], layer["key"], z, *tile_at(z, *middle)) for z in (11, 10) for layer in layers]))
        before = process.memory_info().rss
        found = list(pool.map(draw, wanted))
        grown = process.memory_info().rss - before
        job = portal.get(f"/projects/{made['id']}/api/progress")["job"]
        send(portal, "DELETE", f"/projects/{made['id']}/api/jobs/1")
        with capsys.disabled():
            print(f"\n200 map tiles beside a run: {grown / 2**20:.0f} MiB more, longest {max(t for _, t in found):.2f} s")
        assert len(found) == 200 and {status for status, _ in found} == {200}
        assert job["state"] == "running" and grown < 50 * 2**20
        until(portal, made["id"], lambda found: not found["job"]["active"])
