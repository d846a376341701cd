"""Models of crops as files: ``.keras`` or ``.h5`` of networks, ``.npz`` of a forest, ``.ubj`` of boosted trees; a record beside.

The record (``model.keras.json``) says what the model sees and tells: classes, bands, steps, normalisation, data, scores. It is
written last. A Keras model that somebody else has trained has none; its shape says what it is.
"""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from imperv.layers.crops.classes import TIMESEN2CROP
from imperv.layers.crops.models import CropModel, Inputs, trees_answer
from imperv.layers.crops.networks import answering, load_network
from imperv.layers.crops.parameters import NETWORKS, TrainingParameters
from imperv.layers.crops.series import Calendar, Series
from imperv.layers.crops.trees import Forest
from imperv.layers.features import QUANTILE_BANDS
from imperv.tasks.crops.arrays import TABLE8
from imperv.tasks.errors import InputError, writing
from imperv.tasks.files import draft_folder, file_digest, write_whole
from imperv.tasks.job import utc_now

VERSION = 1
"""Of the record."""

ENDINGS = {"lstm": (".keras", ".h5"), "tempcnn": (".keras", ".h5"), "forest": (".npz",), "boosting": (".ubj",)}
"""Endings of file names by kind of model."""

OTHER = "other"
"""Kind of a network that somebody else has trained."""


@dataclass(frozen=True)
class Told:
    """What the record says beside what the model needs."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    """Source, digest, and samples by class."""
    scores: Mapping[str, Any] = field(default_factory=dict)
    """On samples that it has not learnt from."""
    codes: Mapping[str, str] = field(default_factory=dict)
    """Class of each crop code of its training data."""


@dataclass(frozen=True)
class ModelFile:
    """A model that was read."""

    model: CropModel
    told: Told
    digest: str
    """Of file and record."""
    warnings: tuple[str, ...] = ()


def record_path(path: Path) -> Path:
    """Where the record of a model lies."""
    return path.with_name(f"{path.name}.json")


def require_ending(path: Path, kind: str) -> None:
    """InputError where a file name does not fit the kind of a model."""
    if path.suffix.lower() not in ENDINGS[kind]:
        raise InputError(f"--output: {path}: a model of kind {kind} ends in {' or '.join(ENDINGS[kind])}")


def series_digest(series: Series) -> str:
    """Of samples and labels, whatever files they came from."""
    found = hashlib.blake2b(digest_size=16)
    for array in (series.values, series.labels):
        found.update(np.ascontiguousarray(array).data)
    found.update(repr((series.classes, series.bands, str(series.calendar))).encode())
    return found.hexdigest()


def save_model(model: CropModel, path: Path, told: Told) -> None:
    """Write a model and its record; a model is there with its record or not at all."""
    require_ending(path, model.kind)
    with writing(path, "--output"), draft_folder(path) as folder:
        draft = folder / f"model{path.suffix.lower()}"
        if model.kind in NETWORKS:
            heard = logging.getLogger("absl")
            level = heard.level
            heard.setLevel(logging.ERROR)  # that HDF5 is an old format
            try:
                model.body.save(draft)
            finally:
                heard.setLevel(level)
        elif model.kind == "forest":
            np.savez_compressed(draft, **model.body.arrays())
        else:
            model.body.save_model(draft)
        record_path(path).unlink(missing_ok=True)
        digest = file_digest(draft)
        draft.replace(path)
        write_whole(record_path(path), json.dumps(_record(model, told, digest), indent=1, ensure_ascii=False) + "\n")


def _record(model: CropModel, told: Told, digest: str) -> dict[str, Any]:
    import importlib.metadata

    inputs = model.inputs
    return {
        "version": VERSION, "kind": model.kind, "digest": digest, "created": utc_now(),
        "software": f"imperv {importlib.metadata.version('imperv')}",
        "classes": list(model.classes), "bands": list(inputs.bands), "calendar": vars(inputs.calendar),
        "indices": inputs.indices, "mean": list(inputs.mean), "std": list(inputs.std),
        "parameters": dict(told.parameters), "data": dict(told.data), "scores": dict(told.scores), "codes": dict(told.codes),
    }  # fmt: skip


def model_digest(path: Path) -> str:
    """Of a model and its record; InputError where there is no such file."""
    if not path.is_file():
        raise InputError(f"{path}: no such model; train one with imperv crops train")
    beside = record_path(path)
    return file_digest(path) + (file_digest(beside) if beside.is_file() else "")


def load_model(path: Path) -> ModelFile:
    """Read a model; InputError, with the reason, if it is none or does not fit its record."""
    return _loaded(path, model_digest(path))


@cache
def _loaded(path: Path, digest: str) -> ModelFile:
    record = read_record(path)
    try:
        return (_recorded if record else _foreign)(path, record, digest)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def read_record(path: Path) -> dict[str, Any]:
    """Record of a model, empty where it has none; InputError where that is damaged or of another file."""
    beside = record_path(path)
    if not beside.is_file():
        return {}
    try:
        record: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
        known = {"classes", "bands", "calendar"} <= record.keys() and 0 < record["calendar"]["count"] < 1000
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        known = False
    if not known:
        raise InputError(f"{beside}: is no record of a model of crops; train it again, or write classes, bands and calendar")
    if record.get("version", VERSION) > VERSION:
        raise InputError(f"{beside}: is of a later version of imperv")
    if record.get("digest") and path.is_file() and record["digest"] != file_digest(path):
        raise InputError(f"{path}: is not the model that {beside.name} speaks of; copy both files again")
    return record


def inputs_of(record: Mapping[str, Any]) -> Inputs:
    """What a record says of a model's input."""
    return Inputs(
        tuple(record["bands"]), Calendar(**record["calendar"]), bool(record.get("indices", False)),
        tuple(map(float, record.get("mean", ()))), tuple(map(float, record.get("std", ()))),
    )  # fmt: skip


