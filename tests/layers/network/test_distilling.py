"""What a student learns of an ensemble: targets of two channels, their loss and scores by hand, its start, and what it costs."""

from __future__ import annotations

import numpy as np
import pytest

from imperv.layers.network.distilling import (
    EPOCHS,
    STEP_COST,
    STEPS,
    EnsembleHead,
    ensemble_target,
    lesson_work,
    student_parameters,
    student_rows,
    taught_windows,
)
from imperv.layers.network.ensemble import ensemble
from imperv.layers.network.heads import FractionHead
from imperv.layers.network.prediction import predict
from imperv.layers.network.sampling import CropSampler, Region
from imperv.layers.network.training import train
from imperv.layers.network.unet import UNetParameters, build_unet, join_members
from imperv.layers.network.windows import Windows, reach

UNET = UNetParameters(base_filters=2, depth=1, crop=16, batch=2, split_block=16, guard=2)


def members(count: int = 5, edge: int = 64) -> np.ndarray:
    return np.random.default_rng(3).random((count, edge, edge)).astype("f4")


def region(edge: int = 64) -> Region:
    """Features that are the targets themselves, so that what belongs together can be told."""
    target = ensemble_target(members(edge=edge))
    features = np.random.default_rng(4).normal(0, 1, (len(UNET.names), edge, edge)).astype("f4")
    features[:2] = target
    features[:, 5, 7] = np.nan
    return Region(features, target, (0, 0))


def test_targets_are_mean_and_twice_the_deviation():
    found, (_, deviation) = ensemble_target(members()), ensemble(members())
    np.testing.assert_allclose(found[0], members().mean(axis=0), atol=1e-7)
    np.testing.assert_allclose(found[1], 2 * deviation, atol=1e-6)
    halves = np.stack([np.zeros((2, 2)), np.ones((2, 2))]).astype("f4")
    np.testing.assert_array_equal(ensemble_target(halves)[1], 1)  # the widest


def test_channels_of_a_crop_stay_with_its_features():
    place = region()
    assert not place.valid()[5, 7] and place.valid().sum() == 64 * 64 - 1
    sampler = CropSampler([place], [place.valid()], 16, 0.5, 1, EnsembleHead().special)
    x, y, w = sampler.draw(40)
    assert y.shape == (40, 2, 16, 16) and w.shape == (40, 16, 16)
    for k in range(2):
        np.testing.assert_array_equal(x[..., k][w > 0], y[:, k][w > 0])
    assert (y[:, 0][w > 0] != y[:, 1][w > 0]).all()


def test_loss_start_and_constant_are_those_of_both_fractions():
    head, one = EnsembleHead(FractionHead(0.4)), FractionHead(0.4)
    rng = np.random.default_rng(0)
    answer, y = rng.uniform(0.1, 0.9, (2, 4, 4, 2)).astype("f4"), rng.random((2, 2, 4, 4)).astype("f4")
    w = rng.random((2, 4, 4)).astype("f4")
    both = sum(float(one.loss(answer[..., k : k + 1], y[:, k], w)) for k in (0, 1))
    assert float(head.loss(answer, y, w)) == pytest.approx(both, rel=1e-6)
    p, t = answer[0, 0, 0, 1], y[0, 1, 0, 0]
    only = np.zeros_like(w)
    only[0, 0, 0] = 1
    by_hand = 0.6 * -(t * np.log(p) + (1 - t) * np.log(1 - p)) + 0.4 * 4 * abs(p - t)
    first = float(one.loss(answer[..., :1], y[:, 0], only))
    assert float(head.loss(answer, y, only)) == pytest.approx(first + by_hand, rel=1e-5)
    place = region()
    wanted = [t[place.valid()].mean() for t in place.target]  # both below one half, where starts end
    np.testing.assert_allclose(1 / (1 + np.exp(-head.start([place], [place.valid()]))), wanted, atol=1e-5)
    assert head.constant([place], [place.valid()], y, w) > head.constant([place], [place.valid()], np.full_like(y, 0.5), w)


