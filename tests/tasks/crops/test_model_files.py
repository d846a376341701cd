"""Models of crops in files: written and read back, those of others, and what is refused in one line."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from imperv.layers.crops.models import Learner
from imperv.layers.crops.parameters import TrainingParameters
from imperv.layers.network.unet import configure_threads
from imperv.tasks.crops import learning
from imperv.tasks.crops.learning import Training, evaluate_model, train_model
from imperv.tasks.crops.model_files import Told, load_model, model_digest, record_path, save_model
from imperv.tasks.crops.samples import Request
from imperv.tasks.errors import InputError
from tests.support.crops import BANDS, made_up, write_arrays, write_mapping, write_parcels

SMALL = TrainingParameters(n_epochs=3, members=2)


@pytest.fixture(scope="module")
def series():
    return made_up(8)


@pytest.fixture(scope="module")
def learnt(series):
    configure_threads(2)
    kinds = {kind: SMALL.model_copy(update={"kind": kind}) for kind in ("tempcnn", "lstm", "forest", "boosting")}
    return {kind: Learner(parameters, series).learn(series, 1) for kind, parameters in kinds.items()}


def refused(call, *given) -> str:
    with pytest.raises(InputError) as found:
        call(*given)
    assert "\n" not in str(found.value)
    return str(found.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tempcnn.keras", "tempcnn.h5", "lstm.keras", "lstm.h5", "forest.npz", "boosting.ubj"])
def test_a_model_that_is_read_back_says_the_same(series, learnt, tmp_path, name):
    model = learnt[name.split(".")[0]]
    save_model(model, tmp_path / name, Told(data={"digest": "x"}, codes={"11": "wheat"}))
    file = load_model(tmp_path / name)
    assert np.allclose(file.model.probabilities(series.values), model.probabilities(series.values), atol=1e-6)
    assert (file.model.kind, file.model.classes, file.model.inputs.bands) == (model.kind, series.classes, BANDS)
    assert file.told.codes == {"11": "wheat"} and sorted(p.name for p in tmp_path.iterdir()) == [name, f"{name}.json"]
    record = json.loads(record_path(tmp_path / name).read_text())
    record["mean"] = [0.0] * len(record["mean"])
    before = model_digest(tmp_path / name)
    record_path(tmp_path / name).write_text(json.dumps(record))
    assert model_digest(tmp_path / name) != before  # what depends on the model is made again


def write_foreign(path, steps=12, features=9, classes=16, last="softmax"):
    import keras

    network = keras.Sequential([
        keras.layers.Input((steps, features)), keras.layers.LSTM(4), keras.layers.Dense(classes, activation=last),
    ])  # fmt: skip
    network.compile("adam", "sparse_categorical_crossentropy")
    network.save(path)
    return network


@pytest.mark.slow
def test_a_model_that_somebody_else_has_trained(tmp_path, series):
    import h5py

    path = tmp_path / "lstm.h5"
    network = write_foreign(path)
    with h5py.File(path, "r+") as file:  # as Keras 2 wrote it
        config = json.loads(file.attrs["model_config"])
        next(layer for layer in config["config"]["layers"] if layer["class_name"] == "LSTM")["config"]["time_major"] = False
        file.attrs["model_config"] = json.dumps(config)
    found = load_model(path)
    assert found.model.inputs.bands == BANDS and len(found.model.classes) == 16 and "has no record" in found.warnings[0]
    values = np.nan_to_num(series.values, nan=0.3)
    assert np.allclose(found.model.probabilities(values), np.asarray(network(values)), atol=1e-6)
    assert len(load_model(_saved(tmp_path / "ten.keras", features=10)).model.inputs.bands) == 10


def _saved(path, **shape):
    write_foreign(path, **shape)
    return path


@pytest.mark.parametrize(
    ("shape", "words"),
    [({"steps": 24}, "its input is (N, 24, 9)"), ({"features": 7}, "(N, 12, 7)"), ({"classes": 5}, "5 classes")],
)
def test_models_of_others_that_do_not_fit(tmp_path, shape, words):
    assert words in refused(load_model, _saved(tmp_path / "other.h5", **shape))


def test_files_that_are_no_models(series, learnt, tmp_path):
    path = tmp_path / "m.keras"
    assert "no such model" in refused(load_model, path)
    path.write_bytes(b"nothing")
    assert "cannot be read as a Keras model" in refused(load_model, path)
    import keras

    keras.Sequential([keras.layers.Input((5,)), keras.layers.Dense(2)]).save(path)
    assert "(N, steps, bands)" in refused(load_model, path)
    assert "ends in .npz" in refused(save_model, learnt["forest"], path, Told())
    for name in ("forest.npz", "boosting.ubj"):
        file = tmp_path / name
        save_model(learnt[name.split(".")[0]], file, Told())
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        assert "is not the model that" in refused(load_model, file)
        record = json.loads(record_path(file).read_text())
        record_path(file).write_text(json.dumps(record | {"digest": ""}))
        assert "cannot be read as" in refused(load_model, file)
        record_path(file).unlink()
        assert "has no record beside it" in refused(load_model, file)
    save_model(learnt["lstm"], path, Told())
    record = json.loads(record_path(path).read_text())
    record_path(path).write_text(json.dumps(record | {"classes": ["a", "b"]}))
    assert "it tells 3 classes apart" in refused(load_model, path)
    record_path(path).write_text("{}")
    assert "is no record of a model" in refused(load_model, path)


@pytest.mark.slow
def test_training_and_judging_on_another_year(tmp_path, monkeypatch):
    """The record has the scores of left-out samples; on the samples themselves a person is told that it is memory."""
    codes = (11, 12, 13)
    mapping = write_mapping(tmp_path / "class_mappings.json", codes)
    data = write_parcels(tmp_path / "2023.parquet", made_up(10), codes)
    monkeypatch.setattr(learning, "configure_threads", lambda count: True)
    training = Training(Request(data), tmp_path / "f.npz", TrainingParameters(kind="forest"), beside=("boosting",), folds=2)
    made = train_model(training)
    left_out = made.scores["left out"]
    assert set(left_out) == {"forest", "boosting", "differences", "folds"} and left_out["forest"]["oa"]["value"] > 0.8
    mapping.unlink()
    memory = evaluate_model(made.paths[0], Request(data))
    assert memory["scores"]["oa"]["value"] > 0.95 and "of memory, not of skill" in memory["warnings"][-1]
    other = write_parcels(tmp_path / "2021.parquet", made_up(6, seed=5), codes, year=2021)
    found = evaluate_model(made.paths[0], Request(other))
    assert found["samples"] == {"maize": 6, "no crop": 6, "wheat": 6} and found["scores"]["oa"]["value"] > 0.8
    assert not any("memory" in text for text in found["warnings"])
    arrays = write_arrays(tmp_path / "arrays", made_up(3))
    assert "have no dates" in refused(evaluate_model, made.paths[0], Request(arrays))
    validated = replace(training, output=tmp_path / "v.npz", validation=other, folds=0, data=Request(data))
    mapping = write_mapping(tmp_path / "class_mappings.json", codes)
    assert train_model(validated).scores["validation"]["oa"]["value"] > 0.8
