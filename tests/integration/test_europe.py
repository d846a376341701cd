"""A production of several tiles by processes, and by a real Prefect server with workers on loopback; killed, and gone on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import tomli_w

from imperv.flows.cli.commands import main
from imperv.flows.portal.projects import projects_in
from imperv.flows.runtime.runners import Processes
from imperv.layers.catalogue import CATALOGUE, downstream
from imperv.tasks.settings.toml_files import read_toml
from tests.flows.portal.test_job_routes import send, states, until
from tests.flows.portal.test_job_routes import text as log_of
from tests.support import urban
from tests.support.portal import portal_on
from tests.support.prefect_loopback import COMMAND, Loopback
from tests.support.productions import TINY, delivered, with_store
from tests.support.urban import BBOX, small_production

ROOT = Path(__file__).resolve().parents[2]
TILES = ["E44N26", "E45N26"]
TARGETS = ["IMCC", "IMD_now_resampled"]
LIGHT = ["CHM_resampled", "IMD_MSK_then"]
"""Layers on the way to these that need no network, for what takes many starts."""


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """Production file of two small windows, without a store."""
    from imperv.tasks.simulator import simulate_many

    file = simulate_many(tmp_path_factory.mktemp("many"), TILES, overpasses=8)
    file.write_text(file.read_text() + TINY)
    return file


@pytest.fixture(scope="module")
def undisturbed(many) -> dict[str, str]:
    """Delivered pixels of a production that ran one tile after another in this process."""
    assert main(["run", "--config", str(many), *(f"-t{t}" for t in TARGETS)]) == 0
    return delivered(many.parent / "store")


def stored(store: Path, tiles: list[str] = TILES) -> dict[str, str]:
    """Digests of the light layers of tiles, by the path of their records."""
    paths = [p for name in LIGHT for tile in tiles for p in (store / "tiles" / tile).rglob(f"{name}.json")]
    return {str(p.relative_to(store)): json.loads(p.read_text())["properties"]["imperv:digest"] for p in paths}


def europe(file: Path, *more: str, targets: list[str] = TARGETS) -> list[str]:
    return ["europe", "--config", str(file), *(f"-t{t}" for t in targets), "--json", *more]


@pytest.mark.slow
def test_processes_make_the_same_maps_and_nothing_twice(many, undisturbed, capsys, monkeypatch):
    file = with_store(many, "processes")
    assert main(europe(file, "--at-once", "2")) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["done"] == 2 and summary["runs"] >= 6
    assert delivered(file.parent / "store-processes") == undisturbed
    with monkeypatch.context() as patch:
        patch.setattr(Processes, "run", None)  # no process is started for what is up to date
        assert main(europe(file)) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 2
    assert main(["status", "--config", str(file)]) == 0
    assert not [p for p in (file.parent / "store-processes").rglob("*") if ".part-" in p.name]


@pytest.mark.slow
def test_a_poisoned_tile_is_told_and_the_other_done(many, undisturbed, capsys):
    file = with_store(many, "poisoned")
    text = file.read_text().replace("{tile}/reference/imd_then.tif", "{tile}/reference/imd_poisoned.tif")
    file.write_text(text)
    folder = many.parent
    shutil.copy(folder / "E44N26/reference/imd_then.tif", folder / "E44N26/reference/imd_poisoned.tif")
    (folder / "E45N26/reference/imd_poisoned.tif").write_bytes(b"no raster")
    assert main(europe(file, targets=LIGHT)) == 2
    said = capsys.readouterr()
    summary = json.loads(said.out)
    assert set(summary["failed"]) == {"E45N26"} and summary["failed"]["E45N26"]["kind"] == "input"
    assert "imd_poisoned.tif" in said.err and "1 of 2 tiles done, 1 failed" in said.err
    assert stored(folder / "store-poisoned", ["E44N26"]) == stored(folder / "store", ["E44N26"])
    assert not list((folder / "store-poisoned/tiles/E45N26").glob("*/*.json"))  # found before anything was made of it


@pytest.mark.slow
def test_killed_processes_lose_nothing(many, undisturbed):
    """The parent and whatever tile it runs, killed at several moments; then one run to the end."""
    file = with_store(many, "killed")
    for seconds in (4, 12, 8):
        command = [sys.executable, "-c", COMMAND]
        running = subprocess.Popen(
            [*command, *europe(file, targets=LIGHT)],
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            running.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
    assert main(europe(file, targets=LIGHT)) == 0
    assert len(stored(file.parent / "store-killed")) == 2 * len(LIGHT)
    assert stored(file.parent / "store-killed") == stored(file.parent / "store")


# with a server --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(deployed, tmp_path_factory):
    """Environment of a Prefect server of its own, with both pools, every deployment and two workers."""
    with Loopback(shutil.copytree(deployed, tmp_path_factory.mktemp("prefect-server") / "home")) as loopback:
        yield loopback.environment


def listed(server, path: str, **body):
    request = urllib.request.Request(
        f"{server['PREFECT_API_URL']}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    return json.loads(urllib.request.urlopen(request, timeout=120).read())


@pytest.mark.slow
def test_everything_in_prefect_yaml_is_deployed(server):
    found = {entry["name"]: entry for entry in listed(server, "deployments/filter")}
    assert set(found) == {"tile", "rerun", "europe", "yearly-update"}
    assert [s["active"] for s in found["yearly-update"]["schedules"]] == [False]
    assert found["tile"]["work_pool_name"] == "tiles" and found["europe"]["work_pool_name"] == "productions"


@pytest.mark.slow
def test_what_a_server_does_not_have_is_one_line(server, many):
    """One process for all, because each would spend seconds on imports."""
    listed(server, "work_pools/", name="elsewhere", type="kubernetes")
    expected = {
        ("europe", "--deployment", "imperviousness/til", "--config", str(many)): (
            "--deployment: {url} has no deployment 'imperviousness/til'; deploy first"
        ),
        ("worker", "--pool", "tile"): (
            "--pool: {url} has no work pool 'tile'; make it, prefect work-pool create tile --type process"
        ),
        ("worker", "--pool", "elsewhere"): "--pool: 'elsewhere' is of the type kubernetes; name one of the type process",
        ("worker", "--name", "a/b"): "--name: 'a/b': names of workers have no / and no %",
    }
    code = (
        "import json, sys; from imperv.flows.cli.commands import main; "
        "sys.exit(sorted({main(words) for words in json.loads(sys.argv[1])}) != [2])"
    )
    command = [sys.executable, "-c", code, json.dumps(list(expected))]
    done = subprocess.run(command, cwd=ROOT, env=server, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stdout, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == len(expected)
    for line, text in zip(lines, expected.values(), strict=True):
        assert line.startswith("imperv: " + text.format(url=server["PREFECT_API_URL"]))


@pytest.mark.slow
def test_a_run_here_is_shown_by_the_server(server, many):
    file = with_store(many, "shown")
    command = [sys.executable, "-c", COMMAND, "run", TILES[0], "--config", str(file), "-tIMD_then"]
    done = subprocess.run(command, cwd=ROOT, env=server, capture_output=True, text=True)
    assert done.returncode == 0 and "1 ran" in done.stderr, done.stderr
    runs = {run["name"]: run for run in listed(server, "flow_runs/filter")}
    assert runs[f"{TILES[0]} to all"]["state_name"] == "Completed" and runs[f"{TILES[0]} to all"]["deployment_id"] is None


@pytest.mark.slow
def test_a_parent_that_is_told_to_stop_says_so_in_one_line(server, many):
    file = with_store(many, "stopped")
    command = [sys.executable, "-c", COMMAND, *europe(file, targets=["IMD_then"])]  # what a worker has begun goes on
    before = len(listed(server, "flow_runs/filter"))
    running = subprocess.Popen(command, cwd=ROOT, env=server, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while len(listed(server, "flow_runs/filter")) < before + 2:  # the parent, and a tile
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.5)
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate(timeout=600)
    assert said.splitlines()[-1].startswith("imperv: stopped; ") and "Traceback" not in said and running.returncode == 143


@pytest.mark.slow
def test_tiles_are_runs_of_workers(server, many, undisturbed):
    """From the features on, with a model to train for one of both tiles: that all is made is shown by processes."""
    file = with_store(many, "deployed")
    store = file.parent / "store-deployed"
    shutil.copytree(many.parent / "store", store, ignore=shutil.ignore_patterns("products", "runs"))
    shutil.rmtree(store / "models" / "IMD" / TILES[1])
    for symbol in downstream("IMD_model"):
        for record in (store / "tiles").rglob(f"{CATALOGUE[symbol].stem}.json"):
            record.unlink()
    command = [sys.executable, "-c", COMMAND]
    done = subprocess.run([*command, *europe(file, "--at-once", "2")], cwd=ROOT, env=server, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["done"] == 2
    assert delivered(store) == undisturbed
    runs = [run for run in listed(server, "flow_runs/filter") if "deployed" in run["tags"]]  # not those of other tests
    names = {run["name"]: run["state_name"] for run in runs}
    assert names["europe deployed"] == "Completed"
    assert {f"{TILES[1]} to models", *(f"{tile} to all" for tile in TILES)} <= set(names)
    parent = next(run for run in runs if run["name"] == "europe deployed")
    assert all(run["parent_task_run_id"] for run in runs if " to " in run["name"]) and parent["parent_task_run_id"] is None
    artifacts = {a["key"]: a for a in listed(server, "artifacts/filter")}
    assert {"production-progress", "production-tiles"} <= set(artifacts)
    rows = json.loads(
        next(a["data"] for a in reversed(listed(server, "artifacts/latest/filter")) if a["key"] == "production-tiles")
    )
    assert {row["tile"]: row["state"] for row in rows} == dict.fromkeys(TILES, "done")


@pytest.mark.slow
def test_jobs_of_a_portal_are_runs_of_the_server(server, tmp_path):
    """Begun, cancelled, gone on with, and failed: what the portal tells, and what the server does."""
    table = read_toml(small_production(tmp_path / "site", references=False))
    projects = projects_in(tmp_path / "projects")
    wanted = {"product": "composites", "scenes": table["scenes"], "parameters": {"composites": {"fill": True}}}
    wanted["scenes"]["catalogue"] = str(tmp_path / "site" / wanted["scenes"]["catalogue"])
    template = projects.folder / "templates/months.toml"
    template.write_text(tomli_w.dumps(wanted))
    with portal_on(f"--projects={projects.folder}", environment=server) as portal:
        wish = {"label": "Summer", "template": "months", "bbox": BBOX, "span": "2021-06-01/2021-07-31"}
        _, made = send(portal, "POST", "/api/projects", wish)
        jobs = f"/projects/{made['id']}/api/jobs"

        def ended(number: int) -> dict:
            return until(portal, made["id"], lambda found: found["job"]["number"] == number and not found["job"]["active"])

        def runs() -> list[str]:
            found = listed(server, "flow_runs/filter", sort="START_TIME_ASC")
            return [run["state_type"] for run in found if urban.TILE in run["name"]]

        send(portal, "POST", jobs, {"kind": "run"})
        while "RUNNING" not in runs():
            assert portal.get(jobs)["jobs"][0]["active"], log_of(portal, f"{jobs}/1/log")
            time.sleep(0.1)
        send(portal, "DELETE", f"{jobs}/1")
        found = ended(1)
        assert found["job"]["state"] == "cancelled" and found["job"]["line"].startswith("cancelled; what is finished is kept")
        assert "waiting" in states(found).values()
        assert runs() == ["CRASHED"]  # the server's word for a run that was told to end
        send(portal, "POST", jobs, {"kind": "run"})
        found = ended(2)
        assert found["job"]["state"] == "done", log_of(portal, f"{jobs}/2/log")
        assert set(states(found).values()) <= {"done", "up to date", "not made"} and found["map"]
        # A catalogue that is gone.
        project = projects.find(made["id"])
        project.config.write_text(project.config.read_text().replace("items.json", "gone.json"))
        send(portal, "POST", jobs, {"kind": "run"})
        job = ended(3)["job"]
        assert job["state"] == "failed" and job["code"] == 2 and "gone.json" in job["line"] and "Prefect" not in job["line"]
        assert runs() == ["CRASHED", "COMPLETED", "FAILED"]
