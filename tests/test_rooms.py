"""The rooms of the code: who may import whom, what is loaded late, and the house rules that a parser can see.

Arrows point one way, flows -> tasks -> (layers, calibration) -> grids. Everything is read from the sources; nothing of them
is imported but the catalogue, except in the last test.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from imperv.layers.catalogue import CATALOGUE
from imperv.layers.families import BUILT_IN

ROOT = Path(__file__).resolve().parents[1]

MAY_IMPORT = {
    "grids": {"grids"},
    "calibration": {"calibration", "grids"},
    "layers": {"layers", "grids"},
    "tasks": {"tasks", "layers", "calibration", "grids"},
    "flows": {"flows", "tasks", "layers", "calibration", "grids"},
    "deployments": {"deployments", "flows", "tasks", "layers", "calibration", "grids"},
    "imperv": {"imperv", "flows", "tasks", "layers", "calibration", "grids"},
}

IN_AND_OUT = {
    "prefect", "rasterio", "rioxarray", "xarray", "zarr", "dask", "distributed", "fsspec", "s3fs", "osgeo", "pyogrio",
    "geopandas", "pystac", "pystac_client", "requests", "httpx", "urllib3",
}  # fmt: skip
"""Orchestration, files and network: not for the rooms of the science."""

CALIBRATION_STANDS_ON = {"numpy", "scipy", "numba", "pydantic"}
GRIDS_STAND_ON = {"odc", "affine", "numpy"}
"""odc-geo, and what its grids are made of."""

DOORS = ("imperv.flows.cli.commands", "imperv.flows.cli.portal", "imperv.flows.cli.sentinel2", "imperv.api")
"""Where commands and the Python interface are put together, those of a family too."""

LONGEST = 400
"""Lines of a file: longer, it is two things."""


@dataclass(frozen=True)
class Import:
    module: str
    """Dotted name of what is imported; of ``from a import b`` both ``a`` and ``a.b`` are listed."""
    line: int
    late: bool
    """Inside a function: loaded when it is called."""

    @property
    def top(self) -> str:
        """Room, of this package; of others the name of the package."""
        return room_of(self.module) if self.module.startswith("imperv.") else self.module.partition(".")[0]


def room_of(name: str) -> str:
    """Of a module; what `import imperv` gives, such as ``imperv.api``, is a room too."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in MAY_IMPORT else "imperv"


@cache
def modules() -> dict[str, Path]:
    """Every module of the rooms by its dotted name."""
    found = {}
    for room in MAY_IMPORT:
        for path in sorted((ROOT / room).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name if room == "imperv" else f"imperv.{name}"] = path
    return found


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(modules()[name].read_text(encoding="utf-8"))


def walk(node: ast.AST, late: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        inside = late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _for_types(child)
        yield child, late
        yield from walk(child, inside)


def _for_types(node: ast.AST) -> bool:
    """True for ``if TYPE_CHECKING:``, whose body never runs."""
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


@cache
def imports(name: str) -> tuple[Import, ...]:
    package = name if modules()[name].name == "__init__.py" else name.rpartition(".")[0]
    found = []
    for node, late in walk(tree(name)):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, node.lineno, late) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            found += [
                Import(base, node.lineno, late),
                *(Import(f"{base}.{a.name}", node.lineno, late) for a in node.names),
            ]
    return tuple(found)


def offenders(rooms: set[str], wrong) -> list[str]:
    """``file:line name`` of every import in the rooms for which `wrong(module, import)` holds."""
    return [
        f"{modules()[name].relative_to(ROOT)}:{entry.line} {entry.module}"
        for name in modules()
        if room_of(name) in rooms
        for entry in imports(name)
        if wrong(name, entry)
    ]


def test_the_parser_sees_imports():
    """The other tests are worth nothing if the parser is blind: known imports, early and late."""
    assert {"flows", "tasks", "layers", "calibration", "grids"} <= {room_of(name) for name in modules()}
    assert len(modules()) > 50
    assert any(i.module == "numpy" and not i.late for i in imports("imperv.layers.scl"))
    assert any(i.top == "tensorflow" and i.late for i in imports("imperv.layers.network.unet"))
    assert any(i.module == "imperv.layers.aggregation" for i in imports("imperv.layers.change"))
    assert any(i.top == "prefect" for i in imports("imperv.flows.imperviousness"))
    assert any(i.top == "osgeo" for i in imports("imperv.tasks.delivery.geotiff"))


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_arrows_point_one_way(room):
    others = MAY_IMPORT.keys() - MAY_IMPORT[room]
    assert not offenders({room}, lambda _, i: i.top in others)


def test_what_is_imported_is_there():
    """Also late, where no type checker and no test may come by: a module, or a name in one."""
    parents = {name.rpartition(".")[0] for name in modules()} | modules().keys()

    def gone(_: str, i: Import) -> bool:
        return i.module.startswith("imperv.") and i.module not in parents and i.module.rpartition(".")[0] not in modules()

    assert not offenders(set(MAY_IMPORT), gone)


def test_the_rooms_do_not_import_the_tests():
    assert not offenders(set(MAY_IMPORT), lambda _, i: i.top in ("tests", "conftest", "benchmarks", "pytest", "hypothesis"))


def test_the_tests_do_not_import_the_benchmarks():
    """Benchmarks borrow from `tests.support`; tests run without their peers."""
    found = {
        path.name
        for path in (ROOT / "tests").rglob("*.py")
        if re.search(r"^\s*(from|import) benchmarks\b", path.read_text(), re.M)
    }
    assert not found


def test_a_wheel_holds_every_package():
    """The list stands in pyproject.toml by hand, as the folders of the top level lie beside `imperv` and not in it."""
    named = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    assert set(named) == {name for name, path in modules().items() if path.name == "__init__.py"}


