"""Errors by class of confidence against NumPy over pixels, and the rank correlation against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from imperv.layers.statistics.reliability import (
    class_errors,
    class_table,
    confidence_sums,
    fixed_classes,
    joint_histogram,
    lowest_to_highest,
    quantile_classes,
    ratios,
    spearman,
)


def some(seed: int = 1, count: int = 6000, blocks: int = 12):
    """Pixels whose error grows as their confidence falls."""
    rng = np.random.default_rng(seed)
    level = np.clip(np.rint(100 - np.abs(rng.normal(0, 14, count))), 50, 100).astype("u1")
    error = rng.normal(0, 1, count) * (105 - level)
    wrong = rng.random(count) < (105 - level.astype("f8")) / 120
    return level, error, wrong, rng.integers(0, blocks, count), blocks


def test_fixed_classes_are_means_over_their_pixels():
    level, error, wrong, block, blocks = some()
    found = class_errors(confidence_sums(level, error, wrong, block, blocks).sum(axis=0), fixed_classes())
    for k, (low, high) in enumerate(((50, 59), (60, 69), (70, 79), (80, 89), (90, 100))):
        inside = (level >= low) & (level <= high)
        assert found["pixels"][k] == inside.sum() > 0
        assert found["mae"][k] == pytest.approx(np.abs(error[inside]).mean())
        assert found["rmse"][k] == pytest.approx(np.sqrt((error[inside] ** 2).mean()))
        assert found["wrong"][k] == pytest.approx(wrong[inside].mean())


def test_quantile_classes_hold_equally_many_pixels_though_most_share_a_code():
    level, error, wrong, block, blocks = some()
    level[1000:5000] = 100
    sums = confidence_sums(level, error, wrong, block, blocks)
    classes = quantile_classes(sums, 5)
    found = class_errors(sums.sum(axis=0), classes)
    np.testing.assert_allclose(found["pixels"], len(level) / 5)
    used = np.isin(np.arange(50, 101), level)
    np.testing.assert_allclose(classes.sum(axis=0), used.astype(float))
    # The lowest fifth is what sorting gives, ties broken by chance: the mean over many ways to break them.
    rng = np.random.default_rng(2)
    first = [np.abs(error[np.lexsort((rng.random(len(level)), level))[: len(level) // 5]]).mean() for _ in range(50)]
    assert found["mae"][0] == pytest.approx(np.mean(first), rel=0.01)
    last = [np.abs(error[np.lexsort((rng.random(len(level)), level))[-len(level) // 5 :]]).mean() for _ in range(200)]
    assert found["mae"][-1] == pytest.approx(np.mean(last), rel=0.01)


def test_the_ratio_leaves_out_classes_of_a_few_pixels():
    level = np.repeat([50, 75, 95], [10, 1000, 1000]).astype("u1")
    error = np.repeat([90.0, 10.0, 2.0], [10, 1000, 1000])
    sums = confidence_sums(level, error, error > 50, np.arange(len(level)) % 4, 4)
    errors = class_errors(sums.sum(axis=0), fixed_classes())
    assert lowest_to_highest(errors)["mae"] == pytest.approx(5)
    assert lowest_to_highest(errors, fewest=1)["mae"] == pytest.approx(45)
    assert np.isnan(lowest_to_highest(errors)["wrong"])
    assert ratios(sums, fixed_classes())["rmse"].value == pytest.approx(5)
    only = class_errors(sums.sum(axis=0), fixed_classes()[-1:])
    assert np.isnan(lowest_to_highest(only)["mae"])


def test_intervals_of_classes_and_ratios_hold_the_value():
    level, error, wrong, block, blocks = some()
    sums = confidence_sums(level, error, wrong, block, blocks)
    for row in class_table(sums, fixed_classes()):
        assert row["mae"].low < row["mae"].value < row["mae"].high
    found = ratios(sums, fixed_classes())
    assert 1 < found["mae"].low < found["mae"].value < found["mae"].high
    # Confidence that knows nothing of the error has a ratio of about one.
    flat = confidence_sums(level, np.random.default_rng(3).permutation(error), wrong, block, blocks)
    blind = ratios(flat, fixed_classes(), fewest=50)["mae"]
    assert blind.low < 1 < blind.high


@pytest.mark.parametrize("seed", range(4))
def test_rank_correlation_is_that_of_scipy_on_the_steps(seed):
    rng = np.random.default_rng(seed)
    spread = np.where(rng.random(800) < 0.5, 0, rng.uniform(0, 0.5, 800))
    error = rng.normal(0, 10, 800) * (0.2 + spread)
    found = spearman(joint_histogram(spread, error))
    theirs = stats.spearmanr(np.rint(spread / 0.001), np.rint(np.abs(error))).statistic
    assert found == pytest.approx(theirs, abs=1e-12)
    assert found > 0.1


def test_rank_correlation_of_one_value_is_not_defined():
    assert np.isnan(spearman(joint_histogram(np.zeros(5), np.arange(5.0))))
    assert np.isnan(spearman(np.zeros((501, 101), int)))
