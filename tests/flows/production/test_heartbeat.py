"""Signs of life of a production's parent, on folders and S3: given, late, of a process that is gone, of clocks that differ."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imperv.flows.cli.commands import main
from imperv.flows.production import watching
from imperv.flows.production.heartbeat import MISSED, PATH, Sign, give_sign, last_sign, life_of, new_sign, say
from imperv.flows.production.run import run_production
from imperv.flows.production.state import begin, read_state, settings_digest
from imperv.flows.production.watching import Watch
from imperv.flows.runtime.outcomes import Ledger, Outcome
from imperv.tasks.errors import WorkError
from imperv.tasks.settings.production import Production
from imperv.tasks.store.lease import this_process
from imperv.tasks.store.store import Store
from tests.support.prefect_loopback import COMMAND
from tests.support.productions import flat
from tests.support.s3_server import serving_s3

ROOT = Path(__file__).resolve().parents[3]
NOW = datetime.now(UTC)
RUN = {"run": "abc", "began": (NOW - timedelta(hours=3)).isoformat(timespec="seconds")}


@pytest.fixture(scope="module")
def bucket():
    with serving_s3("beats") as url:
        yield {"endpoint_url": url}


@pytest.fixture(params=["folder", "s3"])
def store(request, tmp_path):
    """An empty store of either kind."""
    return (
        Store(tmp_path) if request.param == "folder" else Store(f"s3://beats/{tmp_path.name}", request.getfixturevalue("bucket"))
    )


def elsewhere() -> Sign:
    """Of a process of another machine."""
    return Sign("abc", replace(this_process(), host="node-7", boot="other", pid=4711), 30.0, facts={"tiles": {"done": 2}})


def after(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_one_that_says_so_lives_until_three_signs_are_missed(store):
    give_sign(store, elsewhere())
    life = life_of(store, RUN)
    assert (life.state, life.why, life.clock) == ("running", "", "") and -2 < life.age < 10
    told = {"state": "running", "age": life.age, "why": "", "clock": "", "host": "node-7", "pid": 4711, "every": 30.0}
    assert life.as_table() == told | {"tiles": {"done": 2}}
    assert life_of(store, RUN, after(MISSED * 30 - 10)).state == "running"
    late = life_of(store, RUN, after(7200))
    assert late.state == "silent" and late.age == pytest.approx(7200, abs=10)
    assert late.why == "its process 4711 on node-7 was killed, hangs, or does not reach the store"
    give_sign(store, replace(elsewhere(), every=3600.0))
    assert life_of(store, RUN, after(7200)).state == "running"  # its own interval counts


def test_a_sign_of_another_run_is_none(store):
    state = {**RUN, "run": "def"}
    assert life_of(store, state).state == "silent"  # nothing is there at all
    give_sign(store, elsewhere())
    life = life_of(store, state)
    assert (life.state, life.why, life.sign) == ("silent", "it never gave a sign of life", None)
    assert 3 * 3600 <= life.age < 24 * 3600
    assert life_of(store, {**state, "ended": RUN["began"]}).state == "ended"


def test_ended_and_stopped_ones_are_not_silent(store):
    give_sign(store, elsewhere())
    assert life_of(store, {**RUN, "ended": RUN["began"]}, after(7200)).state == "ended"
    give_sign(store, replace(elsewhere(), state="stopped", note="no room left"))
    life = life_of(store, RUN, after(7200))
    assert (life.state, life.why) == ("stopped", "no room left")


def test_what_is_no_sign_counts_as_none(store):
    for text in ("", "{", "[]", '{"run": "abc"}', '{"process": 1}'):
        store.write_text(f"runs/{PATH}", text)
        assert last_sign(store) is None and life_of(store, RUN).state == "silent"


def test_only_its_own_process_speaks_for_a_parent(store):
    give_sign(store, elsewhere())
    say(store, "stopped", "not mine to say")
    assert life_of(store, RUN).state == "running"
    give_sign(store, new_sign("abc", 30.0))
    say(store, "running", "it waits for its Prefect server")
    assert life_of(store, RUN).why == "it waits for its Prefect server"
    say(store, "stopped", "it has not answered")
    assert life_of(store, RUN).state == "stopped"


def test_whoever_reads_sees_a_whole_sign(store):
    """One process writes as fast as it can, another reads."""
    give_sign(store, elsewhere())
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            number += 1
            give_sign(store, replace(elsewhere(), facts={"tiles": {"done": number}}))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert all(last_sign(store) is not None for _ in range(30))
    finally:
        done.set()
        writer.join()


# clocks ---------------------------------------------------------------------------------------------------------


def with_age(store: Store, seconds: float, sign: Sign, clock: float = 0.0) -> None:
    """A sign that the store wrote so many seconds ago, by a parent whose clock is ahead by so many."""
    when = datetime.now(UTC) - timedelta(seconds=seconds)
    said = (when + timedelta(seconds=clock)).isoformat(timespec="seconds")
    store.write_text(f"runs/{PATH}", json.dumps({**asdict(sign), "when": said}))
    os.utime(store.full(f"runs/{PATH}"), (when.timestamp(), when.timestamp()))


@pytest.mark.parametrize(
    ("age", "clock", "state", "told"),
    [
        (10, 0, "running", ""),
        (10, 3600, "running", "the clock of node-7 is 3(599|600|601) s ahead of the store's; set it"),
        (10, -3600, "running", "the clock of node-7 is 3(599|600|601) s behind the store's; set it"),  # no false alarm
        (1000, 3600, "silent", "the clock of node-7 is 3(599|600|601) s ahead of the store's; set it"),  # it does not look alive
        (-600, 0, "running", "the clock of this machine is (59\d|600) s behind the store's; set it"),
    ],
)
def test_the_store_s_clock_tells_the_age_and_wrong_ones_are_told(tmp_path, age, clock, state, told):
    store = Store(tmp_path)
    with_age(store, age, elsewhere(), clock)
    life = life_of(store, RUN)
    assert life.state == state and re.fullmatch(told, life.clock) and life.age == pytest.approx(age, abs=5)


# a process of this machine --------------------------------------------------------------------------------------


def test_a_process_that_is_there_but_says_nothing_and_one_that_is_gone(tmp_path):
    store = Store(tmp_path)
    process = subprocess.Popen(["sleep", "600"])
    try:
        import psutil

        there = replace(this_process(), pid=process.pid, started=psutil.Process(process.pid).create_time())
        with_age(store, 10, Sign("abc", there, 30.0))
        assert life_of(store, RUN).state == "running"
        with_age(store, 100, Sign("abc", there, 30.0))
        assert life_of(store, RUN).why.endswith("is there but says nothing; kill it")
    finally:
        process.kill()
        process.wait()
    with_age(store, 1, Sign("abc", there, 30.0))
    life = life_of(store, RUN)  # known at once, not after three intervals
    assert life.state == "silent" and life.why == f"its process {process.pid} on {there.host} is gone"


# the parent -----------------------------------------------------------------------------------------------------


def tiny(tmp_path, more: str = "") -> Path:
    file = flat(tmp_path, 2)
    file.write_text(file.read_text() + "[watch]\nheartbeat = 1\n" + more)
    return file


def watched(tmp_path, monkeypatch, body) -> Production:
    """A production whose parent does `body(ledger)` while it is watched."""
    production = Production.read(tiny(tmp_path))
    monkeypatch.setattr(watching, "REPORT_EVERY", 1e9)
    monkeypatch.setattr(Watch, "_report", lambda self: None)
    store = Store(production.store_url)
    name = begin(store, production, production.tile_names, None)
    ledger = Ledger(production.tile_names, 3)

    async def parent() -> None:
        async with Watch(tmp_path / "flat-2", production, name, ledger):
            await body(ledger)

    asyncio.run(parent())
    return production


def life_in(production: Production):
    store = Store(production.store_url)
    return life_of(store, read_state(store))


@pytest.mark.slow
def test_a_parent_beats_while_its_loop_runs_and_not_while_it_hangs(tmp_path, monkeypatch):
    path = tmp_path / "flat-2" / "store" / "runs" / PATH

    def written() -> int:
        return path.stat().st_mtime_ns

    async def body(ledger: Ledger) -> None:
        ledger.begin(ledger.tiles[0])
        for _ in range(2):
            last = written()
            while written() == last:
                await asyncio.sleep(0.02)
        ledger.add(Outcome(ledger.tiles[0], "all", "done"))
        last = written()
        time.sleep(2.5)  # as a defect would
        assert written() == last

    life = life_in(watched(tmp_path, monkeypatch, body))
    assert life.sign.facts["tiles"] == {"not begun": 1, "in work": 0, "done": 1, "failed": 0}


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (WorkError("store: no room left"), "store: no room left"),
        (KeyError("x"), "KeyError('x')"),
        (ExceptionGroup("g", [WorkError("first"), WorkError("second")]), "first"),
        (asyncio.CancelledError(), "it was interrupted"),
    ],
)
def test_a_parent_that_leaves_says_why(tmp_path, monkeypatch, error, why):
    async def body(ledger: Ledger) -> None:
        raise error

    with pytest.raises(type(error)):
        watched(tmp_path, monkeypatch, body)
    life = life_in(Production.read(tmp_path / "flat-2"))
    assert (life.state, life.why) == ("stopped", why)


def test_a_store_that_takes_no_signs_stops_no_production(tmp_path, monkeypatch, caplog):
    async def body(ledger: Ledger) -> None:
        folder = tmp_path / "flat-2" / "store" / "runs"
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        folder.write_text("no folder")
        await asyncio.sleep(1.5)

    watched(tmp_path, monkeypatch, body)
    assert "no sign of life could be written" in caplog.text


def test_what_cannot_be_shown_ends_no_production(tmp_path, monkeypatch, caplog):
    def broken(self):
        raise KeyError("a defect")

    monkeypatch.setattr("imperv.flows.production.tally.Tally.refresh", broken)
    monkeypatch.setattr(watching, "EVERY", 0.1)

    async def body(ledger: Ledger) -> None:
        while sum("are not new: KeyError('a defect')" in message for message in caplog.messages) < 3:
            await asyncio.sleep(0.05)

    assert life_in(watched(tmp_path, monkeypatch, body)).state == "running"


def test_how_a_production_is_watched_makes_it_no_other(tmp_path):
    one, other = Production.read(tiny(tmp_path / "a")), Production.read(tiny(tmp_path / "b"))
    other = other.model_copy(update={"watch": other.watch.model_copy(update={"heartbeat": 5.0})})
    assert settings_digest(one, None) == settings_digest(other, None)


# a production through the command line --------------------------------------------------------------------------


def wait_for(path: Path, seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_killed_production_says_so_and_one_that_goes_on_does_too(tmp_path, capsys):
    file = tiny(tmp_path)
    file.write_text(file.read_text().replace("heartbeat = 1\n", "heartbeat = 60\n"))  # a slow machine is not silent
    command = [sys.executable, "-c", COMMAND, "europe", "--config", str(file), "-t", "IMD_then"]
    parent = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True)
    try:
        wait_for(file.parent / "store" / "runs" / PATH)
        os.killpg(parent.pid, signal.SIGSTOP)  # or it might end while it is asked for
        assert main(["status", "--config", str(file)]) == 0
        said = capsys.readouterr().out
        began = read_state(Store(file.parent / "store"))["began"]
        assert f"production flat-2 runs since {began} on {this_process().host}: " in said
        assert main(["status", "--config", str(file), "--check"]) == 0
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.communicate()
    capsys.readouterr()
    assert main(["status", "--config", str(file)]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert (
        "has been silent for" in said
        and f"its process {parent.pid} on" in said
        and said.endswith("is gone; run it again to go on")
    )
    assert "tiles an hour" not in said
    assert main(["status", "--config", str(file), "--check"]) == 1
    assert "has been silent for" in capsys.readouterr().err
    assert main(["status", "--config", str(file), "--check", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["production"]["life"]["state"] == "silent" and told["production"]["tiles_an_hour"] is None
    assert told["production"]["life"]["pid"] == parent.pid and told["troubles"][0]["kind"] == "silent"
    assert main(["status", "--config", str(file), "--json"]) == 0
    assert [row["production"]["state"] for row in json.loads(capsys.readouterr().out)] == ["silent", "silent"]

    asyncio.run(run_production(str(file), targets=["IMD_then"]))
    assert main(["status", "--config", str(file), "--check"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("production flat-2 ended ") and "2 of 2 tiles done, 0 failed" in said
