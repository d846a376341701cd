"""Costs are arithmetic: hand-computed for the features, in step with area and dates, and the same in the documents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from imperv.flows.plan.planning import plan_tile, stages_of
from imperv.flows.plan.targets import steps
from imperv.layers.catalogue import CATALOGUE, DEFAULT
from imperv.layers.network.distilling import EPOCHS, STEP_COST, STEPS
from imperv.layers.network.unet import PASSES, UNetParameters
from imperv.tasks.delivery.delivery import form_of
from imperv.tasks.families import task_of
from imperv.tasks.family.costs import TENSORFLOW, Cost, pixels_of
from imperv.tasks.imperviousness.nodes.costs import BATCHES, LEARN_NS, PREDICT_NS
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from imperv.tasks.yearly.costs import DECODE_NS, DECODED_BYTES, LOOK_NS, OVERPASSES, STORE_NS
from imperv.tasks.yearly.looks import FILE_BLOCK

TILES_AROUND = ("E43N25", "E44N25", "E45N25", "E43N26", "E45N26")

PROXY = ("OSM_distance", "CLCP_proxy_model", "CLCP_proxy")


def node_cost(job: Job, symbol: str) -> Cost:
    return task_of(symbol).cost(job, CATALOGUE[symbol])


def delivery_cost(job: Job, symbol: str) -> Cost:
    return form_of(CATALOGUE[symbol]).cost(job, CATALOGUE[symbol])


def job(tmp_path, kilometres: int | None, memory: str = "8 GiB", references: str = 'clcplus_now = "clc.tif"') -> Job:
    area = f"[area]\nbbox = [4400000, 2600000, {4400000 + 1000 * kilometres}, 2610000]\n" if kilometres else ""
    (tmp_path / "production.toml").write_text(
        '[periods]\nthen = "2018"\nnow = "2021"\n[scenes]\ncatalogue = "items.json"\n'
        f'{area}[engine]\nmemory = "{memory}"\nworkers = 2\n[references]\n{references}\n'
    )
    return Job.of(Production.read(tmp_path), "E44N26")


def test_features_by_hand(tmp_path):
    """One block of 1000 x 1000 pixels, so that each look decodes 2024 x 2024."""
    found = node_cost(job(tmp_path, 10), "PP_now")
    decoded = (1000 + FILE_BLOCK) ** 2
    assert found.core_seconds == pytest.approx((OVERPASSES * (decoded * DECODE_NS + 1e6 * LOOK_NS) + 1e6 * STORE_NS) / 1e9)
    assert found.bytes_decoded == int(OVERPASSES * decoded * DECODED_BYTES)
    assert DECODED_BYTES == 11.25
    assert found.memory == pytest.approx(640 * 2**20 + 1e6 * (100 * 5.75 + 54 + 2 * 2.4), rel=1e-3)


def test_less_memory_decodes_more(tmp_path):
    costs = [node_cost(job(tmp_path, None, memory), "PP_now") for memory in ("16 GiB", "8 GiB", "4 GiB", "2 GiB", "1 GiB")]
    assert [c.core_seconds for c in costs] == sorted(c.core_seconds for c in costs)
    assert all(c.memory <= 1.1 * g * 2**30 for c, g in zip(costs, (16, 8, 4, 2, 1), strict=True))


@pytest.mark.parametrize("symbol", ["RMSD", "CHM", "IMDC", "RIMD", "IMD_now"])
def test_twice_the_area_takes_twice_the_time(tmp_path, symbol):
    one, two = (node_cost(job(tmp_path, km), symbol).core_seconds for km in (40, 80))
    assert two == pytest.approx(2 * one) and one > 0
    assert (
        delivery_cost(job(tmp_path, 80), "IMD_now").core_seconds == 2 * delivery_cost(job(tmp_path, 40), "IMD_now").core_seconds
    )


def test_training_grows_until_the_steps_are_enough(tmp_path):
    def steps_only(km: int | None) -> float:
        here = job(tmp_path, km)
        return node_cost(here, "IMD_model").core_seconds - pixels_of(here) * LEARN_NS / 1e9

    rows, columns = job(tmp_path, 1).grid(10).shape
    few = int(PASSES * rows * columns / (4 * 64 * 64))
    assert steps_only(None) / steps_only(1) == pytest.approx(UNetParameters.most_steps / few)
    assert steps_only(40) == pytest.approx(steps_only(None))


@pytest.mark.parametrize(
    ("tiles", "members"),
    [((), 10), (("E44N26",), 2), (("E44N26", "E45N26"), 4), (("E44N26", "E48N26"), 2), (("E42N25", *TILES_AROUND, "E44N26"), 10)],
)
def test_prediction_costs_the_members_that_the_production_has(tmp_path, tiles, members):
    """Two members a tile, of at most five tiles within 300 km; E48N26 is 400 km away."""
    here = job(tmp_path, None)
    here = replace(here, production=here.production.model_copy(update={"tiles": tiles}))
    work = node_cost(here, "RIMD").core_seconds / members / PREDICT_NS * 1e9
    assert 1.0e8 < work < 1.1e8  # windows hardly overlap


def test_a_student_costs_a_quarter_of_ten_networks_on_a_whole_tile_and_is_not_made_on_a_window(tmp_path):
    def predictions(here: Job) -> tuple[Cost, Cost]:
        parameters = here.production.parameters
        asked = parameters.model_copy(update={"ensemble": parameters.ensemble.model_copy(update={"distil": True})})
        other = replace(here, production=here.production.model_copy(update={"parameters": asked}))
        return node_cost(here, "RIMD"), node_cost(other, "RIMD")

    ensemble, student = predictions(job(tmp_path, None))
    taught, steps = 10 * 80 * 2 * (256 + 36) * (128 + 36), EPOCHS * STEPS * 4 * 64**2 * STEP_COST
    network = ensemble.core_seconds / 10
    assert student.core_seconds == pytest.approx(network + (taught + steps) * PREDICT_NS / 1e9)
    assert student.core_seconds == pytest.approx(0.255 * ensemble.core_seconds, rel=0.01)
    window, same = predictions(job(tmp_path, 10))
    assert window == same
    two = job(tmp_path, None)
    two, same = predictions(replace(two, production=two.production.model_copy(update={"tiles": ("E44N26",)})))
    assert two == same


def test_a_tile_that_will_find_a_start_is_planned_with_fewer_epochs(tmp_path):
    """E44N26 starts anew, E45N26 from it, and anew where it is alone."""
    seconds = {}
    for tiles in (("E44N26", "E45N26"), ("E45N26",)):
        job(tmp_path, None)
        file = tmp_path / "production.toml"
        file.write_text(f"tiles = {list(tiles)}\n{file.read_text()}")
        production = Production.read(tmp_path)
        seconds |= {(tile, len(tiles)): node_cost(Job.of(production, tile), "IMD_model").core_seconds for tile in tiles}
    whole = seconds["E44N26", 2]
    started = (whole + 1e8 * LEARN_NS / 1e9) / 2
    assert seconds == {("E44N26", 2): whole, ("E45N26", 2): pytest.approx(started), ("E45N26", 1): whole}


FLANDERS_PEAK = 1570 * 2**20
"""Measured: highest resident memory of `imperv run` of the 2 km window of Flanders in its trainings, which need most;
`engine.memory` 8 GiB, two workers."""


def test_a_small_window_is_planned_as_small(tmp_path):
    here = job(tmp_path, 2)
    file = tmp_path / "production.toml"
    file.write_text(file.read_text().replace("2610000]", "2602000]"))
    here = Job.of(Production.read(tmp_path), "E44N26")
    assert here.grid(10).shape == (200, 200)
    projected = max(step.memory for step in plan_tile(here, None))
    assert 1.0 <= projected / FLANDERS_PEAK < 1.1
    assert node_cost(here, "RMSD").memory < 700 * 2**20


def test_training_is_planned_by_what_it_reads(tmp_path):
    """12 features and a target of 10^8 pixels are 5.2 GB, and two fifths of the budget hold them, or a sample."""
    small, whole, large = (node_cost(job(tmp_path, None, m), "IMD_model").memory for m in ("2 GiB", "8 GiB", "32 GiB"))
    assert small < whole < large == 640 * 2**20 + TENSORFLOW + BATCHES + int(1.3 * 5.2e9)
    assert whole < 8 * 2**30


def test_every_node_of_a_plan_has_its_cost(tmp_path):
    found = plan_tile(job(tmp_path, None), None)
    free = {step.node for step in found if step.core_seconds == 0}
    assert free == {"S2_then", "S2_now", *PROXY}
    assert {step.node for step in found if step.bytes_decoded} == {"PP_then", "PP_now"}


def test_what_will_not_be_made_costs_nothing(tmp_path):
    (tmp_path / "production.toml").write_text(
        'product = "composites"\n[periods]\nspan = "2021-06-01/2021-08-31"\n[scenes]\ncatalogue = "items.json"\n'
        "[parameters.composites]\nmetrics = false\n"
    )
    found = plan_tile(Job.of(Production.read(tmp_path), "E44N26"), None)
    needless = {step.node: step.reason for step in found if step.reason.startswith("will not be made: ")}
    assert {n for n in needless if " " not in n} == {*(f"CO_{month}" for month in "DEFGHIJKL"), "CO_metrics"}
    assert "ends before month D" in needless["CO_D"] == needless["deliver CO_D"]
    assert all((step.core_seconds, step.bytes, step.memory) == (0, 0, 0) for step in found if step.node in needless)
    assert all(step.core_seconds > 1 for step in found if step.node not in needless and step.node != "CO_S2")


@pytest.mark.parametrize("symbol", PROXY)
def test_a_proxy_costs_where_clcplus_is_missing(tmp_path, symbol):
    assert node_cost(job(tmp_path, 40, references='roads = ["roads.gpkg"]'), symbol).core_seconds > 0.1
    assert node_cost(job(tmp_path, 40), symbol).core_seconds == 0


def test_the_documents_tell_the_same(tmp_path):
    """The table of stages of docs/performance.md, for a whole tile with 8 GiB."""
    here = job(tmp_path, None)
    text = (Path(__file__).parents[3] / "docs" / "performance.md").read_text()
    total = 0.0
    for stage, symbols in stages_of(DEFAULT).items():
        seconds = sum(node_cost(here, symbol).core_seconds for symbol in symbols)
        total += seconds
        assert f"| {stage} | {seconds:.0f} |" in text, f"{stage} {seconds:.0f}"
    seconds = sum(delivery_cost(here, symbol).core_seconds for symbol in steps(None)[1])
    assert f"| delivery | {seconds:.0f} |" in text, seconds
    total += seconds
    assert f"{total / 3600:.2f} core hours a tile" in text, total / 3600
    assert f"{845 * total / 3600:.0f} core hours for the 845 tiles" in text, 845 * total / 3600
