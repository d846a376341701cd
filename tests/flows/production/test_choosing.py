"""Which tiles a run of a production takes: those asked for, the first ones first, or only those that failed."""

from __future__ import annotations

import asyncio
import json

import pytest

from imperv.flows.cli.commands import main
from imperv.flows.production.producing import produce
from imperv.flows.production.run import chosen_tiles, run_production
from imperv.flows.production.state import begin
from imperv.flows.runtime.journal import last_run, note_run
from imperv.flows.runtime.outcomes import Ledger
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.job import Job
from tests.flows.production.test_many_tiles import SQUARE, Script, production


def test_the_first_ones_go_first_and_nobody_is_lost(tmp_path):
    found = production(tmp_path, f"tiles = {SQUARE}")
    assert chosen_tiles(found) == tuple(SQUARE)
    assert chosen_tiles(found, first=["E45N27", "E44N27"]) == ("E45N27", "E44N27", "E44N26", "E45N26")
    assert chosen_tiles(found, ["E45N26", "E45N27"], first=["E45N27"]) == ("E45N27", "E45N26")
    with pytest.raises(InputError, match="first: E44N26 is none of the tiles of this run"):
        chosen_tiles(found, ["E45N26", "E45N27"], first=["E44N26"])


def test_first_means_in_every_wave(tmp_path):
    found = production(tmp_path, f"tiles = {SQUARE}")
    names = chosen_tiles(found, first=["E45N27"])
    script = Script(at_once=1)
    asyncio.run(produce(found, names, None, script, Ledger(names, 3)))
    # What the results hang on comes before: tiles that start anew, then the models of all others, then the rest.
    assert [(tile, until) for tile, until, _ in script.asked] == [
        ("E44N26", "models"), ("E45N27", "models"), ("E44N27", "models"), ("E45N26", "models"),
        ("E45N27", "all"), ("E44N26", "all"), ("E44N27", "all"), ("E45N26", "all"),
    ]  # fmt: skip


def test_another_order_is_the_same_run(tmp_path):
    found = production(tmp_path, f"tiles = {SQUARE}")
    store = Job.of(found, SQUARE[0]).store
    name = begin(store, found, SQUARE, None)
    assert begin(store, found, SQUARE[::-1], None) == name
    assert begin(store, found, SQUARE[1:], None) != name


def journals(tmp_path, **states: str) -> None:
    found = production(tmp_path, f"tiles = {SQUARE}", "[area]\neach = [0, 0, 1000, 1000]\n")
    (tmp_path / "items.json").write_text('{"type": "FeatureCollection", "features": []}')
    for tile, state in states.items():
        note_run(Job.of(found, tile), state, "no room left", WorkError("no room left") if state == "failed" else None)


@pytest.mark.slow
def test_only_what_failed_is_run_again(tmp_path, capsys):
    journals(tmp_path, E44N26="failed", E44N27="done", E45N26="running")
    found = production(tmp_path, f"tiles = {SQUARE}", "[area]\neach = [0, 0, 1000, 1000]\n")
    assert chosen_tiles(found, retry_failed=True) == ("E44N26",)
    assert chosen_tiles(found, ["E44N27"], retry_failed=True) == ()
    asked = ["europe", "--config", str(tmp_path), "-t", "PP_then", "--retry-failed", "--json"]
    assert main(asked) != 0  # it fails again: there are no scenes
    summary = json.loads(capsys.readouterr().out)
    assert list(summary["failed"]) == ["E44N26"] and summary["tiles"] == 1
    assert last_run(Job.of(found, "E45N26"))["state"] == "running"  # nobody touched it


def test_where_nothing_failed_nothing_is_done(tmp_path, capsys):
    journals(tmp_path, E44N26="done", E44N27="features done")
    store = Job.of(production(tmp_path, f"tiles = {SQUARE}"), "E44N26").store
    store.write_text("runs/europe.data.json", '{"run": "last"}')
    assert main(["europe", "--config", str(tmp_path), "--retry-failed", "--json"]) == 0
    said = capsys.readouterr()
    assert "imperv: no tile has failed in its last run\n" in said.err and json.loads(said.out)["tiles"] == 0
    ledger = asyncio.run(run_production(str(tmp_path / "production.toml"), retry_failed=True))
    assert ledger.exit_code == 0 and ledger.tiles == ()
    assert store.read_text("runs/europe.data.json") == '{"run": "last"}'


def test_several_first_ones_in_one_option_and_in_any_case(tmp_path, capsys):
    journals(tmp_path)
    assert main(["europe", "--config", str(tmp_path), "--first", "e45n27,E44N27", "--first", "E10N10"]) == 2
    assert "E10N10" in capsys.readouterr().err
    assert main(["europe", "E44N26", "--config", str(tmp_path), "--first", "e45n27, e44n27"]) == 2
    assert "first: E45N27, E44N27 is none of the tiles of this run" in capsys.readouterr().err
