"""Samples in NumPy files: ``train.npy`` (N, steps, bands) and ``y_train.npy`` (N,), or ``val.npy`` and ``y_val.npy``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from imperv.layers.crops.classes import TIMESEN2CROP
from imperv.layers.crops.series import Calendar, Series
from imperv.tasks.crops.samples import Codes, Read, Request
from imperv.tasks.errors import InputError

TABLE8 = ("B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12")
"""Bands of TimeSen2Crop (table 8)."""

HIGHEST = 2.0
"""Values above it are reflectance x 10 000."""


def read_arrays(request: Request, codes: Codes | None) -> Read:
    """Samples of a folder; bands and months are those of TimeSen2Crop where the numbers fit, else they have no names."""
    name = next(name for name in ("train", "val") if (request.path / f"{name}.npy").exists())
    file, label_file = request.path / f"{name}.npy", request.path / f"y_{name}.npy"
    values, labels = _load(file), _load(label_file)
    if values.ndim != 3 or values.dtype.kind not in "iuf":
        raise InputError(f"{file}: has shape {values.shape} of {values.dtype}; numbers of shape (N, steps, bands) are needed")
    if not len(values):
        raise InputError(f"{file}: holds no sample")
    if labels.ndim == 2 and labels.shape[1] > 1 and labels.dtype.kind in "iufb" and set(np.unique(labels)) <= {0, 1}:
        labels = labels.argmax(axis=1)  # one column a class
    labels = labels.reshape(len(labels), -1)[:, 0] if labels.size == len(labels) else labels
    if labels.shape != (len(values),):
        raise InputError(
            f"{label_file}: has shape {labels.shape}; ({len(values)},) are needed, a label for each sample of {file.name}"
        )
    number = labels_checked(labels, label_file)
    if codes is None and (gaps := sorted(set(range(int(number.max()) + 1)) - set(number.tolist()))):
        raise InputError(
            f"{label_file}: has labels up to {int(number.max())}, but none of {', '.join(map(str, gaps[:5]))}; number the "
            "classes from 0 to n - 1"
        )
    values = values.astype("f4")
    if (share := float(np.isnan(values).mean())) and np.isnan(values).all(axis=(1, 2)).any():
        raise InputError(f"{file}: {share:.1%} of the values are NaN, and samples have nothing else; leave these out")
    if np.isinf(values).any():
        raise InputError(f"{file}: has infinite values; write NaN for what is not known")
    values = in_reflectance(values)
    classes = codes.classes if codes and codes.classes else class_names(int(number.max()) + 1)
    if number.max() >= len(classes):
        raise InputError(
            f"{label_file}: has the label {int(number.max())}; the model has {len(classes)} classes, 0 to {len(classes) - 1}"
        )
    _, steps, count = values.shape
    bands = request.bands or (TABLE8 if count == len(TABLE8) else tuple(f"band {k + 1}" for k in range(count)))
    if len(bands) != count:
        raise InputError(f"{file}: has {count} bands; --bands names {len(bands)}")
    calendar = request.calendar or Calendar("months" if steps == 12 else "steps", steps)
    if calendar.count != steps:
        raise InputError(
            f"{file}: has {steps} steps; {calendar.count} are asked for, and NumPy files have no dates to make them of"
        )
    series = Series(values, number, np.arange(len(values)), classes, tuple(bands), calendar)
    return Read(series, str(file))


def _load(file: Path) -> np.ndarray:
    try:
        found = np.load(file, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{file}: is missing; samples need their labels beside them") from None
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{file}: cannot be read as a NumPy array of numbers ({str(error).splitlines()[0]})") from None
    if not isinstance(found, np.ndarray):
        raise InputError(f"{file}: holds several arrays; one is needed")
    return found


def labels_checked(labels: np.ndarray, where: object) -> np.ndarray:
    """Whole numbers from 0 on, none left out, int64; InputError for others."""
    if labels.dtype.kind not in "iufb" or not np.isfinite(labels.astype("f8")).all() or (labels != np.floor(labels)).any():
        raise InputError(f"{where}: labels are not whole numbers; number the classes from 0 to n - 1")
    number = labels.astype("i8")
    low, high = int(number.min()), int(number.max())
    if low < 0 or high > 254:
        raise InputError(f"{where}: has labels from {low} to {high}; number the classes from 0 to n - 1, 254 at most")
    return number


def in_reflectance(values: np.ndarray) -> np.ndarray:
    """Of digital numbers, reflectance x 10 000, reflectance; other values as they are."""
    some = values[np.isfinite(values)]
    return values * np.float32(1e-4) if some.size and np.percentile(some, 99) > HIGHEST else values


def class_names(count: int) -> tuple[str, ...]:
    """Of TimeSen2Crop for sixteen classes, else numbers."""
    names = tuple(one.name for one in TIMESEN2CROP)
    return names if count == len(names) else tuple(f"class {k}" for k in range(count))
