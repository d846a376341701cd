"""Models as one file: there and back unchanged, and nothing of a stranger's file is believed."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.job import Job
from imperv.tasks.networks.model_files import (
    LIMITS,
    export_model,
    import_model,
    read_model,
    remove_model,
)
from imperv.tasks.networks.registry import ensemble_models, imported, load
from imperv.tasks.nodes import standing
from tests.support.small_models import TILE, production, put_model, record_of

NEAR = "E45N27"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A production with a model, and the model as a file."""
    folder = tmp_path_factory.mktemp("source")
    found = production(folder)
    job = Job.of(found, TILE)
    put_model(job.store, record_of(found, TILE))
    export_model(job.store, "IMD", job.tile, folder / "imd.zip")
    return found, folder / "imd.zip"


def parts(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path: Path, content: dict[str, bytes]) -> Path:
    """A model file of other parts."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


@pytest.mark.slow
def test_there_and_back(exported, tmp_path):
    source, file = exported
    target = production(tmp_path)
    record, note = import_model(target, file)
    assert note == "" and imported(record) and record.tile == TILE
    job, origin = Job.of(target, TILE), Job.of(source, TILE)
    networks = [load(j.store, j.record("IMD_model"))[0].get_weights() for j in (job, origin)]
    assert all(np.array_equal(a, b) for a, b in zip(*networks, strict=True))
    there = job.record("IMD_model")
    assert there == record and there.digest == origin.record("IMD_model").digest
    assert there.ingredients["imported"]["version"] == origin.record("IMD_model").version
    assert there.key != origin.record("IMD_model").key
    assert standing(job, "IMD_model").state == "up to date"
    assert [r.tile for r in ensemble_models(Job.of(target, NEAR), "IMD_model").models] == [TILE]
    # An imported model can be handed on.
    export_model(job.store, "IMD", job.tile, tmp_path / "again.zip")
    assert read_model(tmp_path / "again.zip")[0] == there


def test_to_another_tile(exported, tmp_path):
    record, _ = import_model(production(tmp_path), exported[1], tile=NEAR)
    assert record.tile == NEAR and record.href == f"models/IMD/{NEAR}/model.keras"
    assert record.ingredients["imported"]["tile"] == TILE


def test_a_model_that_is_there_is_kept(exported, tmp_path):
    found = production(tmp_path)
    job = Job.of(found, TILE)
    put_model(job.store, record_of(found, TILE, seed=2), seed=2)
    own = job.record("IMD_model")
    with pytest.raises(InputError, match=r"IMD_model of tile E44N27 is there already, trained .*--replace"):
        import_model(found, exported[1])
    assert job.record("IMD_model") == own and job.store.data_in_place(own)
    record, _ = import_model(found, exported[1], replace_own=True)
    assert job.record("IMD_model") == record != own
    with pytest.raises(InputError, match="is there already, imported"):
        import_model(found, exported[1])


def test_a_tile_without_a_model_of_its_own_takes_one(exported, tmp_path):
    found = production(tmp_path)
    job = Job.of(found, TILE)
    put_model(job.store, record_of(found, TILE, made=False, reason="no footprints"))
    import_model(found, exported[1])
    assert job.record("IMD_model").made


def test_while_the_tile_is_worked_on(exported, tmp_path):
    found = production(tmp_path)
    job = Job.of(found, TILE)
    with job.store.tile_lock(job.tile), pytest.raises(WorkError, match="another flow of this process is working on it"):
        import_model(found, exported[1])
    assert job.record("IMD_model") is None


def test_models_of_no_use_are_refused_with_the_reason(exported, tmp_path):
    found = production(tmp_path, "features = 'full18'")
    with pytest.raises(InputError, match="of no use to this production: other features: atbd12, expected full18"):
        import_model(found, exported[1])
    config = tmp_path / "production.toml"
    config.write_text(config.read_text().replace("full18", "atbd12").replace('"2018"', '"2015"'))
    with pytest.raises(InputError, match="another year: 2018, expected 2015"):
        import_model(type(found).read(tmp_path), exported[1])
    assert Job.of(found, TILE).record("IMD_model") is None


def test_other_parameters_are_noted(exported, tmp_path):
    _, note = import_model(production(tmp_path, "epochs = 3"), exported[1])
    assert note == "other parameters: unet.epochs is 20, expected 3"
    compatible = production(tmp_path / "b", "epochs = 3\n[parameters.ensemble]\naccept = 'compatible'")
    assert import_model(compatible, exported[1])[1] == ""


def changed(content: dict[str, bytes], name: str, **values) -> dict[str, bytes]:
    return {**content, name: json.dumps({**json.loads(content[name]), **values}).encode()}


def property_of(content: dict[str, bytes], name: str, value) -> dict[str, bytes]:
    item = json.loads(content["model.json"])
    item["properties"][f"imperv:{name}"] = value
    return {**content, "model.json": json.dumps(item).encode()}


def described(content: dict[str, bytes], **values) -> dict[str, bytes]:
    """With other parameters of the network in the record."""
    ingredients = json.loads(content["model.json"])["properties"]["imperv:ingredients"]
    return property_of(content, "ingredients", {**ingredients, "parameters": {**ingredients["parameters"], **values}})


WRONG = {
    "a path that leads out": (lambda c: {**c, "../../evil": b"x"}, r"it holds '\.\./\.\./evil'; a model file holds"),
    "an absolute path": (lambda c: {**c, "/tmp/evil": b"x"}, "it holds '/tmp/evil'"),
    "a part missing": (lambda c: {k: v for k, v in c.items() if k != "model.json"}, "it lacks 'model.json'"),
    "another version": (lambda c: changed(c, "manifest.json", version=1), "format version 1, only 2 is known"),
    "another format": (lambda c: changed(c, "manifest.json", format="zip"), "it is not a model file"),
    "a manifest of text": (lambda c: {**c, "manifest.json": b"x"}, "manifest.json is no JSON"),
    "no tile": (lambda c: property_of(c, "tile", "../x"), "is not the name of an EEA 100 km tile"),
    "a record of no record": (lambda c: {**c, "model.json": b"{}"}, "model.json is not a record"),
    "a record of something else": (lambda c: property_of(c, "symbol", "IMD_now"), "not the record of a trained model"),
    "a record of no model": (lambda c: property_of(c, "made", False), "not the record of a trained model"),
    "features unknown": (lambda c: described(c, **{"unet.features": "x"}), "its features 'x' are not known"),
    "a normalisation of others": (lambda c: property_of(c, "statistics", {"members": 2}), "its normalisation is not"),
    "no architecture": (lambda c: described(c, **{"unet.base_filters": "many"}), "its record does not describe a network"),
    "a network of any size": (lambda c: described(c, **{"unet.base_filters": 10**6}), "weights do not fit 2 networks of 1000000"),
    "another architecture": (lambda c: described(c, **{"unet.depth": 2}), "weights do not fit 2 networks of 2 filters"),
    "no numbers": (lambda c: {**c, "weights.bin": b"abc"}, "buffer size must be a multiple"),
    "members missing": (
        lambda c: property_of(c, "statistics", {**json.loads(c["model.json"])["properties"]["imperv:statistics"], "members": 5}),
        "weights do not fit 5 networks"),
    "a changed record": (lambda c: property_of(c, "digest", "0" * 32), "weights are not those"),
    "changed weights": (lambda c: {**c, "weights.bin": bytes(len(c["weights.bin"]))}, "weights are not those"),
}  # fmt: skip


@pytest.mark.parametrize("fault", WRONG)
def test_strange_files_are_refused_in_one_line(exported, tmp_path, fault):
    change, words = WRONG[fault]
    file = packed(tmp_path / "strange.zip", change(parts(exported[1])))
    found = production(tmp_path / "target")
    with pytest.raises(InputError, match=words) as caught:
        import_model(found, file)
    message = str(caught.value)
    assert len(message.splitlines()) == 1 and message.startswith(str(file))
    assert sorted(tmp_path.iterdir()) == [file, tmp_path / "target"]
    assert Job.of(found, TILE).record("IMD_model") is None and not Path("/tmp/evil").exists()


def test_files_that_cannot_be_read(tmp_path):
    found = production(tmp_path)
    with pytest.raises(InputError, match="cannot be read .*No such file"):
        import_model(found, tmp_path / "nothing.zip")
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(InputError, match="no sound ZIP file"):
        import_model(found, tmp_path / "text.zip")
    with pytest.raises(InputError, match="cannot be read"):
        import_model(found, tmp_path)


def test_a_part_that_is_too_large_is_not_unpacked(exported, tmp_path, monkeypatch):
    monkeypatch.setitem(LIMITS, "model.json", 1000)
    with pytest.raises(InputError, match="model.json would take .* bytes, more than 1000"):
        import_model(production(tmp_path), exported[1])


def test_twice_the_same_part(exported, tmp_path):
    file = tmp_path / "twice.zip"
    file.write_bytes(exported[1].read_bytes())
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(file, "a") as archive:
        archive.writestr("model.json", b"{}")
    with pytest.raises(InputError, match="it holds"):
        import_model(production(tmp_path / "target"), file)


def test_what_cannot_be_exported(exported, tmp_path):
    source, _ = exported
    store = Job.of(source, TILE).store
    near = Job.of(source, NEAR)
    with pytest.raises(InputError, match=r"IBUD_model of tile E44N27 is not in .*imperv model list"):
        export_model(store, "IBUD", Job.of(source, TILE).tile, tmp_path / "x.zip")
    put_model(store, record_of(source, NEAR, made=False, reason="no footprints"))
    with pytest.raises(InputError, match=r"was not trained \(no footprints\)"):
        export_model(store, "IMD", near.tile, tmp_path / "x.zip")
    remove_model(near, "IMD")
    with pytest.raises(InputError, match="--output: .* cannot be written"):
        export_model(store, "IMD", Job.of(source, TILE).tile, tmp_path / "no" / "x.zip")
    assert list(tmp_path.iterdir()) == []


def test_removed_is_gone(exported, tmp_path):
    found = production(tmp_path)
    record, _ = import_model(found, exported[1])
    job = Job.of(found, TILE)
    assert remove_model(job, "IMD") is True
    assert job.record("IMD_model") is None and not job.store.fs.exists(job.store.full(record.href))
    assert remove_model(job, "IMD") is False