def _recorded(path: Path, record: Mapping[str, Any], digest: str) -> ModelFile:
    kind, classes, inputs = record.get("kind", OTHER), tuple(record["classes"]), inputs_of(record)
    if kind in ("forest", "boosting"):
        body: Any = (
            _forest(path, inputs.calendar.count * len(inputs.features), len(classes)) if kind == "forest" else _booster(path)
        )
        answer = trees_answer(kind, body)
    else:
        body = load_network(str(path))
        steps, features = body.input_shape[1:]
        if (steps, features) != (inputs.calendar.count, len(inputs.features)) or body.output_shape[-1] != len(classes):
            raise ValueError(
                f"its input is {steps} steps of {features} features and it tells {body.output_shape[-1]} classes apart; its "
                f"record says {inputs.calendar.count}, {len(inputs.features)} and {len(classes)}"
            )
        answer = answering(body)
    told = Told(*(record.get(name, {}) for name in ("parameters", "data", "scores", "codes")))
    return ModelFile(CropModel(kind, classes, inputs, answer, body), told, digest)


def _foreign(path: Path, record: Mapping[str, Any], digest: str) -> ModelFile:
    """A Keras model without a record: reflectance of bands that fit in number, months from September, TimeSen2Crop's classes."""
    if path.suffix.lower() not in ENDINGS["lstm"]:
        raise ValueError(f"has no record beside it, {record_path(path).name}; copy that too")
    network = load_network(str(path))
    (steps, features), count = network.input_shape[1:], network.output_shape[-1]
    bands = {len(TABLE8): TABLE8, len(QUANTILE_BANDS): QUANTILE_BANDS}.get(features)
    if bands is None or steps != 12 or count != len(TIMESEN2CROP):
        raise ValueError(
            f"its input is (N, {steps}, {features}) and it tells {count} classes apart; without a record (N, 12, 9) of table 8 "
            f"or (N, 12, 10) and {len(TIMESEN2CROP)} classes are needed: write {record_path(path).name} with classes, bands and "
            "calendar"
        )
    said = (
        f"{path.name} has no record: its input is taken as reflectance of {', '.join(bands)}, September to August, its classes "
        f"as those of TimeSen2Crop; if it wants other numbers, write {record_path(path).name} with mean and std"
    )
    inputs = Inputs(bands, Calendar("months", 12), False)
    classes = tuple(one.name for one in TIMESEN2CROP)
    return ModelFile(CropModel(OTHER, classes, inputs, answering(network), network), Told(), digest, (said,))


def _forest(path: Path, features: int, classes: int) -> Forest:
    try:
        with np.load(path, allow_pickle=False) as data:
            forest = Forest(*(data[name] for name in Forest.__dataclass_fields__))
    except (KeyError, OSError, EOFError, zipfile.BadZipFile, ValueError) as error:
        raise ValueError(f"it cannot be read as a forest ({str(error).splitlines()[0]})") from None
    if not forest.sound(features, classes):
        raise ValueError("it is no forest of such features and classes")
    return forest


def _booster(path: Path) -> Any:
    import xgboost

    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(path)
    except xgboost.core.XGBoostError as error:
        raise ValueError(f"it cannot be read as boosted trees ({str(error).splitlines()[0][:120]})") from None
    return booster


def told_of(parameters: TrainingParameters, series: Series, source: str, codes: Mapping[str, str] | None) -> Told:
    """What a record says of the training of a model, without scores."""
    counts = np.bincount(series.labels, minlength=len(series.classes))
    return Told(
        parameters.model_dump(mode="json"),
        {
            "source": Path(source).name, "digest": series_digest(series),
            "samples": {name: int(count) for name, count in zip(series.classes, counts, strict=True)},
        },
        codes=dict(codes or {}),
    )  # fmt: skip
