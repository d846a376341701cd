"""The networks of super-resolution: an untrained one is the regression, windows fit together, files hold arrays and no code."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from imperv.layers.network.weights import flat_weights
from imperv.layers.sharpening import network as networks
from imperv.layers.sharpening.features import start_and_features
from imperv.layers.sharpening.network import Model, Shape, build, load, pack, rebuild, save, shipped, size_of, unpack
from imperv.layers.sharpening.statistics import statistics_of
from imperv.layers.sharpening.steps import STEPS
from imperv.layers.sharpening.training import fresh
from tests.support.sharpened import scene

SMALL = Shape(8, 1, 1, 2)
PACKED = Shape(8, 1, 2, 1)


def trained(name: str, shape: Shape = SMALL, seed: int = 1) -> Model:
    """A model of random weights, which corrects something everywhere."""
    random = np.random.default_rng(seed)
    size = size_of(STEPS[name], shape)
    return Model(
        name, shape, tuple((0.05 * random.standard_normal(size)).astype("f2").astype("f4") for _ in range(shape.members))
    )


@pytest.mark.parametrize(("name", "shape"), [("20to10", SMALL), ("60to10", SMALL), ("10to5", PACKED)])
def test_an_untrained_network_is_the_regression(name, shape):
    step, (guides, coarse) = STEPS[name], scene(name)
    sharp, deviation = fresh(name, shape).predict(guides, coarse, 0.5 * step.factor)
    start, _ = start_and_features(step, statistics_of(step, guides, coarse, 0.5 * step.factor), guides, coarse, 0.5 * step.factor)
    np.testing.assert_array_equal(sharp, start)
    assert (deviation > 0).all()


def test_the_size_of_a_network_is_that_of_keras():
    for name, shape in (("20to10", SMALL), ("10to5", PACKED), ("60to10", Shape(4, 2))):
        network = build(STEPS[name], shape, 1)
        assert size_of(STEPS[name], shape) == network.count_params() == flat_weights(network).size
        np.testing.assert_array_equal(flat_weights(rebuild(STEPS[name], shape, flat_weights(network))), flat_weights(network))


@pytest.mark.parametrize(("name", "shape"), [("20to10", SMALL), ("10to5", PACKED)])
def test_layers_of_16_bits_correct_almost_the_same(name, shape):
    model, (guides, coarse) = trained(name, shape), scene(name)
    sigma = 0.5 * STEPS[name].factor
    rounded = replace(model, precision="bfloat16")
    start = fresh(name, shape).predict(guides, coarse, sigma)[0]
    (exact, spread), (found, other) = model.predict(guides, coarse, sigma), rounded.predict(guides, coarse, sigma)
    assert found.dtype == other.dtype == np.float32 and not np.array_equal(found, exact)
    assert np.abs(found - exact).mean() < 0.02 * np.abs(exact - start).mean()
    np.testing.assert_allclose(other, spread, rtol=0.05)
    assert all(w.dtype == np.float32 for network in rounded.networks for w in network.get_weights())


def test_packing_is_that_of_tensorflow():
    import tensorflow as tf

    image = np.random.default_rng(1).random((2, 8, 12, 3), "f4")
    np.testing.assert_array_equal(pack(image, 2), tf.nn.space_to_depth(image, 2))
    np.testing.assert_array_equal(unpack(pack(image, 2), 2), image)
    assert pack(image, 1) is image


@pytest.mark.parametrize(("name", "shape"), [("20to10", SMALL), ("10to5", PACKED)])
def test_a_window_with_its_reach_is_the_scene(name, shape):
    """Pixels do not depend on where their window begins, if it has `Model.reach` pixels around and the scene's statistics."""
    step, model = STEPS[name], trained(name, shape)
    guides, coarse = scene(name, 70)
    sigma = 0.5 * step.factor
    statistics = statistics_of(step, guides, coarse, sigma)
    whole, spread = model.predict(guides, coarse, sigma, statistics)
    f = step.factor
    halo = -(-model.reach // f)
    inner = slice(halo + 2, 70 - halo)
    outer = slice(inner.start - halo, 70)
    assert inner.stop > inner.start
    part, part_spread = model.predict(guides[:, outer.start * f :], coarse[:, outer], sigma, statistics)
    rows = slice(inner.start * f, None)
    np.testing.assert_allclose(part[:, halo * f :], whole[:, rows], atol=0.02)
    np.testing.assert_allclose(part_spread[:, halo * f :], spread[:, rows], rtol=1e-3)


def test_windows_of_the_network_show_no_edge(monkeypatch):
    model = trained("10to5", PACKED)
    features = np.random.default_rng(1).standard_normal((60, 72, 9), "f4")
    whole = model.correct(features)
    monkeypatch.setattr(networks, "WINDOW", 16)
    for one, other in zip(whole, model.correct(features), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "shape", "size", "windows"),
    [("20to10", SMALL, (50, 50), 12), ("20to10", SMALL, (40, 61), 8), ("10to5", PACKED, (90, 24), 4)],
)
def test_windows_are_seen_once_and_never_alone(monkeypatch, name, shape, size, windows):
    model, seen = trained(name, shape), []
    features = np.random.default_rng(1).standard_normal((*size, networks.feature_count(STEPS[name])), "f4")
    whole, run = model.correct(features), model._run
    model.__dict__["_run"] = lambda x: seen.append(x.shape) or run(x)
    monkeypatch.setattr(networks, "WINDOW", 16)
    for one, other in zip(whole, model.correct(features), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert len(set(seen)) == 1 and seen[0][0] == networks.AT_ONCE and len(seen) * networks.AT_ONCE == windows


def test_members_are_averaged_and_their_spread_is_in_the_deviation():
    model = trained("20to10")
    features = np.random.default_rng(2).standard_normal((12, 14, 21), "f4")
    single = [Model("20to10", Shape(8, 1, 1, 1), (weights,)).correct(features) for weights in model.weights]
    mean, deviation = model.correct(features)
    np.testing.assert_allclose(mean, np.mean([s[0] for s in single], 0), atol=1e-5)
    mixed = np.sqrt(np.mean([s[1] ** 2 for s in single], 0) + np.var([s[0] for s in single], 0))
    np.testing.assert_allclose(deviation, mixed, rtol=1e-4)


def test_where_a_guide_has_no_data_the_network_says_nothing():
    step, model = STEPS["20to10"], trained("20to10")
    guides, coarse = scene("20to10")
    guides[2, 10:14, 10:14] = np.nan
    coarse[1, 0, 0] = np.nan
    statistics = statistics_of(step, guides, coarse, 1.0)
    sharp, deviation = model.predict(guides, coarse, 1.0, statistics)
    start, _ = start_and_features(step, statistics, guides, coarse, 1.0)
    np.testing.assert_array_equal(sharp[:, 10:14, 10:14], start[:, 10:14, 10:14])
    missing = np.zeros(sharp.shape, bool)
    missing[1, :2, :2] = True
    np.testing.assert_array_equal(np.isnan(sharp), missing)
    np.testing.assert_array_equal(np.isnan(deviation), missing)


def test_arrays_of_another_step_are_refused():
    guides, coarse = scene("20to10")
    with pytest.raises(ValueError, match="20to10: 4 guides and 6 bands"):
        trained("20to10").predict(guides[:3], coarse, 1.0)
    with pytest.raises(ValueError, match="20to10"):
        trained("20to10").predict(guides, coarse[:, 1:], 1.0)


def test_a_file_gives_the_model_back(tmp_path):
    model = trained("20to10")
    model = Model(model.step, model.shape, model.weights, {"data": ["here"], "figures": {"rmse": 1.5}}, (0.5,) * 6)
    save(model, tmp_path / "model.npz")
    found = load(tmp_path / "model.npz")
    assert (found.step, found.shape, found.record, found.trust) == (model.step, model.shape, model.record, (0.5,) * 6)
    for one, other in zip(found.weights, model.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_model_travels_to_another_process():
    model = trained("20to10")
    features = np.zeros((8, 8, 21), "f4")
    before = model.correct(features)
    for one, other in zip(before, pickle.loads(pickle.dumps(model)).correct(features), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_files_that_are_no_model_are_refused(tmp_path):
    (tmp_path / "text.npz").write_text("nothing")
    with pytest.raises(ValueError, match=r"text\.npz cannot be read"):
        load(tmp_path / "text.npz")
    with pytest.raises(ValueError, match=r"none\.npz cannot be read"):
        load(tmp_path / "none.npz")
    model = trained("20to10")
    save(Model("20to10", Shape(9, 1, 1, 2), model.weights), tmp_path / "wide.npz")
    with pytest.raises(ValueError, match="weights do not fit"):
        load(tmp_path / "wide.npz")


def test_a_model_of_another_band_set_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        other = STEPS["20to10"].__class__("20to10", ("B05", "B06"), ("B02", "B03", "B04", "B08"), 2, 2, 1)
        patch.setattr(networks, "STEPS", {**STEPS, "20to10": other})
        save(Model("20to10", Shape(4, 1, 1, 1), (np.zeros(size_of(other, Shape(4, 1, 1, 1)), "f4"),)), tmp_path / "two.npz")
    with pytest.raises(ValueError, match="model of B05, B06 by B02, B03, B04, B08"):
        load(tmp_path / "two.npz")


def test_what_comes_with_the_package_says_from_what_it_was_made():
    found = {name: shipped(name) for name in STEPS}
    assert found["20to10"] is not None and found["10to5"] is not None
    assert found["60to10"] is None
    folder = networks.resources.files("imperv.layers.sharpening").joinpath("data")
    assert sum(len(file.read_bytes()) for file in folder.iterdir()) <= 2 * 2**20
    for model in filter(None, found.values()):
        assert {"command", "data", "steps", "normalisation"} <= model.record.keys()
        assert networks.cost(model) <= 300_000


@pytest.mark.slow
@pytest.mark.parametrize(("name", "share"), [("20to10", 0.9), ("10to5", 0.95)])
def test_what_comes_with_the_package_is_ahead_of_the_regression_on_real_ground(name, share, shared_data):
    """On 6 x 6 km that it has seen: the mean of the bands' errors, an octave lower, after back-projection."""
    import rasterio

    from imperv.layers.sharpening.back_projection import back_project
    from imperv.layers.sharpening.degradation import degrade

    errors = []
    folder = shared_data / "superres"
    with rasterio.open(folder / "t33uub_10m.tif") as source:
        ten = source.read().astype("f4")[[2, 1, 0, 3]]
    with rasterio.open(folder / "t33uub_20m.tif") as source:
        twenty = source.read().astype("f4")
    truth = twenty if name == "20to10" else ten
    guides = degrade(ten, 2, 1.0) if name == "20to10" else np.empty((0, *truth.shape[1:]), "f4")
    coarse = degrade(truth, 2, 1.0)
    for model in (fresh(name), shipped(name)):
        sharp = back_project(model.predict(guides, coarse, 1.0)[0], coarse, 2, 1.0, 10)
        errors.append(np.sqrt(((sharp - truth) ** 2).mean((1, 2))).mean())
    assert errors[1] < share * errors[0]
