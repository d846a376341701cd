"""Scores against scikit-learn, their sums, and intervals against SciPy's bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from imperv.layers.statistics.scores import (
    CODES,
    best_threshold,
    bin_sums,
    calibration_error,
    confusion,
    density_scores,
    density_sums,
    differences,
    drawn_sums,
    estimates,
    mask_scores,
    mask_scores_from,
    percent_text,
    threshold_counts,
)


def some(seed: int, count: int = 500, blocks: int = 7):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 101, count).astype("f4")
    predicted = np.clip(truth + rng.normal(3, 20, count), 0, 100).astype("f4")
    return predicted, truth, rng.integers(0, blocks, count), blocks


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(2, 200))
def test_density_scores_are_those_of_scikit_learn(seed, count):
    predicted, truth, block, blocks = some(seed, count)
    found = density_scores(density_sums(predicted, truth, block, blocks).sum(axis=0))
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(truth, predicted))
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth, predicted))
    assert found["bias"] == pytest.approx((predicted - truth).mean(dtype="f8"), abs=1e-5)
    if len(np.unique(truth)) > 1:
        assert found["r2"] == pytest.approx(metrics.r2_score(truth.astype("f8"), predicted.astype("f8")), rel=1e-6, abs=1e-9)


def test_sums_are_those_of_each_block_in_turn():
    predicted, truth, block, blocks = some(1)
    sums = density_sums(predicted, truth, block, blocks)
    scores = density_scores(sums)
    for k in range(blocks):
        assert scores["mae"][k] == pytest.approx(np.abs(predicted - truth)[block == k].mean())
    assert density_sums(predicted, truth, block, blocks + 2)[blocks:].sum() == 0


def test_a_constant_truth_has_no_r2():
    truth = np.full(10, 33.3, "f4")
    sums = density_sums(truth + 1, truth, np.zeros(10, int), 1)
    assert np.isnan(density_scores(sums)["r2"]).all() and density_scores(sums)["mae"][0] == pytest.approx(1, abs=1e-5)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 100))
def test_mask_scores_are_those_of_scikit_learn_at_any_threshold(seed, threshold):
    predicted, truth, block, blocks = some(seed)
    percent, mask = np.floor(predicted + 0.5).astype("u1"), truth >= 40
    counts = threshold_counts(percent, mask, block, blocks)
    assert counts.shape == (blocks, 2 * CODES) and counts.sum() == len(mask)
    said = percent >= threshold
    matrix = confusion(counts.sum(axis=0), threshold)
    (tn, fp), (fn, tp) = metrics.confusion_matrix(mask, said, labels=[False, True])
    assert matrix.tolist() == [tp, fp, fn, tn]
    found = mask_scores(matrix)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(mask, said, average="binary", zero_division=np.nan)
    assert found["precision"] == pytest.approx(precision, nan_ok=True)
    assert found["recall"] == pytest.approx(recall)
    assert found["f1"] == pytest.approx(f1)
    assert found["iou"] == pytest.approx(metrics.jaccard_score(mask, said))


def test_a_mask_of_nothing_in_nothing_has_no_score():
    counts = threshold_counts(np.zeros(4, "u1"), np.zeros(4, bool), np.zeros(4, int), 1)
    assert all(np.isnan(v).all() for v in mask_scores(confusion(counts, 10)).values())
    assert best_threshold(counts)[0] == 0


def test_a_threshold_between_whole_percents_counts_from_the_next():
    counts = threshold_counts(np.array([9, 10, 11], "u1"), np.ones(3, bool), np.zeros(3, int), 1)
    assert [confusion(counts, t)[0, 0] for t in (9.5, 10, 10.5, 11.5)] == [2, 2, 1, 0]


def test_the_best_threshold_by_trying_all():
    predicted, truth, block, blocks = some(3)
    percent, mask = predicted.astype("u1"), truth >= 40
    tried = [2 * (mask & (percent >= k)).sum() / (mask.sum() + (percent >= k).sum()) for k in range(1, 101)]
    found, f1 = best_threshold(threshold_counts(percent, mask, block, blocks))
    assert f1 == pytest.approx(max(tried)) and found == np.argmax(tried) + 1


def test_calibration_error_by_hand():
    predicted = np.array([5.0, 5.0, 95.0, 100.0])
    truth = np.array([0.0, 20.0, 90.0, 70.0])
    # Two classes: |5 - 10| and |97.5 - 80|, two pixels each.
    sums = bin_sums(predicted, truth, np.array([0, 1, 1, 0]), 2)
    assert calibration_error(sums.sum(axis=0))["ece"] == pytest.approx((2 * 5 + 2 * 17.5) / 4)


def test_calibration_error_of_the_truth_is_nothing():
    truth = np.arange(101.0)
    assert calibration_error(bin_sums(truth, truth, np.zeros(101, int), 1))["ece"][0] == 0


def test_blocks_are_drawn_with_replacement_and_repeatably():
    eye = np.eye(6)
    drawn = drawn_sums(eye, 500, 3)
    assert (drawn.sum(axis=1) == 6).all() and drawn.max() > 1 and drawn.min() == 0
    np.testing.assert_allclose(drawn.mean(axis=0), 1, atol=0.15)
    np.testing.assert_array_equal(drawn, drawn_sums(eye, 500, 3))
    assert (drawn != drawn_sums(eye, 500, 4)).any()


def test_the_interval_of_a_mean_is_that_of_scipy():
    rng = np.random.default_rng(5)
    error = rng.normal(2, 3, 40)
    sums = density_sums(error, np.zeros(40), np.arange(40), 40)
    found = estimates([sums], density_scores, draws=5000)["bias"]
    theirs = stats.bootstrap((error,), np.mean, n_resamples=5000, method="percentile", rng=1).confidence_interval
    assert found.value == pytest.approx(error.mean())
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.08)


def test_pixels_that_err_alike_do_not_make_the_interval_narrow():
    """A hundred copies of each pixel in its block: an interval over pixels would be ten times narrower."""
    rng = np.random.default_rng(6)
    error, block = rng.normal(0, 1, 30), np.arange(30)
    once = estimates([density_sums(error, np.zeros(30), block, 30)], density_scores)["bias"]
    many = estimates(
        [density_sums(error.repeat(100), np.zeros(3000), block.repeat(100), 30)], density_scores
    )["bias"]  # fmt: skip
    assert (many.low, many.high) == pytest.approx((once.low, once.high))
    assert once.high - once.low > 0.4


def test_the_median_over_trials():
    parts = [density_sums(np.full(4, e), np.zeros(4), np.arange(4), 4) for e in (1.0, 9.0, 2.0)]
    found = estimates(parts, density_scores)["mae"]
    assert (found.value, found.low, found.high) == (2, 2, 2)


def test_paired_differences_are_narrower_than_the_scores_differ():
    """Both methods err on the same hard blocks: the pairs see that one is better by 1 everywhere."""
    hard = np.random.default_rng(7).uniform(0, 30, 25)
    ours, theirs = (density_sums(hard + more, np.zeros(25), np.arange(25), 25) for more in (0, 1))
    found = differences([ours], [theirs], density_scores)["mae"]
    assert (found.value, found.low, found.high) == pytest.approx((-1, -1, -1))
    alone = estimates([ours], density_scores)["mae"]
    assert alone.high - alone.low > 4
    with pytest.raises(ValueError, match="same trials and blocks"):
        differences([ours], [theirs[:3]], density_scores)


def test_one_block_gives_no_interval():
    found = estimates([density_sums(np.array([3.0]), np.array([1.0]), np.array([0]), 1)], density_scores)["mae"]
    assert found.value == 2 and np.isnan([found.low, found.high]).all()
    assert found.to_json() == {"value": 2.0, "low": None, "high": None}


def test_masks_of_thresholds_go_through_the_bootstrap():
    predicted, truth, block, blocks = some(8)
    counts = threshold_counts(predicted.astype("u1"), truth >= 40, block, blocks)
    found = estimates([counts], mask_scores_from(40))["f1"]
    assert found.low < found.value < found.high


def test_scores_are_written_in_percent():
    assert percent_text({"value": 0.7812, "low": 0.7, "high": 0.85}) == "78.1 % [70.0, 85.0]"
    assert percent_text({"value": 1.0, "low": None, "high": None}) == "100.0 %"
    assert percent_text(None) == percent_text({"value": None, "low": None, "high": None}) == "–"
