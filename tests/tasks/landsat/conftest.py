"""A small kit of Landsat scenes with known truth, made by the program beside the test data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import made_once


@pytest.fixture(scope="session")
def fine_kit(tmp_path_factory, shared_data) -> Path:
    """Scenes of 2021 (OLI) and 2005 (ETM+ with gaps) over 1280 x 1280 m, their truth at 10 m, one scene of Sentinel-2."""
    program = shared_data.parent / "tools" / "make_fine_kit.py"
    if not program.is_file():
        pytest.skip(f"no {program}")

    def make(folder: Path) -> None:
        command = [sys.executable, str(program), str(folder), "--size", "256", "--scenes", "1", "--landsat-year", "2021", "2005"]
        subprocess.run(command, check=True, capture_output=True, timeout=300)

    return made_once(tmp_path_factory, "fine-kit", make)
