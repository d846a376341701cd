"""What `imperv --help` shows: every command in its group, nothing cut, in any terminal and in pipes; the version."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest
import typer

from imperv.flows.cli.commands import app, main
from imperv.flows.cli.parts.groups import GROUPS

ROOT = Path(__file__).resolve().parents[3]


@cache
def commands() -> dict[str, object]:
    """Every command and group by its words, as Typer builds them."""
    found: dict[str, object] = {"": typer.main.get_command(app)}
    for name, command in typer.main.get_command(app).commands.items():
        found[name] = command
        found |= {f"{name} {inner}": sub for inner, sub in getattr(command, "commands", {}).items()}
    return found


def words(text: str) -> str:
    return re.sub(r"\s+", "", text)


def test_every_command_is_in_a_group():
    top = {name for name in commands() if name and " " not in name}
    assert {"run", "plan", "europe", "verify", "model", "demo"} <= top
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(top)


def test_groups_are_shown_in_their_order_and_hold_their_commands(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    places = [text.index(f"\n{name}:\n") for name in GROUPS]
    assert places == sorted(places)
    one_tile = text[places[1] : places[2]]
    assert "\n  run " in one_tile
    assert "\n  europe " not in one_tile


@pytest.mark.parametrize("name", commands())
def test_values_have_names_in_place_of_python_types(name, capsys):
    assert main([*name.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert not re.search(r"<(int|str|float|path|list)|list\[", text)
    for parameter in commands()[name].params:
        is_choice = "|" in (parameter.metavar or "")
        assert parameter.is_flag if parameter.metavar is None else is_choice or parameter.metavar.isupper()


@pytest.mark.parametrize(
    ("name", "columns"),
    [*((name, "40") for name in commands()), *((name, columns) for name in ("", "europe", "model") for columns in ("80", "200"))],
)
def test_help_is_never_cut(name, columns, capsys, monkeypatch):
    """All of them in a narrow terminal, where there is least room, and some in wider ones."""
    monkeypatch.setenv("COLUMNS", columns)
    assert main([*name.split(), "--help"]) == 0
    text = capsys.readouterr().out
    command = commands()[name]
    assert max(map(len, text.splitlines())) <= max(int(columns), 50)
    shown = words(text)
    assert words(command.help) in shown
    for inner in getattr(command, "commands", {}).values():
        assert words(inner.help) in shown
    for parameter in command.params:
        assert parameter.help, f"{name} {parameter.name} has no help"
        assert words(parameter.help) in shown


@pytest.mark.parametrize("terminal", ["dumb", "xterm-256color"])
def test_help_in_a_pipe_is_plain_text(terminal):
    """No colours, boxes or escapes, whatever the terminal is called."""
    environment = os.environ | {"TERM": terminal, "PYTHONPATH": str(ROOT)}
    environment.pop("COLUMNS", None)
    done = subprocess.run(
        [sys.executable, "-c", "from imperv.flows.cli.commands import main; raise SystemExit(main(['--help']))"],
        capture_output=True, env=environment, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode("ascii")
    assert "\x1b" not in text
    assert "..." not in text.replace("[ARGS]...", "")
    assert max(map(len, text.splitlines())) <= 80


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"imperv {version('imperv')}\n"


@pytest.mark.parametrize(("arguments", "hint"), [(["rum"], "Did you mean 'run'"), (["run", "--confg", "x"], "--config")])
def test_a_misspelt_command_or_option_gets_a_hint(arguments, hint, capsys):
    assert main(arguments) == 2
    assert hint in capsys.readouterr().err


def test_short_help_option(capsys):
    assert main(["run", "-h"]) == 0
    assert "Usage: imperv run" in capsys.readouterr().out


def test_the_page_of_commands_lists_them_as_help_does():
    table = dict(re.findall(r"^\| ([A-Z][\w ]+) \| (.*) \|$", (ROOT / "docs" / "commands.md").read_text(), re.MULTILINE))
    assert table == {group: ", ".join(f"`{name}`" for name in names) for group, names in GROUPS.items()}


def test_a_value_that_is_none_of_the_choices_is_told_plainly(capsys):
    assert main(["graph", "--format", "png"]) == 2
    assert capsys.readouterr().err == "imperv: Invalid value for '--format': 'png' is not one of 'mermaid', 'svg'.\n"


@pytest.mark.slow
def test_the_graph_takes_its_form_from_the_file(tmp_path, capsys):
    assert main(["graph", "-o", str(tmp_path / "graph.svg")]) == 0 and "<svg" in (tmp_path / "graph.svg").read_text()
    assert main(["graph", "-o", str(tmp_path / "graph.mmd")]) == 0 and "flowchart" in (tmp_path / "graph.mmd").read_text()
    assert main(["graph", "-o", str(tmp_path / "none" / "graph.svg")]) == 2
    assert capsys.readouterr().err.startswith("imperv: --output: ")


def test_a_deployment_needs_a_server(monkeypatch, capsys):
    """It was left out without a word, and everything ran here."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert main(["europe", "--deployment", "a/b"]) == 2
    assert "no Prefect server is named; set PREFECT_API_URL" in capsys.readouterr().err


def test_without_a_production_file_there_is_a_way_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["status"]) == 2
    assert "production.toml: cannot be read" in (text := capsys.readouterr().err)
    assert "begin one with imperv init" in text
