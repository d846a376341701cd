"""Networks of classes: loss, start, constant and weights by hand; training tells classes apart and resumes."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from imperv.layers.features import URBAN15
from imperv.layers.landcover.network import ClassNetworkParameters
from imperv.layers.network.heads import ClassHead, FractionHead, PolygonHead, class_frequency
from imperv.layers.network.prediction import predict
from imperv.layers.network.sampling import Region
from imperv.layers.network.training import train
from imperv.layers.network.unet import build_unet, join_members, rebuild, split_members
from imperv.layers.network.weights import flat_weights

QUICK = ClassNetworkParameters(
    features="urban15", base_filters=4, depth=1, crop=16, epochs=3, steps_per_epoch=25, members=2, batch=4,
    split_block=16, guard=2, learning_rate=2e-2,
)  # fmt: skip


def region(seed: int = 1, edge: int = 64) -> Region:
    """Three classes that the first feature tells apart, one of them rare."""
    rng = np.random.default_rng(seed)
    target = np.zeros((edge, edge), "f4")
    target[:, edge // 2 :] = 1
    target[8:20, 8:20] = 2
    features = rng.normal(0, 0.3, (len(URBAN15), edge, edge)).astype("f4")
    features[0] += target
    target[0] = np.nan
    return Region(features, target, (0, 0))


def test_the_loss_is_the_weighted_cross_entropy():
    head = ClassHead((1.0, 2.0, 4.0))
    p = np.array([[[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]]], "f4")
    y, w = np.array([[[0, 2]]], "f4"), np.array([[[1.0, 0.5]]], "f4")
    assert float(head.loss(p, y, w)) == pytest.approx(-np.log(0.5) - 0.5 * 4 * np.log(0.8), rel=1e-5)
    focal = ClassHead((1.0, 1.0, 1.0), focal=2.0)
    assert float(focal.loss(p, y, np.ones_like(w))) == pytest.approx(-0.25 * np.log(0.5) - 0.04 * np.log(0.8), rel=1e-5)


def test_weights_are_by_the_square_root_of_the_frequency():
    some = region()
    head = ClassHead.of([some], 3)
    counts = class_frequency([some], [some.valid()], 3)
    assert counts.sum() == some.valid().sum()
    assert head.weights[2] / head.weights[1] == pytest.approx(np.sqrt(counts[1] / counts[2]))
    assert np.dot(head.weights, counts) / counts.sum() == pytest.approx(1)
    assert head.rare == (False, False, True) and head.special(some.target).sum() == (some.target == 2).sum()
    assert ClassHead.of([some], 4).weights[3] == 0  # a class without a pixel


def test_an_untrained_network_answers_about_the_shares():
    some = region()
    head = ClassHead.of([some], 3, power=0)
    start = np.exp(head.start([some], [some.valid()]))
    counts = class_frequency([some], [some.valid()], 3)
    np.testing.assert_allclose(start / start.sum(), counts / counts.sum(), rtol=1e-6)
    y, w = np.nan_to_num(some.target)[None], some.valid()[None].astype("f4")
    shares = counts / counts.sum()
    assert head.constant([some], [some.valid()], y, w) == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-5)


@pytest.fixture(scope="module")
def trained():
    return train([region()], QUICK, head=ClassHead.of([region()], 3))


@pytest.mark.slow
def test_a_training_tells_classes_apart(trained):
    asked = region(9)
    answers = predict(trained.model, trained.normalisation, asked.features, (0, 0))
    assert answers.shape == (6, 64, 64)
    np.testing.assert_allclose(answers.reshape(2, 3, 64, 64).sum(axis=1), 1, atol=1e-4)
    found = answers.reshape(2, 3, 64, 64).mean(axis=0).argmax(axis=0)
    known = np.isfinite(asked.target)
    assert (found[known] == asked.target[known]).mean() > 0.9
    for member in trained.history:
        assert min(member["validation"]) < member["constant_loss"] and member["scores"]["oa"]["value"] > 0.8


@pytest.mark.slow
def test_a_training_that_was_cut_off_goes_on(trained):
    states = []
    head = ClassHead.of([region()], 3)
    train([region()], QUICK, keep=lambda state: states.append(copy.deepcopy(state)), head=head)
    again = train([region()], QUICK, state=states[2], head=head)
    assert np.array_equal(flat_weights(again.model), flat_weights(trained.model))


def test_members_have_as_many_outputs_as_there_are_classes(trained):
    assert len(split_members(trained.model)) == 2 and trained.model.output_shape[-1] == 6
    again = rebuild(QUICK, flat_weights(trained.model), 3)
    x = np.random.default_rng(0).normal(size=(1, 32, 32, 15)).astype("f4")
    assert np.array_equal(again(x).numpy(), trained.model(x).numpy())
    with pytest.raises(ValueError, match="weights do not fit"):
        rebuild(QUICK, flat_weights(trained.model), 4)


def test_one_output_is_a_fraction():
    model = join_members([build_unet(QUICK, 1, "member_0")])
    assert model.get_layer("member_0").layers[-1].name == "fraction" and FractionHead().outputs == 1


def test_pixels_of_polygons_count_as_their_class_with_their_weight():
    """Targets 3 and 4 are polygons of classes 2 and 0."""
    head = PolygonHead(ClassHead((1.0, 2.0, 4.0)), (2, 0), (10.0, 3.0))
    p = np.array([[[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [0.2, 0.2, 0.6]]]], "f4")
    y, w = np.array([[[0, 3, 4]]], "f4"), np.array([[[1.0, 0.5, 1.0]]], "f4")
    wanted = -np.log(0.5) - 0.5 * 10 * 4 * np.log(0.8) - 3 * np.log(0.2)
    assert float(head.loss(p, y, w)) == pytest.approx(wanted, rel=1e-5) and head.outputs == 3
    assert head.special(np.array([0, 2, 3, 4, np.nan])).tolist() == [False, False, True, True, False]
    assert head.scores(p, y, w)["oa"]["value"] == pytest.approx(2 / 3)


def test_a_constant_answer_is_judged_with_the_weights_of_polygons():
    some = region()
    target = some.target.copy()
    target[40:44, 40:44] = 3
    drawn = Region(some.features, target, some.origin)
    head = PolygonHead.of([drawn], 3, (2,), (7.0,), 0.5, 0.0)
    shown = np.where(target == 3, 2, target)
    assert head.ground == ClassHead.of([Region(some.features, shown, some.origin)], 3)
    y, w = np.nan_to_num(target)[None], drawn.valid()[None].astype("f4")
    prior = np.exp(head.start([drawn], [drawn.valid()]))
    answer = np.broadcast_to(prior, (*y.shape, 3)).astype("f4")
    assert head.constant([drawn], [drawn.valid()], y, w) == pytest.approx(float(head.loss(answer, y, w)) / w.sum(), rel=1e-4)


@pytest.mark.slow
def test_a_few_pixels_of_polygons_win_over_the_ground():
    """All the ground of the second class is said to be the third by a few polygons."""
    some = region()
    target = some.target.copy()
    for k, row in enumerate(range(4, 60, 10)):
        target[row : row + 3, 40 + k : 43 + k] = 3 + k
    drawn = Region(some.features, target, some.origin)
    head = PolygonHead.of([drawn], 3, (2,) * 6, (400.0,) * 6, 0.0, 0.0)
    found = train([drawn], QUICK.model_copy(update={"members": 1}), head=head)
    answers = predict(found.model, found.normalisation, some.features, (0, 0)).argmax(axis=0)
    assert (answers[some.target == 1] == 2).mean() > 0.9 and (answers[some.target == 0] == 0).mean() > 0.6
