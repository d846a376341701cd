"""TimeSen2Crop's folders: ``tile/class/n.csv`` with a row for each date, and ``tile/dates.csv`` (AI4Copernicus 5.2.2)."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imperv.layers.crops.classes import TIMESEN2CROP
from imperv.layers.crops.series import Calendar, Series, to_steps
from imperv.layers.features import REFLECTANCE_SCALE
from imperv.tasks.crops.arrays import TABLE8, class_names, labels_checked
from imperv.tasks.crops.samples import Codes, Read, Request, require_bands
from imperv.tasks.errors import InputError

CLEAR = 0
"""Condition of a clear look; 1 cloud, 2 shadow, 3 snow (table 8)."""

MONTHS = Calendar("months", 12)
"""Steps where none are asked for: the twelve monthly medians of 5.2.3."""


AT_ONCE = 1000
"""Samples whose files are in memory together: 5 MB."""


def read_folders(request: Request, codes: Codes | None) -> Read:
    """Every sample as medians of its clear looks by step; samples of a tile are one group where there are several tiles."""
    import pandas as pd

    calendar, root = request.calendar or MONTHS, request.path
    tiles = sorted(p for p in root.iterdir() if p.is_dir())
    if not tiles or not any((tile / "dates.csv").exists() for tile in tiles):
        raise InputError(
            f"{root}: has neither train.npy nor tiles with dates.csv; TimeSen2Crop's form is tile/class/n.csv and tile/dates.csv"
        )
    wanted = request.bands or TABLE8
    values, labels, groups, of_dates = [], [], [], set()
    for place, tile in enumerate(tiles):
        days = _dates(tile / "dates.csv", pd)
        of_dates.add(days.min())
        start = calendar.start_before(days.min().astype(dt.date))
        edges = np.array(calendar.days(start), "M8[D]")
        for folder in sorted((p for p in tile.iterdir() if p.is_dir()), key=lambda p: p.name):
            if not folder.name.isdigit():
                raise InputError(f"{folder}: is no class; folders of classes are numbered from 0 to n - 1")
            files = sorted(folder.glob("*.csv"), key=lambda p: (len(p.stem), p.stem))
            for first in range(0, len(files), AT_ONCE):
                some = files[first : first + AT_ONCE]
                values.append(to_steps(_looks_of(some, wanted, len(days), pd), days, edges))
            labels += len(files) * [int(folder.name)]
            groups += len(files) * [place]
    if not values:
        raise InputError(f"{root}: holds no sample; TimeSen2Crop's form is tile/class/n.csv")
    number = labels_checked(np.array(labels), root)
    classes = codes.classes if codes and codes.classes else class_names(max(len(TIMESEN2CROP), int(number.max()) + 1))
    if number.max() >= len(classes):
        raise InputError(f"{root}: has the class {int(number.max())}; the model has {len(classes)}, 0 to {len(classes) - 1}")
    alone = len(tiles) == 1
    warnings = ("all samples are of one tile: neighbours of a sample may be learnt from when it is left out",) if alone else ()
    of = np.arange(len(labels)) if alone else np.array(groups)
    return Read(Series(np.concatenate(values), number, of, classes, tuple(wanted), calendar), str(root), warnings)


def _dates(file: Path, pd: Any) -> np.ndarray:
    """Days of the looks of a tile."""
    try:
        table = pd.read_csv(file, header=None, dtype=str)
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({str(error).splitlines()[0]}); it lists the dates of the tile") from None
    column = table[table.columns[-1]].str.strip()
    days = pd.to_datetime(column, format="%Y%m%d", errors="coerce")
    days = days.fillna(pd.to_datetime(column, format="%Y-%m-%d", errors="coerce"))
    if len(days) and pd.isna(days.iloc[0]):  # the name of the column
        days = days.iloc[1:]
    if not len(days) or days.isna().any():
        bad = column[days.index][days.isna()]
        raise InputError(f"{file}: {bad.iloc[0] if len(bad) else 'nothing'} is not a date like 20170905")
    return days.to_numpy().astype("M8[D]")


def _looks_of(files: Sequence[Path], bands: Sequence[str], count: int, pd: Any) -> np.ndarray:
    """Looks of some samples of one class, (sample, look, band), as of `_looks`.

    Files with one head and a line for each look are read as one, in a thirtieth of the time; where they are not, or hold a
    fault, one by one, which names the file.
    """
    try:
        heads, lines = zip(*(_head_and_lines(file) for file in files), strict=True)
        if len(set(heads)) == 1 and all(some.count(b"\n") == count - 1 for some in lines):
            text = io.BytesIO(b"\n".join((heads[0], *lines)))
            return _looks(files[0], bands, count * len(files), pd, text).reshape(len(files), count, -1)
    except (InputError, OSError):
        pass
    return np.stack([_looks(file, bands, count, pd) for file in files])


def _head_and_lines(file: Path) -> tuple[bytes, bytes]:
    head, _, lines = file.read_bytes().replace(b"\r\n", b"\n").partition(b"\n")
    return head, lines.strip(b"\n")


def _looks(file: Path, bands: Sequence[str], count: int, pd: Any, text: io.BytesIO | None = None) -> np.ndarray:
    """Reflectance of the looks of a sample, (look, band) float32, NaN where it is not clear; `text` stands for the file."""
    try:
        table = pd.read_csv(text or file)
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({str(error).splitlines()[0]})") from None
    names = {_band(name): name for name in table.columns}
    require_bands(bands, list(names), file)
    if len(table) != count:
        raise InputError(f"{file}: has {len(table)} looks; dates.csv of its tile has {count}")
    flag = pd.to_numeric(table[table.columns[-1]], errors="coerce").to_numpy("f8")
    if _band(table.columns[-1]) in TABLE8 or np.isnan(flag).any() or not set(flag.tolist()) <= {0, 1, 2, 3}:
        raise InputError(f"{file}: its last column must be the condition: 0 clear, 1 cloud, 2 shadow, 3 snow")
    stored = table[[names[band] for band in bands]].apply(pd.to_numeric, errors="coerce").to_numpy("f4")
    numbers = stored * np.float32(REFLECTANCE_SCALE)
    clear = (flag == CLEAR) & (numbers > 0).any(axis=1)
    return np.where(clear[:, None], numbers, np.float32(np.nan))


def _band(name: object) -> str:
    """``B2`` as ``B02``."""
    text = str(name).strip().upper()
    return f"B0{text[1:]}" if text[1:].isdigit() and len(text) == 2 and text[0] == "B" else text
