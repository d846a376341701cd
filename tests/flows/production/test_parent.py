"""One parent at a time runs a production in a store: the second is told who has it; a dead one blocks nobody for long."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from imperv.flows.cli.commands import main
from imperv.flows.production.producing import produce
from imperv.flows.production.state import only_parent
from imperv.flows.runtime.outcomes import Ledger, Outcome
from imperv.tasks.errors import TileBusyError, WorkError
from imperv.tasks.settings.production import Production
from imperv.tasks.store.lease import PARENT, Entry, latest, this_process
from imperv.tasks.store.store import Store
from tests.support.s3_server import serving_s3

ROOT = Path(__file__).resolve().parents[3]
TILES = ["E44N26", "E45N26"]


@pytest.fixture(scope="module")
def bucket():
    """Options for a bucket `parents` on a server of this process."""
    with serving_s3("parents") as url:
        yield {"endpoint_url": url}


@pytest.fixture
def production(tmp_path) -> Production:
    (tmp_path / "items.json").write_text('{"type": "FeatureCollection", "features": []}')
    (tmp_path / "production.toml").write_text(
        f'tiles = {json.dumps(TILES)}\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "items.json"\n'
        "[area]\neach = [0, 0, 1000, 1000]\n[engine]\nworkers = 1\n[watch]\nheartbeat = 1\n"
    )
    return Production.read(tmp_path)


@pytest.fixture(params=["folder", "s3"])
def store(request, production, tmp_path) -> Store:
    """An empty store of either kind."""
    if request.param == "folder":
        return Store(production.store_url)
    return Store(f"s3://parents/{tmp_path.name}", request.getfixturevalue("bucket"))


def write_entry(store: Store, seconds: float) -> None:
    """What a parent on another machine, whose last sign of life lies so far back, has left."""
    entry = Entry("node-7", "other", 4711, 1_700_000_000.0, time.time() + 3 - seconds)
    store.write_text(f"runs/leases/{PARENT}/00000007.json", json.dumps(asdict(entry)))


def test_of_several_at_the_same_moment_one_goes_on(store, production):
    start, end = threading.Barrier(6), threading.Barrier(6)

    def begin(_: int) -> str:
        start.wait()
        try:
            with only_parent(store, production):
                end.wait()
                return "runs"
        except WorkError as error:
            end.wait()
            return str(error)

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(begin, range(6)))
    refusals = [text for text in found if text != "runs"]
    assert len(refusals) == 5
    assert all("\n" not in text and f"in {store.url}" in text for text in refusals)
    with only_parent(store, production):  # its place is free again
        pass


def test_the_second_is_told_of_the_first_in_one_line(store, production):
    with only_parent(store, production), pytest.raises(WorkError) as caught, only_parent(store, production):
        raise AssertionError
    began = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(this_process().started))
    me = os.getpid()
    assert str(caught.value) == (
        f"a production runs in {store.url} already: process {me} on {socket.gethostname()}, since {began}; wait until it has "
        f"ended (imperv status), or stop it there (kill {me}), its place is free at once"
    )


def test_one_of_another_machine_keeps_its_place_until_it_is_silent(store, production):
    write_entry(store, -60)
    wanted = r"process 4711 on node-7, since 2023-11-14 22:13 UTC; .* its place is free 3 s later"
    with ExitStack() as stack, pytest.raises(WorkError, match=wanted):
        stack.enter_context(only_parent(store, production))
    write_entry(store, 3.1)
    with only_parent(store, production) as place:
        assert place.number == 8


@pytest.mark.slow
def test_a_killed_parent_of_this_machine_frees_its_place_at_once(production):
    """A real `imperv europe`, which waits for a tile that this process holds."""
    store = Store(production.store_url)
    file = production.root / "production.toml"
    command = [sys.executable, "-c", "import sys; from imperv.flows.cli.commands import main; sys.exit(main(sys.argv[1:]))"]
    asked = ["europe", "--config", str(file), "-t", "PP_then", "--tile-timeout", "60"]
    stopped = subprocess.Popen(
        [*command, *asked], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 600
        while latest(store, PARENT)[1] is None and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(stopped.pid, signal.SIGSTOP)  # it lives, and does not end meanwhile
        with pytest.raises(WorkError, match=f"process {stopped.pid} on "), only_parent(store, production):
            raise AssertionError
    finally:
        os.killpg(stopped.pid, signal.SIGKILL)
        stopped.wait()
    with only_parent(store, production):
        pass


def test_the_command_is_refused_and_changes_nothing(production, capsys):
    store, file = Store(production.store_url), production.root / "production.toml"
    store.write_text("runs/europe.data.json", '{"run": "first", "ended": ""}')
    with only_parent(store, production):
        assert main(["europe", "--config", str(file), "-t", "PP_then"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith(f"imperv: a production runs in {store.url} already: process {os.getpid()} on ")
    assert store.read_text("runs/europe.data.json") == '{"run": "first", "ended": ""}'
    assert not store.fs.exists(store.full("runs/logs"))


def test_a_parent_that_lost_its_place_begins_no_further_tile(production):
    store, begun = Store(production.store_url), []

    class Slow:
        at_once = 1

        async def run(self, job, until, attempt) -> Outcome:
            begun.append(str(job.tile))
            number, entry = latest(store, PARENT)
            later = replace(entry, host="node-7", boot="other", expires=time.time() + 60)
            store.write_text(f"runs/leases/{PARENT}/{number + 1:08d}.json", json.dumps(asdict(later)))
            place.renew()  # as its thread does
            return Outcome(str(job.tile), until, "done")

    with only_parent(store, production) as place, pytest.raises(TileBusyError, match="the production: this process was away"):
        asyncio.run(produce(production, TILES, ["PP_then"], Slow(), Ledger(tuple(TILES), 3), place.check))
    assert len(begun) == 1