def test_scores_are_in_percent_of_density_and_of_deviation():
    y = np.zeros((2, 2, 4, 4), "f4")
    answer = np.zeros((2, 4, 4, 2), "f4")
    answer[..., 0], answer[..., 1] = 0.03, 0.02  # a deviation of 0.01
    found = EnsembleHead().scores(answer, y, np.ones((2, 4, 4), "f4"))
    assert found["mean"]["mae"]["value"] == pytest.approx(3)
    assert found["deviation"]["mae"]["value"] == pytest.approx(1)


@pytest.mark.slow
def test_a_student_starts_as_the_member_and_with_the_mean_deviation():
    """After one step that moves nothing it says what the member says."""
    donor = join_members([build_unet(UNET, seed, f"member_{seed}") for seed in (0, 1)])
    place = region()
    still = UNET.model_copy(update={"members": 1, "epochs": 1, "steps_per_epoch": 1, "learning_rate": 1e-12, "dropout": 0.0})
    normalisation = train([place], still, head=EnsembleHead()).normalisation
    found = train([place], still, initial=(donor, normalisation), head=EnsembleHead())
    inner = np.s_[16:48, 16:48], (16, 16)
    mean, deviation = predict(found.model, normalisation, place.features, (0, 0), inner[0])
    said = predict(donor, normalisation, place.features, (0, 0), inner[0])
    np.testing.assert_allclose(mean, said[0], atol=1e-5)
    assert np.abs(mean - said[1]).max() > 0.01
    # The kernel of the new channel is random, its bias that of the mean deviation.
    bias = found.model.get_layer("member_0").layers[-1].get_weights()[1]
    share = place.target[1][place.valid()].mean()
    assert bias[1] == pytest.approx(np.log(share / (1 - share)), abs=0.1)


@pytest.mark.slow
def test_a_start_of_fewer_classes_is_refused():
    from imperv.layers.network.heads import ClassHead

    donor = join_members([build_unet(UNET, 0, "member_0")])
    place = region()
    classes = Region(place.features, (place.target[0] > 0.5).astype("f4"), (0, 0))
    normalisation = train([classes], UNET.model_copy(update={"members": 1, "epochs": 1, "steps_per_epoch": 1})).normalisation
    with pytest.raises(ValueError, match="architecture"):
        train([classes], UNET, initial=(donor, normalisation), head=ClassHead((1.0, 1.0)))


def test_rows_of_a_student_are_whole_percents_and_fractions():
    around = reach(1)
    windows = Windows((6, 8), (0, 0), 1, 8)
    features = np.zeros((6 + 2 * around, windows.columns[1] - windows.columns[0], 1), "f4")
    features[around + 2, around + 3] = np.nan

    def student(seen: np.ndarray) -> np.ndarray:
        count, rows, columns, _ = seen.shape
        answer = np.empty((count, rows - 2 * around, columns - 2 * around, 2), "f4")
        answer[..., 0], answer[..., 1] = 0.125, 0.3
        return answer

    ((first, mean, deviation),) = student_rows(lambda a, b: features[a + around : b + around], student, windows)
    assert first == 0 and mean.dtype == np.uint8 and deviation.dtype == np.float32
    hole = np.zeros((6, 8), bool)
    hole[2, 3] = True
    np.testing.assert_array_equal(mean, np.where(hole, 255, 13))  # half a percent up
    np.testing.assert_allclose(deviation, np.where(hole, np.nan, 0.15))


def test_cost_by_hand_and_windows_by_size():
    """Ten members on three windows of 250 pixels, taken as two of 256 x 128 with 36 more each way; crops of 16 pixels."""
    parameters = student_parameters(UNET, 16, 3)
    answers = 10 * 3 * 2 * (256 + 36) * (128 + 36)
    assert lesson_work(parameters, 10, 3) == pytest.approx(answers + EPOCHS * STEPS * 2 * 16**2 * STEP_COST)
    assert [taught_windows(n, 1000) for n in (4, 100, 1600)] == [4, 10, 80] and taught_windows(1600, 30) == 30
    parameters = student_parameters(UNET, 8, 2)
    assert (parameters.base_filters, parameters.depth, parameters.members, parameters.dropout) == (8, 2, 1, 0)
