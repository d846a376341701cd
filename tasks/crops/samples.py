"""Training data of crops from wherever they are: TimeSen2Crop's folders, Parquet of parcels, NumPy arrays; and their checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from imperv.layers.crops.models import without_looks
from imperv.layers.crops.series import Calendar, Series
from imperv.tasks.errors import InputError

FEWEST = 2
"""Samples of a class below which it can be either learnt or judged, not both."""


@dataclass(frozen=True)
class Request:
    """How training data are read."""

    path: Path
    """Folder or file."""
    calendar: Calendar | None = None
    """Steps; None for those of the data."""
    bands: tuple[str, ...] = ()
    """Bands; all that the data have where none are named."""
    mapping: Path | None = None
    """JSON file that maps crop codes to classes."""
    scheme: str = ""
    """Name of a table in that file."""
    label: str = ""
    """Column of the crop code or class; found by its usual names where none is given."""
    least: int = 0
    """Classes with fewer samples are left out; 0 for none."""


@dataclass(frozen=True)
class Codes:
    """Classes by crop code; of what is read again for another model, those that it knows."""

    table: Mapping[str, str]
    """Class of each code; ``ignore`` leaves a sample out."""
    classes: tuple[str, ...] = ()
    """Names in the order of their numbers; those that occur where there are none."""
    strict: bool = True
    """Whether a code that is not in the table is an error; otherwise its samples are left out and counted."""


@dataclass(frozen=True)
class Read:
    """Samples, and what was left out of the data."""

    series: Series
    source: str
    """Kind of the data, in a word."""
    warnings: tuple[str, ...] = ()
    """What was left out, with numbers."""
    codes: Mapping[str, str] | None = None
    """Class of each crop code, where the data have such."""


def read_samples(request: Request, codes: Codes | None = None) -> Read:
    """Read training data; InputError, in one line, for data that cannot be learnt from or judged by.

    With `codes` of a model its classes count, and samples of others are left out and named.
    """
    path = request.path
    if not path.exists():
        raise InputError(f"{path}: does not exist; name a folder of TimeSen2Crop's form, one with train.npy, or a Parquet file")
    if path.is_file():
        from imperv.tasks.crops.parcels import read_parcels

        return _without_blind(read_parcels(request, codes))
    if (path / "train.npy").exists() or (path / "val.npy").exists():
        from imperv.tasks.crops.arrays import read_arrays

        return _without_blind(read_arrays(request, codes))
    from imperv.tasks.crops.folders import read_folders

    return _without_blind(read_folders(request, codes))


def _without_blind(read: Read) -> Read:
    """Without samples that were never seen."""
    blind = without_looks(read.series.values)
    if blind.all():
        raise InputError(f"{read.source}: no sample has a clear look; check bands, flags and no data")
    if not blind.any():
        return read
    kept = read.series.part(~blind)
    return replace(read, series=kept, warnings=(*read.warnings, f"{int(blind.sum())} samples without a clear look are left out"))


def check_for_training(read: Read, least: int) -> Read:
    """Leave out classes with fewer than `least` samples, and refuse what nothing can be learnt from."""
    series, warnings = read.series, list(read.warnings)
    counts = np.bincount(series.labels, minlength=len(series.classes))
    few = [k for k, count in enumerate(counts) if 0 < count < least]
    if few:
        warnings.append(
            f"classes with fewer than {least} samples are left out: "
            f"{', '.join(f'{series.classes[k]} ({counts[k]})' for k in few)}"
        )
        series = renumbered(series.part(~np.isin(series.labels, few)), [k for k in range(len(counts)) if k not in few])
        counts = np.bincount(series.labels, minlength=len(series.classes))
    if one := [f"{series.classes[k]} ({count})" for k, count in enumerate(counts) if 0 < count < FEWEST]:
        raise InputError(
            f"{read.source}: {', '.join(one)} {'has' if len(one) == 1 else 'have'} one sample only, which cannot be learnt and "
            "judged at once; --least 10 leaves out classes with fewer than ten"
        )
    if (counts > 0).sum() < 2:
        raise InputError(f"{read.source}: has samples of {int((counts > 0).sum())} class; two at least are needed")
    return replace(read, series=series, warnings=tuple(warnings))


def renumbered(series: Series, kept: Sequence[int]) -> Series:
    """With some of the classes, in this order."""
    table = np.full(len(series.classes), -1)
    table[list(kept)] = np.arange(len(kept))
    return Series(
        series.values, table[series.labels], series.groups, tuple(series.classes[k] for k in kept), series.bands, series.calendar
    )


def require_bands(wanted: Sequence[str], found: Sequence[str], where: object) -> None:
    """InputError where a band is missing."""
    if missing := [band for band in wanted if band not in found]:
        there = ", ".join(found) or "no band of Sentinel-2"
        raise InputError(f"{where}: has no {', '.join(missing)}; it has {there}; name others with --bands")
