"""Jobs of projects: real runs in processes of their own; killed, cancelled, cut off, waiting, and found again by the next portal.

Policy: a process that is gone without an end is lost, which is told, and starting it again goes on; nothing that is finished is
made twice. One heavy and one light job work at a time, one of a project. A folder has one portal.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import tomli_w

from imperv.flows.cli.commands import main
from imperv.flows.portal import job_files
from imperv.flows.portal import jobs as jobs_module
from imperv.flows.portal.job_files import Entry, file_of, log_text, write_entry
from imperv.flows.portal.job_routes import report
from imperv.flows.portal.jobs import KINDS, Jobs, Kind
from imperv.flows.portal.projects import MissingError, Project, Projects
from imperv.flows.tile.progress_file import read_progress
from imperv.tasks.errors import InputError
from imperv.tasks.job import utc_now
from imperv.tasks.settings.toml_files import read_toml
from imperv.tasks.store.lease import Process, process_of, this_process
from tests.support.portal import portal_on
from tests.support.urban import BBOX

LIGHT = Kind(False, lambda project, arguments: [["status", "--config", str(project.config)]])
SLOW = 600


@pytest.fixture
def jobs(copied_town) -> Iterator[Jobs]:
    found = Jobs(copied_town, {**KINDS, "status": LIGHT})
    found.begin()
    yield found
    for project in copied_town.every():
        for job in found.every(project):
            if job["active"]:
                found.cancel(project, job["number"])
                until(found, project, job["number"], lambda told: not told["active"])
    found.close()


def new(projects: Projects, label: str = "New") -> Project:
    return projects.create(label, "town", BBOX, "2021-06")


def until(jobs: Jobs, project: Project, number: int, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The job as soon as it fits."""
    end = time.monotonic() + SLOW
    while not fits(told := jobs.find(project, number)) and time.monotonic() < end:
        time.sleep(0.05)
    assert fits(told), (told, log_text(jobs.log(project, number)))
    return told


def progress(jobs: Jobs, project: Project, number: int) -> dict[str, Any]:
    return read_progress(jobs.log(project, number).with_suffix(".progress"))


def ran(jobs: Jobs, project: Project, number: int, nodes: int) -> dict[str, Any]:
    """Progress of a job that has finished so many nodes."""
    until(jobs, project, number, lambda told: len(progress(jobs, project, number).get("nodes", {})) >= nodes)
    return progress(jobs, project, number)


@pytest.mark.slow
def test_a_killed_job_is_lost_and_the_next_goes_on(jobs, copied_town, monkeypatch):
    """`kill -9`, a new portal meanwhile, and a cancel: finished nodes are kept."""
    monkeypatch.setenv("IMPERV_PORTAL_TOKEN", "of the portal alone")
    project = new(copied_town)
    assert jobs.start(project, "run", {})["state"] == "running"
    with pytest.raises(InputError, match="run: one is at work for this project already"):
        jobs.start(project, "run", {})
    pid = ran(jobs, project, 1, 4)["process"].pid
    assert "IMPERV_PORTAL_TOKEN" not in psutil.Process(pid).environ() and os.getpgid(pid) == pid
    os.kill(pid, signal.SIGKILL)
    told = until(jobs, project, 1, lambda told: not told["active"])
    assert (told["state"], told["line"]) == ("lost", "was cut off; start it again to go on") and told["ended"]
    done = {name for name, node in progress(jobs, project, 1)["nodes"].items() if node["ran"]}

    jobs.start(project, "run", {})
    found = ran(jobs, project, 2, 5)
    assert all(not found["nodes"][name]["ran"] for name in done & found["nodes"].keys())
    assert psutil.Process(found["process"].pid).nice() > psutil.Process().nice() or os.nice(0) >= 10

    # The portal ends, the process does not; the next portal goes on watching it.
    jobs.close()
    assert not found["process"].gone
    jobs.__init__(copied_town, jobs.kinds)
    jobs.begin()
    assert [job["state"] for job in jobs.every(project)] == ["running", "lost"]
    assert jobs.cancel(project, 2)["cancelling"]
    told = until(jobs, project, 2, lambda told: not told["active"])
    assert told["state"] == "cancelled" and told["line"].startswith("cancelled; what is finished is kept")
    assert found["process"].gone
    assert jobs.cancel(project, 2) == told


@pytest.mark.slow
def test_what_does_not_listen_is_killed(jobs, copied_town, monkeypatch):
    monkeypatch.setattr(jobs_module, "GRACE", 0.5)
    project = new(copied_town)
    jobs.start(project, "run", {})
    pid = ran(jobs, project, 1, 1)["process"].pid
    os.kill(pid, signal.SIGSTOP)
    jobs.cancel(project, 1)
    assert until(jobs, project, 1, lambda told: not told["active"])["state"] == "cancelled"


