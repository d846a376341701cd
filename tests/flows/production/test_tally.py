"""Sums of a production: states, failures, the rate of what this parent finished, time and bytes of records."""

from __future__ import annotations

import time

import pytest

from imperv.flows.production.tally import Sums, Tally, tile_sums
from imperv.flows.runtime.outcomes import Ledger, Outcome
from imperv.tasks.delivery.delivery import deliver
from imperv.tasks.job import Job
from tests.support.delivered import production, put

TILES = ("E43N32", "E44N32", "E45N32", "E46N32")


def test_time_and_bytes_are_those_of_the_records(tmp_path):
    job = Job.of(production(tmp_path), "E43N32")
    assert tile_sums(job) == Sums()
    put(job, "SBU")
    delivered, _ = deliver(job, "SBU")
    layer = job.record("SBU")
    cpu_seconds = layer.cpu_seconds + delivered.cpu_seconds
    assert tile_sums(job) == Sums(layer.seconds + delivered.seconds, layer.size, delivered.size, cpu_seconds)
    assert layer.size > 0 and delivered.size > 0


def test_sums_of_a_production_by_hand(tmp_path):
    found = production(tmp_path, bbox=None)
    job = Job.of(found, "E43N32")
    put(job, "SBU")
    ledger = Ledger(TILES, 3, began=time.time() - 7200)
    tally = Tally(found, ledger)
    nothing = tally.facts()
    assert nothing["tiles"] == {"not begun": 4, "in work": 0, "done": 0, "failed": 0}
    assert (nothing["tiles_an_hour"], nothing["hours_left"], nothing["finished"]) == (0, None, 0)
    ledger.add(Outcome("E43N32", "models", "done", counts={"ran": 3}))
    ledger.add(Outcome("E43N32", "all", "done", counts={"ran": 0, "up to date": 9}))  # finished here, in the first pass
    ledger.add(Outcome("E44N32", "all", "done", counts={"ran": 0, "up to date": 12}))  # done before this parent
    ledger.begin("E45N32")
    failed = Outcome("E46N32", "all", "crashed", "killed")
    ledger.add(failed)
    ledger.give_up(failed)
    tally.refresh()
    facts = tally.facts()
    assert facts["tiles"] == {"not begun": 0, "in work": 1, "done": 2, "failed": 1}
    assert facts["failed"] == ["E46N32"] and facts["failures"] == {"crashed": 1}
    assert facts["finished"] == 1 and facts["tiles_an_hour"] == 0.5 and facts["hours_left"] == pytest.approx(2.0, abs=0.01)
    assert facts["bytes"] == {"layers": job.record("SBU").size, "products": 0}


def test_records_are_read_once_for_every_run_that_ended(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr("imperv.flows.production.tally.tile_sums", lambda job: read.append(str(job.tile)) or Sums(1.0))
    ledger = Ledger(TILES, 3)
    tally = Tally(production(tmp_path, bbox=None), ledger)
    ledger.add(Outcome("E43N32", "models", "done"))
    tally.refresh()
    tally.refresh()
    ledger.add(Outcome("E43N32", "all", "done"))
    ledger.add(Outcome("E44N32", "all", "done"))
    tally.refresh()
    assert sorted(read) == ["E43N32", "E43N32", "E44N32"] and tally.facts()["hours"] == pytest.approx(2 / 3600, abs=0.001)
