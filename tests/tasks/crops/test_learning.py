"""Learning models of crops: what was cut off goes on, with the same bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imperv.layers.crops import networks
from imperv.layers.crops.parameters import TrainingParameters
from imperv.tasks.crops.learning import Training, train_model
from imperv.tasks.crops.model_files import load_model
from imperv.tasks.crops.samples import Request
from tests.support.crops import made_up


class CutError(Exception):
    """In place of a kill."""


@pytest.fixture
def training(tmp_path, monkeypatch) -> Training:
    monkeypatch.setattr(networks, "KEEP_EVERY", 0.0)
    series = made_up(12)
    np.save(tmp_path / "train.npy", series.values)
    np.save(tmp_path / "y_train.npy", series.labels)
    parameters = TrainingParameters(kind="tempcnn", n_epochs=3, members=2)
    return Training(Request(tmp_path), tmp_path / "crops.keras", parameters, folds=2)


def weights_of(path: Path) -> list[np.ndarray]:
    return load_model(path).model.body.get_weights()


def cut_at(epoch: int):
    def tell(step: str, done: int, total: int) -> None:
        if (step, done) == ("learn", epoch):
            raise CutError

    return tell


@pytest.mark.slow
def test_a_training_that_was_cut_off_goes_on_with_the_same_bits(training):
    whole = train_model(training)
    expected = weights_of(training.output)
    training.output.unlink()
    state = training.output.with_name(".crops.training.npz")
    assert not state.exists()
    with pytest.raises(CutError):
        train_model(training, cut_at(5))
    assert state.exists() and not training.output.exists()
    seen: list[tuple[str, int]] = []
    again = train_model(training, lambda step, done, total: seen.append((step, done)))
    assert not state.exists() and again.scores == whole.scores
    assert all(np.array_equal(a, b) for a, b in zip(weights_of(training.output), expected, strict=True))
    # Of two networks of three epochs the first was finished, and the second had one, whose state was kept.
    assert [done for step, done in seen if step == "learn"] == [3, 5, 6]


@pytest.mark.slow
def test_a_state_of_another_training_is_not_taken(training):
    once = replace(training, folds=0)
    with pytest.raises(CutError):
        train_model(once, cut_at(5))
    seen: list[int] = []
    other = replace(once, parameters=once.parameters.model_copy(update={"seed": 2}))
    train_model(other, lambda step, done, total: seen.append(done) if step == "learn" else None)
    assert seen == [1, 2, 3, 4, 5, 6]
