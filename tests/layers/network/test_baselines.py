"""Per-pixel models: what they are fitted to, and that each learns what a pixel can tell."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from imperv.layers.network import baselines
from imperv.layers.network.baselines import BASELINES, LOGISTIC, fit_baseline, sample_pixels
from imperv.layers.network.sampling import Region


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    monkeypatch.setitem(baselines.FOREST, "n_estimators", 10)
    monkeypatch.setitem(baselines.BOOSTED, "max_iter", 60)


def pixels(count: int = 3000, seed: int = 1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 3)).astype("f4")
    y = expit(2 * x[:, 0] - x[:, 1] * x[:, 1]).astype("f4")
    return x, y


@pytest.mark.parametrize("name", BASELINES)
def test_each_learns_a_fraction_and_repeats_itself(name):
    x, y = pixels()
    other, true = pixels(seed=2)
    found = fit_baseline(name, x, y, seed=3)(other)
    assert found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1
    assert np.abs(found - true).mean() < 0.4 * np.abs(true - true.mean()).mean()
    np.testing.assert_array_equal(found, fit_baseline(name, x, y, seed=3)(other))
    assert fit_baseline(name, x, y)(other[:0]).shape == (0,)


def test_pieces_do_not_change_a_prediction(monkeypatch):
    x, y = pixels()
    run = fit_baseline(LOGISTIC, x, y)
    whole = run(x)
    monkeypatch.setattr(baselines, "CHUNK", 700)
    np.testing.assert_allclose(run(x), whole, atol=1e-6)


def test_logistic_regression_has_the_cross_entropy_of_fractions():
    """The minimum that SciPy finds for the loss on fractions, over the same standardised terms."""
    x, y = pixels(400)
    x = x[:, :1]
    terms = np.stack([x[:, 0], x[:, 0] ** 2], axis=1).astype("f8")
    first = (x[:, 0] - x[:, 0].mean()) / x[:, 0].std()
    terms = np.stack([first, first**2], axis=1)
    terms = (terms - terms.mean(axis=0)) / terms.std(axis=0)

    def loss(b: np.ndarray) -> float:
        p = np.clip(expit(terms @ b[1:] + b[0]), 1e-12, 1 - 1e-12)
        return float(-(y * np.log(p) + (1 - y) * np.log(1 - p)).sum() + 0.5 * (b[1:] ** 2).sum() / baselines.LOGIT["C"])

    best = minimize(loss, np.zeros(3), tol=1e-10).x
    expected = expit(terms @ best[1:] + best[0])
    np.testing.assert_allclose(fit_baseline(LOGISTIC, x, y)(x), expected, atol=2e-3)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("name", BASELINES)
def test_a_reference_of_one_value_is_predicted_everywhere(name, value):
    x, _ = pixels(300)
    np.testing.assert_allclose(fit_baseline(name, x, np.full(300, value, "f4"))(x), value, atol=1e-6)


def test_pixels_come_from_all_regions_once_and_are_valid():
    rng = np.random.default_rng(4)
    regions = []
    for k in range(3):
        features = np.full((2, 20, 30), 100.0 * k, "f4") + np.arange(600, dtype="f4").reshape(20, 30)
        target = (features[0] / 1000).astype("f4")
        target[rng.random(target.shape) < 0.3] = np.nan
        features[1][rng.random(target.shape) < 0.1] = np.nan
        regions.append(Region(features, target, (0, 0)))
    total = sum(int(r.valid().sum()) for r in regions)
    x, y = sample_pixels(regions, 10_000)
    assert len(y) == total
    known = np.concatenate([r.features[0][r.valid()] for r in regions])
    np.testing.assert_array_equal(np.sort(x[:, 0]), np.sort(known))
    some, their = sample_pixels(regions, 200)
    assert len(their) == 200 and np.isfinite(some).all()
    np.testing.assert_allclose(their, some[:, 0] / 1000, rtol=1e-6)
    assert 20 < (some[:, 0] >= 600).sum() < 180, "not from the first region alone"
    with pytest.raises(ValueError, match="no pixel"):
        sample_pixels([Region(np.zeros((1, 4, 4), "f4"), np.full((4, 4), np.nan, "f4"), (0, 0))])


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="no baseline"):
        fit_baseline("oracle", *pixels(10))
