"""Scores of classes against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score, confusion_matrix, f1_score

from imperv.layers.statistics.classes import PIECE, blocks_of, class_counts, class_scores, joint_histogram


@pytest.fixture
def pixels() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    truth, block = rng.integers(0, 4, 500), rng.integers(0, 7, 500)
    return np.where(rng.random(500) < 0.6, truth, rng.integers(0, 4, 500)), truth, block


def test_scores_are_those_of_scikit_learn(pixels):
    predicted, truth, block = pixels
    counts = class_counts(predicted, truth, block, 7, 4)
    assert np.array_equal(counts.sum(axis=0).reshape(4, 4), confusion_matrix(truth, predicted))
    found = class_scores(4)(counts.sum(axis=0))
    assert found["oa"] == pytest.approx(accuracy_score(truth, predicted))
    assert found["f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert found["kappa"] == pytest.approx(cohen_kappa_score(truth, predicted))
    assert [float(found[f"f1_{k}"]) for k in range(4)] == pytest.approx(f1_score(truth, predicted, average=None).tolist())
    assert np.array_equal(class_counts(predicted[block == 3], truth[block == 3], block[block == 3], 7, 4)[3], counts[3])


def test_a_class_that_the_truth_lacks_is_not_in_the_mean():
    counts = class_counts(np.array([0, 1, 2]), np.array([0, 1, 1]), np.zeros(3, int), 1, 3)[0]
    found = class_scores(3)(counts)
    assert np.isnan(found["f1_2"]) and found["f1"] == pytest.approx((1 + 2 / 3) / 2)


def test_blocks_lie_on_one_lattice():
    whole, count = blocks_of((10, 12), 4)
    assert count == 9 and whole[0, 0] == 0 and whole[3, 3] == 0 and whole[4, 0] == 3 and whole[9, 11] == 8
    moved, _ = blocks_of((10, 12), 4, (2, 0))
    assert moved[1, 0] == 0 and moved[2, 0] == 3


def test_pairs_of_codes_are_counted():
    rng = np.random.default_rng(8)
    first, second = rng.integers(0, 256, (2, 5, PIECE // 3)).astype("u1")  # more than is counted at once
    expected = np.histogram2d(first.ravel(), second.ravel(), bins=np.arange(257))[0]
    assert np.array_equal(joint_histogram(first, second), expected)
