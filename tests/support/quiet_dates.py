"""Dates of one ground on the native grid for tests of change: one texture, noise of each date, planted changes and clouds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from tests.support.native_granules import Granule, write_granules

BANDS = ("B02", "B03", "B04", "B08")
ROWS, COLUMNS = 96, 120
"""Pixels of 10 m."""

PATCH = (slice(40, 50), slice(60, 75))
"""Where something is planted."""

FIRST, SECOND = "2018-06-12", "2021-06-16"
AROUND = ("2018-06-02", "2018-06-07", FIRST, SECOND, "2021-06-21", "2021-06-26")
"""The two dates with quiet ones: before the first, and after the second."""


def texture() -> np.ndarray:
    """Reflectance x 10 000 of the ground, (band, y, x)."""
    rng = np.random.default_rng(7)
    rough = gaussian_filter(rng.normal(0, 1, (ROWS, COLUMNS)), 2)
    rough = (rough - rough.min()) / np.ptp(rough)
    return np.stack([600 + 700 * rough, 800 + 800 * rough, 700 + 1200 * rough, 1800 + 2500 * (1 - rough)])


def date(day: str, seed: int, planted: Sequence[float] = (), **changes: Any) -> Granule:
    """A granule of a day; `planted` is added to the bands of `PATCH`."""
    rng = np.random.default_rng(seed)
    ground = (0.95 + 0.02 * (seed % 5)) * texture() + 15 * (seed % 3)
    ground += rng.normal(0, 1, ground.shape) * np.array([20, 20, 30, 60])[:, None, None]
    for band, change in zip(ground, planted, strict=False):
        band[PATCH] += change
    later = changes.get("baseline", "05.00") >= "04.00"
    bands = dict(zip(BANDS, np.rint(ground + 1000 * later).astype("uint16"), strict=True))
    bands |= dict(changes.pop("bands", {}))
    name = changes.pop("name", f"S2A_32TPS_{day.replace('-', '')}_0_L2A")
    return Granule(
        name, f"{day}T10:10:30Z", size=(ROWS // 6, COLUMNS // 6), seed=seed,
        bands=bands, **changes,
    )  # fmt: skip


def write_dates(folder: Path, days: Sequence[str] = AROUND, changed: Mapping[str, Sequence[float]] | None = None) -> Path:
    """Items of days; from the second on the patch has changed. Their path."""
    changed = changed or {day: (900, 900, 1000, -900) for day in days if day >= SECOND}
    return write_granules(folder, *(date(day, k + 1, changed.get(day, ())) for k, day in enumerate(days)))
