"""What other installations and missing homes leave in the environment does not reach the libraries."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from imperv.tasks.settings.surroundings import foreign_data, temporary_folder

ROOT = Path(__file__).resolve().parents[3]

PLACE = """
import imperv.tasks
from rasterio.warp import transform
print(transform("EPSG:31370", "EPSG:3035", [150000], [170000]))
"""


def said(code: str, folder: Path = ROOT, **environment: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def foreign(tmp_path) -> Path:
    """PROJ's data as another version of it has them."""
    with sqlite3.connect(tmp_path / "proj.db") as database:
        database.execute("CREATE TABLE metadata (key TEXT, value TEXT)")
        database.execute("INSERT INTO metadata VALUES ('DATABASE.LAYOUT.VERSION.MAJOR', '0')")
    return tmp_path


@pytest.mark.slow
def test_data_of_another_proj_are_not_used(foreign):
    plain = said(PLACE)
    assert "[" in plain
    assert said(PLACE, PROJ_DATA=str(foreign)) == said(PLACE, PROJ_LIB=str(foreign), PROJ_DATA="/nonexistent") == plain


def test_gdals_bindings_of_the_system_find_their_own(foreign):
    pytest.importorskip("osgeo", exc_type=ImportError)
    code = "import imperv.tasks\nfrom osgeo import osr\ns = osr.SpatialReference()\nprint(s.ImportFromEPSG(3035), s.GetName())"
    assert said(code, PROJ_DATA=str(foreign), PROJ_LIB=str(foreign), GDAL_DATA="/nonexistent").split()[0] == "0"


def test_a_variable_that_is_left_is_named(monkeypatch):
    for name in ("PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "GDAL_DRIVER_PATH"):
        monkeypatch.delenv(name, raising=False)
    assert foreign_data() == ""
    monkeypatch.setenv("PROJ_LIB", "/opt/qgis/proj")
    assert "PROJ_LIB=/opt/qgis/proj" in foreign_data() and "unset it" in foreign_data()


SHOW = "import json, os, imperv.tasks; print(json.dumps({n: os.environ.get(n) for n in ('NUMBA_CACHE_DIR', 'MPLCONFIGDIR')}))"


@pytest.fixture
def installed(tmp_path) -> Path:
    """Folder of modules beside which nothing can be written, not even by root, and a place for temporary files."""
    settings = tmp_path / "imperv" / "tasks" / "settings"
    settings.mkdir(parents=True)
    (tmp_path / "imperv" / "__init__.py").touch()
    shutil.copy(ROOT / "tasks" / "__init__.py", settings.parent)
    for name in ("__init__.py", "surroundings.py"):
        shutil.copy(ROOT / "tasks" / "settings" / name, settings)
    (settings / "__pycache__").touch()
    (tmp_path / "tmp").mkdir()
    return tmp_path


def caches(installed: Path, **environment: str) -> dict[str, str | None]:
    usual = {
        "TMPDIR": str(installed / "tmp"),
        "XDG_CACHE_HOME": "",
        "XDG_CONFIG_HOME": "",
        "NUMBA_CACHE_DIR": "",
        "MPLCONFIGDIR": "",
    }
    found = json.loads(said(SHOW, installed, PYTHONPATH="", PYTHONDONTWRITEBYTECODE="1", **usual | environment))
    return {name: value or None for name, value in found.items()}


def test_without_a_home_caches_are_temporary(installed):
    own = installed / "tmp" / f"imperv-{os.getuid()}"
    for home in ("/dev/null", "/dev/null/nobody"):
        assert caches(installed, HOME=home) == {"NUMBA_CACHE_DIR": str(own / "numba"), "MPLCONFIGDIR": str(own / "matplotlib")}
    assert own.stat().st_mode & 0o077 == 0


def test_a_home_is_used_and_not_filled(installed):
    home = installed / "home"
    home.mkdir()
    assert caches(installed, HOME=str(home)) == {"NUMBA_CACHE_DIR": None, "MPLCONFIGDIR": None}
    assert not list(home.iterdir())


def test_a_choice_stays_where_it_can_be_used(installed):
    chosen = str(installed / "numba")
    assert caches(installed, HOME="/dev/null", NUMBA_CACHE_DIR=chosen)["NUMBA_CACHE_DIR"] == chosen
    own = str(installed / "tmp" / f"imperv-{os.getuid()}" / "numba")
    assert caches(installed, HOME="/dev/null", NUMBA_CACHE_DIR="/dev/null/a")["NUMBA_CACHE_DIR"] == own


def test_a_folder_that_others_can_write_is_not_trusted(tmp_path, monkeypatch):
    """What Numba finds in its cache is run."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    open_to_all = tmp_path / f"imperv-{os.getuid()}"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    found = temporary_folder("numba")
    assert found.is_dir() and found.name == "numba" and open_to_all not in found.parents
    open_to_all.chmod(0o700)
    assert temporary_folder("numba") == open_to_all / "numba"
