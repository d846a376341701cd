"""Environment variables: which of them count, which are taken for misspelt, and that their faults are not the file's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from imperv.flows.cli.settings_page import settings_page
from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.settings import ImperviousnessProduction
from imperv.tasks.settings.overrides import PREFIX, documented
from imperv.tasks.settings.production import Production

ROOT = Path(__file__).resolve().parents[3]

TEXT = """
tiles = ["E38N31"]
[periods]
then = "2018"
now = "2021"
[scenes]
catalogue = "scenes/items.json"
"""


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "production.toml"
    path.write_text(TEXT)
    return path


def refusal(file: Path) -> str:
    with pytest.raises(InputError) as caught:
        Production.read(file)
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "IMPERV_ROOT",
        "IMPERV_HOME",
        "IMPERV_CHECKOUT",
        "IMPERV_PORT",
        "IMPERV_PORT_4200_TCP",
        "IMPERV_SERVICE_HOST",
        "IMPERV_WARM",
    ],
)
def test_names_that_are_no_settings_are_somebody_elses(file, monkeypatch, name):
    plain = Production.read(file)
    monkeypatch.setenv(name, "/elsewhere")
    assert Production.read(file) == plain
    assert plain.store_url == str(file.parent / "store")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("IMPERV_ENGINE__WOKERS", "IMPERV_ENGINE__WORKERS"),
        ("IMPERV_ENGINE__WORKRS", "IMPERV_ENGINE__WORKERS"),
        ("IMPERV_STOER", "IMPERV_STORE"),
        ("IMPERV_TILE", "IMPERV_TILES"),
        ("IMPERV_LOGLEVEL", "IMPERV_LOG_LEVEL"),
        ("IMPERV_LOGS", "IMPERV_LOG"),
        ("IMPERV_ENGINE_WORKERS", "IMPERV_ENGINE__WORKERS"),
        ("imperv_store", "IMPERV_STORE"),
        ("IMPERV_PARAMETERS__UNET__EPOCH", "IMPERV_PARAMETERS__UNET__EPOCHS"),
    ],
)
def test_a_misspelt_variable_is_named_with_the_nearest(file, monkeypatch, name, meant):
    monkeypatch.setenv(name, "4")
    assert refusal(file) == f"environment: {name}: no setting has this name (did you mean {meant}?); correct it or unset it"


def test_two_underscores_are_meant_for_us(file, monkeypatch):
    monkeypatch.setenv("IMPERV_ROOT__FOLDER", "/")
    assert refusal(file) == "environment: IMPERV_ROOT__FOLDER: no setting has this name; correct it or unset it"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (
            "IMPERV_ENGINE__WORKERS",
            "many",
            "environment: IMPERV_ENGINE__WORKERS (engine.workers): Input should be a",
        ),
        ("IMPERV_TILES", "E38N31", "environment: IMPERV_TILES (tiles): 'E38N31' is no official list"),
        ("IMPERV_TILES", '["E99N99"]', "environment: IMPERV_TILES (tiles"),
        ("IMPERV_SCENES", "items.json", "environment: IMPERV_SCENES (scenes): Input should be a valid dictionary"),
        (
            "IMPERV_SCENES",
            '{"colection": "a"}',
            "environment: IMPERV_SCENES (scenes.colection): unknown key (did",
        ),
        ("IMPERV_PERIODS__NOW", "21", "environment: IMPERV_PERIODS__NOW (periods.now): '21' is not a year"),
    ],
)
def test_a_wrong_value_is_blamed_on_its_variable(file, monkeypatch, name, value, expected):
    monkeypatch.setenv(name, value)
    message = refusal(file)
    assert message.startswith(expected) and "production.toml" not in message and len(message.splitlines()) == 1


def test_what_file_and_environment_do_together_names_both(file, monkeypatch):
    monkeypatch.setenv("IMPERV_PERIODS__THEN", "2022")
    message = refusal(file)
    assert message == f"{file}: periods: then (2022) must begin before now (2021); the environment sets IMPERV_PERIODS__THEN"


def test_faults_of_the_file_stay_its_own(file, monkeypatch):
    monkeypatch.setenv("IMPERV_ENGINE__WORKERS", "many")
    file.write_text(TEXT + "[engine]\nmemory = 'x'\nworkers = 3\n")
    assert [line.split(": ")[0] for line in refusal(file).splitlines()] == [str(file), "environment"]


def test_lists_tables_and_free_keys(file, monkeypatch):
    for name, value in {
        "IMPERV_TILES": '["E38N31", "E39N31"]', "IMPERV_SCENES": '{"collection": "mine"}', "IMPERV_SCENES__BANDS__B8A": "nir08",
        "IMPERV_STORE_OPTIONS__CLIENT_KWARGS__ENDPOINT_URL": "http://127.0.0.1:9000", "IMPERV_AREA__BBOX": "[1e6, 2e6, 3e6, 4e6]",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    found = Production.read(file)
    assert found.tile_names == ("E38N31", "E39N31") and found.area.bbox == (1_000_000, 2_000_000, 3_000_000, 4_000_000)
    assert (found.scenes.catalogue, found.scenes.collection, found.scenes.bands) == (
        "scenes/items.json",
        "mine",
        {"B8A": "nir08"},
    )
    assert found.store_options == {"client_kwargs": {"endpoint_url": "http://127.0.0.1:9000"}}


def test_every_documented_key_has_its_variable_and_no_other_has():
    section, names = "", set()
    for line in settings_page().splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ").strip("[]")
        elif line.startswith("| `"):
            key = line.split("`")[1]
            names.add("__".join([] if section == "Top level" else section.split(".") + [key]) or key)
    leaves = {PREFIX + name.upper() for name in names}
    assert len(leaves) > 80 and "IMPERV_ROOT" not in leaves
    found = documented(ImperviousnessProduction)
    tables = {name for name in found if any(other.startswith(f"{name}__") for other in found)}
    assert found.keys() - tables == leaves


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("IMPERV_LOG", "jsn", "environment: IMPERV_LOG: 'jsn' is no form of logs; write json or unset it"),
        ("IMPERV_LOG_LEVEL", "banana", "environment: IMPERV_LOG_LEVEL: 'banana' is no level"),
    ],
)
def test_wrong_settings_of_logs_are_one_line(name, value, words):
    code = "import sys; from imperv.flows.cli.commands import main; sys.exit(main(['graph']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, name: value}, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"imperv: {words}") and len(done.stderr.splitlines()) == 1
