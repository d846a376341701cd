"""One process at a time has a tile: taken by one of many, kept, given back, freed by death and by time, on folders and S3."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from imperv.grids import Tile
from imperv.tasks.errors import InputError, TileBusyError
from imperv.tasks.store import lease as lease_module
from imperv.tasks.store.lease import Entry, _entry, _text, holding, is_held, latest, take
from imperv.tasks.store.store import Store
from tests.support.s3_server import serving_s3

TILE = "E44N26"
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def bucket():
    """Options for a bucket `leases` on a server of this process."""
    with serving_s3("leases") as url:
        yield {"endpoint_url": url}


@pytest.fixture(params=["folder", "s3"])
def store(request, tmp_path):
    """An empty store of either kind."""
    if request.param == "folder":
        return Store(tmp_path)
    return Store(f"s3://leases/{tmp_path.name}", request.getfixturevalue("bucket"))


def elsewhere(seconds: float) -> str:
    """What a process of another machine writes."""
    return json.dumps(asdict(replace(_entry(), host="node-7", boot="other", expires=time.time() + seconds)))


def test_one_has_it_and_the_next_after_it(store):
    assert not is_held(store, TILE)
    with store.tile_lock(Tile(TILE)) as mine:
        assert is_held(store, TILE) and not is_held(store, "E44N27")
        with pytest.raises(TileBusyError, match=f"tile {TILE}: another flow of this process is working on it"):
            take(store, TILE)
        mine.check()
    assert not is_held(store, TILE)
    with holding(store, TILE) as next_one:
        assert next_one.number == mine.number + 1


def test_of_many_at_once_one_gets_it(store):
    start = threading.Barrier(8)

    def run(_: int) -> bool:
        start.wait()
        try:
            take(store, TILE)
        except TileBusyError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            assert sum(pool.map(run, range(8))) == 1
            store.write_text(lease_module._path(store, TILE, latest(store, TILE)[0]), json.dumps(asdict(_entry())))


def test_another_machine_is_waited_for_until_its_lease_has_run_out(store):
    store.write_text(lease_module._path(store, TILE, 4), elsewhere(600))
    with pytest.raises(TileBusyError, match=r"another process \(\d+ on node-7, until \d\d:\d\d:\d\d UTC at least\)"):
        take(store, TILE)
    assert is_held(store, TILE)
    store.write_text(lease_module._path(store, TILE, 4), elsewhere(-1))
    assert not is_held(store, TILE)
    assert take(store, TILE).number == 5


def test_it_is_renewed(store):
    with holding(store, TILE, 4.0) as mine:
        first = latest(store, TILE)[1].expires
        while latest(store, TILE)[1].expires == first:
            time.sleep(0.05)
        mine.check()
        assert is_held(store, TILE)


def test_who_slept_through_it_stops_and_leaves_the_next_one_alone(store):
    mine = take(store, TILE, 0.3)
    time.sleep(0.4)
    mine.check()  # nobody wanted it meanwhile
    theirs = take(store, TILE)
    with pytest.raises(TileBusyError, match=r"its lease of 0.3 s and another one took over; what is finished is kept"):
        mine.check()
    mine.renew()
    mine.give_back()
    assert latest(store, TILE)[0] == theirs.number and is_held(store, TILE)
    theirs.check()


@pytest.mark.slow
def test_a_killed_process_of_this_machine_blocks_nobody(tmp_path):
    code = (
        "import sys, time\nfrom imperv.tasks.store.lease import take\nfrom imperv.tasks.store.store import Store\n"
        f"take(Store({str(tmp_path)!r}), {TILE!r}, 3600)\nprint('taken', flush=True)\ntime.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "taken\n"
        store = Store(tmp_path)
        with pytest.raises(TileBusyError, match=rf"another process \({holder.pid}\)"):
            take(store, TILE)
        holder.kill()
        deadline = time.monotonic() + 120  # for the system to end it; it is not reaped yet
        while is_held(store, TILE) and time.monotonic() < deadline:
            time.sleep(0.01)
        with holding(store, TILE):
            pass
    finally:
        holder.kill()
        holder.wait()


def test_numbers_of_processes_are_used_again():
    assert not Entry(**json.loads(_text(60))).free
    assert replace(Entry(**json.loads(_text(60))), started=1.0).free


def test_a_lease_that_cannot_be_read_is_no_obstacle(store):
    store.write_text(lease_module._path(store, TILE, 3), "{")
    assert not is_held(store, TILE)
    assert take(store, TILE).number == 4


def test_few_files_are_left(store):
    for _ in range(6):
        with holding(store, TILE):
            pass
    assert len(store.fs.ls(store.full(f"runs/leases/{TILE}"), detail=False)) == 1


# what is in the way ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("below", ["", "production/store"])
def test_a_link_to_nowhere_is_no_lease_of_another_process(tmp_path, below):
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=rf"^store: {tmp_path}/gone is a link to {tmp_path}/nowhere, which is not there"):
        Store(tmp_path / "gone" / below)
    (tmp_path / "nowhere").mkdir()
    with holding(Store(tmp_path / "gone" / below), TILE):
        assert is_held(Store(tmp_path / "gone" / below), TILE)


@pytest.mark.parametrize("there", ["file", "link"])
def test_something_in_the_place_of_the_folder_of_leases(tmp_path, there):
    place = tmp_path / "runs" / "leases"
    place.parent.mkdir()
    place.touch() if there == "file" else place.symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"^store: .*leases.* cannot be written"):
        take(Store(tmp_path), TILE)
