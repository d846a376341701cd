"""`imperv model`: what a person sees, and one line with exit code 2 for what is wrong."""

from __future__ import annotations

import json

import pytest

from imperv.flows.cli.commands import main
from imperv.flows.tile.models import age, curve
from imperv.tasks.job import Job
from tests.support.objections import nothing_but_objections
from tests.support.small_models import ALGORITHM, TILE, production, put_model, record_of

NEAR = "E45N27"


@pytest.fixture
def config(tmp_path):
    """A store with a model of use, one of others, and one that was not trained."""
    found = production(tmp_path)
    store = Job.of(found, TILE).store
    record = record_of(found, TILE)
    scores = {"mae": {"value": 0.0812, "interval": [0.07, 0.09]}, "f1": 0.8}
    put_model(store, type(record)(**{**record.__dict__, "statistics": {**record.statistics, "scores": scores}}))
    put_model(store, record_of(found, NEAR, **{"unet.features": "full18"}))
    put_model(store, record_of(found, NEAR, symbol="IBUD_model", made=False, reason="no footprints"))
    store.write_text(f"models/IBUD/{TILE}/model.keras", "half written")
    return str(tmp_path / "production.toml")


def test_list(config, capsys):
    assert main(["model", "list", "--config", config]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["product", "tile", "year", "features", "members", "pixels", "loss", "age", "note"]
    assert lines[1].split()[:7] == ["IMD", TILE, "2018", "atbd12", "2", "1000", "0.3500"]
    assert "other features: full18, expected atbd12" in lines[2]
    assert "its record is missing or cannot be read" in lines[3] and "not trained: no footprints" in lines[4]
    assert lines[5] == "4 models, 1 of use to this production"
    assert main(["model", "list", "--config", config, "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [e.get("usable", False) for e in entries] == [True, False, False, False]
    assert entries[0]["loss"] == pytest.approx(0.35)


def test_an_empty_store(tmp_path, capsys):
    production(tmp_path)
    assert main(["model", "list", "--config", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == "no models"


def test_show(config, capsys):
    assert main(["model", "show", "IMD", TILE, "--config", config]) == 0
    text = capsys.readouterr().out
    assert f"IMD_model of tile {TILE}, 2018, {ALGORITHM}" in text and "of use to this production" in text
    assert "unet.epochs 20" in text and "B02_q20" in text and "PP a:b" in text
    assert "validation █▁▂ 0.6000 -> 0.4000, lowest 0.3500" in " ".join(text.split())
    assert "mae 0.0812 [0.0700, 0.0900]" in " ".join(text.split()) and "f1 0.8" in " ".join(text.split())
    assert main(["model", "show", "IBUD", NEAR, "--config", config]) == 0
    assert "not trained: no footprints" in capsys.readouterr().out
    assert main(["model", "show", "IMD", NEAR, "--config", config, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert not found["usable"] and found["note"].startswith("other features")


@pytest.mark.slow
def test_export_import_remove(config, tmp_path, capsys):
    file = str(tmp_path / "model.zip")
    assert main(["model", "export", "IMD", TILE, "-o", file, "--config", config]) == 0
    production(tmp_path / "other", "epochs = 3")
    other = str(tmp_path / "other" / "production.toml")
    assert main(["model", "import", file, "--config", other, "--tile", NEAR]) == 0
    said = capsys.readouterr()
    assert f"IMD_model of tile {NEAR}: imported from {file}" in said.out
    assert "other tiles will not use it (other parameters: unet.epochs is 20, expected 3)" in said.err
    assert main(["model", "list", "--config", other]) == 0
    assert "imported; other parameters" in capsys.readouterr().out
    assert main(["model", "show", "IMD", NEAR, "--config", other]) == 0
    assert f"imported: tile {TILE}" in capsys.readouterr().out
    assert main(["model", "remove", "IMD", NEAR, "--config", other]) == 0
    assert main(["model", "remove", "IMD", NEAR, "--config", other]) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "IMD", "E40N30"], "IMD_model of tile E40N30 is not in"),
        (["show", "IMD", "E99N99"], "E99N99 is not an official tile"),
        (["show", "IMX", TILE], "IMX is no model of product imperviousness, which has IMD, IBUD, CLCP_proxy; did you mean IMD?"),
        (["import", "nothing.zip"], "nothing.zip: cannot be read"),
        (["export", "IMD", TILE], "--output"),
        (["export", "IMD", "E40N30", "-o", "x.zip"], "is not in"),
        (["export", "IBUD", NEAR, "-o", "x.zip"], "was not trained (no footprints)"),
    ],
)
def test_what_is_wrong_is_one_line(config, capsys, arguments, words):
    assert main(["model", *arguments, "--config", config]) == 2
    (line,) = nothing_but_objections(capsys.readouterr().err)
    assert words in line


def test_curves_and_ages():
    assert curve([0.0, 1.0]) == "▁█" and curve([2.0, 2.0]) == "▁▁"
    assert age("") == "" and age("2020-01-01") == "" and age("2020-01-01T00:00:00Z").endswith(" d")
