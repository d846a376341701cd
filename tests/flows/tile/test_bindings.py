"""GDAL's Python bindings that are not there are found before anything is made, not at the first delivery."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from imperv.flows.cli.commands import main
from tests.support.objections import objections

TILE = "E44N26"


@pytest.fixture
def file(tmp_path) -> Path:
    (tmp_path / "items.json").write_text('{"type": "FeatureCollection", "features": []}')
    path = tmp_path / "production.toml"
    path.write_text(f"""tiles = ["{TILE}"]
[periods]
then = "2018"
now = "2021"
[scenes]
catalogue = "items.json"
""")
    return path


@pytest.fixture(params=["osgeo", "osgeo.gdal_array"], ids=["bindings", "NumPy"])
def without(request, monkeypatch) -> None:
    """Bindings that are missing, or were built without NumPy."""
    # Nothing is imported a second time: bindings made anew would give their own bands to every later test of this process.
    osgeo = pytest.importorskip("osgeo.gdal_array") and sys.modules["osgeo"]
    monkeypatch.delattr(osgeo, "gdal_array")
    monkeypatch.setitem(sys.modules, request.param, None)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


@pytest.mark.usefixtures("without")
@pytest.mark.parametrize("command", [["run", TILE, "-c"], ["europe", "-c"], ["demo"], ["config", "check"]])
def test_commands_that_would_deliver_say_so_at_once(file, capsys, command):
    path = file.parent / "new" if command == ["demo"] else file
    assert main([*command, str(path)]) == 2
    lines = [line for line in objections(capsys.readouterr().err) if "GDAL" in line]
    assert len(lines) == 1 and 'pip install "gdal[numpy]==$(gdal-config --version)"' in lines[0]
    assert not (file.parent / "new").exists() and not (file.parent / "store").exists()


@pytest.mark.usefixtures("without")
def test_what_is_not_delivered_needs_no_bindings(file, capsys):
    assert main(["run", TILE, "-c", str(file), "-t", "IBUD_ref"]) == 2
    assert all("GDAL's" not in line for line in objections(capsys.readouterr().err))
