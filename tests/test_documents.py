"""What is written down beside the code stays true: the table of layers, the deployments, the README's production file."""

import re
import tomllib
from pathlib import Path

import pytest

from flows.drawing import mermaid, svg
from layers.catalogue import CATALOGUE, LAYERS, edges
from tasks.production import Production

ROOT = Path(__file__).resolve().parents[1]


def test_the_page_of_settings_is_what_the_models_say():
    """`imperv config settings > docs/settings.md` writes it."""
    from flows.settings_page import settings_page

    assert (ROOT / "docs" / "settings.md").read_text() == settings_page() + "\n"


def test_the_table_of_layers_is_the_catalogue():
    rows = [line for line in (ROOT / "docs" / "layers.md").read_text().splitlines() if line.startswith("| ")][1:]
    expected = [
        f"| {x.symbol} | {x.atbd} | {x.description} | {x.section} | {', '.join(x.inputs)} | "
        f"{f'{x.resolution} m' if x.resolution else ''} | {x.kind} |"
        for x in LAYERS
    ]
    assert rows == expected


def test_the_production_file_of_the_readme_is_valid():
    table = re.search(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[1]
    production = Production(**tomllib.loads(table))
    assert production.tile_names == ("E38N31",) and production.area.bbox == (3829000, 3101000, 3831000, 3103000)


def test_commands_of_the_readme_exist(capsys):
    from flows.cli import main

    text = (ROOT / "README.md").read_text()
    commands = set(re.findall(r"^imperv (\w+)", text, re.M))
    assert {"run", "plan", "status", "verify", "graph", "config"} <= commands
    for command in commands:
        assert main([command, "--help"]) == 0, command
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert {"demo", "test", "lint", "bench", "setup"} <= targets
    assert set(re.findall(r"^make (\w+)", text, re.M)) <= targets


@pytest.mark.parametrize("targets", [None, ["IMCC"]])
def test_the_drawings_show_every_node_and_edge(targets):
    from layers.catalogue import topological_order

    shown = set(topological_order(targets))
    text = mermaid(targets)
    assert set(re.findall(r"^    (\w+)\[", text, re.M)) == shown
    assert set(re.findall(r"^    (\w+) --> (\w+)$", text, re.M)) == {(a, b) for a, b in edges() if a in shown and b in shown}
    drawn = svg(targets)
    labels = {f"{s}  {CATALOGUE[s].resolution} m" if CATALOGUE[s].resolution else s for s in shown}
    assert labels <= {m.strip() for m in re.findall(r"<!-- (.*?) -->", drawn)}


def test_the_lock_is_within_the_bounds_of_the_dependencies():
    """What was tested is what may be installed."""
    from packaging.requirements import Requirement

    locked: dict[str, list[str]] = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        name, _, version = line.partition(";")[0].strip().partition("==")
        locked.setdefault(name, []).append(version)
    wanted = [Requirement(text) for text in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]]
    assert len(wanted) > 30
    outside = [f"{r}: {v}" for r in wanted for v in locked[r.name.lower()] if not r.specifier.contains(v)]
    assert not outside
