"""What is written down beside the code stays true: settings, layers, commands, links, and the pages and tests that are cited."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

from imperv.flows.cli.drawing import mermaid, svg
from imperv.layers.catalogue import CATALOGUE, edges
from imperv.layers.catalogue.imperviousness import LAYERS
from imperv.tasks.settings.production import Production

ROOT = Path(__file__).resolve().parents[1]


def test_the_page_of_settings_is_what_the_models_say():
    """`imperv config settings > docs/settings.md` writes it."""
    from imperv.flows.cli.settings_page import settings_page

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
    production = Production.of(tomllib.loads(table), ROOT / "production.toml")
    assert production.tile_names == ("E38N31",) and production.area.bbox == (3829000, 3101000, 3831000, 3103000)


def test_commands_of_the_readme_exist(capsys):
    from imperv.flows.cli.commands import main

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
    from imperv.layers.catalogue import topological_order

    shown = set(topological_order(targets))
    text = mermaid(targets)
    assert set(re.findall(r"^    (\w+)\[", text, re.M)) == shown
    assert set(re.findall(r"^    (\w+) --> (\w+)$", text, re.M)) == {(a, b) for a, b in edges() if a in shown and b in shown}
    drawn = svg(targets)
    labels = {f"{s}  {CATALOGUE[s].resolution} m" if CATALOGUE[s].resolution else s for s in shown}
    assert labels <= {m.strip() for m in re.findall(r"<!-- (.*?) -->", drawn)}


def test_the_drawing_of_the_pages_is_that_of_the_catalogue():
    assert (ROOT / "docs" / "graph.svg").read_text(encoding="utf-8") == svg()


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


PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deployments").glob("*.md")])
CODE = sorted(
    path
    for room in ("grids", "layers", "calibration", "tasks", "flows", "deployments", "tests", "benchmarks", "*.*")
    for path in ROOT.glob(room if "*" in room else f"{room}/**/*")
    if path.suffix in (".py", ".yaml", ".yml", ".toml", ".sh", ".slurm") or path.name == "Dockerfile"
)


@cache
def anchors(page: Path) -> frozenset[str]:
    """What links to headings of a page are called, as GitHub makes it."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.*?) *$", text, re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)


def broken(target: str, origin: Path) -> str:
    """Why a link from a folder leads nowhere; empty if it leads somewhere."""
    name, _, anchor = target.partition("#")
    page = (origin / name).resolve() if name else origin
    if not page.exists():
        return f"{target}: no such file"
    return f"{target}: no such heading" if anchor and anchor not in anchors(page) else ""


def numbers(text: str) -> list[int]:
    """Numbers of sections as they are cited: ``8``, ``6 and 7``, ``4 to 11``, ``1, 3``."""
    first_last = re.fullmatch(r"(\d+) to (\d+)", text)
    return list(range(int(first_last[1]), int(first_last[2]) + 1)) if first_last else [int(n) for n in re.findall(r"\d+", text)]


def test_links_and_sections_are_told_apart():
    """The tests below are worth nothing if these are blind."""
    assert "the-offset-of-baseline-0400" in anchors(ROOT / "docs" / "scenes.md")
    assert broken("scenes.md#no-such", ROOT / "docs").endswith("heading") and broken("none.md", ROOT / "docs").endswith("file")
    assert broken("dev/algorithms.md#8-status-layers", ROOT / "docs") == ""
    assert (numbers("8"), numbers("6 and 7"), numbers("4 to 6"), numbers("1, 3")) == ([8], [6, 7], [4, 5, 6], [1, 3])
    assert len(PAGES) > 20 and len(CODE) > 300


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = [t for t in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", t)]
    wrong = [why for t in targets if (why := broken(t, page if t.startswith("#") else page.parent))]
    assert not wrong


def test_pages_that_the_code_cites_are_there():
    """Also their headings (``docs/products.md#layers``) and numbered sections (``docs/dev/algorithms.md, sections 6 and 7``)."""
    cited, wrong = 0, []
    for path in CODE:
        text = re.sub(r"\s*\n\s*#?\s*", " ", path.read_text(encoding="utf-8"))  # a citation may go on in the next line
        for page, sections in re.findall(
            r"(?<![\w/])(docs/[\w/-]+\.md(?:#[\w-]+)?)(?:, sections? (\d+(?:(?:, | and | to )\d+)*))?", text
        ):
            cited += 1
            found = broken(page, ROOT)
            if not found:
                known = {anchor.partition("-")[0] for anchor in anchors(ROOT / page.partition("#")[0])}
                found = "".join(f"{page}: no section {n}" for n in numbers(sections) if str(n) not in known)
            wrong += [f"{path.relative_to(ROOT)}: {found}"] if found else []
    assert not wrong
    assert cited > 30


def test_the_code_cites_no_pages_that_are_not_in_the_repository():
    """A page without its folder, or a section of a page that is only meant."""
    pages = r"(?<![\w/])(?:algorithms|architecture|sentinel2|orchestration|products|interface|house|style)\.md"
    strays = rf"{pages}|\b(?:algorithms|design),? sections? \d"
    wrong = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in CODE
        if path != Path(__file__)
        for match in re.finditer(strays, path.read_text(encoding="utf-8"))
    ]
    assert not wrong


def test_tests_that_the_pages_name_exist():
    modules = {path.stem: path for path in (ROOT / "tests").rglob("test_*.py")}
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in modules.values()]
    functions = {node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)}
    named = {name for page in PAGES for name in re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8"))}
    assert len(named) > 20
    assert sorted(named - modules.keys() - functions) == []
