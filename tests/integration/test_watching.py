"""A production that goes wrong on a real Prefect server, and what is said of it: with quick heartbeats."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request

import pytest

from tests.support.prefect_loopback import ROOT, Loopback
from tests.support.watching import QUICK, TILES, Rehearsal, Seen, rehearse
from tests.support.webhook_server import receiving


@pytest.fixture(scope="module")
def server(deployed, tmp_path_factory):
    home = shutil.copytree(deployed, tmp_path_factory.mktemp("prefect-server") / "home")
    with Loopback(home, 1, settings=QUICK) as loopback:
        yield loopback


@pytest.fixture(scope="module")
def seen(server, tmp_path_factory) -> dict[str, Seen]:
    """What was said, by case."""
    with receiving() as parent, receiving() as cron, receiving() as hook:
        found = Rehearsal(server, tmp_path_factory.mktemp("production"), 3.0, parent, cron, hook)
        return {case.case: case for case in rehearse(found, patient=False)}


def kinds(case: Seen) -> set[str]:
    return {trouble["kind"] for trouble in case.troubles}


def listed(server, path: str, **body):
    request = urllib.request.Request(
        f"{server.environment['PREFECT_API_URL']}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    return json.loads(urllib.request.urlopen(request, timeout=120).read())


pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]


def test_a_paused_pool(seen):
    case = seen["pool paused"]
    why = "work pool tiles is paused; prefect work-pool resume tiles"
    assert case.check == 1 and kinds(case) == {"blocked"} and case.status[1] == f"it waits: {why}"
    assert case.parent == [f"flat-{TILES}: nothing can run: {why}"]
    assert case.cron == [f"flat-{TILES}: production flat-{TILES} waits: {why}"]
    assert "imperv: work pool tiles is paused; prefect work-pool resume tiles" in case.server
    assert case.metrics["pool_paused tiles"] == 1 and case.metrics["production_state running"] == 1


def test_a_worker_that_is_gone(seen):
    case = seen["worker gone"]
    why = "no worker serves work pool tiles; imperv worker --pool tiles"
    assert case.check == 1 and kinds(case) == {"blocked"} and case.status[1] == f"it waits: {why}"
    assert f"flat-{TILES}: nothing can run: {why}" in case.parent and f"imperv: {why}" in case.server
    assert case.metrics["pool_workers tiles"] == 0 and case.metrics["pool_paused tiles"] == 0


def test_one_that_goes_on(seen):
    case = seen["worker back"]
    assert "blocked" not in kinds(case) and " runs since " in case.status[0] and "last sign of life" in case.status[0]
    assert case.metrics["tiles in work"] >= 1 and case.metrics["pool_workers tiles"] == 1


def test_a_tile_that_fails(seen):
    case = seen["tile failed"]
    assert case.check == 1 and kinds(case) == {"failed"} and "does not exist" in case.troubles[0]["text"]
    told = [*seen["worker back"].parent, *case.parent]
    assert [text for text in told if "failed, the first of this run: " in text and "does not exist" in text]
    assert case.metrics["tiles failed"] == 1 and case.metrics["tile_failures input"] == 1


def test_a_parent_that_is_killed(seen):
    case = seen["parent killed"]
    assert case.check == 1 and kinds(case) >= {"silent"}
    assert "has been silent for" in case.status[0] and "is gone; run it again to go on" in case.status[0]
    assert (
        "tiles an hour" not in case.status[0]
        and "tiles_per_hour" not in case.metrics
        and "pool_workers tiles" not in case.metrics
    )
    assert len(case.cron) == 1 and "has been silent for" in case.cron[0]
    assert case.metrics["production_state silent"] == 1


def test_one_that_ended(seen):
    case = seen["ended, one failed"]
    assert case.check == 1 and kinds(case) == {"failed"}
    assert f"ended, {TILES - 1} of {TILES} tiles done, 1 failed" in case.parent[-1]
    assert f"{TILES - 1} of {TILES} tiles done, 1 failed" in case.status[0]
    assert any(f"europe flat-{TILES}: Failed" in text for text in case.server)
    last = seen["ended, all done"]
    assert last.check == 0 and not last.troubles and last.cron == [f"flat-{TILES}: nothing is wrong any more"]
    assert last.parent == [f"flat-{TILES}: ended, {TILES} of {TILES} tiles done, 0 failed"]
    assert last.metrics["production_state ended"] == 1 and last.metrics["tiles done"] == TILES


def test_flow_runs_of_commands_carry_tags_the_name_of_the_production_and_logs(server, seen):
    runs = listed(server, "flow_runs/filter")
    parents = [run for run in runs if run["name"] == f"europe flat-{TILES}"]
    assert parents and all(set(run["tags"]) == {"imperv", f"flat-{TILES}"} for run in parents)
    tiles = [run for run in runs if " to " in run["name"]]
    assert len(tiles) >= TILES and all(set(run["tags"]) == {"imperv", f"flat-{TILES}", run["name"].split()[0]} for run in tiles)
    assert "SECRET" not in json.dumps(runs)
    last = max(parents, key=lambda run: run["start_time"])
    assert last["state_type"] == "COMPLETED" and any(": done, " in line for line in messages(server, last))
    logs = {run["name"]: messages(server, run) for run in tiles}
    assert any(f"{name} done: " in line for name, lines in logs.items() for line in lines)


def messages(server, run) -> list[str]:
    return [entry["message"] for entry in listed(server, "logs/filter", logs={"flow_run_id": {"any_": [run["id"]]}})]


def test_automations_are_replaced_and_not_doubled(server, seen):
    found = listed(server, "automations/filter")
    assert len(found) == 5
    done = Rehearsal.imperv(
        type("Any", (), {"loopback": server})(), "automations", "--notify", "https://example.org/other/SECRET"
    )
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 5
    again = listed(server, "automations/filter")
    assert {a["id"] for a in again} == {a["id"] for a in found} and "SECRET" not in json.dumps(again)


def test_what_else_keeps_a_pool_from_running(server, seen):
    """A limit of 0, and a queue that is paused; asked as the parent does."""
    code = (
        "import asyncio; from imperv.flows.runtime.pools import pool_of; print(asyncio.run(pool_of('imperviousness/tile')).why)"
    )

    def why() -> str:
        done = subprocess.run([sys.executable, "-c", code], env=server.environment, cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip()

    server.prefect("work-pool", "set-concurrency-limit", "tiles", "0")
    assert why() == "work pool tiles may run 0 at once; prefect work-pool set-concurrency-limit tiles N"
    server.prefect_all(("work-pool", "clear-concurrency-limit", "tiles"), ("work-queue", "pause", "default", "--pool", "tiles"))
    assert why() == "queue default of work pool tiles is paused; prefect work-queue resume default --pool tiles"
    server.prefect("work-queue", "resume", "default", "--pool", "tiles")
    assert why() in ("", "no worker serves work pool tiles; imperv worker --pool tiles")
