"""A small simulated site, made and run once for all integration tests of all workers."""

import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import WORKER, made_once

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

SMALL_UNET = """
[parameters.unet]
base_filters = 4
depth = 1
crop = 32
epochs = 2
steps_per_epoch = 4
split_block = 16
"""
"""A network of seconds: these tests are about the chain, not about quality. Of one member there would be no confidence."""


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """Folder of a simulated site with scenes, references and truth; nobody changes them. Tests copy the production file."""

    def make(folder: Path) -> None:
        from imperv.tasks.simulator import simulate

        simulate(folder, size=200, overpasses=8)
        config = folder / "production.toml"
        config.write_text(config.read_text() + SMALL_UNET)

    return made_once(tmp_path_factory, "site", make)


@pytest.fixture(scope="session")
def finished(site, tmp_path_factory) -> Path:
    """The production file of the site after an uninterrupted run. Tests that run or change anything work on a copy."""

    def make(_: Path) -> None:
        from imperv.flows.cli.commands import main

        shutil.rmtree(site / "store", ignore_errors=True)
        assert main(["run", "E44N27", "--config", str(site / "production.toml")]) == 0

    made_once(tmp_path_factory, "finished", make)
    return site / "production.toml"


@pytest.fixture(scope="session")
def deployed(tmp_path_factory) -> Path:
    """Folder of Prefect with both pools and every deployment, of a server that has ended; tests start theirs on a copy."""

    def make(folder: Path) -> None:
        from tests.support.prefect_loopback import Loopback

        with Loopback(folder / "home", workers=0):
            pass

    return made_once(tmp_path_factory, "deployed", make) / "home"


@pytest.fixture(autouse=True)
def _no_report(monkeypatch) -> None:
    """Runs of tests end without drawing a report, which takes as long as everything else; that of `finished` has one."""
    from imperv.tasks.imperviousness.report import tile

    monkeypatch.setattr(tile, "write_tile_report", lambda job: job.report_path)


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """Production file with a store of its own that is a copy of the finished one."""
    shutil.copytree(finished.parent / "store", tmp_path / "store")
    return with_store(finished, tmp_path)


def with_store(config: Path, folder: Path) -> Path:
    """The same production with its store in another folder; inputs stay where they are."""
    text = config.read_text().replace('store = "store"', f'store = "{folder / "store"}"')
    copy = config.parent / f"production-{WORKER}-{folder.name}.toml"
    copy.write_text(text)
    return copy
