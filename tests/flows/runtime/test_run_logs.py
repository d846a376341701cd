"""Logs of a tile's runs in the store: what is in them, their bounds, no secrets, and what a dead process leaves."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

import imperv.flows.runtime.run_logs as module
from imperv.flows.cli.commands import main
from imperv.flows.runtime.run_logs import HEAD, KEPT, MOST, RUN, RunLog, add_to_log, kept_log, logs_of, numbered
from imperv.flows.runtime.runners import Processes
from imperv.flows.tile.run import run_plain
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.secrets import redacted
from imperv.tasks.settings.production import Production
from imperv.tasks.store.store import Store
from tests.support.s3_server import serving_s3

TILE = "E44N26"
SECRET = "wJalrXUtnFEMI/K7MDENG"


@pytest.fixture(scope="module")
def bucket():
    """Options for a bucket `logs` on a server of this process."""
    with serving_s3("logs") as url:
        yield {"endpoint_url": url}


@pytest.fixture
def job(tmp_path) -> Job:
    """A tile of a production whose catalogue is empty."""
    (tmp_path / "items.json").write_text('{"type": "FeatureCollection", "features": []}')
    (tmp_path / "production.toml").write_text(
        f'tiles = ["{TILE}"]\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "items.json"\n'
        "[area]\neach = [0, 0, 1000, 1000]\n[engine]\nworkers = 1\n"
    )
    return Job.of(Production.read(tmp_path), TILE)


@pytest.fixture(params=["folder", "s3"])
def stored(request, job, tmp_path) -> Job:
    """The same with an empty store of either kind."""
    if request.param == "folder":
        return job
    return replace(job, store=Store(f"s3://logs/{tmp_path.name}", request.getfixturevalue("bucket")))


def texts(job: Job) -> list[str]:
    return [job.store.read_text(path) or "" for path in logs_of(job.store, TILE)]


def test_a_run_tells_its_nodes_its_warnings_and_its_end(job, capsys):
    file = str(job.production.root / "production.toml")
    with pytest.raises(InputError) as caught:
        run_plain(TILE, file, ["PP_then"])
    [text] = texts(job)
    first, node, *_, last = text.splitlines()
    assert f"{TILE} to all: process " in first and f"store {job.store.url}" in first
    assert node.endswith("INFO    S2_then")
    assert last.endswith(f"ERROR   S2_then failed: {caught.value}") and "Traceback" not in text
    assert main(["logs", TILE, "--config", file]) == 0
    assert capsys.readouterr().out == text
    with pytest.raises(InputError):
        run_plain(TILE, file, ["PP_then"])
    assert main(["logs", TILE, "-c", file]) == 0
    said = capsys.readouterr()
    assert said.out == texts(job)[1] and "logs of earlier runs: 1; --last 2 shows all" in said.err
    assert main(["logs", TILE, "-c", file, "--last", "2"]) == 0
    assert capsys.readouterr().out == "\n".join(texts(job))


def test_a_tile_without_a_log(job, capsys):
    assert main(["logs", TILE, "-c", str(job.production.root)]) == 2
    assert f"imperv: tile {TILE}: no log in" in capsys.readouterr().err


def test_warnings_of_libraries_are_heard_and_what_passes_no_level_is_not(stored, monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0.05)
    with kept_log(stored, "all"):
        logging.getLogger("somebody.else").warning("the disk is slow")
        logging.getLogger("somebody.else").info("the disk is fast")
        RUN.info("PP_then")
        deadline = time.monotonic() + 20
        while "PP_then" not in "".join(texts(stored)) and time.monotonic() < deadline:
            time.sleep(0.05)
        [before] = texts(stored)
        assert "WARNING the disk is slow\n" in before and "PP_then\n" in before and "fast" not in before
        try:
            raise ZeroDivisionError("by accident")
        except ZeroDivisionError as error:
            RUN.error("PP_then failed", exc_info=error)
    [after] = texts(stored)
    assert after.startswith(before) and after.endswith("ZeroDivisionError: by accident\n") and "Traceback" in after
    assert not any(isinstance(h, RunLog) for h in (*logging.getLogger().handlers, *RUN.handlers))


@pytest.mark.slow
def test_a_long_log_loses_its_middle_and_lines_keep_their_numbers(job):
    handler = RunLog(job.store, "runs/logs/x.log")
    count, seen = 6000, {}
    for k in range(count):
        handler.handle(logging.LogRecord("x", logging.WARNING, "", 0, f"line {k:06d} {'é' * 30}", None, None))
        if k % 500 == 499:
            seen |= dict(numbered(job.store.read_text(handler.path) or ""))
    text = job.store.read_text(handler.path) or ""
    assert MOST // 2 < len(text.encode()) <= MOST + 100
    numbers = [number for number, _ in numbered(text)]
    assert numbers[0] == 0 and numbers[-1] == count - 1 and len(numbers) < count
    assert sum(len(line.encode()) for number, line in numbered(text) if number == numbers.index(number)) <= HEAD
    assert all(f"line {number:06d} " in line for number, line in [*numbered(text), *seen.items()])
    assert f"... {count - len(numbers)} lines are left out here ...\n" in text
    assert list(numbered("whole\npart")) == [(0, "whole\n")]


def test_no_secret_is_kept(job, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    job = replace(job, store=Store(job.store.url))
    job.store.options["client_kwargs"] = {"aws_session_token": "FwoGZXIvYXdzEBY"}
    with kept_log(job, "all"):
        RUN.error("tried %s and FwoGZXIvYXdzEBY at https://me:pw@host/a.tif?sig=abc%%2F123, password=hunter22", SECRET)
    [text] = texts(job)
    assert "tried ... and ... at https://host/a.tif, password=...\n" in text
    assert redacted("a token of love") == "a token of love"


def test_only_the_last_runs_keep_their_logs(job):
    for k in range(KEPT + 3):
        with kept_log(job, "all"):
            RUN.info("run %d", k)
    found = texts(job)
    assert len(found) == KEPT and f"run {KEPT + 2}\n" in found[-1]


def test_a_log_that_cannot_be_written_harms_no_run(job, caplog):
    Path(job.store.full("runs")).parent.mkdir(parents=True)
    Path(job.store.full("runs")).write_text("a file, not a folder")
    with kept_log(job, "all"):
        RUN.info("first")
        RUN.info("second")
    assert caplog.text.count("the log of this run cannot be kept") == 1


# processes that could not say how they ended --------------------------------------------------------------------


def test_what_a_parent_knows_is_added(stored):
    add_to_log(stored, "its process was killed by signal 9", 1.0)  # it had not come so far as to have a log
    [text] = texts(stored)
    assert text.endswith(" ENDED   its process was killed by signal 9\n")
    with kept_log(stored, "all"):
        RUN.info("PP_now")
    add_to_log(stored, "one\ntwo", 5.0)
    assert texts(stored)[0] == text
    assert [line[21:] for line in texts(stored)[1].splitlines()][-3:] == ["INFO    PP_now", "ENDED   one", "ENDED   two"]


def test_a_log_of_long_ago_is_another_run_s(job):
    old = "runs/logs/E44N26/20200101T000000.000000-1.log"
    job.store.write_text(old, "old\n")
    add_to_log(job, "killed", 3600)
    assert job.store.read_text(old) == "old\n" and len(texts(job)) == 2


@pytest.mark.slow
def test_a_process_that_crashes_leaves_its_traceback(job):
    runner = Processes(str(job.production.root / "production.toml"), None)
    outcome = asyncio.run(runner.run(job, "nowhere", 0))
    assert outcome.kind == "crashed" and "KeyError" in outcome.message
    text = texts(job)[-1]
    assert "Traceback (most recent call last)" in text and "KeyError: 'nowhere'" in text


# following ------------------------------------------------------------------------------------------------------


def test_a_log_is_followed_until_nobody_works_on_the_tile(job, monkeypatch, capsys):
    monkeypatch.setattr("imperv.flows.cli.logs.LOOK", 0.05)
    there = threading.Event()

    def work() -> None:
        with job.store.tile_lock(job.tile), kept_log(job, "models"):
            there.set()
            for k in range(5):
                RUN.info("node %d", k)
                time.sleep(0.2)

    thread = threading.Thread(target=work)
    thread.start()
    there.wait()
    assert main(["logs", TILE, "-c", str(job.production.root), "--follow"]) == 0
    thread.join()
    assert capsys.readouterr().out == texts(job)[-1]
