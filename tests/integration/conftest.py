"""A small simulated site, made and run once for all integration tests."""

import os
import shutil
from pathlib import Path

import pytest

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

SMALL_UNET = """
[parameters.unet]
base_filters = 4
depth = 2
patch = 64
overlap = 16
crop = 32
epochs = 2
steps_per_epoch = 8
split_block = 16
"""
"""A network of seconds: these tests are about the chain, not about quality."""


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """Folder of a simulated site with scenes, references and truth; its store is empty. Tests copy the production file."""
    from imperv.tasks.simulator import simulate

    folder = tmp_path_factory.mktemp("site")
    simulate(folder, size=200, overpasses=8)
    config = folder / "production.toml"
    config.write_text(config.read_text() + SMALL_UNET)
    return folder


@pytest.fixture(scope="session")
def finished(site) -> Path:
    """The production file of the site after an uninterrupted run. Tests that change anything work on a copy."""
    from imperv.flows.cli.commands import main

    assert main(["run", "E44N27", "--config", str(site / "production.toml")]) == 0
    return site / "production.toml"


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """Production file with a store of its own that is a copy of the finished one."""
    shutil.copytree(finished.parent / "store", tmp_path / "store")
    return with_store(finished, tmp_path)


def with_store(config: Path, folder: Path) -> Path:
    """The same production with its store in another folder; inputs stay where they are."""
    text = config.read_text().replace('store = "store"', f'store = "{folder / "store"}"')
    copy = config.parent / f"production-{folder.name}.toml"
    copy.write_text(text)
    return copy
