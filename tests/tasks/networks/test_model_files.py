"""Models as one file: there and back unchanged, and nothing of a stranger's file is believed."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest

from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.job import Job
from imperv.tasks.networks.model_files import (
    FORMAT_VERSION,
    LIMITS,
    _check_network,
    export_model,
    import_model,
    opened,
    remove_model,
)
from imperv.tasks.networks.registry import ensemble_models, imported
from imperv.tasks.nodes import standing
from tests.support.small_models import ALGORITHM, TILE, production, put_model, record_of

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


def packed(path: Path, content: dict[str, bytes], sign: bool = True) -> Path:
    """A model file of other parts; `sign` makes the manifest agree with them."""
    if sign:
        manifest = json.loads(content["manifest.json"])
        for name in ("model.json", "model.keras"):
            if name in content:
                manifest["files"][name] = {"size": len(content[name]), "sha256": hashlib.sha256(content[name]).hexdigest()}
        content = {**content, "manifest.json": json.dumps(manifest).encode()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def test_there_and_back(exported, tmp_path):
    source, file = exported
    target = production(tmp_path)
    record, note = import_model(target, file)
    assert note == "" and imported(record) and record.tile == TILE
    job, origin = Job.of(target, TILE), Job.of(source, TILE)
    assert job.store.fs.cat_file(job.store.full(record.href)) == origin.store.fs.cat_file(origin.store.full(record.href))
    there = job.record("IMD_model")
    assert there == record and there.digest == origin.record("IMD_model").digest
    assert there.ingredients["imported"]["version"] == origin.record("IMD_model").version
    assert there.key != origin.record("IMD_model").key
    assert standing(job, "IMD_model").state == "up to date"
    assert [r.tile for r in ensemble_models(Job.of(target, NEAR), "IMD_model").models] == [TILE]
    # An imported model can be handed on.
    export_model(job.store, "IMD", job.tile, tmp_path / "again.zip")
    with opened(tmp_path / "again.zip") as (manifest, again, _):
        assert again == there and manifest.version == FORMAT_VERSION


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
    with pytest.raises(InputError, match="of no use to this production: other features: atbd12, full18 is asked"):
        import_model(found, exported[1])
    config = tmp_path / "production.toml"
    config.write_text(config.read_text().replace("full18", "atbd12").replace('"2018"', '"2015"'))
    with pytest.raises(InputError, match="another year: 2018, 2015 is asked"):
        import_model(type(found).read(tmp_path), exported[1])
    assert Job.of(found, TILE).record("IMD_model") is None


def test_other_parameters_are_noted(exported, tmp_path):
    _, note = import_model(production(tmp_path, "epochs = 3"), exported[1])
    assert note == "other parameters: unet.epochs 20, 3 is asked"
    compatible = production(tmp_path / "b", "epochs = 3\n[parameters.ensemble]\naccept = 'compatible'")
    assert import_model(compatible, exported[1])[1] == ""


def changed(content: dict[str, bytes], name: str, **values) -> dict[str, bytes]:
    return {**content, name: json.dumps({**json.loads(content[name]), **values}).encode()}


def keras_with(content: dict[str, bytes], change) -> dict[str, bytes]:
    """With another description of the network."""
    inside = io.BytesIO(content["model.keras"])
    with zipfile.ZipFile(inside) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(files["config.json"])
    change(config)
    files["config.json"] = json.dumps(config).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return {**content, "model.keras": out.getvalue()}


def property_of(content: dict[str, bytes], name: str, value) -> dict[str, bytes]:
    item = json.loads(content["model.json"])
    item["properties"][f"imperv:{name}"] = value
    return {**content, "model.json": json.dumps(item).encode()}


def lambda_layer(config):
    config["config"]["layers"][1] = {"module": "keras.layers", "class_name": "Lambda", "config": {}, "name": "member_0"}


def strange_initializer(config):
    config["config"]["layers"][1]["x"] = {"module": "os", "class_name": "system", "config": "true", "registered_name": None}


WRONG = {
    "a path that leads out": (lambda c: {**c, "../../evil": b"x"}, True, r"it holds '\.\./\.\./evil'; a model file holds"),
    "an absolute path": (lambda c: {**c, "/tmp/evil": b"x"}, True, "it holds '/tmp/evil'"),
    "a part missing": (lambda c: {k: v for k, v in c.items() if k != "model.json"}, False, "it lacks 'model.json'"),
    "a newer format": (lambda c: changed(c, "manifest.json", version=2), True, "format version 2, only 1 is known"),
    "another format": (lambda c: changed(c, "manifest.json", format="zip"), True, "it is not a model file"),
    "a manifest of more": (lambda c: changed(c, "manifest.json", extra=1), True, "manifest.json: extra"),
    "a manifest of text": (lambda c: {**c, "manifest.json": b"x"}, False, "manifest.json is no JSON"),
    "no tile": (lambda c: changed(c, "manifest.json", tile="../x"), True, "is not the name of an EEA 100 km tile"),
    "a changed network": (lambda c: {**c, "model.keras": c["model.keras"] + b"x"}, False, "model.keras is not the one of its"),
    "a changed record": (lambda c: property_of(c, "digest", "0"), False, "model.json is not the one of its manifest"),
    "a record of no record": (lambda c: {**c, "model.json": b"{}"}, True, "model.json is not a record"),
    "a record of something else": (lambda c: property_of(c, "symbol", "IMD_now"), True, "contradict each other"),
    "a record of no model": (lambda c: property_of(c, "made", False), True, "not the record of a trained model"),
    "features unknown": (
        lambda c: changed(property_of(c, "ingredients", {"algorithm": ALGORITHM, "parameters": {"unet.features": "x"}}),
                          "manifest.json", features="x"), True, "its features 'x' are not known"),
    "a normalisation of others": (lambda c: property_of(c, "statistics", {"members": 2}), True, "its normalisation is not"),
    "no Keras file": (lambda c: {**c, "model.keras": b"PK"}, True, "model.keras is no Keras file"),
    "code in the network": (lambda c: keras_with(c, lambda_layer), True, "'keras.layers.Lambda', which is not allowed"),
    "a function in the network": (lambda c: keras_with(c, strange_initializer), True, "'os.system', which is not allowed"),
    "members missing": (
        lambda c: property_of(c, "statistics", {**json.loads(c["model.json"])["properties"]["imperv:statistics"], "members": 5}),
        True, "12 features and 2 members, its record tells otherwise"),
    "weights of another": (
        lambda c: changed(property_of(c, "digest", "0" * 32), "manifest.json", weights="0" * 32), True, "weights are not those"),
}  # fmt: skip


@pytest.mark.parametrize("fault", WRONG)
def test_strange_files_are_refused_in_one_line(exported, tmp_path, fault):
    change, sign, words = WRONG[fault]
    file = packed(tmp_path / "strange.zip", change(parts(exported[1])), sign)
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


def test_our_own_networks_are_allowed(exported, tmp_path):
    """Every class that the builder of networks uses is on the list, for more than one feature set and depth."""
    from imperv.layers.network.unet import UNetParameters, build_unet, join_members, save_model

    for depth, features in ((1, "atbd12"), (3, "full18")):
        parameters = UNetParameters(base_filters=2, depth=depth, features=features)
        save_model(
            join_members([build_unet(parameters, 1, "member_0"), build_unet(parameters, 2, "member_1")]), tmp_path / "m.keras"
        )
        _check_network(tmp_path, tmp_path / "m.keras")


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