def test_science_knows_no_files_network_or_orchestration():
    assert not offenders({"layers", "calibration", "grids"}, lambda _, i: i.top in IN_AND_OUT)


@pytest.mark.parametrize(("room", "known"), [("calibration", CALIBRATION_STANDS_ON), ("grids", GRIDS_STAND_ON)])
def test_rooms_that_stand_on_little(room, known):
    allowed = known | MAY_IMPORT[room] | sys.stdlib_module_names
    assert not offenders({room}, lambda _, i: i.top not in allowed)


def test_tensorflow_is_loaded_late_and_only_by_the_network():
    """Its import takes 4 s and 600 MB, and a process that forks after it hangs."""
    networks = (
        "imperv.layers.network.unet",
        "imperv.layers.crops.networks",
        "imperv.layers.network.optimizer",
        "imperv.layers.landcover.patches",
        "imperv.layers.network.fitting",
        "imperv.layers.network.heads",
        "imperv.layers.network.training",
        "imperv.layers.network.prediction",
        "imperv.layers.network.unpadded",
        "imperv.layers.patches.network",
        "imperv.layers.patches.pretraining",
        "imperv.layers.patches.training",
        "imperv.layers.sharpening.composite_network",
        "imperv.layers.sharpening.date_network",
        "imperv.layers.sharpening.network",
        "imperv.layers.sharpening.training",
    )
    assert not offenders(set(MAY_IMPORT), lambda name, i: i.top in ("tensorflow", "keras") and not (i.late and name in networks))


def test_prefect_is_known_to_the_flows_only():
    assert not offenders(MAY_IMPORT.keys() - {"flows"}, lambda _, i: i.top in ("prefect", "prefect_dask"))


def test_gdal_bindings_are_loaded_late_and_only_by_the_delivery():
    """A laptop without the system's GDAL must import and plan everything; only writing deliveries needs the bindings."""
    writers = ("imperv.tasks.delivery.geotiff", "imperv.tasks.delivery.attribute_table")
    assert not offenders(set(MAY_IMPORT), lambda name, i: i.top == "osgeo" and not (i.late and name in writers))


def test_no_cycles():
    """Among what is loaded at import. A module may name its own package only to reach a sibling in it."""
    graph = {}
    for name in modules():
        early = {i.module for i in imports(name) if not i.late and i.module in modules()} - {name}
        passed = {module for module in early if name.startswith(f"{module}.") and any(o.startswith(f"{module}.") for o in early)}
        graph[name] = early - passed
    assert sum(len(found) for found in graph.values()) > 100
    TopologicalSorter(graph).prepare()


def test_no_cycles_between_packages():
    """Of sub-packages, and of the modules beside them; also through what is loaded late."""

    def unit(name: str) -> str:
        inside = name if modules()[name].name == "__init__.py" else name.rpartition(".")[0]
        return inside if inside.count(".") > 1 else name

    graph: dict[str, set[str]] = {}
    for name in modules():
        known = [i.module for i in imports(name) if i.module in modules()]
        exact = {m for m in known if not any(other.startswith(f"{m}.") for other in known)}
        graph.setdefault(unit(name), set()).update({unit(m) for m in exact} - {unit(name)})
    assert len(graph) > 40 and sum(len(found) for found in graph.values()) > 100
    TopologicalSorter(graph).prepare()


def is_of_a_family(name: str) -> str:
    """Family that a module belongs to; empty for what all share."""
    for family in BUILT_IN:
        own = [f"imperv.{room}.{family}" for room in ("tasks", "layers.catalogue", "flows.cli", "flows")]
        if any(name == start or name.startswith(f"{start}.") for start in own):
            return family
    return ""


def test_what_all_share_knows_no_family():
    """A product is reached by its name only (`imperv.tasks.families`), but for the commands that it has of its own."""
    found = offenders(
        set(MAY_IMPORT),
        lambda name, i: name not in DOORS and is_of_a_family(i.module) not in ("", is_of_a_family(name)),
    )
    assert not found


def test_what_all_share_names_no_layer():
    """Symbols of layers stand in the catalogue and in what belongs to the family."""
    symbols, found = {s for layer in CATALOGUE.values() if layer.kind != "source" for s in (layer.symbol, layer.stem)}, []
    for name, path in modules().items():
        if is_of_a_family(name):
            continue
        said = {id(node.value) for node in ast.walk(tree(name)) if isinstance(node, ast.Expr)}
        found += [
            f"{path.relative_to(ROOT)}:{node.lineno} {node.value}"
            for node in ast.walk(tree(name))
            if isinstance(node, ast.Constant) and node.value in symbols and id(node) not in said
        ]
    assert not found


def test_every_module_says_what_lives_in_it():
    texts = {name: ast.get_docstring(tree(name)) or "" for name in modules()}
    assert {name: text[:40] for name, text in texts.items() if not text[:1].isupper() and text[:1] not in {*"`'\""}} == {}


def test_no_file_is_two_things():
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules().items()}
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}


def test_no_catch_all():
    names = {path.stem for path in modules().values()}
    assert not names & {"utils", "util", "helpers", "helper", "misc", "common", "tools"}


def test_importing_the_tasks_loads_neither_tensorflow_nor_prefect_nor_the_bindings():
    """The same as above, seen from a fresh interpreter: also what third parties load counts."""
    code = (
        "import sys, imperv.tasks.nodes, imperv.tasks.delivery.delivery, imperv.tasks.simulator, imperv.layers.network.training\n"
        "print(*sorted({'tensorflow', 'keras', 'prefect', 'osgeo', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
