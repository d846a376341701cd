"""A tile by one network that has learnt from its ensemble, and by the ensemble where that gains nothing.

A kill in the training loses one epoch. Without the option nothing changes: keys, bits, record.
"""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import imperv.layers.network.distilling as science
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.catalogue.node import MEMBER_SD
from imperv.layers.features import FULL18, stack_features
from imperv.layers.network.sampling import Region
from imperv.layers.network.training import train
from imperv.layers.network.unet import build_unet, join_members, save_model
from imperv.tasks.imperviousness.nodes import distilling
from imperv.tasks.imperviousness.nodes.distilling import taught
from imperv.tasks.imperviousness.nodes.predicting import make_prediction
from imperv.tasks.job import Job, attributes
from imperv.tasks.networks.checkpoints import checkpoint_path
from imperv.tasks.settings.production import Production
from imperv.tasks.store.store import with_measured
from tests.support.killed import killed_after
from tests.support.small_models import TILE, production, put_features, record_of

AREA = "[4490000, 2707000, 4493000, 2710000]"
"""300 x 300 pixels: 36 windows of 50."""
UNET = "base_filters = 4\ndepth = 1\ncrop = 32\nmembers = 2\nsplit_block = 25\nlearning_rate = 0.01\n"
MODELS = (TILE, "E43N27", "E44N28")
RIMD = CATALOGUE["RIMD"]


