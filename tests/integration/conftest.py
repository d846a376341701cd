"""A small simulated site, made and run once for all integration tests, however many processes share them."""

import fcntl
import os
import shutil
from collections.abc import Callable
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
def prefect_home(tmp_path_factory):
    """Prefect's folder, so that tests leave nothing in the user's."""
    import flows

    assert flows
    folder = tmp_path_factory.mktemp("prefect")
    os.environ["PREFECT_HOME"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def original(tmp_path_factory) -> Path:
    """Folder that all processes of a test run share; what is in it is made once and only copied then."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "original"
    folder.mkdir(exist_ok=True)
    return folder


def once(folder: Path, what: str, make: Callable[[], None]) -> None:
    """Run a function in the first process that comes here; the others wait until it is done, and fail if it failed."""
    done, failed = (folder.parent / f"{what}.{end}" for end in ("done", "failed"))
    with (folder.parent / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if failed.exists():
            pytest.fail(f"{what}: another process failed to make it")
        if not done.exists():
            failed.touch()
            make()
            failed.unlink()
            done.touch()


@pytest.fixture(scope="session")
def site(tmp_path_factory, prefect_home, original) -> Path:
    """Folder of a simulated site with scenes, references and truth; its store is empty. Tests copy the production file."""
    from tasks.simulator import simulate

    def make() -> None:
        simulate(original, size=200, overpasses=8)
        config = original / "production.toml"
        config.write_text(config.read_text() + SMALL_UNET)

    once(original, "site", make)
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(original, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("store"))
    return folder


@pytest.fixture(scope="session")
def finished(site, original) -> Path:
    """The production file of the site after an uninterrupted run. Tests that change anything work on a copy."""
    from flows.cli import main

    def run(folder: Path) -> None:
        assert main(["run", "E44N27", "--config", str(folder / "production.toml")]) == 0

    once(original, "finished", lambda: run(original))
    shutil.copytree(original / "store", site / "store", dirs_exist_ok=True)
    run(site)  # only scenes are listed anew, as they lie elsewhere
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
