"""The network of patches: form, normalisation inside, files, ONNX, training that goes on."""

from copy import deepcopy

import numpy as np
import pytest

from imperv.layers.network.unet import Normalisation, configure_threads
from imperv.layers.patches import network
from imperv.layers.patches.labels import Classes
from imperv.layers.patches.sampling import PatchSampler, normalise, pixels_of
from imperv.layers.patches.training import TrainingParameters, train, weighted_head

NAMES = ("B02", "B03", "B08")
NORMALISATION = Normalisation(NAMES, (500.0, 700.0, 2500.0), (200.0, 300.0, 800.0))
STAGES = 2


@pytest.fixture(scope="module")
def features():
    configure_threads(2)
    return network.build_features(len(NAMES), STAGES, 1)


@pytest.fixture(scope="module")
def whole(features):
    return network.whole_model(network.with_head(features, 4, 1), NORMALISATION)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(1).normal((500, 700, 2500), (250, 300, 900), (2, 64, 32, 3)).astype("f4")


@pytest.mark.slow
def test_the_whole_model_standardises_as_training_does(features, whole, image):
    head = network.with_head(features, 4, 1)
    head.set_weights(whole.get_layer("patches").get_weights())
    found = np.asarray(whole(image, training=False))
    np.testing.assert_allclose(found, np.asarray(head(NORMALISATION.apply(image), training=False)), atol=2e-5)
    assert found.shape == (2, 64, 32, 4)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)


def test_files_answer_as_the_model_does(whole, image, tmp_path):
    expected = np.asarray(whole(image, training=False))
    network.save(whole, str(tmp_path / "m.keras"))
    read = network.load(str(tmp_path / "m.keras"))
    np.testing.assert_allclose(network.predictor(read)(image), expected, atol=1e-6)


def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "m.keras").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="Keras model"):
        network.load(str(tmp_path / "m.keras"))


def test_a_pretrained_network_gives_its_weights(features):
    other = network.build_features(len(NAMES), STAGES, 2)
    assert not np.array_equal(other.get_weights()[0], features.get_weights()[0])
    network.start_from(other, features)
    for a, b in zip(other.get_weights(), features.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="another form"):
        network.start_from(other, small())


def small():
    """A network with statistics of batches, as the real one has, that is quick to trace."""
    import keras
    from keras import layers as kl

    keras.utils.set_random_seed(1)
    inputs = kl.Input((None, None, 3))
    x = kl.ReLU()(kl.BatchNormalization(momentum=0.9)(kl.Conv2D(8, 3, padding="same")(inputs)))
    return keras.Model(inputs, x)


def patches() -> tuple[np.ndarray, np.ndarray]:
    """Six patches whose two classes differ in the last band; a third of the pixels are not labelled, some lack data."""
    random = np.random.default_rng(1)
    labels = np.repeat(np.repeat(random.integers(1, 3, (6, 4, 4)), 8, 1), 8, 2).astype("u1")
    images = random.normal((500, 700, 2500), 50, (6, 32, 32, 3)) + (labels[..., None] == 2) * (0, 0, -1500)
    images = np.moveaxis(images, -1, 1).astype("u2")
    images[0, :, :3] = 0
    labels[:, ::3] = 0
    return images, labels


def test_what_is_not_labelled_or_has_no_data_has_no_weight():
    images, labels = patches()
    sampler = PatchSampler(images, labels, range(6), 0, Classes.of([1, 2]), 1, False)
    x, y, w = sampler.patch(0)
    assert not w[::3].any() and not w[:3].any() and w[4].all()
    assert np.isnan(x[:3]).all() and np.isfinite(x[3:]).all()
    np.testing.assert_array_equal(y[w > 0] + 1, labels[0][w > 0])


def test_every_patch_comes_once_before_one_comes_again_and_turns_with_its_labels():
    images, labels = patches()
    images[:, 0], images[:, 1] = np.arange(1, 7)[:, None, None], labels + 1
    sampler = PatchSampler(images, labels, [0, 2, 3, 5], 0, Classes.of([1, 2]), 1, True)
    x, y, w = sampler.draw(8)
    first = x[:, 5, 5, 0]
    assert sorted(first[:4]) == sorted(first[4:]) == [1, 3, 4, 6]
    np.testing.assert_array_equal(x[..., 1][w > 0], y[w > 0] + 2)
    sampler.restart(0)
    np.testing.assert_array_equal(sampler.draw(8)[0], x)


def test_normalisation_leaves_pixels_without_data_out():
    images, _ = patches()
    found = normalise(images, [0, 1], 0, NAMES)
    values = np.concatenate([pixels_of(images[k], 0).reshape(-1, 3) for k in (0, 1)]).astype("f8")
    np.testing.assert_allclose(found.mean, np.nanmean(values, 0), rtol=1e-6)
    np.testing.assert_allclose(found.std, np.nanstd(values, 0), rtol=1e-4)


def test_classes_weigh_by_the_root_of_their_frequency():
    head = weighted_head(np.array([900.0, 100.0, 0.0]), TrainingParameters(criterion="focal_loss"))
    assert head.focal == 2 and head.weights[2] == 0
    assert head.weights[1] / head.weights[0] == pytest.approx(3)
    assert 0.9 * head.weights[0] + 0.1 * head.weights[1] == pytest.approx(1)


@pytest.mark.slow
def test_a_training_that_was_cut_off_ends_with_the_same_weights():
    images, labels = patches()
    parameters = TrainingParameters(epochs=3, batch=2, learning_rate=3e-2, data_aug=True)
    normalisation = normalise(images, range(6), 0, NAMES)
    kept: list = []

    def run(state=None, keep=None):
        net = network.with_head(small(), 2, 1)
        found = train(net, images, labels, 0, Classes.of([1, 2]), [0, 1, 2, 3], [4, 5], normalisation, parameters,
                      state=state, keep=keep)  # fmt: skip
        return net.get_weights(), found

    first, history = run(keep=lambda state: kept.append(deepcopy(state)))  # its lists grow
    second, again = run(state=kept[0])
    assert len(kept) == 2 and again["loss"] == history["loss"]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert history["loss"][-1] < history["loss"][0]
    assert history["scores"]["oa"]["value"] > 0.9
