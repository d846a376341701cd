"""The proxy of CLC+ class 1 on arrays: distance against SciPy, choice of pixels, a rule that trees must find, scores by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from imperv.layers.network.sampling import VALIDATION, spatial_split
from imperv.layers.proxy import (
    ProxyParameters,
    ProxySamples,
    classify,
    confusion,
    distance,
    draw_samples,
    probability,
    rates,
    scores,
    sealed_labels,
    split_edge,
    train_proxy,
)

FAST = ProxyParameters(trees=20, samples=20_000, learning_rate=0.3)


def features_of(shape, seed: int = 0) -> np.ndarray:
    """Twelve features of noise, and a distance of 0 to 500 m."""
    rng = np.random.default_rng(seed)
    stack = rng.random((13, *shape), "f4")
    stack[-1] = np.rint(50 * stack[-1]) * 10
    return stack


# distance -----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32), st.sampled_from([0.0005, 0.01, 0.2]), st.sampled_from([50, 400, 2000]))
@settings(max_examples=30)
def test_distance_is_that_of_scipy(seed, share, reach):
    sources = np.random.default_rng(seed).random((70, 90)) < share
    sources[3, 80] = True
    expected = np.minimum(10 * distance_transform_edt(~sources), reach)
    np.testing.assert_allclose(distance(sources, reach), expected, rtol=1e-6)


@given(st.integers(0, 2**32), st.integers(0, 39), st.integers(0, 39))
@settings(max_examples=30)
def test_a_block_with_a_halo_of_the_reach_has_the_distances_of_the_whole(seed, y, x):
    sources = np.random.default_rng(seed).random((100, 100)) < 0.002
    whole, margin = distance(sources, 200), 20
    padded = np.pad(sources, margin)
    part = distance(padded[y : y + 30 + 2 * margin, x : x + 30 + 2 * margin], 200)
    np.testing.assert_array_equal(part[margin:-margin, margin:-margin], whole[y : y + 30, x : x + 30])


def test_distance_without_anything_near():
    found = distance(np.zeros((4, 5), bool), 2000)
    assert found.dtype == np.float32 and (found == 2000).all()
    assert (distance(np.ones((4, 5), bool), 2000) == 0).all()


# samples ------------------------------------------------------------------------------------------------------------


def test_labels():
    codes = np.array([[1, 2, 11, 253, 254, 255]], "u1")
    assert sealed_labels(codes).tolist() == [[1, 0, 0, 255, 255, 255]]


def test_rates_make_half_of_the_samples_sealed():
    parameters = ProxyParameters(samples=1000)
    assert rates(2000, 100_000, parameters) == (0.005, 0.25)
    assert rates(100, 100_000, parameters) == (0.005, 1.0)
    assert rates(0, 300, parameters) == (1.0, 1.0)


def test_drawn_pixels_are_those_with_all_there_is_to_know_and_stand_for_the_ground():
    features = features_of((300, 300))
    features[3, :20] = np.nan
    codes = np.full((300, 300), 7, "u1")
    codes[:, :30] = 1
    codes[:, 290:] = 253
    parameters = ProxyParameters(samples=2000)
    shares = rates(30 * 300, 260 * 300, parameters)
    found = draw_samples(features, codes, (-4000, 9000), shares, 50, parameters)
    assert np.isfinite(found.features).all() and found.features.shape[1] == 13
    # Guard bands are left out: what is drawn stands for what is not guard, within what chance does.
    split = spatial_split((300, 300), (-4000, 9000), 50, parameters.held_out, 4, parameters.seed)
    usable = (split != 2) & np.isfinite(features).all(axis=0) & (codes != 253)
    for kind in (True, False):
        ground = np.count_nonzero(usable & ((codes == 1) == kind))
        assert found.weight[found.sealed == kind].sum() == pytest.approx(ground, rel=0.12)
        held = np.count_nonzero(usable & ((codes == 1) == kind) & (split == VALIDATION))
        assert found.weight[(found.sealed == kind) & found.held].sum() == pytest.approx(held, rel=0.3)
    again = draw_samples(features, codes, (-4000, 9000), shares, 50, parameters)
    np.testing.assert_array_equal(found.features, again.features)
    other = draw_samples(features, codes, (-4000, 9000), shares, 50, parameters.model_copy(update={"seed": 2}))
    assert other.features.shape != found.features.shape or (other.features != found.features).any()


def test_blocks_of_the_split_shrink_with_the_area():
    assert split_edge((10_000, 10_000), ProxyParameters()) == 100
    assert split_edge((400, 400), ProxyParameters()) == 50
    assert split_edge((20, 20), ProxyParameters()) == 12  # no less than a guard band makes sense for


# training -----------------------------------------------------------------------------------------------------------


def samples_of(features: np.ndarray, sealed: np.ndarray, held: np.ndarray) -> ProxySamples:
    flat = features.reshape(len(features), -1).T.copy()
    return ProxySamples(flat, sealed.ravel(), np.ones(sealed.size, "f4"), held.ravel())


def ruled(seed: int, shape=(120, 120)) -> tuple[np.ndarray, np.ndarray]:
    """Features, and a rule of two: dark in the second feature, and within 100 m of a road."""
    features = features_of(shape, seed)
    return features, (features[1] < 0.4) & (features[-1] <= 100)


def test_trees_learn_a_rule_of_reflectance_and_distance():
    features, sealed = ruled(1)
    held = np.zeros(sealed.shape, bool)
    held[:, 90:] = True
    trained = train_proxy(samples_of(features, sealed, held), FAST)
    assert min(trained.scores[name] for name in ("precision", "recall", "f1")) > 0.97
    assert trained.importance["distance"] + trained.importance["B03_q20"] > 0.9
    assert trained.samples == {
        "learnt": 90 * 120, "learnt_sealed": int(sealed[:, :90].sum()), "held_out": 30 * 120,
        "held_out_sealed": int(sealed[:, 90:].sum()),
    }  # fmt: skip
    fresh, real = ruled(2)
    codes = np.full(real.shape, 5, "u1")
    codes[:10], codes[10:20] = 253, 255
    fresh[4, 50] = np.nan
    found = classify(trained.model, fresh, codes, 0.5)
    outside = np.zeros(real.shape, bool)
    outside[:20] = outside[50] = True
    assert ((found == 255) == outside).all()
    assert (found[~outside] == real[~outside]).mean() > 0.99


def test_the_same_samples_give_the_same_model_and_pixels_do_not_depend_on_their_block():
    features, sealed = ruled(3)
    samples = samples_of(features, sealed, np.zeros(sealed.shape, bool))
    one, two = train_proxy(samples, FAST), train_proxy(samples, FAST)
    assert one.model == two.model
    assert train_proxy(samples, FAST.model_copy(update={"depth": 1})).model != one.model
    codes = np.full(sealed.shape, 5, "u1")
    whole = classify(one.model, features, codes, 0.5)
    np.testing.assert_array_equal(classify(one.model, features[:, 30:60, 7:90], codes[30:60, 7:90], 0.5), whole[30:60, 7:90])


def test_weights_count():
    """Where nothing tells sealed ground from other, the answer is the share that the weights say."""
    rng = np.random.default_rng(5)
    features = np.repeat(np.arange(2, dtype="f4")[:, None], 13, axis=1)[rng.integers(0, 2, 4000)]
    sealed = rng.random(4000) < 0.5
    samples = ProxySamples(features, sealed, np.where(sealed, 1, 9).astype("f4"), np.zeros(4000, bool))
    trained = train_proxy(samples, FAST)
    assert probability(trained.model, features[:50]) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("kind", [False, True])
def test_one_class_only_is_a_constant(kind):
    features, _ = ruled(4, (30, 30))
    sealed = np.full((30, 30), kind)
    held = np.zeros((30, 30), bool)
    held[:5] = True
    trained = train_proxy(samples_of(features, sealed, held), FAST)
    assert (classify(trained.model, features, np.full((30, 30), 5, "u1"), 0.5) == kind).all()
    assert trained.scores["f1"] == (1.0 if kind else None)


def test_nothing_to_learn_from():
    features, sealed = ruled(4, (10, 10))
    with pytest.raises(ValueError, match="no pixel has features, a distance and CLC"):
        train_proxy(samples_of(features, sealed, np.ones((10, 10), bool)), FAST)


def test_scores_by_hand():
    found = np.array([1, 1, 1, 0, 0, 0], bool)
    real = np.array([1, 1, 0, 1, 0, 0], bool)
    assert confusion(found, real) == (2, 1, 1)
    assert confusion(found, real, np.array([1, 2, 3, 4, 5, 6], "f4")) == (3, 3, 4)
    assert scores(3, 3, 4) == {"precision": 0.5, "recall": round(3 / 7, 4), "f1": round(6 / 13, 4), "area_ratio": round(6 / 7, 4)}
    assert scores(0, 0, 0) == {"precision": None, "recall": None, "f1": None, "area_ratio": None}
