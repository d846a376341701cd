"""The U-Net: learns, repeats itself, keeps no data out, and survives the disk."""

import hashlib
import json
import logging
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from imperv.layers.network.prediction import predict, window_function
from imperv.layers.network.sampling import VALIDATION, Region, choose_split
from imperv.layers.network.training import normalise, train
from imperv.layers.network.unet import (
    CLIP,
    Normalisation,
    UNetParameters,
    build_unet,
    configure_threads,
    join_members,
    load_model,
    save_model,
    split_members,
)
from imperv.layers.network.unpadded import unpadded
from imperv.layers.network.windows import reach

SMALL = UNetParameters(
    base_filters=4, depth=2, crop=32, batch=4, epochs=8, steps_per_epoch=16, split_block=32,
    learning_rate=0.01, members=2,
)  # fmt: skip
QUICK = SMALL.model_copy(update={"depth": 1, "epochs": 2, "steps_per_epoch": 3})
"""For what does not hang on how much is learnt."""
ONE = QUICK.model_copy(update={"members": 1})
"""The first member of `QUICK`."""
ORIGIN = (-310_240, 382_980)
FEATURES = len(SMALL.names)


def texture(size=160, seed=0):
    """Ground that no single pixel gives away: chequered or smooth squares of equal mean and spread."""
    rng = np.random.default_rng(seed)
    kind = np.kron(rng.random((size // 16, size // 16)) < 0.4, np.ones((16, 16))) > 0
    chequer = np.indices((size, size)).sum(axis=0) % 2 * 2 - 1
    smooth = np.kron(rng.choice([-1, 1], (size // 4, size // 4)), np.ones((4, 4)))
    signal = np.where(kind, chequer, smooth) + 0.2 * rng.standard_normal((size, size))
    features = 0.1 * rng.standard_normal((FEATURES, size, size)).astype("f4")
    features[0] = 0.2 + 0.05 * signal
    features[:, :20, :30] = np.nan
    features[3, 100, 100] = np.nan
    target = kind.astype("f4")
    target[140:, 120:] = np.nan
    return Region(features, target, ORIGIN)


@pytest.fixture(scope="module")
def trained():
    return train([texture()], SMALL)


@pytest.fixture(scope="module")
def quick():
    return train([texture()], QUICK)


def digest(model):
    return hashlib.sha256(b"".join(w.numpy().tobytes() for w in model.trainable_variables)).hexdigest()


@pytest.mark.slow
def test_learns_what_needs_the_neighbourhood(trained):
    for member in trained.history:
        assert min(member["validation"]) < 0.5 * member["constant_loss"]
        assert member["best_epoch"] == int(np.argmin(member["validation"]))
    # Ground it never saw.
    other = texture(seed=1)
    members = predict(trained.model, trained.normalisation, other.features, ORIGIN)
    valid = other.valid()
    right = (members[:, valid] > 0.5) == (other.target[valid] > 0.5)
    assert right.mean() > 0.9
    # The better of always 0 and always 1 is right less often, so this can fail.
    assert max(other.target[valid].mean(), 1 - other.target[valid].mean()) < 0.75


@pytest.mark.slow
def test_kept_weights_are_those_of_the_best_epoch():
    """The validation loss of the finished model is the lowest of the history, and not that of the last epoch."""
    worse = train([texture()], SMALL.model_copy(update={"learning_rate": 0.2, "members": 1, "patience": 8}))
    (history,) = worse.history
    region = texture()
    (split,), _ = choose_split([region.valid()], [ORIGIN], 32)
    held = region.valid() & (split == VALIDATION)
    x = worse.normalisation.apply(np.moveaxis(region.features, 0, -1))[None]
    p = np.clip(np.asarray(worse.model(x))[0, ..., 0].astype("f8"), 1e-7, 1 - 1e-7)
    y = np.nan_to_num(region.target)
    entropy = -(y * np.log(p) + (1 - y) * np.log(1 - p))[held].mean()
    loss = 0.6 * entropy + 0.4 * 4 * np.abs(p - y)[held].mean()
    # Crops see less around them than the whole, so the two agree only roughly.
    assert loss == pytest.approx(min(history["validation"]), rel=0.25)


@pytest.mark.slow
def test_no_data_is_kept_out_of_the_prediction(quick):
    region = texture(seed=1)
    members = predict(quick.model, quick.normalisation, region.features, ORIGIN)
    assert members.dtype == np.float32
    missing = np.isnan(region.features).any(axis=0)
    for member in members:
        np.testing.assert_array_equal(np.isnan(member), missing)
        assert 0 <= member[~missing].min() < member[~missing].max() <= 1
    assert np.abs(members[0] - members[1])[~missing].max() > 0.01


@pytest.mark.slow
def test_pixels_without_data_never_enter_training(quick):
    """Targets where a feature is missing, and those of the guard band, change no weight."""
    region = texture()
    (split,), _ = choose_split([region.valid()], [ORIGIN], 32)
    target = region.target.copy()
    nowhere = np.isnan(region.features).any(axis=0)
    assert nowhere.sum() > 500
    target[nowhere] = 1 - target[nowhere]
    guard = region.valid() & (split == 2)
    target[guard] = 1 - target[guard]
    # The split is that of the first member; the others have other guard bands.
    again = train([Region(region.features, target, ORIGIN)], ONE)
    assert digest(again.model) == digest(split_members(quick.model)[0])
    # All that is learnt, for a few crops see only some of it.
    target[region.valid() & (split == 0)] = 1 - target[region.valid() & (split == 0)]
    different = train([Region(region.features, target, ORIGIN)], ONE)
    assert digest(different.model) != digest(again.model)


@pytest.mark.slow
def test_training_does_not_hang_on_global_state(quick):
    """Two trainings at once in threads, after others have used the global random state, still give the same weights."""
    import keras

    keras.utils.set_random_seed(4711)
    found = []
    threads = [threading.Thread(target=lambda: found.append(digest(train([texture()], ONE).model))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [digest(split_members(quick.model)[0])] * 2


SCRIPT = """
import sys
sys.path.insert(0, {root!r})
from imperv.layers.network.unet import configure_threads
configure_threads(2)
from tests.layers.network.test_unet import ONE, digest, texture
from imperv.layers.network.training import train
print(digest(train([texture()], ONE).model))
"""


@pytest.mark.slow
def test_two_processes_give_identical_weights():
    script = SCRIPT.format(root=str(Path(__file__).parents[3]))
    runs = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    a, b = (run.communicate(timeout=300)[0].split()[-1] for run in runs)
    assert len(a) == 64
    assert a == b


def test_members_and_seeds_differ():
    def kernel(seed):
        return build_unet(SMALL, seed).get_layer("down0_conv1").kernel.numpy()

    np.testing.assert_array_equal(kernel(1), kernel(1))
    assert np.abs(kernel(1) - kernel(2)).max() > 0.1


def test_network_keeps_the_size_and_has_the_classical_parts():
    net = build_unet(UNetParameters(base_filters=2, depth=3), 1)
    assert net(np.zeros((2, 40, 24, 12), "f4")).shape == (2, 40, 24, 1)
    assert net.input_shape == (None, None, None, 12)
    kinds = [type(layer).__name__ for layer in net.layers]
    assert [kinds.count(k) for k in ("MaxPooling2D", "Conv2DTranspose", "Concatenate")] == [3, 3, 3]
    assert kinds.count("Conv2D") == 2 * 7 + 1


@pytest.mark.slow
def test_blocks_equal_the_whole(quick):
    features = texture(seed=2).features
    whole = predict(quick.model, quick.normalisation, features, ORIGIN)
    h = reach(QUICK.depth)
    part = predict(quick.model, quick.normalisation, features[:, : 80 + h], ORIGIN, np.s_[:80, :])
    np.testing.assert_array_equal(part, whole[:, :80])


@pytest.mark.slow
def test_many_areas_one_trace(quick):
    for rows in (30, 64, 100):
        features = np.zeros((FEATURES, rows, 70), "f4")
        predict(quick.model, quick.normalisation, features, (rows, 3))
    before = window_function.cache_info()
    predict(quick.model, quick.normalisation, np.zeros((FEATURES, 40, 50), "f4"), (7, 3))
    assert window_function.cache_info().misses == before.misses


@pytest.mark.slow
def test_save_and_load(quick, tmp_path):
    path = tmp_path / "new" / "model.keras"
    save_model(quick.model, path)
    metadata = json.loads(json.dumps(quick.metadata()))
    model, normalisation = load_model(path), Normalisation.from_json(metadata["normalisation"])
    assert normalisation == quick.normalisation
    assert UNetParameters(**metadata["parameters"]) == QUICK
    features = texture(seed=3).features
    before, after = (predict(m, n, features, ORIGIN) for m, n in ((quick.model, quick.normalisation), (model, normalisation)))
    np.testing.assert_array_equal(before, after)


def test_load_says_which_file_is_bad(tmp_path):
    (tmp_path / "bad.keras").write_bytes(b"no model")
    for name in ("bad.keras", "missing.keras"):
        with pytest.raises(ValueError, match=name):
            load_model(tmp_path / name)


@pytest.mark.slow
def test_transfer_starts_where_the_neighbour_ended(trained):
    short = SMALL.model_copy(update={"epochs": 1, "steps_per_epoch": 2, "members": 3, "learning_rate": 1e-4})
    region = texture(seed=4)
    fresh = train([region], short.model_copy(update={"members": 1}))
    moved = train([region], short, initial=(trained.model, trained.normalisation))
    assert moved.normalisation == fresh.normalisation != trained.normalisation
    assert len(moved.history) == 3
    for member in moved.history:
        assert member["validation"][0] < 0.6 * fresh.history[0]["validation"][0]
    with pytest.raises(ValueError, match="architecture"):
        train([region], SMALL.model_copy(update={"base_filters": 8}), initial=(trained.model, trained.normalisation))


@pytest.mark.slow
def test_early_stop():
    still = {"learning_rate": 1e-9, "epochs": 8, "patience": 2, "dropout": 0, "members": 1, "steps_per_epoch": 1}
    history = train([texture()], QUICK.model_copy(update=still)).history[0]
    assert len(history["validation"]) == history["best_epoch"] + 3 < SMALL.epochs


@pytest.mark.slow
def test_progress_is_told():
    seen = []
    result = train([texture()], QUICK.model_copy(update={"steps_per_epoch": 1}), lambda *event: seen.append(event))
    assert [event[:2] for event in seen] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [event[3] for event in seen[:2]] == result.history[0]["validation"]


@pytest.mark.slow
def test_a_site_as_small_as_a_village():
    region = texture()
    target = np.full((200, 200), np.nan, "f4")
    features = np.full((FEATURES, 200, 200), np.nan, "f4")
    features[:, 70:134, 60:122], target[70:134, 60:122] = (
        region.features[:, 40:104, 40:102],
        region.target[40:104, 40:102],
    )
    result = train([Region(features, target, ORIGIN)], QUICK.model_copy(update={"depth": 2, "crop": 128}))
    assert result.crop == 60
    assert all(member["split_block"] < 32 and member["training_pixels"] > 1500 for member in result.history)
    assert all(np.isfinite(h["validation"]).all() for h in result.history)


def test_normalisation_is_that_of_the_training_pixels():
    a, b = texture(seed=5), texture(seed=6)
    masks = [a.valid(), b.valid() & (b.target > 0.5)]
    found = normalise([a, b], masks, SMALL.names)
    pixels = np.concatenate([a.features[:, masks[0]], b.features[:, masks[1]]], axis=1)
    np.testing.assert_allclose(found.mean, pixels.mean(axis=1, dtype="f8"), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.std, pixels.std(axis=1, dtype="f8"), rtol=1e-5)
    scaled = found.apply(np.array([[found.mean[k] + 2 * found.std[k] for k in range(FEATURES)]], "f4"))
    np.testing.assert_allclose(scaled, 2, rtol=1e-4)
    assert found.apply(np.full((1, FEATURES), np.nan, "f4")).max() == 0
    assert found.apply(np.full((1, FEATURES), 1e9, "f4")).max() == CLIP


@pytest.mark.parametrize(
    "bad",
    [
        {"crop": 60},
        {"filters": 3},
        {"features": "all"},
        {"dropout": 1.0},
    ],
)
def test_parameters_refuse(bad):
    with pytest.raises(ValidationError):
        UNetParameters(**bad)


def test_regions_must_fit():
    with pytest.raises(ValueError, match="no region"):
        train([], SMALL)
    region = texture()
    with pytest.raises(ValueError, match="has 12 features"):
        train([Region(region.features[:5], region.target, ORIGIN)], SMALL)
    with pytest.raises(ValueError, match="target has shape"):
        train([Region(region.features, region.target[:9], ORIGIN)], SMALL)


@pytest.mark.slow
def test_many_networks_are_no_reason_for_a_warning():
    """TensorFlow takes the graphs of an ensemble for one that is traced anew every time."""
    told = []
    normalisation = Normalisation(SMALL.names, (0.0,) * FEATURES, (1.0,) * FEATURES)
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())
    configure_threads(1)
    logging.getLogger("tensorflow").addHandler(handler)
    try:
        for k in range(8):
            run = window_function(unpadded(join_members([build_unet(SMALL, k, "member_0")])), normalisation, SMALL.depth)
            edge = 32 + 2 * reach(SMALL.depth)
            assert run(np.zeros((1, edge, edge, FEATURES), "f4")).shape == (1, 32, 32, 1)
    finally:
        logging.getLogger("tensorflow").removeHandler(handler)
    assert not told
