"""One finished production of super-resolution, for all tests of what is delivered and reported of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from imperv.flows.cli.commands import main
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from tests.support.sharpened import TILE, small_production


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """Its production file; not to be changed."""
    file = small_production(tmp_path_factory.mktemp("sharpened"))
    assert main(["run", "--config", str(file)]) == 0
    return file


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """A copy to be broken."""
    shutil.copytree(finished.parent / "store", tmp_path / "store")
    return Path(shutil.copy(finished, tmp_path))


@pytest.fixture
def job(finished) -> Job:
    """The tile of it."""
    return Job.of(Production.read(finished), TILE)
