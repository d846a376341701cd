"""Tuning of the base model's answer: nothing without polygons, a gradient that is right, polygons as the unit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from imperv.layers.landcover import tuning
from imperv.layers.landcover.tuning import (
    Head,
    Polygons,
    Samples,
    TuningParameters,
    answer,
    by_shares,
    fit_head,
    folds_of,
    log_shares,
    nothing,
    softmax,
    tune,
)

PARAMETERS = TuningParameters(sample=200)


def samples(n: int, seed: int = 1, classes: int = 3, channels: int = 4) -> Samples:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(classes), n)
    return Samples(np.rint(254 * shares).astype("u1"), rng.integers(0, 254, (n, channels)).astype("u1"))


def polygons(count: int = 12, each: int = 5, seed: int = 2, classes: int = 3) -> Polygons:
    """Polygons whose class is told by the first channel, not by the base model."""
    found, polygon = samples(count * each, seed), np.repeat(np.arange(count), each)
    target = np.repeat(np.arange(count) % classes, each)
    found.seen[:, 0] = 20 + 100 * target
    return Polygons(found, target, polygon, np.ones(count))


def test_the_head_that_is_nothing_gives_the_base_answer_to_the_bit():
    some = samples(100)
    assert np.array_equal(answer(nothing(3, 4), some), log_shares(some.shares))
    none = Polygons(samples(0), np.empty(0, int), np.empty(0, int), np.empty(0))
    found = tune(none, samples(50), PARAMETERS)
    assert not found.head.weights.any() and np.array_equal(answer(found.head, some), log_shares(some.shares))


def test_the_gradient_is_that_of_the_loss(monkeypatch):
    kept = {}

    def minimize(loss, start, **options):
        kept["loss"] = loss

        class Found:
            x = start

        return Found()

    monkeypatch.setattr("scipy.optimize.minimize", minimize)
    fit_head(polygons(), samples(40, 5), PARAMETERS, 0.1)
    point = np.random.default_rng(0).normal(0, 0.3, 8 * 3)
    numeric = approx_fprime(point, lambda w: kept["loss"](w)[0], 1e-6)
    np.testing.assert_allclose(kept["loss"](point)[1], numeric, atol=2e-4)


def test_polygons_teach_what_the_base_model_does_not_know():
    found = tune(polygons(count=90), samples(300, 7), PARAMETERS)
    asked = polygons(seed=11)
    base = log_shares(asked.samples.shares).argmax(axis=1)
    tuned = answer(found.head, asked.samples).argmax(axis=1)
    assert (tuned == asked.target).mean() > (base == asked.target).mean() + 0.2


def test_a_higher_penalty_changes_less():
    ground = samples(300, 7)
    sizes = [np.abs(fit_head(polygons(), ground, PARAMETERS, p).weights).sum() for p in (0.01, 1, 100, 1e6)]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < 1e-2


def test_polygons_count_alike_whatever_their_size():
    """Pixels of a polygon given twice change nothing."""
    one = polygons()
    twice = np.concatenate([np.arange(60), np.arange(5)])
    other = Polygons(one.samples.pick(twice), one.target[twice], one.polygon[twice], one.weights)
    a, b = (fit_head(p, samples(100, 7), PARAMETERS, 0.1).weights for p in (one, other))
    np.testing.assert_allclose(a, b, atol=1e-3)


def test_a_weight_of_two_is_a_polygon_drawn_twice():
    one = polygons()
    weighted = Polygons(one.samples, one.target, one.polygon, np.where(np.arange(12) == 0, 2.0, 1.0))
    first = np.flatnonzero(one.polygon == 0)
    index = np.concatenate([np.arange(60), first])
    drawn = Polygons(one.samples.pick(index), one.target[index], np.concatenate([one.polygon, np.full(5, 12)]), np.ones(13))
    a, b = (fit_head(p, samples(100, 7), PARAMETERS, 0.1).weights for p in (weighted, drawn))
    np.testing.assert_allclose(a, b, atol=1e-3)


def test_classes_weigh_by_their_share_of_the_ground():
    some, ground = polygons(count=10), samples(500, 7)  # four polygons of the first class, three of others
    found = by_shares(some, ground, 1.0)
    classes = np.arange(10) % 3
    share = softmax(log_shares(ground.shares)).mean(axis=0)
    total = np.bincount(classes, found.weights)
    np.testing.assert_allclose(total / total.sum(), share / share.sum(), rtol=1e-6)
    assert found.weights.sum() == pytest.approx(10)
    assert by_shares(some, ground, 0.0) is some and by_shares(some, samples(0), 1.0) is some


def test_folds_leave_out_whole_polygons_and_deal_out_every_class():
    some = polygons(count=9)
    fold = folds_of(some, TuningParameters(folds=3))
    classes = np.arange(9) % 3
    assert all(sorted(classes[fold == k]) == [0, 1, 2] for k in range(3))
    assert np.array_equal(fold, folds_of(some, TuningParameters(folds=3)))


def test_a_left_out_polygon_is_asked_of_a_head_that_has_not_seen_it(monkeypatch):
    seen = []
    real = tuning.fit_head
    monkeypatch.setattr(tuning, "fit_head", lambda p, *rest: seen.append(set(p.polygon.tolist())) or real(p, *rest))
    tune(polygons(), samples(50), TuningParameters(penalty=0.1, folds=4))
    assert [len(s) for s in seen] == [12, 9, 9, 9, 9]
    assert set.intersection(*seen[1:]) == set()


def test_a_head_is_kept_exactly():
    head = tune(polygons(), samples(50), PARAMETERS).head
    again = Head.from_json(head.to_json())
    assert np.array_equal(answer(head, samples(30)), answer(again, samples(30)))


@pytest.mark.parametrize("classes", [1])
def test_one_class_alone_does_not_take_the_map(classes):
    some = polygons(count=2)
    alone = Polygons(some.samples, np.zeros(10, int), some.polygon, some.weights)
    ground = samples(400, 9)
    found = tune(alone, ground, PARAMETERS)
    before, after = (softmax(v).argmax(axis=1) for v in (log_shares(ground.shares), answer(found.head, ground)))
    assert (before != after).mean() < 0.35
