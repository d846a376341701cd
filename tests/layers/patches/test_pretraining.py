"""Pairs show the same ground; the loss is that of the paper; a pretraining that is cut off goes on."""

from copy import deepcopy

import numpy as np
import pytest

from imperv.layers.network.unet import Normalisation
from imperv.layers.patches import pretraining
from imperv.layers.patches.pretraining import (
    MARGIN,
    REDUNDANCY,
    DatePairs,
    PretrainingParameters,
    barlow_twins,
    draw_batch,
    learn_features,
    pairs_of,
    within,
)


def test_the_loss_is_that_of_the_paper():
    random = np.random.default_rng(1)
    a, b = random.normal(size=(2, 50, 6)).astype("f4")
    c = np.array([[np.corrcoef(a[:, i], b[:, j])[0, 1] for j in range(6)] for i in range(6)])
    expected = ((1 - np.diag(c)) ** 2).sum() + REDUNDANCY * ((c - np.diag(np.diag(c))) ** 2).sum()
    assert abs(float(barlow_twins(a, b)) - expected) < 1e-3
    whitened = np.linalg.qr(a - a.mean(0))[0] * 50**0.5
    assert float(barlow_twins(whitened.astype("f4"), whitened.astype("f4"))) < 1e-3


def images_of_places(clouds: bool = False) -> np.ndarray:
    """Two dates of three places: bands are place, row, column; the second date is 1000 brighter."""
    size = 32 + MARGIN
    rows, columns = np.mgrid[1 : size + 1, 1 : size + 1]
    images = np.stack([np.stack([np.full((size, size), p + 1), rows, columns]) + 1000 * d for p in range(3) for d in range(2)])
    if clouds:
        images[1::2, :, : size // 2] = 0
    return images.astype("u2")


def test_the_pixels_of_a_pair_show_the_same_ground():
    source, random = DatePairs(images_of_places(clouds=True), [[0, 1], [2, 3], [4, 5]], 0), np.random.default_rng(1)
    offsets = set()
    for _ in range(20):
        a, b, at, to = source.draw(random)
        assert a.shape == b.shape == (32, 32, 3)
        np.testing.assert_array_equal(a[tuple(at.T)] % 1000, b[tuple(to.T)] % 1000)
        assert np.isfinite(a[tuple(at.T)]).all() and np.isfinite(b[tuple(to.T)]).all()
        offsets |= {tuple(d) for d in (at - to)[:1]}
    assert len(offsets) > 5  # corners differ


def test_a_batch_names_pixels_of_all_its_crops():
    normalisation = Normalisation(("a", "b", "c"), (0.0,) * 3, (1000.0,) * 3)
    source, random = DatePairs(images_of_places(), [[0, 1], [2, 3], [4, 5]], 0), np.random.default_rng(1)
    a, b, here, there = draw_batch(source, random, normalisation, 4)
    assert a.shape == b.shape == (4, 32, 32, 3) and set(here[:, 0]) == set(range(4))
    assert here.shape == there.shape and here.max() < 32 and (here[:, 0] == there[:, 0]).all()


def test_places_have_two_dates():
    assert pairs_of(["a", "b", "a", "c", "b", "a"]) == [[0, 2, 5], [1, 4]]


@pytest.mark.slow
def test_a_pretraining_that_was_cut_off_ends_with_about_the_same_weights(monkeypatch):
    import keras
    from keras import layers as kl

    monkeypatch.setattr(pretraining, "EVERY", 4)
    normalisation = Normalisation(("a", "b", "c"), (500.0, 500.0, 500.0), (500.0,) * 3)
    source = DatePairs(images_of_places(), [[0, 1], [2, 3], [4, 5]], 0)
    kept: list = []

    def run(state=None, keep=None):
        keras.utils.set_random_seed(1)
        inputs = kl.Input((None, None, 3))
        features = keras.Model(inputs, kl.ReLU()(kl.BatchNormalization()(kl.Conv2D(8, 3, padding="same")(inputs))))
        parameters = PretrainingParameters(batch=2, steps=12, learning_rate=1e-2)
        return features, learn_features(features, source, normalisation, parameters, state=state, keep=keep)

    first, losses = run(keep=lambda state: kept.append(deepcopy(state)))  # its list grows
    second, again = run(state=kept[1])
    assert [state["step"] for state in kept] == [4, 8] and len(losses) == 3
    # Not bit for bit: sums over pixels are added up by threads in any order.
    np.testing.assert_allclose(again, losses, rtol=1e-4)
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-3)


def test_what_all_pixels_of_a_place_share_is_not_compared():
    values = np.array([[1.0, 5], [3, 7], [10, 0]], "f4")
    np.testing.assert_allclose(within(values, np.array([0, 0, 2], "i4")), [[-1, -1], [1, 1], [0, 0]])
