"""Fitting a network: averaged weights, going on where it was cut off, mixed precision, divergence, another start."""

import copy
import gc
import weakref

import numpy as np
import pytest

from imperv.layers.features import unsteadiness
from imperv.layers.network.fitting import DivergenceError, _batches, _signature, fit
from imperv.layers.network.sampling import VALIDATION, CropSampler, Region, choose_split
from imperv.layers.network.training import normalise, renormalised, train
from imperv.layers.network.unet import Normalisation, UNetParameters, build_unet

SMALL = UNetParameters(
    base_filters=4, depth=1, crop=16, batch=4, epochs=4, steps_per_epoch=6, split_block=16,
    learning_rate=0.01, members=2, transfer=False,
)  # fmt: skip
ORIGIN = (-310_240, 382_980)


def ground(size=96, seed=0, shift=0.0):
    """Squares that one feature tells apart, with noise in the others."""
    rng = np.random.default_rng(seed)
    target = np.kron(rng.random((size // 8, size // 8)) < 0.4, np.ones((8, 8), "f4"))
    features = rng.standard_normal((len(SMALL.names), size, size)).astype("f4")
    features[2] = 3 * target + 0.5 * features[2] + shift
    return Region(features, target.astype("f4"), ORIGIN)


def weights(trained):
    return b"".join(w.tobytes() for w in trained.model.get_weights())


@pytest.mark.slow
def test_a_training_that_was_cut_off_ends_with_the_same_weights():
    """Cut between the members, so that the last epoch of the first is repeated, and in the second."""
    parameters = SMALL.model_copy(update={"epochs": 3})
    states = []
    whole = train([ground()], parameters, keep=lambda state: states.append(copy.deepcopy(state)))
    assert len(states) == 2 * 2
    for epochs in (2, 4):
        told = []
        resumed = train([ground()], parameters, lambda *what, told=told: told.append(what[:2]), state=states[epochs - 1])
        assert weights(resumed) == weights(whole)
        assert resumed.history == whole.history
        assert len(told) < 5  # it did not begin anew


def test_crops_are_shifted_as_features_differ_from_year_to_year():
    """Of a region where every feature is 0 a crop shows its shift alone: the same all over, larger in unsteady features."""
    region = Region(np.zeros((len(SMALL.names), 64, 64), "f4"), np.zeros((64, 64), "f4"), ORIGIN)
    middle = np.zeros((64, 64), bool)
    middle[20:44, 20:44] = True  # crops around it never reach beyond the region
    sampler = CropSampler([region], [middle], 16, 0, 1)
    std = np.linspace(1, 3, len(SMALL.names))
    normalisation = Normalisation(SMALL.names, (0.0,) * len(std), tuple(std))
    batches = _batches(sampler, _signature(sampler.draw(1)), normalisation, SMALL, 600, 1, 0)
    crops = np.concatenate([np.asarray(x) for x, _, _ in batches])
    assert np.ptp(crops, axis=(1, 2)).max() == 0
    shifts = crops[:, 0, 0]
    np.testing.assert_allclose(shifts.std(axis=0), SMALL.jitter * unsteadiness(SMALL.names), rtol=0.06)
    np.testing.assert_allclose(shifts.mean(axis=0), 0, atol=0.03)


@pytest.mark.slow
def test_what_predicts_is_the_running_average_of_the_weights():
    """One step an epoch: the state after each epoch has the weights of every step, and their average."""
    region = ground()
    valid, seen = [region.valid()], []
    normalisation = normalise([region], valid, SMALL.names)
    checks = (np.moveaxis(region.features, 0, -1)[None, :16, :16], region.target[None, :16, :16], np.ones((1, 16, 16), "f4"))
    parameters = SMALL.model_copy(update={"averaging": 0.5, "epochs": 20, "patience": 20})
    member = build_unet(parameters, 3)
    expected = [w.numpy() for w in member.trainable_variables]
    fit(member, CropSampler([region], valid, 16, 0.5, 1), checks, normalisation, parameters, 1, 1, keep=seen.append)
    own = [k for k, v in enumerate(member.variables) if any(v is t for t in member.trainable_variables)]
    names = [f"variable_{k}" for k in range(sum(name.startswith("variable_") for name in seen[0]))][-len(own) :]
    for step, state in enumerate(seen, start=1):
        decay = min(0.5, step / (10 + step))
        expected = [decay * e + (1 - decay) * state[f"variable_{k}"] for e, k in zip(expected, own, strict=True)]
        for name, value in zip(names, expected, strict=True):
            assert np.allclose(state[name], value, atol=1e-5)


@pytest.mark.slow
def test_mixed_precision_learns_and_predicts_in_32_bits():
    mixed = train([ground()], SMALL.model_copy(update={"precision": "mixed", "members": 1, "epochs": 6, "steps_per_epoch": 12}))
    plain = train([ground()], SMALL.model_copy(update={"precision": "float32", "members": 1, "epochs": 6, "steps_per_epoch": 12}))
    (a,), (b,) = mixed.history, plain.history
    assert min(a["validation"]) < 0.7 * a["constant_loss"]
    assert min(a["validation"]) == pytest.approx(min(b["validation"]), rel=0.3)
    assert a["loss"] != b["loss"]  # other numbers were used
    assert all(layer.compute_dtype == "float32" for layer in mixed.model.get_layer("member_0").layers)


@pytest.mark.slow
def test_a_loss_that_is_no_number_is_told():
    with pytest.raises(DivergenceError, match="not finite"):
        train([ground()], SMALL.model_copy(update={"learning_rate": 1e30, "epochs": 1, "members": 1}))


@pytest.mark.slow
def test_a_network_that_knows_less_than_a_constant_is_told():
    """A learning rate at which the loss stays finite and nothing is learnt."""
    with pytest.raises(DivergenceError, match="a constant has"):
        wild = {"learning_rate": 30.0, "weight_decay": 0.0, "averaging": 0.0, "epochs": 2, "members": 1}
        train([ground()], SMALL.model_copy(update=wild))


@pytest.mark.slow
def test_another_normalisation_gives_the_same_prediction():
    trained = train([ground()], SMALL.model_copy(update={"epochs": 2}))
    old, other = trained.normalisation, ground(seed=5)
    moved = tuple(m + 0.3 * s for m, s in zip(old.mean, old.std, strict=True))
    new = Normalisation(old.names, moved, tuple(1.7 * s for s in old.std))
    values = np.moveaxis(other.features, 0, -1)[None]
    before = trained.model(old.apply(values)).numpy()
    for name in ("member_0", "member_1"):
        first = trained.model.get_layer(name).get_layer("down0_conv1")
        first.set_weights(renormalised(*first.get_weights(), old, new))
    after = trained.model(new.apply(values)).numpy()
    # At the edge the layers see padding.
    assert np.allclose(before[:, 12:-12, 12:-12], after[:, 12:-12, 12:-12], atol=1e-4)
    assert np.ptp(before[:, 12:-12, 12:-12]) > 0.5


def test_renormalising_asks_for_the_same_features():
    one = Normalisation(SMALL.names, (0.0,) * 12, (1.0,) * 12)
    with pytest.raises(ValueError, match="was trained on"):
        renormalised(np.ones((3, 3, 12, 4)), np.ones(4), one, Normalisation(SMALL.names[::-1], (0.0,) * 12, (1.0,) * 12))


@pytest.mark.slow
def test_a_start_saves_half_of_the_epochs():
    """Another site whose features are shifted: from the neighbour, half of the epochs reach the loss of all."""
    parameters = SMALL.model_copy(update={"members": 1, "epochs": 8, "steps_per_epoch": 10})
    neighbour = train([ground(seed=1)], parameters)
    scratch = train([ground(seed=2, shift=1.0)], parameters)
    started = train([ground(seed=2, shift=1.0)], parameters, initial=(neighbour.model, neighbour.normalisation))
    (a,), (b,) = scratch.history, started.history
    assert len(b["validation"]) <= 4 < len(a["validation"])
    assert min(b["validation"]) <= min(a["validation"])
    assert started.transfer and not scratch.transfer


@pytest.mark.slow
@pytest.mark.parametrize("share", [1.0, 0.05])
def test_an_untrained_network_predicts_the_mean(share):
    """Where it sees nothing; what little is sealed is not unlearnt first."""
    region = ground()
    region = Region(region.features, region.target * np.float32(share), ORIGIN)
    still = SMALL.model_copy(update={"learning_rate": 1e-12, "epochs": 1, "steps_per_epoch": 1, "members": 1})
    model = train([region], still).model
    seen = float(model(np.zeros((1, 16, 16, len(SMALL.names)), "f4"))[0, 8, 8, 0])
    assert seen == pytest.approx(float(region.target.mean()), rel=0.2) and seen != pytest.approx(0.5, abs=0.05)


@pytest.mark.slow
def test_validation_scores_are_those_of_the_kept_network():
    """Against NumPy on the validation pixels, whose crops are the whole of a small site."""
    region = ground()
    trained = train([region], SMALL.model_copy(update={"members": 1, "epochs": 8, "steps_per_epoch": 12}))
    (history,) = trained.history
    (split,), _ = choose_split([region.valid()], [ORIGIN], 16)
    held = split == VALIDATION
    values = np.moveaxis(region.features, 0, -1)[None]
    whole = 100 * trained.model(trained.normalisation.apply(values)).numpy()[0, ..., 0]
    error = whole[held] - 100 * region.target[held]
    scores = history["scores"]
    # Crops see padding where the whole sees its surroundings.
    assert scores["rmse"]["value"] == pytest.approx(np.sqrt((error**2).mean()), rel=0.25)
    built, found = region.target[held] >= 0.1, whole[held] >= 10
    assert scores["f1"]["value"] == pytest.approx(2 * (built & found).sum() / (built.sum() + found.sum()), abs=0.1)
    for score in ("mae", "rmse", "f1", "iou"):
        assert scores[score]["low"] <= scores[score]["value"] <= scores[score]["high"]


@pytest.mark.slow
def test_the_ground_of_a_training_is_let_go():
    """A tile trains two models one after the other; of a whole tile each reads gigabytes."""
    region = ground()
    there = weakref.ref(region)
    train([region], SMALL.model_copy(update={"epochs": 1, "members": 1}))
    del region
    gc.collect()
    assert there() is None
