"""Series of made-up crops, and of real parcels, in the forms that people have them in."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pandas as pd

from imperv.layers.crops.series import Calendar, Series

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12")
"""Of table 8."""

NAMES = ("wheat", "maize", "no crop")
PEAKS = (8.5, 11.0, None)
"""Month after September in which a crop is greenest."""


def made_up(each: int, steps: int = 12, *, seed: int = 1, lost: float = 0.2) -> Series:
    """Series of three crops, `each` of them: green at their time, noisy, with gaps."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(NAMES)), each)
    months = np.arange(steps) * 12 / steps
    values = np.empty((len(labels), steps, len(BANDS)), "f4")
    for row, label in enumerate(labels):
        peak = PEAKS[label]
        green = np.zeros(steps) if peak is None else np.exp(-((months - peak - rng.normal(0, 0.3)) ** 2) / 3)
        for place, band in enumerate(BANDS):
            bright = band in ("B06", "B07", "B8A")
            values[row, :, place] = 0.15 + green * (0.3 if bright else -0.08) + rng.normal(0, 0.01, steps)
    gone = rng.random(values.shape[:2]) < lost
    gone[:, steps // 2] = False
    values[gone] = np.nan
    return Series(values, labels, np.arange(len(labels)), NAMES, BANDS, Calendar("months", steps))


def write_arrays(folder: Path, series: Series, name: str = "train") -> Path:
    """``train.npy`` and ``y_train.npy``."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{name}.npy", series.values)
    np.save(folder / f"y_{name}.npy", series.labels)
    return folder


def write_folders(root: Path, series: Series, tiles: tuple[str, ...] = ("33UVP", "33UWP"), year: int = 2017) -> Path:
    """TimeSen2Crop's form of monthly series: three looks a month, of which those that the series lacks are cloudy."""
    days = [dt.date(year + (m > 12), (m - 1) % 12 + 1, d) for m in range(9, 9 + series.calendar.count) for d in (4, 14, 24)]
    seen = np.isfinite(series.values).all(axis=2).repeat(3, axis=1)
    looks = np.nan_to_num(series.values, nan=0.9).repeat(3, axis=1)
    looks[:, 1::3] += 0.01  # the median of three is the middle one
    looks[:, 2::3] -= 0.01
    return write_looks(root, looks, seen, series.labels, days, tiles)


def write_looks(
    root: Path, looks: np.ndarray, seen: np.ndarray, labels: np.ndarray, days: list[dt.date], tiles: tuple[str, ...]
) -> Path:
    """TimeSen2Crop's form of any looks, (sample, look, band) reflectance; samples go to the tiles in turn."""
    head = [f"B{int(band[1:])}" if band[1:].isdigit() else band for band in BANDS]
    for number, tile in enumerate(tiles):
        folder = root / tile
        folder.mkdir(parents=True)
        pd.DataFrame({"acquisition_date": [f"{day:%Y%m%d}" for day in days]}).to_csv(folder / "dates.csv", index=False)
        for row in range(number, len(labels), len(tiles)):
            place = folder / str(labels[row])
            place.mkdir(exist_ok=True)
            table = pd.DataFrame(np.rint(looks[row] * 1e4).astype(int), columns=head)
            table["Flag"] = np.where(seen[row], 0, 1 + np.arange(len(days)) % 3)
            table.to_csv(place / f"{row}.csv", index=False)
    return root


def write_parcels(
    file: Path,
    series: Series,
    codes: tuple[int, ...] = (11, 12, 13),
    *,
    year: int = 2023,
    nested: bool = False,
    **columns: object,
) -> Path:
    """Parquet of parcels, a row for each step, whole numbers with 65535 for no data; gaps are rows that are not there."""
    start = dt.date(year - 1, series.calendar.first_month, 1)
    rows = []
    for row, label in enumerate(series.labels):
        for step, day in enumerate(series.calendar.days(start)[:-1]):
            looks = series.values[row, step]
            if step % 2 and not np.isfinite(looks).all():
                continue
            numbers = np.where(np.isfinite(looks), np.rint(looks * 1e4), 65535).astype(int)
            rows.append({
                "sample_id": f"parcel {row:04d}", "timestamp": pd.Timestamp(day), "ewoc_code": codes[label],
                "start_date": str(start), **{f"S2-L2A-{b}": int(n) for b, n in zip(BANDS, numbers, strict=True)}, **columns,
            })  # fmt: skip
    table = pd.DataFrame(rows)
    if nested:
        keys = ["sample_id", "ewoc_code", "start_date"]
        table = table.groupby(keys, as_index=False).agg(list)
    table.to_parquet(file)
    return file


def write_mapping(file: Path, codes: tuple[int, ...] = (11, 12, 13), **more: str) -> Path:
    """A file of mappings of these codes to the made-up crops."""
    table = {str(code): name for code, name in zip(codes, NAMES, strict=True)} | {"99": "ignore"} | more
    file.write_text(json.dumps({"CROPS": table}))
    return file
