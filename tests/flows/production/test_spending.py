"""What a production has taken so far, by hand, beside what it was planned to take, in status and report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from imperv.flows.cli.commands import main
from imperv.flows.plan.production_plan import plan_production
from imperv.flows.production.spending import _digits, cost_rows, costs_line, tile_costs, total_costs
from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.delivery.delivery import places_of
from imperv.tasks.families import task_of
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from imperv.tasks.store.records import Record

TILE = "E44N26"
PRICES = '[prices]\ncurrency = "CHF"\ncore_hour = 0.05\ngigabyte_read = 2.0\ngigabyte_month = 0.1\n'


def job_of(folder: Path, more: str = PRICES, tiles: str = f'["{TILE}"]') -> Job:
    (folder / "production.toml").write_text(
        f'tiles = {tiles}\n[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "items.json"\n'
        f"[area]\neach = [0, 0, 2000, 2000]\n[engine]\nworkers = 2\n{more}"
    )
    return Job.of(Production.read(folder), TILE)


def put(job: Job, symbol: str, seconds: float, size: int, product: bool = False, **statistics) -> None:
    record = Record(
        CATALOGUE[symbol].stem, TILE, "key", bbox=job.bounds, start="2018-01-01", end="2021-12-31", cpu_seconds=seconds,
        size=size, statistics=statistics,
    )  # fmt: skip
    job.store.write_record((places_of(job, symbol) if product else job.place(symbol)).record, record)


@pytest.fixture
def job(tmp_path) -> Job:
    """Features of two years, a model and a product: 2 + 1 + 4 + 0.5 h of processors, 3 + 4 GB read, 10 GB stored."""
    job = job_of(tmp_path)
    put(job, "PP_then", 7200, 4_000_000_000, bytes_read=3_000_000_000, overpasses=40, scenes=50)
    put(job, "PP_now", 3600, 5_000_000_000, bytes_read=4_000_000_000, overpasses=60, scenes=60)
    put(job, "IMD_model", 14_400, 900_000_000)
    put(job, "IMD_now", 1800, 100_000_000, product=True)
    return job


def test_so_far_by_hand(job):
    found = tile_costs(job)
    assert found["so_far"] == {"core_hours": 7.5, "gigabytes_read": 7.0, "gigabytes_stored": 10.0, "money": 0.375 + 14 + 1}
    assert found["reading_not_counted"] == 0


def test_planned_is_what_a_plan_of_an_empty_store_says(tmp_path, job):
    empty = replace(job, store=type(job.store)(f"{job.store.url}-empty"))
    found = tile_costs(empty)
    (tmp_path / "other").mkdir()
    [plan] = plan_production(job_of(tmp_path / "other").production, [TILE], None)
    assert found["so_far"]["core_hours"] == found["so_far"]["money"] == 0
    for name in ("core_hours", "gigabytes_read", "gigabytes_stored"):
        assert found["planned"][name] == pytest.approx(getattr(plan, name), rel=1e-3)
    # Of features that are there their own number of looks counts.
    task, layer = task_of("PP_now"), CATALOGUE["PP_now"]
    assert task.cost_made(job, layer).core_seconds == pytest.approx(60 / 100 * task.cost(empty, layer).core_seconds, rel=0.02)


def test_reading_that_was_never_counted_is_told(job):
    put(job, "PP_now", 3600, 5_000_000_000, overpasses=60, scenes=60)
    found = tile_costs(job)
    assert found["so_far"]["gigabytes_read"] == 3.0 and found["reading_not_counted"] == 1
    assert costs_line(found, job.production.prices).endswith("CHF (1 years of features not counted)")


def test_sums_of_tiles_and_without_prices(job, tmp_path):
    one = tile_costs(job)
    two = total_costs([one, one])
    assert two["so_far"]["core_hours"] == 15 and two["planned"]["money"] == pytest.approx(2 * one["planned"]["money"])
    assert total_costs([]) == {}
    plain = job_of(tmp_path, "")
    found = tile_costs(plain)
    assert "money" not in found["so_far"] and len(cost_rows(found, plain.production.prices)) == 3
    assert costs_line(found, plain.production.prices).startswith("so far, of what was planned: 7.50 of ")


def test_small_amounts_keep_their_digits():
    assert [_digits(v) for v in (0.0, 0.00123, 0.0987, 0.1, 12.345, 98765.4)] == [
        "0.00",
        "0.0012",
        "0.099",
        "0.10",
        "12.35",
        "98,765.40",
    ]


def test_status_and_report_tell_them(job, capsys):
    config = str(job.production.root / "production.toml")
    assert main(["status", "--config", config]) == 0
    said = capsys.readouterr().out
    hours, read, stored, money = (_digits(value) for value in tile_costs(job)["planned"].values())
    assert (
        f"so far, of what was planned: 7.50 of {hours} core hours, 7.00 of {read} GB of scenes read, 10.00 of {stored} GB "
        f"stored, 15.38 of {money} CHF\n"
    ) in said
    assert main(["status", "--config", config, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["costs"] == tile_costs(job)