@pytest.mark.slow
def test_one_heavy_and_one_light_job_at_a_time(jobs, copied_town, monkeypatch):
    first, second, third = (new(copied_town, str(k)) for k in range(3))
    jobs.start(first, "run", {})
    waiting = jobs.start(second, "run", {}), jobs.start(third, "run", {})
    assert [(job["state"], job["ahead"]) for job in waiting] == [("waiting", 1), ("waiting", 2)]
    monkeypatch.setattr(jobs_module, "MOST_WAITING", 2)
    town = next(project for project in copied_town.every() if project.about["label"] == "Town")
    with pytest.raises(InputError, match="2 jobs wait already"):
        jobs.start(town, "run", {})
    monkeypatch.undo()
    # A light one has a way of its own, but not beside another job of its project.
    assert jobs.start(first, "status", {})["state"] == "waiting"
    assert jobs.start(town, "status", {})["state"] == "running"
    assert until(jobs, town, 1, lambda told: not told["active"])["state"] == "done"
    assert "E44N25" in log_text(jobs.log(town, 1)) and jobs.find(first, 2)["state"] == "waiting"
    assert jobs.cancel(second, 1)["state"] == "cancelled" and jobs.find(third, 1)["ahead"] == 1
    jobs.cancel(first, 1)
    until(jobs, third, 1, lambda told: told["state"] == "running")
    until(jobs, first, 2, lambda told: told["state"] == "done")


@pytest.mark.slow
def test_a_job_that_fails_says_why_in_one_line(jobs, copied_town, monkeypatch):
    project = new(copied_town)
    table = read_toml(project.config)
    table["scenes"]["catalogue"] = str(project.folder / "https.json")
    project.config.write_text(tomli_w.dumps(table))
    jobs.start(project, "run", {})
    told = until(jobs, project, 1, lambda told: not told["active"])
    assert told["state"] == "failed" and told["code"] == 2 and "https.json" in told["line"] and "\n" not in told["line"]
    project.config.write_text("= [")
    with pytest.raises(InputError, match="production.toml"):
        jobs.start(project, "run", {})
    with pytest.raises(InputError, match="there is no job shell; there are run, status"):
        jobs.start(project, "shell", {})
    with pytest.raises(MissingError):
        jobs.find(project, 2)
    monkeypatch.setattr(jobs_module, "FREE", 2**80)
    with pytest.raises(InputError, match="the disk has less than"):
        jobs.start(next(p for p in copied_town.every() if p.id != project.id), "run", {})


@pytest.mark.slow
def test_what_ran_when_the_machine_went_down_is_lost(copied_town):
    """Of another boot, of a number that another process has now, of another machine; and files that are none."""
    project = new(copied_town)
    here = {"host": os.uname().nodename, "boot": "another", "pid": os.getpid(), "started": 1.0}
    table = {"kind": "run", "arguments": {}, "state": "running", "asked": "2026-01-01T00:00:00Z"}
    (project.folder / "jobs").mkdir()
    for number, process in ((1, here), (2, here | {"host": "elsewhere"}), (3, None)):
        text = json.dumps(table | {"number": number, "process": process})
        (project.folder / f"jobs/{number:06d}.json").write_text(text)
    (project.folder / "jobs/000004.json").write_text("{")
    found = Jobs(copied_town)
    found.begin()
    try:
        for number in (1, 2, 3):
            assert until(found, project, number, lambda told: not told["active"])["state"] == "lost"
        assert [job["number"] for job in found.every(project)] == [3, 2, 1]
    finally:
        found.close()


class KilledError(BaseException):
    """What no handler catches: the portal is gone."""