def shorten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve windows of the 36, and a training of seconds that counts as little as it would on a tile."""
    for name, value in {"WINDOW": 50, "LEAST_WINDOWS": 12, "EPOCHS": 5, "STEPS": 60, "STEP_COST": 0.01}.items():
        monkeypatch.setattr(science, name, value)
        if hasattr(distilling, name):
            monkeypatch.setattr(distilling, name, value)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    shorten(monkeypatch)


def town(shape: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quantiles, harmonics and density of ground whose houses are bright in the red band, and dark in two terms."""
    rng = np.random.default_rng(seed)
    density = np.kron(rng.random((shape[0] // 5, shape[1] // 5)) < 0.3, np.ones((5, 5), "f4")).astype("f4")
    quantiles = rng.integers(300, 900, (10, *shape)).astype("u2")
    quantiles[2] += (600 * density).astype("u2")
    harmonics = 0.1 * rng.standard_normal((7, *shape)).astype("f4")
    harmonics[:2] -= 0.1 * density
    return quantiles, harmonics, density


def with_option(job: Job, **changes) -> Job:
    """The same tile with other settings of the ensemble."""
    parameters = job.production.parameters
    parameters = parameters.model_copy(update={"ensemble": parameters.ensemble.model_copy(update=changes)})
    return Job.of(job.production.model_copy(update={"parameters": parameters}), str(job.tile))


@pytest.fixture(scope="module")
def ensemble_job(tmp_path_factory) -> Job:
    """Six networks that have learnt the same and differ by chance."""
    found = production(tmp_path_factory.mktemp("distilling"), area=AREA, unet=UNET)
    job = Job.of(found, TILE)
    put_features(job)
    layer, place = CATALOGUE["PP_now"], job.place("PP_now")
    quantiles, harmonics, _ = town(job.grid(10).shape, 0)
    harmonics[:, 100:120, 150:180] = np.nan
    with job.store.writing_arrays(place, job.grid(10), 10, layer.variables, attributes(job, layer)) as out:
        out["quantiles"][:], out["harmonics"][:] = quantiles, harmonics
    job.store.write_text(job.place("PP_shift").data, json.dumps(dict.fromkeys(FULL18, 0.0)))
    quantiles, harmonics, density = town((150, 150), 1)
    features = stack_features(quantiles, None, harmonics, found.parameters.unet.names)
    one = found.parameters.unet.model_copy(update={"members": 1, "epochs": 2, "steps_per_epoch": 60})
    trained = train([Region(features, density, (0, 0))], one)
    for seed, name in enumerate(MODELS):
        rng, members = np.random.default_rng(seed), [build_unet(one, 0, f"member_{k}") for k in range(2)]
        for member in members:
            weights = trained.model.get_weights()
            member.set_weights([w * (1 + 0.5 * rng.standard_normal(w.shape)) for w in weights])
        folder = f"models/IMD/{name}"
        save_model(join_members(members), job.store.full(f"{folder}/model.keras"))
        statistics = {"members": 2, "normalisation": trained.normalisation.to_json()}
        record = record_of(found, name, statistics=statistics, href=f"{folder}/model.keras")
        job.store.write_record(f"{folder}/model.json", with_measured(record, job.store))
    return job


@pytest.fixture(scope="module")
def by_ensemble(ensemble_job):
    made = make_prediction(ensemble_job, RIMD)
    return made, *maps(ensemble_job)


@pytest.fixture(scope="module")
def by_student(ensemble_job, by_ensemble):
    job = with_option(ensemble_job, distil=True)
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        made = make_prediction(job, RIMD)
    return made, *maps(job)


def maps(job: Job) -> tuple[np.ndarray, np.ndarray]:
    group = job.group("RIMD")
    return group["RIMD"][:], group[MEMBER_SD][:]


@pytest.mark.slow
def test_the_option_is_part_of_a_key_only_where_it_is_asked_for(ensemble_job):
    assert ensemble_job.production.parameters.ensemble.distil is False
    assert set(ensemble_job.pick(RIMD)) == {"unet.align_years", "ensemble.members", "ensemble.reach", "ensemble.accept"}
    wanted = dict.fromkeys(RIMD.inputs, "version")
    before, after = ({**wanted, **imperv_external(job)} for job in (ensemble_job, with_option(ensemble_job, distil=True)))
    assert set(before) == {*wanted, "models", "halos"} and set(after) - set(before) == {"distilling"}
    assert after["distilling"]["steps_per_epoch"] == 60


def imperv_external(job: Job) -> dict:
    from imperv.tasks.imperviousness.nodes.predicting import prediction_external

    return prediction_external(job, RIMD)


@pytest.mark.slow
def test_a_student_is_close_to_its_ensemble_and_the_record_says_how_close(ensemble_job, by_ensemble, by_student):
    made, mean, deviation = by_ensemble
    found, student_mean, student_deviation = by_student
    np.testing.assert_array_equal(student_mean == 255, mean == 255)
    np.testing.assert_array_equal(np.isnan(student_deviation), np.isnan(deviation))
    valid = mean != 255
    of_mean = np.abs(student_mean[valid].astype("f4") - mean[valid]).mean()
    of_deviation = 100 * np.abs(student_deviation[valid] - deviation[valid]).mean()
    spread = 100 * deviation[valid].mean()  # about as far is a member from the mean, and a deviation of 0 from the true one
    assert spread > 1 and of_mean < spread / 2 and of_deviation < 0.7 * spread
    assert np.corrcoef(student_deviation[valid], deviation[valid])[0, 1] > 0.5
    told = found.statistics["distilled"]
    assert told["made"] and told["windows"] == 12 and told["start"] == TILE and told["steps"] == 300
    assert told["left_out"]["mean"]["mae"]["value"] == pytest.approx(of_mean, rel=0.5)
    assert told["left_out"]["deviation"]["mae"]["value"] == pytest.approx(of_deviation, rel=0.5)
    assert found.statistics["members"] == 6 and found.statistics["models"] == list(MODELS)
    assert "distilled" not in made.statistics


@pytest.mark.slow
def test_a_killed_training_goes_on(ensemble_job, by_student, monkeypatch):
    job = with_option(ensemble_job, distil=True)
    whole = by_student[0]

    with killed_after(3, monkeypatch):
        make_prediction(job, RIMD)
    state = job.store.full(checkpoint_path(job, "RIMD"))
    assert job.store.fs.exists(state) and checkpoint_path(job, "RIMD") != checkpoint_path(job, "RIBUD")
    again = make_prediction(job, RIMD)
    assert (again.digest, again.statistics["distilled"]) == (whole.digest, whole.statistics["distilled"])
    assert not job.store.fs.exists(state)


@pytest.mark.slow
def test_where_a_student_gains_nothing_the_ensemble_answers(ensemble_job, by_ensemble, monkeypatch):
    made, mean, _ = by_ensemble
    monkeypatch.setattr(science, "LEAST_WINDOWS", 36)
    job = with_option(ensemble_job, distil=True)
    found = make_prediction(job, RIMD)
    assert found.digest == made.digest
    np.testing.assert_array_equal(maps(job)[0], mean)
    told = found.statistics["distilled"]
    assert told["made"] is False
    assert re.fullmatch(r"a student of 6 networks takes \d\.\d\d times as long as they on 300 x 300 pixels", told["reason"])


@pytest.mark.slow
def test_where_there_is_little_to_learn_from_the_ensemble_answers(ensemble_job, by_ensemble, monkeypatch):
    monkeypatch.setattr(distilling, "LEAST_WINDOWS", 13)
    found = make_prediction(with_option(ensemble_job, distil=True), RIMD)
    assert found.digest == by_ensemble[0].digest
    told = {"made": False, "reason": "only 12 of 12 windows have features to learn from"}
    assert found.statistics["distilled"] == told


def test_little_memory_teaches_less(tmp_path, monkeypatch):
    for module in (science, distilling):
        monkeypatch.setattr(module, "WINDOW", 250)
    windows = []
    for memory in ("8 GiB", "1 GiB"):
        production(tmp_path, unet="", head="")
        file = tmp_path / "production.toml"
        file.write_text(file.read_text().replace("2 GiB", memory))
        windows.append(taught(Job.of(Production.read(tmp_path), TILE)))
    assert windows[0] == 80 > windows[1] > 40
