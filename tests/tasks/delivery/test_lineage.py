"""Lineage from records of a small chain."""

import json
from dataclasses import replace

import pytest

from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.delivery.lineage import lineage_of
from imperv.tasks.job import Job
from tests.support.delivered import production, put


@pytest.fixture
def job(tmp_path):
    job = Job.of(production(tmp_path / "store"), "E43N32")
    for symbol in ("IBU_now", "SBU"):
        put(job, symbol)
    scenes = [
        {"id": f"S{k}", "datetime": "2021-05-01T10:00:00Z", "overpass": "a", "mgrs": "32UNE", "baseline": f"0{k}.00",
         "cloud": 1.0, "subtract": 1000 * (k == 4), "reason": "", "bands": {}}
        for k in (4, 3)
    ]  # fmt: skip
    job.store.write_text(job.place("S2_now").data, json.dumps({"scenes": scenes, "dropped": {}}))
    told = {"scenes": 2, "overpasses": 1, "first": "2021-05-01", "last": "2021-05-01", "offset_subtracted": 1}
    record = job.record("IBU_now")
    job.store.write_record(job.place("S2_now").record, replace(record, symbol="S2", statistics=told, href="", files=0, size=0))
    threshold = {"parameters": {"built_up.threshold": 10}}
    job.store.write_record(job.place("IBU_now").record, replace(record, ingredients=threshold, warnings=("thin cloud",)))
    return job


def test_the_chain_in_the_order_of_work(job):
    made = replace(job.record("SBU"), software={"imperv": "0.1.0", "numpy": "2.4.6"})
    found = lineage_of(job, CATALOGUE["SBU"], made)
    assert [step.symbol for step in found.steps] == ["S2_now", "IBU_now", "SBU"]
    assert found.sources == (
        "Sentinel-2 L2A of now: 2 scenes of 1 overpasses, 2021-05-01 to 2021-05-01, processing baselines 03.00, 04.00, "
        "the offset of baseline 04.00 subtracted from 1",
    )
    assert found.steps[1].text == (
        "IBU_now: Impervious built-up (ATBD 4.4.2, version 1); built_up.threshold = 10; noticed: thin cloud"
    )
    assert "Made by imperv 0.1.0 after" in found.statement
    assert "with numpy 2.4.6." in found.statement
    assert "then 2018, now 2021" in found.statement
    assert found.sources[0] in found.statement


def test_without_records_of_what_it_was_made_from(tmp_path):
    job = Job.of(production(tmp_path / "store"), "E43N32")
    put(job, "SBU")
    found = lineage_of(job, CATALOGUE["SBU"], job.record("SBU"))
    assert [step.symbol for step in found.steps] == ["SBU"]
    assert "unknown sources" in found.statement
