"""Predictions in 16 bits: asked for by the production, part of a key only then, and in 32 where the processor has none."""

from __future__ import annotations

import numpy as np
import pytest

from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.families import task_of
from imperv.tasks.imperviousness.nodes.predicting import make_prediction
from imperv.tasks.job import Job
from imperv.tasks.networks import precision
from tests.support.small_models import TILE, UNET, production, put_features, put_model, record_of

RIMD = CATALOGUE["RIMD"]
AREA = "[4490000, 2707000, 4491000, 2708000]"
ASKED = '[parameters.ensemble]\nprecision = "bfloat16"\n'


def ready(folder, more: str = "") -> Job:
    found = production(folder, more, area=AREA, unet=UNET.replace("= 2", "= 8", 1))
    job = Job.of(found, TILE)
    put_features(job)
    put_model(job.store, record_of(found, TILE))
    return job


def test_bfloat16_is_part_of_a_key_only_where_it_is_asked_for(tmp_path):
    plain, asked = (Job.of(production(tmp_path, more), TILE) for more in ("", ASKED))
    for symbol in ("RIMD", "RIBUD"):
        layer = CATALOGUE[symbol]
        before, after = (task_of(symbol).external(job, layer) for job in (plain, asked))
        assert after == {**before, "precision": "bfloat16"} and "precision" not in before
        assert plain.pick(layer) == asked.pick(layer)


@pytest.mark.parametrize("has", [True, False])
def test_a_processor_without_bfloat16_predicts_in_float32_and_says_so(tmp_path, monkeypatch, has):
    monkeypatch.setattr(precision, "gains_by_bfloat16", lambda: has)
    plain = ready(tmp_path / "plain")
    made = make_prediction(plain, RIMD)
    assert made.statistics["precision"] == "float32" and not made.warnings
    asked = ready(tmp_path / "asked", ASKED)
    found = make_prediction(asked, RIMD)
    difference = asked.group("RIMD")["RIMD"][:].astype(int) - plain.group("RIMD")["RIMD"][:]
    if has:
        assert found.statistics["precision"] == "bfloat16" and not found.warnings
        assert 0 < np.abs(difference).max() <= 2
    else:
        assert found.statistics["precision"] == "float32" and not difference.any() and found.digest == made.digest
        assert found.warnings == ("parameters.ensemble.precision: this processor has no AMX; predicted in float32",)


def test_the_plan_takes_half_the_time(tmp_path):
    plain, asked = (Job.of(production(tmp_path, more), TILE) for more in ("", ASKED))
    before, after = (task_of("RIMD").cost(job, RIMD) for job in (plain, asked))
    assert after.core_seconds == pytest.approx(precision.UNET_SHARE * before.core_seconds) and after.memory == before.memory
