"""Fixtures that several test files share."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import absl.logging
import numpy as np
import pytest
from hypothesis import settings

# The first call of a compiled kernel takes seconds, which is no slow example.
settings.register_profile("compiled", deadline=None)
settings.load_profile("compiled")

# TensorFlow's log handler closes the stream it was made with when logging is configured anew, as each flow does, unless
# that is standard error at the moment; made within a test, it would be the file that pytest captures everything in.
absl.logging.get_absl_handler().python_handler.setStream(sys.__stderr__)


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
