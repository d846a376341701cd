"""The fine kit: simulated dates whose sub-pixel shifts and truth at 5 m are known. Made by a program beside the test data."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from scipy import ndimage

BANDS = {"blue": "B02", "green": "B03", "red": "B04", "nir": "B08"}

SIGMA = 0.8835
"""Point spread of the kit's 10 m bands, pixels of 5 m."""


@dataclass(frozen=True)
class Date:
    """One date of a kit at 10 m."""

    day: str
    """Year, month, day."""
    bands: np.ndarray
    """(4, y, x) float32, reflectance x 10 000, NaN without data."""
    clear: np.ndarray
    """(y, x) bool by the scene classes, three pixels off what is not."""
    truth: np.ndarray | None
    """(4, 2 y, 2 x) of that date; few dates have it."""
    shift: tuple[float, float]
    """True rows down and columns right, pixels of 10 m."""


def fine_kit(shared: Path, folder: Path, size: int, scenes: int, origin: tuple[int, int] = (400, 260), seed: int = 7) -> Path:
    """Make a kit of early summer in `folder`; the test is skipped where the program is not."""
    program = shared.parent / "tools" / "make_fine_kit.py"
    if not program.exists():
        pytest.skip(f"no program {program}")
    where = ["--size", str(size), "--origin", *map(str, origin), "--seed", str(seed)]
    what = ["--months", "2021-06", "2021-07", "--scenes", str(scenes), "--landsat-year"]
    subprocess.run([sys.executable, str(program), str(folder), *where, *what], check=True, capture_output=True)
    return folder


def dates_of(folder: Path) -> list[Date]:
    """All dates of a kit, the first version of each scene."""
    shifts = {s["date"]: s for s in json.loads((folder / "truth" / "shifts.json").read_text())["scenes"]}
    dates: dict[str, Date] = {}
    for item in json.loads((folder / "items.json").read_text())["features"]:
        day = item["properties"]["datetime"][:10]
        if day in dates:
            continue
        bands = []
        for name in BANDS:
            scale = item["assets"][name]["raster:bands"][0]
            dn = _read(folder / item["assets"][name]["href"])[0].astype("f4")
            bands.append(np.where(dn == 0, np.nan, 1e4 * (scale["scale"] * dn + scale["offset"])))
        scl = _read(folder / item["assets"]["scl"]["href"])[0].repeat(2, 0).repeat(2, 1)
        clear = ~ndimage.binary_dilation(np.isin(scl, (0, 1, 3, 8, 9, 10, 11)), iterations=3)
        path = folder / "truth" / f"truth_reflectance_5m_{day}.tif"
        truth = None
        if path.exists():
            with rasterio.open(path) as source:
                truth = source.read([source.descriptions.index(b) + 1 for b in BANDS.values()]).astype("f4")
        shift = -shifts[day]["dy_m"] / 10, shifts[day]["dx_m"] / 10
        dates[day] = Date(day, np.stack(bands).astype("f4"), clear, truth, shift)
    return sorted(dates.values(), key=lambda d: d.day)


def _read(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return source.read()
