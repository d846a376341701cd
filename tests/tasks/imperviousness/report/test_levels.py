"""Where the level of a tile comes from: hand-made pixels, and pixel by pixel as the other implementation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imperv.tasks.imperviousness.report.facts import Change, sealed_status
from imperv.tasks.imperviousness.report.levels import Level, Part, built_up_level, level, sums_by_kind
from imperv.tasks.imperviousness.report.verdicts import judge
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from tests.support.report_store import TILE, new_job
from tests.tasks.imperviousness.report.test_facts import PASSED, good

SEALED, GRASS = 1, 6


def test_each_kind_of_unchanged_ground_is_told_apart():
    """One block of 20 m a kind: thin road outside CLC+, one inside, new, denser, changed, and outside."""
    then = np.array([[20, 10, 40, 0, 0, 0, 50, 50, 90, 90, 255, 30]] * 2, "u1")
    now = np.array([[0, 0, 0, 0, 15, 25, 60, 40, 0, 0, 30, 255]] * 2, "u1")
    clcplus = np.array([[GRASS, GRASS, SEALED, SEALED] + [GRASS] * 8] * 2, "u1")
    change = np.array([[100, 100, 100, 100, 20, 255]], "u1")
    found = sums_by_kind(then, now, clcplus, change)
    np.testing.assert_allclose(found, [[4, 0.6, 0], [2, 0.8, 0], [4, 0, 0.8], [4, 2, 2]])


def test_random_pixels_are_summed_as_one_by_one():
    rng = np.random.default_rng(3)
    then, now = (rng.choice([0, 0, 7, 60, 100, 254, 255], (40, 60)).astype("u1") for _ in range(2))
    clcplus, change = (
        rng.choice([1, 6, 255], (40, 60)).astype("u1"),
        rng.choice([0, 99, 100, 101, 201, 255], (20, 30)).astype("u1"),
    )
    expected = np.zeros((4, 3))
    for y in range(40):
        for x in range(60):
            a, b = int(then[y, x]), int(now[y, x])
            if change[y // 2, x // 2] in (100, 201) and a <= 100 and b <= 100 and (a or b):
                kind = (1 if clcplus[y, x] == 1 else 0) if not b else (2 if not a else 3)
                expected[kind] += 1, a / 100, b / 100
    np.testing.assert_allclose(sums_by_kind(then, now, clcplus, change), expected)


@pytest.mark.slow
def test_the_parts_sum_up_to_the_level_of_the_tile(filled):
    job = Job.of(Production.read(filled), TILE)
    found = level(job)
    assert found is not None
    then, now, change = job.array("IMD_then")[:], job.array("IMD_now")[:], job.array("IMDC")[:]
    known = np.kron(np.isin(change, (100, 201)), np.ones((2, 2), bool)) & (then <= 100) & (now <= 100)
    difference = (now.astype("f8") - then)[known].sum() / 100 * 1e-4
    assert abs(difference) > 0.01
    assert sum(part.difference_km2 for part in found.parts) == pytest.approx(difference)
    assert found.outside.now_km2 == found.lost.now_km2 == found.new.then_km2 == 0


def test_nothing_is_said_where_a_layer_is_missing(tmp_path):
    assert level(new_job(tmp_path, 1)) is None


@pytest.mark.parametrize(("now", "gain", "found"), [(400, 0.0, 0.03), (400, 0.03, None), (105, 0.0, None), (40, 0.0, -0.006)])
def test_built_up_beyond_its_change_is_found_where_it_is_much(now, gain, found):
    statuses = {f"status_{p}": sealed_status({0: 10_000}, {1: n}) for p, n in (("then", 100), ("now", now))}
    facts = replace(good(), **statuses, built_up_change=Change(1.0, gain, 0.0, gain))
    assert built_up_level(facts) == (found and pytest.approx(found))
    assert built_up_level(good()) is None


def test_a_level_that_needs_a_look_says_where_it_comes_from():
    km2 = 1e-4
    parts = Level(
        Part("outside", 1000 * km2, 200 * km2, 0), Part("lost", 10 * km2, 4 * km2, 0), Part("new", 40 * km2, 0, 4 * km2),
        Part("both", 900 * km2, 700 * km2, 720 * km2),
    )  # fmt: skip
    then, now = sealed_status({0: 9000, 100: 1000}, {}), sealed_status({0: 9181, 100: 819}, {})
    facts = replace(good(), status_then=then, status_now=now, change=replace(good().change, gain_km2=0, loss_km2=0))
    found = next(v for v in judge(facts, PASSED, parts) if v.title == "Level")
    assert (found.light, found.value) == ("look", "\u221218 %")
    assert found.text.endswith("; \u221220 % where CLC+ is unsealed in both years (20 % dense in the old map), +2 % in density")
    quiet = next(v for v in judge(replace(facts, status_now=then), PASSED, parts) if v.title == "Level")
    assert quiet.light == "good" and "CLC+" not in quiet.text
