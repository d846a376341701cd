"""Shares of classes in an area by a classifier that learnt from points drawn otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from imperv.layers.statistics.shares import shares_of_area, weights_of


def answers(true: np.ndarray, learnt: np.ndarray, pixels: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Posteriors of Gaussian classes, (class, pixel), by a classifier that learnt from other shares, and the truth."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(len(true), pixels, p=true)
    value = rng.normal(1.5 * kind, 1)
    likelihood = np.exp(-((value - 1.5 * np.arange(len(true))[:, None]) ** 2) / 2)
    posterior = likelihood * learnt[:, None]
    return (posterior / posterior.sum(axis=0)).astype("f4"), kind


def test_shares_are_found_again_and_the_map_gains():
    true, learnt = np.array([0.8, 0.15, 0.05]), np.full(3, 1 / 3)
    found, kind = answers(true, learnt, 40_000)
    shares = shares_of_area(found, learnt)
    np.testing.assert_allclose(shares, true, atol=0.015)
    weighted = found * weights_of(shares, learnt)[:, None]
    assert (weighted.argmax(axis=0) == kind).mean() > (found.argmax(axis=0) == kind).mean() + 0.05


@pytest.mark.parametrize("seed", range(3))
def test_they_are_the_most_probable_ones(seed):
    """The likelihood of the answers, maximised by another way."""
    rng = np.random.default_rng(seed)
    learnt = rng.dirichlet([3, 3, 3])
    found, _ = answers(rng.dirichlet([2, 2, 2]), learnt, 3000, seed)

    def loss(free: np.ndarray) -> float:
        shares = np.exp(np.append(free, 0))
        return -float(np.log((found * (shares / shares.sum() / learnt)[:, None]).sum(axis=0)).mean())

    best = np.exp(np.append(minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9}).x, 0))
    np.testing.assert_allclose(shares_of_area(found, learnt), best / best.sum(), atol=5e-3)


def test_a_class_that_nobody_taught_has_no_share():
    learnt = np.array([0.5, 0.5, 0])
    found, _ = answers(np.array([0.9, 0.1, 0]), np.array([0.5, 0.5, 1e-9]), 1000)
    shares = shares_of_area(found, learnt)
    assert shares[2] == 0 and shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(weights_of(shares, learnt), [shares[0] / 0.5, shares[1] / 0.5, 0], rtol=1e-6)


def test_the_same_shares_change_nothing():
    learnt = np.array([0.2, 0.8])
    np.testing.assert_array_equal(weights_of(learnt, learnt), [1, 1])


def test_half_of_the_way_is_the_root():
    shares, learnt = np.array([0.9, 0.1, 0]), np.array([0.45, 0.55, 0])
    np.testing.assert_allclose(weights_of(shares, learnt, 0.5), [2**0.5, (1 / 5.5) ** 0.5, 0], rtol=1e-6)
    np.testing.assert_array_equal(weights_of(shares, learnt, 0), [1, 1, 0])


def test_no_pixel_is_refused():
    with pytest.raises(ValueError, match="no pixel"):
        shares_of_area(np.empty((3, 0)), np.full(3, 1 / 3))
