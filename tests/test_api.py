"""`import imperv`: the public interface, used as a notebook does, and found wherever the working folder is."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import imperv
from imperv.tasks.errors import InputError


def test_what_is_public_is_there_documented_and_typed():
    assert set(imperv.__all__) == {"ImpervError", "InputError", "Production", "WorkError", "open"}
    assert all(getattr(imperv, name).__doc__ for name in imperv.__all__)
    assert (Path(imperv.__file__).parent / "py.typed").exists()


def test_importing_it_loads_nothing_heavy():
    heavy = {"numpy", "xarray", "rasterio", "pandas", "tensorflow", "prefect"}
    code = f"import sys, imperv; print(*sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"production.toml"):
        imperv.open(tmp_path / "production.toml")


def test_a_production_is_planned_run_opened_and_verified(flanders_file):
    production = imperv.open(flanders_file)
    assert production.tiles == ["E38N31"] and len(production.layers()) == 0
    plan = production.plan("e38n31", "IMD_MSK_then")
    assert set(plan["state"]) == {"run"} and set(plan["tile"]) == {"E38N31"}
    assert production.run("E38N31", ["IMD_then"]) == {}
    assert set(production.plan("E38N31", ["IMD_then"])["state"]) == {"up to date"}
    assert list(production.layers()["layer"]) == ["IMD_then"]
    density = production.open("IMD_then", "E38N31", masked=True)
    assert density.shape == (200, 200) and 0 <= float(density.min()) <= float(density.max()) <= 100
    assert production.mosaic("IMD_then").equals(production.open("IMD_then", "E38N31"))
    found = production.verify()
    assert found and not any(finding.ok for findings in found.values() for finding in findings)  # all are missing


def test_it_evaluates_against_a_truth(flanders_file, shared_data):
    production = imperv.open(flanders_file)
    with pytest.raises(InputError):  # nothing of now is there
        production.evaluate(rasters=[f"imd_now={shared_data / 'flanders/reference/imd_then.tif'}"])


@pytest.mark.slow
def test_modules_in_the_working_folder_are_not_ours(tmp_path, flanders_file):
    """A user's own `tasks.py` broke the command, and so did it in the processes that `imperv europe` starts."""
    for name in ("tasks.py", "flows/__init__.py", "layers.py", "grids/__init__.py"):
        path = tmp_path / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("raise SystemExit('not ours')")
    command = Path(sys.executable).with_name("imperv")
    done = subprocess.run(
        [command, "europe", "--config", flanders_file, "-t", "IMD_then"], cwd=tmp_path / "work", capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_it_has_a_version():
    assert imperv.__version__ == version("imperv")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        imperv.nothing  # noqa: B018
