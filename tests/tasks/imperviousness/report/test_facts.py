"""Areas and changes from histograms, and the lights that stand on them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from imperv.tasks.family.findings import Finding
from imperv.tasks.imperviousness.report.facts import (
    Change,
    LayerFact,
    Looks,
    TileFacts,
    Training,
    quantile,
    sealed_change,
    sealed_status,
)
from imperv.tasks.imperviousness.report.verdicts import judge, overall
from imperv.tasks.store.records import Record


def test_sealed_ground_is_density_times_area():
    found = sealed_status({0: 9000, 50: 800, 100: 200}, {0: 9900, 1: 100})
    assert found is not None
    assert found.valid_km2 == pytest.approx(1.0)
    assert found.sealed_km2 == pytest.approx((800 * 50 + 200 * 100) / 100 * 1e-4)
    assert found.share == pytest.approx(0.06)
    assert found.groups_km2 == pytest.approx((0.9, 0, 0, 0.08, 0, 0.02))
    assert found.built_up_km2 == pytest.approx(0.01)
    assert sealed_status({}, {}) is None


def test_gain_and_loss_are_told_apart():
    found = sealed_change({201: 100, 100: 50, 180: 10, 40: 5})
    assert found is not None
    pixel = 400 / 1e6
    assert found.valid_km2 == pytest.approx(165 * pixel)
    assert found.gain_km2 == pytest.approx(10 * 0.8 * pixel)
    assert found.loss_km2 == pytest.approx(5 * 0.6 * pixel)
    assert found.touched_km2 == pytest.approx(15 * pixel)
    assert sealed_change({}) is None


def test_quantiles_of_counted_values():
    assert quantile((0, 0, 5, 4, 1), 0.5) == 2 and quantile((0, 0, 5, 4, 1), 0.95) == 4 and quantile((0, 0), 0.5) == 0


def good_models() -> tuple[Training, ...]:
    member = {"validation": [0.3, 0.15], "loss": [0.3, 0.2], "best_epoch": 1, "constant_loss": 0.3}
    return (Training("IMD_model", (member,), (), False), Training("IBUD_model", (member,), (), False))


def good() -> TileFacts:
    """A tile with nothing to complain about."""
    pixels = {"pixels": 10_000, "outside": 0}
    record = Record("IMD_now", "E44N26", "k", statistics={"IMD_now": pixels})
    status = sealed_status({0: 5000, 80: 5000}, {1: 100})
    return TileFacts(
        tile="E44N26", then="2018", now="2021", windowed=True, bounds=(0, 0, 1000, 1000), run={"state": "done"},
        layers=(LayerFact("IMD_now", "", 10, record, record, "products/x.tif"),), costs={}, missing_nodes=(), warnings=(),
        status_then=status, status_now=status, change=Change(1.0, 0.004, 0.001, 0.01),
        looks={p: Looks(20, 12, (0,) * 20 + (5,), 40, 40, {}) for p in ("then", "now")},
        models=good_models(),
        calibration={"r2": 0.6, "samples": 5000, "minimum": 10.0, "maximum": 90.0, "source": "own samples", "flags": []},
    )  # fmt: skip


PASSED = {"IMD_now": [Finding("epsg", True, "EPSG 3035")]}


def light_of(facts: TileFacts, title: str, findings=PASSED) -> str:
    return next(v.light for v in judge(facts, findings) if v.title == title)


def test_a_good_tile_is_green_all_over():
    verdicts = judge(good(), PASSED)
    assert {v.light for v in verdicts} == {"good"} and overall(verdicts) == "good"
    assert next(v.value for v in verdicts if v.title == "Models") == "50 % / 50 %"


@pytest.mark.parametrize(
    ("title", "change", "light"),
    [
        ("Layers", {"run": {"state": "failed"}}, "bad"),
        ("Clear observations", {"looks": {"now": Looks(9, 3, (), 40, 40, {})}}, "look"),
        ("Clear observations", {"looks": {"now": Looks(3, 0, (), 40, 40, {})}}, "bad"),
        ("Clear observations", {"looks": {}}, "none"),
        ("Calibration", {"calibration": {**good().calibration, "r2": 0.05}}, "bad"),
        ("Calibration", {"calibration": {**good().calibration, "source": "tile E44N25"}}, "look"),
        ("Calibration", {"calibration": {**good().calibration, "maximum": 20.0}}, "look"),
        ("Calibration", {"calibration": None}, "none"),
        ("Change", {"change": Change(1.0, 0.05, 0.001, 0.1)}, "look"),
        ("Change", {"change": Change(1.0, 0.0, 0.2, 0.3)}, "bad"),
        ("Models", {"models": ()}, "none"),
        ("Models", {"models": good_models()[:1]}, "look"),
        ("Level", {"status_now": sealed_status({0: 2000, 80: 8000}, {})}, "bad"),
        ("Level", {"status_then": None}, "none"),
        ("No data", {"status_then": sealed_status({0: 12_000}, {})}, "bad"),
    ],
)
def test_what_is_not_good_is_told(title, change, light):
    facts = replace(good(), **change)
    assert light_of(facts, title) == light
    assert overall(judge(facts, PASSED)) == ("look" if light == "none" else light)


def test_a_broken_rule_makes_the_tile_red():
    broken = {"IMD_now": [Finding("epsg", False, "no authority code")]}
    assert light_of(good(), "Delivery check", broken) == "bad"
    assert light_of(replace(good(), layers=(replace(good().layers[0], product=None),)), "Delivery check", {}) == "bad"
