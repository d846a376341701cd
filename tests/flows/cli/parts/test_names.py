"""Names of tiles and layers as people write them: any case, hints, completion by the shell, and a command that starts at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from imperv.flows.cli.commands import app, main
from imperv.flows.cli.parts.names import complete_layer, layer_name, layer_names, tile_name, tile_names
from imperv.flows.cli.plan import chosen
from imperv.grids import official_tiles
from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
START = "from imperv.flows.cli.commands import main; raise SystemExit(main())"


@pytest.mark.parametrize("text", ["E43N32", "e43n32", "e43N32", " E43n32 "])
def test_tiles_in_any_case(text):
    assert tile_name(text) == "E43N32"


@pytest.mark.parametrize(("text", "symbol"), [("imcc", "IMCC"), ("IMCC", "IMCC"), ("imd_NOW", "IMD_now"), ("rimd_21", "RIMD")])
def test_layers_in_any_case(text, symbol):
    assert layer_name(text) == symbol


def test_a_name_given_twice_is_one():
    assert tile_names(["e43n32", "E38N31", "E43N32"]) == ["E43N32", "E38N31"]
    assert layer_names(["imcc", "IMCC", "imd"]) == ["IMCC", "IMD_now"]
    assert tile_names([]) is tile_names(None) is tile_name(None) is layer_names(None) is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [("E38N13", "E38N31"), ("N32E43", "E43N32"), ("E43N3", "E43N3"), ("43N32", "E43N32"), ("e43n32x", "E43N32")],
)
def test_misspelt_tiles_get_a_hint(text, meant):
    with pytest.raises(InputError, match=f"did you mean .*{meant}"):
        tile_name(text)


@pytest.mark.parametrize(
    ("text", "meant"), [("imccx", "IMCC"), ("IMDnow", "IMD_now"), ("ndvi", "NDVI_p0_now"), ("imdc_resample", "IMDC_")]
)
def test_misspelt_layers_get_a_hint(text, meant):
    with pytest.raises(InputError, match=f"did you mean .*{meant}"):
        layer_name(text)


def test_countries_in_any_case():
    austria = chosen(list(official_tiles("eea38-2024")), ["at"], None)
    assert austria == chosen(list(official_tiles("eea38-2024")), ["AT"], None) != []


def test_nonsense_gets_no_hint():
    with pytest.raises(InputError, match="write it like E43N32$"):
        tile_name("Vienna")


def test_every_command_takes_names_by_the_same_resolver():
    """Also commands that are written later: a parameter that is called like a tile or a layer is one."""
    resolvers = {
        "tile": (tile_name, tile_names), "tiles": (tile_names,), "target": (layer_names,), "layer": (layer_name, layer_names)
    }  # fmt: skip
    found, wrong = set(), []

    def look(command, words):
        for inner in getattr(command, "commands", {}).values():
            look(inner, [*words, inner.name])
        for parameter in command.params:
            if parameter.name in resolvers:
                found.add((*words, parameter.name))
                if getattr(parameter.callback, "__wrapped__", None) not in resolvers[parameter.name]:
                    wrong.append(f"{' '.join(words)} {parameter.name}")

    look(typer.main.get_command(app), [])
    assert wrong == []
    assert {("run", "tiles"), ("run", "target"), ("scenes", "tile"), ("validate", "layer"), ("model", "show", "tile")} <= found


@pytest.mark.slow
def test_commands_answer_the_same_in_any_case(flanders_file, tmp_path, capsys):
    def said(*arguments):
        code = main([*arguments, "--config", str(flanders_file)])
        return code, capsys.readouterr()

    assert said("scenes", "e38n31", "--json") == said("scenes", "E38N31", "--json")
    small, large = (said("plan", tile, "-t", target, "--json") for tile, target in (("e38n31", "imcc"), ("E38N31", "IMCC")))
    assert small == large
    assert json.loads(small[1].out)
    assert said("report", "e38n31")[0] == said("report", "E38N31")[0]
    scratch = ("--scratch", str(tmp_path / "scratch"), "-tx")
    for arguments in (("model", "show", "imd", "e38n31"), ("evaluate", "e38n31"), ("rerun", "e38n31", *scratch)):
        code, text = said(*arguments)
        assert code == 2
        assert "'e38n31'" not in text.err


def complete(words: str, folder: Path) -> list[str]:
    """What bash is offered for the last word."""
    environment = os.environ | {
        "_IMPERV_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), "PYTHONPATH": str(ROOT)
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", START], env=environment, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.slow
def test_the_shell_completes_commands_tiles_and_layers(tmp_path):
    assert complete("imperv re", tmp_path) == ["rerun", "report"]
    assert complete("imperv run e43n3", tmp_path) == [n.lower() for n in official_tiles("eea38-2024") if n.startswith("E43N3")]
    (tmp_path / "production.toml").write_text('tiles = ["E38N31", "E43N32"]\n')
    assert complete("imperv run E", tmp_path) == ["E38N31", "E43N32"]
    (tmp_path / "broken.toml").write_text("tiles = [")
    assert complete("imperv run --config broken.toml E38N31", tmp_path) == ["E38N31"]
    assert complete("imperv run -t imcc", tmp_path) == ["imcc", "imccs"]


def test_completed_layers_are_layers():
    assert complete_layer("") == list(CATALOGUE)
    assert {layer_name(text) for text in complete_layer("i")} == {s for s in CATALOGUE if s.startswith("I")}


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_shown(shell):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    code = f"from imperv.flows.cli.commands import main; raise SystemExit(main(['--show-completion', '{shell}']))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "_IMPERV_COMPLETE" in done.stdout


def test_the_command_starts_without_the_heavy_packages():
    """Help and completion take a fraction of a second: what computes is loaded by the command that needs it."""
    heavy = "{'numpy', 'prefect', 'tensorflow', 'dask', 'xarray', 'rasterio', 'matplotlib', 'odc', 'pydantic'}"
    code = f"import sys, imperv.flows.cli.commands\nprint(*sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == [], done.stderr
