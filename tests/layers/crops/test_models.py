"""Models of crops against the libraries that they are made with, and against what can be known of made-up crops."""

from __future__ import annotations

import numpy as np
import pytest

from imperv.layers.crops import models
from imperv.layers.crops.models import Learner, class_weights, flat
from imperv.layers.crops.parameters import TrainingParameters
from imperv.layers.crops.scores import Judged, compared, cross_validate, folds_of, judge
from imperv.layers.crops.series import Series
from imperv.layers.crops.trees import Forest, grow_forest
from imperv.layers.network.unet import configure_threads
from tests.support.crops import made_up


@pytest.fixture(scope="module")
def series() -> Series:
    return made_up(20)


def test_a_forest_says_what_scikit_learn_says(series):
    from sklearn.ensemble import RandomForestClassifier

    from imperv.layers.crops.trees import FOREST

    x = np.nan_to_num(flat(series.values))
    forest = grow_forest(x, series.labels, 3, False, 7)
    expected = RandomForestClassifier(**FOREST, random_state=7).fit(x, series.labels).predict_proba(x)
    assert np.allclose(forest(x), expected, atol=1e-5)
    assert forest.sound(x.shape[1], 3) and not forest.sound(3, 3) and not forest.sound(x.shape[1], 4)
    endless = Forest(**{**forest.arrays(), "left": np.zeros_like(forest.left)})
    assert not endless.sound(x.shape[1], 3)


@pytest.mark.parametrize("kind", ["forest", "boosting"])
def test_trees_tell_made_up_crops_apart(series, kind):
    model = Learner(TrainingParameters(kind=kind), series).learn(series, 1)
    other = made_up(15, seed=9)
    found = model.probabilities(other.values)
    assert np.allclose(found.sum(axis=1), 1, atol=1e-4) and (found.argmax(axis=1) == other.labels).mean() > 0.95


def test_trees_learn_from_variants_of_few_samples(series, monkeypatch):
    rows = []

    def grow(features, labels, *rest):
        rows.append((features.reshape(-1, len(series.labels), features.shape[1]), labels))
        return grow_forest(features, labels, *rest)

    monkeypatch.setattr(models, "grow_forest", grow)
    plain, varied = TrainingParameters(kind="forest", variants=False), TrainingParameters(kind="forest")
    for parameters, most in (
        (plain, models.MOST_ROWS),
        (varied, models.MOST_ROWS),
        (varied, 3 * len(series.labels)),
        (varied, 9),
    ):
        monkeypatch.setattr(models, "MOST_ROWS", most)
        Learner(parameters, series).learn(series, 1)
    assert [len(features) for features, _ in rows] == [1, 1 + models.VARIANTS, 3, 1]
    samples, (features, labels) = rows[0][0][0], rows[1]
    assert np.array_equal(features[0], samples) and not any(np.array_equal(one, samples) for one in features[1:])
    assert np.array_equal(labels.reshape(-1, len(series.labels)), np.tile(series.labels, (len(features), 1)))


@pytest.mark.parametrize("kind", ["tempcnn", pytest.param("lstm", marks=pytest.mark.slow)])
def test_networks_learn_and_the_same_seed_gives_the_same(series, kind):
    configure_threads(2)
    parameters = TrainingParameters(kind=kind, n_epochs=8, members=2, learning_rate=5e-3)
    learner = Learner(parameters, series)
    steps = []
    model = learner.learn(series, 1, lambda done, total: steps.append((done, total)))
    other = made_up(15, seed=9)
    found = model.probabilities(other.values)
    assert steps[-1] == (16, 16) and np.allclose(found.sum(axis=1), 1, atol=1e-4)
    assert (found.argmax(axis=1) == other.labels).mean() > 0.9
    assert np.allclose(learner.learn(series, 1).probabilities(other.values), found, atol=1e-5)
    members = np.mean([np.asarray(one(model.inputs.prepare(np.nan_to_num(other.values), np.isfinite(other.values).all(axis=2))))
                       for one in (model.body.get_layer(f"member_{k}") for k in range(2))], axis=0)  # fmt: skip
    assert np.allclose(members, found, atol=1e-5)


def test_what_was_never_seen_gets_no_answer(series):
    model = Learner(TrainingParameters(kind="forest"), series).learn(series, 1)
    values = series.values[:4].copy()
    values[1] = np.nan
    values[2, :, 0] = np.nan  # no step has all bands
    found = model.probabilities(values)
    assert np.isnan(found[1:3]).all() and np.isfinite(found[[0, 3]]).all()
    judged = judge(found, series.labels[:4], series.groups[:4], series.classes)
    assert judged.numbers[0, 1] == -1 and judged.counts.sum() == 2


def test_weights_of_rare_classes():
    assert np.allclose(class_weights(np.array([0, 0, 0, 2]), 3), [2 / 3, 2 / 3, 2 / 3, 2])


def test_groups_are_left_out_whole_and_all_see_the_same(series):
    grouped = Series(series.values, series.labels, series.groups // 3, series.classes, series.bands, series.calendar)
    folds = folds_of(grouped, 4, 1)
    assert sorted(np.concatenate(folds).tolist()) == list(range(60))
    for left_out in folds:
        assert not set(grouped.groups[left_out]) & set(np.delete(grouped.groups, left_out))
    kinds = {name: TrainingParameters(kind="boosting") for name in ("a", "b")}
    found = cross_validate(kinds, grouped, 4, 2)
    assert np.array_equal(found["a"].numbers, found["b"].numbers) and (found["a"].numbers >= 0).all()
    gain = compared(found["a"], found["b"])
    assert gain["f1"] == {"value": 0, "low": 0, "high": 0}
    once, twice = found["a"], Judged(np.repeat(found["a"].numbers[:1], 2, axis=0), *list(vars(found["a"]).values())[1:])
    first = Judged(once.numbers[:1], once.labels, once.groups, once.classes)
    assert twice.to_json()["oa"] == first.to_json()["oa"]  # the same parcels told twice make nothing more certain
    told = found["a"].to_json()
    assert told["samples"] == 60 and told["trials"] == 2 and told["oa"]["low"] <= told["oa"]["value"] <= told["oa"]["high"]


def test_crops_without_a_difference_are_told_apart_by_chance_only():
    """A score of left-out samples that knew them would not be a third."""
    series = made_up(40)
    blank = Series(
        np.random.default_rng(5).random(series.values.shape).astype("f4"), series.labels, series.groups, series.classes,
        series.bands, series.calendar,
    )  # fmt: skip
    found = cross_validate({"trees": TrainingParameters(kind="boosting")}, blank, 5, 1)["trees"].to_json()
    assert found["oa"]["low"] < 1 / 3 < found["oa"]["high"] + 0.1
