"""Parquet of parcels: a row for each parcel and date, or one for each parcel with lists in it; crop codes mapped to classes."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imperv.layers.crops.series import Calendar, Series
from imperv.tasks.crops.arrays import in_reflectance
from imperv.tasks.crops.samples import Codes, Read, Request, require_bands
from imperv.tasks.errors import InputError

IDENTIFIERS = ("sample_id", "parcel_id", "parcel", "sample", "id", "field_id", "CODE_NAT", "feature_index")
DATES = ("timestamp", "date", "dates", "time", "datetime")
LABELS = ("ewoc_code", "label", "class", "crop", "crop_code", "croptype", "crop_type", "code", "CROPTYPE_LABEL")
"""Usual names of columns, the first that is there is taken."""

STARTS = "start_date"
"""Column with the first day of a series, which may have no look of its own."""

VALID = "valid_time"
"""Column with a day on which the crop stands."""

NO_DATA = 65535
"""Of whole numbers."""

IGNORED = "ignore"
"""Class of codes that are left out."""

SCHEME = "CROPTYPE20_EUROPE"
"""Table of a file of mappings where none is named."""

MAPPING = "class_mappings.json"
"""File of mappings that is taken where it lies beside the data."""

BAND = re.compile(r"(?:^|[^A-Za-z0-9])[Bb](\d{1,2})([Aa]?)$")
"""End of the name of a column of a band of Sentinel-2."""


def read_parcels(request: Request, codes: Codes | None) -> Read:
    """Series of parcels on the steps of a calendar; each parcel is a group."""
    table = _table(request.path)
    where = request.path
    identity = _column(table, IDENTIFIERS, where, "a parcel", "")
    dated = _column(table, DATES, where, "the dates", "")
    label = _column(table, LABELS, where, "the crop", request.label)
    bands = _bands(table.columns)
    if not bands:
        raise InputError(f"{where}: has no column of a band of Sentinel-2, such as S2-L2A-B02 or B2")
    table = _long(table, [dated, *bands.values()], identity, where)
    if not len(table):
        raise InputError(f"{where}: holds no row")
    numbers = _numbers(table, bands, where)
    warnings: list[str] = []
    if request.bands:
        require_bands(request.bands, list(bands), where)
        chosen = request.bands
    else:
        chosen = tuple(band for band in bands if np.isfinite(numbers[band]).any())
        if empty := [band for band in bands if band not in chosen]:
            warnings.append(f"{', '.join(empty)} has no data in any parcel and is left out")
    if lost := [band for band in chosen if not np.isfinite(numbers[band]).any()]:
        raise InputError(f"{where}: {', '.join(lost)} has no data in any parcel; choose others with --bands")
    if not chosen:
        raise InputError(f"{where}: no band has data")
    days = _days(table[dated], where)
    parcels, row = np.unique(table[identity].astype(str).to_numpy(), return_inverse=True)
    first = np.unique(row, return_index=True)[1]
    named, mapping = _classes(table[label].to_numpy(), row, first, parcels, request, codes, where)
    kept, more = _known(named, codes)
    warnings += more
    if not kept.any():
        raise InputError(f"{where}: no parcel has a crop that counts; check the column {label} and --mapping")
    classes = codes.classes if codes and codes.classes else tuple(sorted(set(named[kept].tolist())))
    calendar = request.calendar or _calendar(days)
    starts = _starts(table, days, row, first, calendar)
    stacked = np.stack([numbers[band] for band in chosen], axis=1)
    values, beside = _on_steps(stacked, days, row, starts, calendar)
    if beside:
        warnings.append(f"{beside:.1%} of the clear looks lie outside of the {calendar} and are left out")
    place = {name: k for k, name in enumerate(classes)}
    labels = np.array([place[name] for name in named[kept]], "i8")
    series = Series(in_reflectance(values[kept]), labels, np.flatnonzero(kept), classes, chosen, calendar)
    return Read(series, str(where), tuple(warnings), mapping)


def _table(path: Path) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
        dull = [name for name in file.schema_arrow.names if name != "geometry"]
        return file.read(dull).to_pandas()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0][:160]})") from None


def _column(table: Any, names: Sequence[str], where: Path, what: str, given: str) -> str:
    """The column of what is looked for."""
    found = next((name for name in ([given] if given else names) if name in table.columns), None)
    if found is None:
        asked = f"has no column {given}" if given else f"has no column that names {what} ({', '.join(names[:3])})"
        raise InputError(f"{where}: {asked}; its columns are {', '.join(map(str, table.columns[:12]))}")
    return str(found)


def _bands(columns: Sequence[Any]) -> dict[str, str]:
    """Column of each band, in the order of the bands."""
    found: dict[str, str] = {}
    for column in columns:
        if match := BAND.search(str(column)):
            found.setdefault(f"B{int(match[1]):02d}" if not match[2] else f"B{int(match[1])}A", str(column))
    order = [*(f"B{k:02d}" for k in range(1, 9)), "B8A", *(f"B{k:02d}" for k in range(9, 13))]
    return {band: found[band] for band in order if band in found}


def _long(table: Any, lists: Sequence[str], identity: str, where: Path) -> Any:
    """One row a look: rows of a parcel with lists in them are taken apart."""
    nested = [name for name in lists if len(table) and isinstance(table[name].iloc[0], list | tuple | np.ndarray)]
    if not nested:
        return table
    if len(nested) < len(lists):
        raise InputError(
            f"{where}: {', '.join(set(lists) - set(nested))} is one value a parcel, {nested[0]} a list; bring both to one form"
        )
    sizes = table[list(lists)].map(len)
    if (differ := sizes.nunique(axis=1) > 1).any():
        bad = table.loc[differ, identity].iloc[0]
        raise InputError(f"{where}: lists of parcel {bad} are of different length; each look needs a date and all bands")
    return table.explode(list(lists), ignore_index=True)


def _numbers(table: Any, bands: Mapping[str, str], where: Path) -> dict[str, np.ndarray]:
    """Values of each band, float32, NaN where there are none."""
    found = {}
    for band, column in bands.items():
        try:
            numbers = table[column].to_numpy(dtype="f8", na_value=np.nan)
        except (TypeError, ValueError):
            raise InputError(f"{where}: {column} holds what is no number") from None
        found[band] = np.where((numbers == NO_DATA) | ~np.isfinite(numbers), np.nan, numbers).astype("f4")
    dark = np.all([np.nan_to_num(values) == 0 for values in found.values()], axis=0)
    for values in found.values():
        values[dark] = np.nan
    return found


def _days(column: Any, where: Path) -> np.ndarray:
    import pandas as pd

    try:
        days = pd.to_datetime(column, errors="raise", utc=True)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: {column.name}: {str(error).splitlines()[0][:120]}; dates are needed") from None
    if days.isna().any():
        raise InputError(f"{where}: {int(days.isna().sum())} rows have no {column.name}")
    return np.asarray(days.dt.tz_localize(None).to_numpy().astype("M8[D]"))


def _classes(
    labels: np.ndarray,
    row: np.ndarray,
    first: np.ndarray,
    parcels: np.ndarray,
    request: Request,
    codes: Codes | None,
    where: Path,
) -> tuple[np.ndarray, dict[str, str] | None]:
    """Class of each parcel by its name, empty for unknown codes, and the mapping that gave it."""
    import pandas as pd

    if (missing := pd.isna(labels)).any():
        raise InputError(f"{where}: parcel {parcels[row[missing][0]]} has no crop")
    own = labels[first]
    if (labels != own[row]).any():
        bad = parcels[row[np.flatnonzero(labels != own[row])[0]]]
        raise InputError(f"{where}: parcel {bad} has more than one crop; give each its own identity")
    text = np.array([_code(label) for label in own], object)
    table = codes.table if codes and codes.table and request.mapping is None else _mapping(request, where)
    if table is None:
        return text, None
    strict = codes is None or codes.strict
    if strict and (unknown := sorted({code for code in text if code not in table})):
        raise InputError(
            f"{where}: {len(unknown)} crop codes are in no class of the mapping: {', '.join(unknown[:5])}; add them, as "
            f"{IGNORED} to leave their parcels out"
        )
    return np.array([table.get(code, "") for code in text], object), dict(table)


def _code(label: object) -> str:
    """A code as text: 1101010011, whether it was stored as number or text."""
    text = str(label).strip()
    return text.removesuffix(".0")


def _mapping(request: Request, where: Path) -> dict[str, str] | None:
    """Class of each crop code; None where there is no mapping, and codes are classes themselves."""
    beside = where.parent / MAPPING
    file = request.mapping or (beside if beside.exists() else None)
    if file is None:
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read as JSON ({str(error).splitlines()[0]})") from None
    if not isinstance(found, dict) or not found:
        raise InputError(f"{file}: is no mapping of codes to classes")
    if all(isinstance(value, dict) for value in found.values()):
        name = request.scheme or (SCHEME if SCHEME in found else next(iter(found)))
        if name not in found:
            raise InputError(f"{file}: has no {name}; it has {', '.join(found)}")
        found = found[name]
    if not all(isinstance(value, str) for value in found.values()):
        raise InputError(f"{file}: is no mapping of codes to classes")
    return {_code(code): value for code, value in found.items()}


def _known(named: np.ndarray, codes: Codes | None) -> tuple[np.ndarray, list[str]]:
    """(parcel,) bool: whose class counts; and what was left out."""
    warnings, kept = [], np.ones(len(named), bool)
    for what, out in (
        ("with crop codes that the mapping does not have", named == ""),
        ("to be ignored", named == IGNORED),
    ):
        if out.any():
            warnings.append(f"{int(out.sum())} parcels {what} are left out")
            kept &= ~out
    if codes and codes.classes:
        strange = kept & ~np.isin(named, codes.classes)
        if strange.any():
            names, counts = np.unique(named[strange].astype(str), return_counts=True)
            told = ", ".join(f"{name} ({count})" for name, count in zip(names, counts, strict=True))
            warnings.append(f"{int(strange.sum())} parcels of classes that the model does not know are left out: {told}")
            kept &= ~strange
    return kept, warnings


def _calendar(days: np.ndarray) -> Calendar:
    """Decades from the first look's month to the last look."""
    first, last = days.min().astype(dt.date), days.max().astype(dt.date)
    months = 12 * (last.year - first.year) + last.month - first.month
    return Calendar("decades", 3 * months + min((last.day - 1) // 10, 2) + 1, first.month)


def _starts(table: Any, days: np.ndarray, row: np.ndarray, first: np.ndarray, calendar: Calendar) -> np.ndarray:
    """First day of the season of each parcel: that of the day for which its crop is said, or in which its series begins.

    The former where it holds as many looks of the parcel, so that a series of several years is read in the year of its crop.
    """
    looked = np.full(len(first), days.max())
    np.minimum.at(looked, row, days)
    begun, valid = (_said(table, column, first) for column in (STARTS, VALID))
    by_start, by_crop = (
        np.array([calendar.start_before(day.astype(dt.date)) for day in np.where(np.isnat(said), looked, said)], "M8[D]")
        for said in (begun, np.where(np.isnat(valid), begun, valid))
    )
    return np.where(_held(by_crop, days, row, calendar) >= _held(by_start, days, row, calendar), by_crop, by_start)


def _said(table: Any, column: str, first: np.ndarray) -> np.ndarray:
    """Day of each parcel in a column; not a time where there is none."""
    import pandas as pd

    if column not in table.columns:
        return np.full(len(first), "NaT", "M8[D]")
    said = pd.to_datetime(table[column].iloc[first], errors="coerce", utc=True).dt.tz_localize(None)
    return np.asarray(said.to_numpy().astype("M8[D]"))


def _held(starts: np.ndarray, days: np.ndarray, row: np.ndarray, calendar: Calendar) -> np.ndarray:
    """Looks of each parcel within its season."""
    ends = {start: np.datetime64(calendar.days(start.astype(dt.date))[-1]) for start in np.unique(starts)}
    end = np.array([ends[start] for start in starts], "M8[D]")
    inside = (days >= starts[row]) & (days < end[row])
    return np.bincount(row[inside], minlength=len(starts))


def _on_steps(
    numbers: np.ndarray, days: np.ndarray, row: np.ndarray, starts: np.ndarray, calendar: Calendar
) -> tuple[np.ndarray, float]:
    """(parcel, step, band) medians by step, and the share of clear looks that lie outside of the calendar."""
    from imperv.layers.crops.series import to_steps

    values = np.empty((len(starts), calendar.count, numbers.shape[1]), "f4")
    edges = {start: np.array(calendar.days(start.astype(dt.date)), "M8[D]") for start in np.unique(starts)}
    order = np.argsort(row, kind="stable")
    ends = np.searchsorted(row[order], np.arange(len(starts) + 1))
    clear, lost = np.isfinite(numbers).all(axis=1), 0
    for parcel, start in enumerate(starts):
        mine = order[ends[parcel] : ends[parcel + 1]]
        values[parcel] = to_steps(numbers[mine], days[mine], edges[start])
        lost += int((clear[mine] & ((days[mine] < edges[start][0]) | (days[mine] >= edges[start][-1]))).sum())
    return values, lost / max(int(clear.sum()), 1)