def test_a_portal_killed_at_a_launch_starts_no_second_process(copied_town, monkeypatch):
    """Between the process and the note of it: the next portal waits for what it says, and takes it up."""
    project = new(copied_town)

    def killed(*arguments: Any, **named: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(jobs_module.subprocess, "Popen", killed)
        with pytest.raises(KilledError):
            Jobs(copied_town).start(project, "run", {})
    found = Jobs(copied_town)
    monkeypatch.setattr(job_files, "APPEARING", 1000.0)
    found.begin()
    try:
        time.sleep(3 * jobs_module.POLL)
        assert found.find(project, 1)["state"] == "running" and not log_text(found.log(project, 1))
        with subprocess.Popen(["sleep", "100"], start_new_session=True) as child:
            said(found.log(project, 1).with_suffix(".progress"), process_of(child.pid))
            while found._entry(project, 1).process is None:
                time.sleep(0.05)
            assert found.cancel(project, 1)["cancelling"]
            assert child.wait(timeout=SLOW) == -signal.SIGTERM
        assert until(found, project, 1, lambda told: not told["active"])["state"] == "cancelled"
    finally:
        found.close()


def test_one_that_never_appears_is_lost(copied_town, monkeypatch):
    project = new(copied_town)
    write_entry(project, Entry(1, "run", {}, "running", began=utc_now()))
    monkeypatch.setattr(job_files, "APPEARING", 0.0)
    found = Jobs(copied_town)
    found.begin()
    try:
        assert until(found, project, 1, lambda told: not told["active"])["state"] == "lost"
    finally:
        found.close()


@pytest.mark.slow
def test_what_cannot_be_started_is_tried_once(copied_town):
    """Not three times a second, and not in the way of the others."""
    tried = []

    def broken(project: Project, arguments: Any) -> Any:
        if tried.append(1) or len(tried) > 1:
            raise KeyError("tile")
        return []

    first, second = new(copied_town), new(copied_town)
    found = Jobs(copied_town, {"broken": Kind(False, broken), "status": LIGHT})
    found.begin()
    try:
        told = found.start(first, "broken", {})
        assert told["state"] == "failed" and "could not be started (KeyError)" in told["line"]
        time.sleep(3 * jobs_module.POLL)
        assert len(tried) == 2 and found.start(second, "status", {})["state"] == "running"
        until(found, second, 1, lambda told: not told["active"])
    finally:
        found.close()


def said(path: Path, process: Process, code: int | None = None) -> None:
    """A progress file of a process."""
    path.write_text(json.dumps({"process": asdict(process), "now": {}, "nodes": {}, "ended": "", "code": code}))


@pytest.mark.parametrize("broken", [False, True])
def test_no_secret_of_the_store_is_told(copied_town, broken):
    """In the line of a failure, the file of the job, and the report; also where the production file is wrong."""
    project = new(copied_town)
    table = read_toml(project.config) | {"store_options": {"client_kwargs": {"my_secret": "hunter22hunter22"}}}
    project.config.write_text(tomli_w.dumps(table | ({"nothing": 1} if broken else {})))
    write_entry(project, Entry(1, "run", {}, "running"))
    said(file_of(project, 1, "progress"), replace(this_process(), started=1.0), 2)
    file_of(project, 1, "log").write_text("imperv: the store refuses hunter22hunter22; see to it\n")
    found = Jobs(copied_town)
    found.begin()
    try:
        told = until(found, project, 1, lambda told: not told["active"])
        assert (told["state"], told["line"]) == ("failed", "the store refuses ...; see to it")
        assert "hunter22" not in file_of(project, 1, "json").read_text()
        # As an earlier portal kept it.
        write_entry(project, replace(Entry(2, "run", {}, "failed"), line="refuses hunter22hunter22"))
        again = Jobs(copied_town)
        answer = bytes(report(2, project, again).body).decode()
        assert "refuses ..." in answer and "hunter22" not in answer and "== Log ==" in answer
    finally:
        found.close()


@pytest.mark.slow
def test_a_folder_has_one_portal(copied_town, capsys):
    with portal_on(f"--projects={copied_town.folder}") as running:
        assert main(["portal", "--projects", str(copied_town.folder), "--port", "0"]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and f"another portal works on {copied_town.folder}" in said
        assert running.get("/api/projects")["projects"]
    found = Jobs(copied_town)
    found.begin()  # the lock went with the process
    found.close()


@pytest.mark.slow
def test_old_jobs_are_forgotten(copied_town, monkeypatch):
    monkeypatch.setattr(jobs_module, "KEPT", 1)
    (town,) = copied_town.every()
    (town.folder / "jobs").mkdir()
    table = {"kind": "status", "arguments": {}, "state": "done", "asked": "2026-01-01T00:00:00Z", "process": None}
    for number in (1, 2):
        (town.folder / f"jobs/{number:06d}.json").write_text(json.dumps(table | {"number": number}))
    found = Jobs(copied_town, {"status": LIGHT})
    found.begin()
    try:
        found.start(town, "status", {})
        until(found, town, 3, lambda told: told["state"] == "done")
        assert [job["number"] for job in found.every(town)] == [3, 2]
        assert sorted({path.stem for path in (town.folder / "jobs").glob("0*")}) == ["000002", "000003"]
    finally:
        found.close()
