"""Fixtures that several test files share."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import absl.logging
import numpy as np
import pytest
from hypothesis import settings

# Workers of pytest-xdist inherit this. Each has a core to itself; libraries that take all cores would only wait for each other.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(_name, "1")

# The first call of a compiled kernel takes seconds, which is no slow example.
settings.register_profile("compiled", deadline=None)
settings.load_profile("compiled")

# TensorFlow's log handler closes the stream it was made with when logging is configured anew, as each flow does, unless
# that is standard error at the moment; made within a test, it would be the file that pytest captures everything in.
absl.logging.get_absl_handler().python_handler.setStream(sys.__stderr__)


EXPENSIVE = ("tests/integration/", "tests/tasks/imperviousness/assessment/", "tests/layers/network/", "tests/tasks/networks/")
"""Where tests take long: they begin first, so that no worker is left alone with one of them at the end."""

APART = ("tests/integration/test_chain.py", "tests/flows/portal/test_browser_projects.py")
"""Files whose tests share nothing but what is `made_once`: they may run in several workers."""

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "alone")
"""Which process of several this is; for names in what all of them share."""


def pytest_xdist_auto_num_workers() -> int:
    """With ``-n auto``: one more than cores, as a fifth of the time tests wait for servers, browsers and processes."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of expensive folders first, and among them those with slow tests; of these `APART` last, as what fills gaps."""

    def rank(item: pytest.Item) -> tuple[int, bool, bool]:
        place = next((k for k, folder in enumerate(EXPENSIVE) if item.nodeid.startswith(folder)), len(EXPENSIVE))
        return place, item.get_closest_marker("slow") is None, item.nodeid.startswith(APART)

    ranks: dict[Path, tuple[int, bool, bool]] = {}
    for item in items:
        ranks[item.path] = min(ranks.get(item.path, rank(item)), rank(item))
    items.sort(key=lambda item: ranks[item.path])


def pytest_collection_finish() -> None:
    """What is imported by now lives as long as the process: garbage collections, of which there are many, need not look at it."""
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``--dist loadfile``: tests of a file, which share fixtures, stay together in a worker, but for those of `APART`."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return nodeid if file in APART else file

    return Files(config, log)


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first worker which asks for it makes, and that all share; nobody changes anything in it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if WORKER == "alone" else base.parent) / f"shared-{name}"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        finished = folder / ".made"
        if not finished.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            finished.touch()
    return folder


@pytest.fixture(scope="session")
def filled(tmp_path_factory) -> Path:
    """Folder of a finished production of one tile of 3 x 3 km (`report_store`); nobody changes it."""

    def make(folder: Path) -> None:
        from tests.support.report_store import fill, new_job

        fill(new_job(folder))

    return made_once(tmp_path_factory, "filled", make)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of test data that lies beside the checkout, not in it; tests of real data are skipped without it."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder}")
    return folder


@dataclass(frozen=True)
class Observations:
    """Real Sentinel-2 observations of a village in Flanders, (time, y, x) at 10 m in EPSG:32631."""

    red: np.ndarray
    nir: np.ndarray
    scl: np.ndarray
    time: np.ndarray
    month: np.ndarray
    transform: tuple[float, ...]


@pytest.fixture(scope="session")
def flanders(shared_data) -> Observations:
    """All 118 dates, 2017-08-04 to 2018-11-27; `month` counts from January 2017 = 1."""
    import rasterio

    folder = shared_data / "flanders"
    red, nir, scl, time, month = [], [], [], [], []
    for item in json.loads((folder / "items.json").read_text())["features"]:
        date = datetime.fromisoformat(item["properties"]["datetime"])
        bands = {}
        for name in ("red", "nir", "scl"):
            with rasterio.open(folder / "scenes" / item["id"] / f"{name}.tif") as source:
                bands[name] = source.read(1)
                if name == "red":
                    transform = source.transform.to_gdal()
        red.append(bands["red"])
        nir.append(bands["nir"])
        scl.append(bands["scl"].repeat(2, axis=0).repeat(2, axis=1))
        days = 366 if date.year % 4 == 0 else 365
        time.append((date.timetuple().tm_yday - 1) / days)
        month.append(12 * (date.year - 2017) + date.month)
    return Observations(np.stack(red), np.stack(nir), np.stack(scl), np.array(time), np.array(month), transform)


@pytest.fixture
def flanders_file(shared_data, tmp_path) -> Path:
    """A production file for the same village, in a folder of its own; nothing of it is made yet."""
    data = shared_data / "flanders"
    rasters = [f'{key} = "{data}/reference/{key}.tif"' for key in ("imd_then", "ibu_then", "clcplus_then", "clcplus_now")]
    lines = [
        'tiles = ["E38N31"]', 'store = "store"', "[periods]", 'then = "2017-08-01/2018-07-31"', 'now = "2017-12-01/2018-11-30"',
        "[area]", "bbox = [3829000, 3101000, 3831000, 3103000]", "[scenes]", f'catalogue = "{data}/items.json"',
        "[references]", *rasters, f'footprints = ["{data}/reference/footprints.geojson"]',
    ]  # fmt: skip
    folder = tmp_path / "production"
    folder.mkdir()
    file = folder / "production.toml"
    file.write_text("\n".join(lines) + "\n")
    return file
