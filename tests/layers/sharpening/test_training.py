"""Training of the networks of super-resolution: what is learnt is what is missing, and ground that judges is never learnt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imperv.layers.network.weights import flat_weights
from imperv.layers.sharpening.back_projection import back_project
from imperv.layers.sharpening.degradation import degrade
from imperv.layers.sharpening.enlarging import enlarge
from imperv.layers.sharpening.network import Model, Shape, build
from imperv.layers.sharpening.steps import STEPS
from imperv.layers.sharpening.training import (
    GUARD,
    ROUNDS,
    Crops,
    error_of,
    fit,
    fresh,
    left,
    lower,
    projection,
    split,
    trusted,
    tune,
)

SMALL = Shape(8, 1, 1, 1)


def bent(edge: int = 96, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Guides at 10 m and bands at 20 m whose detail depends on what ground it is: no regression of the whole scene tells it."""
    random = np.random.default_rng(seed)
    guides = degrade(random.normal(0, 800, (4, 2 * edge, 2 * edge)), 1, 0.8) + 3000
    kind = np.kron(random.integers(0, 2, (edge // 8, edge // 8)), np.ones((16, 16)))
    guides[0] += 3000 * kind
    sign = 2 * kind - 1
    bands = np.stack([3000 + k * 100 + 1500 * kind + sign * (guides[1] - 3000) for k in range(6)])
    return guides.astype("f4"), degrade(bands.astype("f4"), 2, 0.6)


@pytest.mark.parametrize(("factor", "sigma"), [(2, 1.0), (2, 0.5), (6, 3.0)])
def test_projection_in_matrices_is_degrading_and_enlarging(factor, sigma):
    image = np.random.default_rng(1).random((24, 24), "f4")
    down, up = projection(24, factor, sigma)
    few = degrade(image, factor, sigma)
    np.testing.assert_allclose(down @ image @ down.T, few, atol=1e-5)
    np.testing.assert_allclose(up @ few @ up.T, enlarge(few, factor), atol=1e-5)


def test_what_is_missing_completes_the_start():
    """`left` is the error of the bands after back-projection: the protocol's, by hand."""
    step, (guides, bands) = STEPS["20to10"], bent(32)
    ground = lower(step, guides, bands, 1.0)
    fine, coarse = degrade(guides, 2, 1.0), degrade(bands, 2, 1.0)
    model = fresh("20to10", SMALL)
    start, _ = model.predict(fine, coarse, 1.0)
    unit = ground.unit[:, None, None]
    np.testing.assert_allclose(np.moveaxis(ground.missing, -1, 0) * unit, bands - start, atol=0.05)
    correction = np.random.default_rng(1).standard_normal(bands.shape).astype("f4")
    projected = back_project(correction, np.zeros_like(coarse), 2, 1.0, ROUNDS)
    np.testing.assert_allclose(left(step, ground, correction) * unit, bands - start - projected * unit, atol=0.1)


def test_ground_without_data_or_not_usable_weighs_nothing():
    step, (guides, bands) = STEPS["20to10"], bent(32)
    bands[2, 4, 5] = np.nan
    guides[0, 40, 40] = np.nan
    usable = np.ones((32, 32), bool)
    usable[:, 30:] = False
    ground = lower(step, guides, bands, 1.0, usable=usable)
    assert np.isfinite(ground.features).all() and np.isfinite(ground.missing).all()
    # The whole coarse pixel is unknown in which a band or a guide has none.
    assert not ground.weight[4:6, 4:6].any() and ground.weight[20, 20] == 0 and not ground.weight[:, 30:].any()
    assert ground.weight.sum() == 32 * 30 - 4 - 1


def test_crops_are_turned_with_their_ground():
    """What is missing of a crop stays beside the features it belongs to: here both are the same image."""
    step, (guides, bands) = STEPS["20to10"], bent(64)
    ground = lower(step, guides, bands, 1.0)
    ground.features[..., :6] = ground.missing
    x, y, w, sigma = Crops(step, SMALL, [ground]).draw(np.random.default_rng(1), 16)
    np.testing.assert_array_equal(x[..., :6], y)
    assert sigma == 1.0 and w.shape == (16, 48, 48) and 0 < w.mean() < 1
    assert len({tuple(np.round(crop[20, 20], 4)) for crop in y}) > 8


def test_small_ground_fills_a_crop_that_counts_where_it_is():
    step, (guides, bands) = STEPS["20to10"], bent(16)
    x, y, w, _ = Crops(step, SMALL, [lower(step, guides, bands, 1.0)]).draw(np.random.default_rng(1), 4)
    assert x.shape[1:3] == (48, 48)
    np.testing.assert_array_equal(w.sum((1, 2)), 16 * 16)


def test_no_ground_to_learn_from_is_an_error():
    step, (guides, bands) = STEPS["20to10"], bent(16)
    with pytest.raises(ValueError, match="no ground"):
        Crops(step, SMALL, [lower(step, guides, np.full_like(bands, np.nan), 1.0)])


@pytest.mark.parametrize("shape", [(300, 200), (80, 80), (40, 300)])
def test_ground_that_judges_is_apart(shape):
    learnt, judged = split(shape, 3)
    assert judged.any() and learnt.any() and not (learnt & judged).any()
    assert 0.05 < judged.mean() < 0.3
    y, x = np.nonzero(judged)
    for row, column in zip(y[::97], x[::97], strict=True):
        near = learnt[max(0, row - GUARD) : row + GUARD + 1, max(0, column - GUARD) : column + GUARD + 1]
        assert not near.any()


@pytest.mark.slow
def test_a_network_learns_what_no_regression_can():
    """Detail whose sign depends on the kind of ground, judged on ground that was never seen."""
    step = STEPS["20to10"]
    learnt, judged = lower(step, *bent(96, 1), 1.0), lower(step, *bent(96, 2), 1.0)
    network = build(step, SMALL, 1)
    judge = error_of(step, SMALL, [judged])
    before = judge(network)
    found = fit(network, Crops(step, SMALL, [learnt]), 120, 1, check=judge, every=60)
    assert found["best"] == pytest.approx(judge(network), rel=1e-4)
    assert judge(network) < 0.7 * before


@pytest.mark.slow
def test_tuning_is_never_worse_than_its_start_and_repeatable():
    random = np.random.default_rng(1)
    noise = random.normal(2000, 300, (4, 192, 192)).astype("f4"), random.normal(2000, 300, (6, 96, 96)).astype("f4")
    model = fresh("20to10", SMALL)
    found = tune(model, [noise], 1.0, seed=1, steps=8)
    (told,) = found.record["tuned"]
    assert told["after"] <= told["before"]
    again = tune(model, [noise], 1.0, seed=1, steps=8)
    np.testing.assert_array_equal(found.weights[0], again.weights[0])
    better = tune(model, [bent(96)], 1.0, steps=60)
    (told,) = better.record["tuned"]
    assert told["after"] < 0.9 * told["before"]
    assert better.shape == model.shape and not np.array_equal(better.weights[0], model.weights[0])


@pytest.mark.slow
def test_a_tuning_that_gains_nothing_keeps_the_weights():
    model = fresh("20to10", SMALL)
    alike = np.full((4, 192, 192), 2000, "f4"), np.full((6, 96, 96), 3000, "f4")
    found = tune(model, [alike], 1.0, steps=3)
    np.testing.assert_array_equal(found.weights[0], model.weights[0])


def test_too_little_ground_to_tune_on_is_an_error():
    guides, bands = bent(32)
    with pytest.raises(ValueError, match="too little ground"):
        tune(fresh("20to10", SMALL), [(guides, np.full_like(bands, np.nan))], 1.0, steps=1)


def test_a_fresh_model_starts_alike_every_time():
    one, other = fresh("20to10", SMALL), fresh("20to10", SMALL)
    np.testing.assert_array_equal(one.weights[0], other.weights[0])
    assert isinstance(one, Model) and one.weights[0].size == flat_weights(build(STEPS["20to10"], SMALL, 0)).size


@pytest.mark.slow
def test_what_does_not_hold_on_a_scene_is_not_trusted():
    """Noise has nothing of what was learnt; the ground that it was learnt on has; what was never learnt corrects nothing."""
    guides, bands = bent(64)
    model = fresh("20to10", SMALL)
    random = np.random.default_rng(1)
    blind = trusted(model, [(guides, bands)], 1.0)
    assert blind.trust == (0.0,) * 6
    learnt = tune(model, [(guides, bands)], 1.0, steps=40)
    held = trusted(learnt, [(guides, bands)], 1.0)
    assert all(0.5 < share <= 1 for share in held.trust)
    foreign = random.normal(2000, 300, guides.shape).astype("f4"), random.normal(2000, 300, bands.shape).astype("f4")
    assert np.mean(trusted(learnt, [foreign], 1.0).trust) < 0.3
    fine, coarse = degrade(guides, 2, 1.0), degrade(bands, 2, 1.0)
    start, all_of_it, none = (m.predict(fine, coarse, 1.0)[0] for m in (model, learnt, replace(learnt, trust=(0.0,) * 6)))
    np.testing.assert_array_equal(none, start)
    half = replace(learnt, trust=(0.5,) * 6).predict(fine, coarse, 1.0)[0]
    np.testing.assert_allclose(half, (start + all_of_it) / 2, atol=0.01)
