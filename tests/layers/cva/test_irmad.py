"""The peer that change vectors are held against is what it says: canonical correlations, by another way to compute them."""

from __future__ import annotations

import numpy as np

from tests.support.irmad import irmad, mad


def test_canonical_correlations_are_those_of_orthonormal_bases():
    """Singular values of Qx' Qy (Bjoerck and Golub 1973); a variate's variance is 2 (1 - its correlation)."""
    rng = np.random.default_rng(1)
    first = rng.normal(size=(4000, 3)) @ rng.normal(size=(3, 3))
    second = first @ rng.normal(size=(3, 3)) + 0.5 * rng.normal(size=(4000, 3))
    variates, correlations = mad(first, second, np.ones(4000))
    bases = [np.linalg.qr(date - date.mean(0))[0] for date in (first, second)]
    expected = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)[::-1]
    assert np.allclose(correlations, expected) and np.allclose(variates.var(0), 2 * (1 - expected))


def test_planted_changes_are_the_farthest():
    rng = np.random.default_rng(2)
    first = rng.normal(size=(3000, 4))
    second = 1.2 * first + 0.1 * rng.normal(size=(3000, 4))
    second[:20] += 5
    assert set(np.argsort(irmad(first, second))[-20:]) == set(range(20))
