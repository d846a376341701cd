"""Learning a model of crops from training data, and judging models on samples that they have not learnt from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from imperv.layers.crops.models import Learner
from imperv.layers.crops.networks import Trainings
from imperv.layers.crops.parameters import NETWORKS, Kind, TrainingParameters
from imperv.layers.crops.scores import compared, cross_validate, judge
from imperv.layers.crops.series import Series
from imperv.layers.network.unet import configure_threads
from imperv.tasks.crops.model_files import load_model, record_path, require_ending, save_model, series_digest, told_of
from imperv.tasks.crops.samples import Codes, Read, Request, check_for_training, read_samples, require_bands
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.networks.checkpoints import Checkpoint
from imperv.tasks.store.records import digest_of

Tell = Callable[[str, int, int], None]
"""Called with what is done, steps done, steps in all."""


@dataclass(frozen=True)
class Training:
    """What is learnt, and how it is judged."""

    data: Request
    output: Path
    parameters: TrainingParameters
    validation: Path | None = None
    """Data that are not learnt from, in any of the forms."""
    folds: int = 5
    """Parts of the samples that are left out in turn; 0 for none."""
    repeats: int = 1
    """Times that they are parted anew."""
    beside: tuple[Kind, ...] = ()
    """Kinds of models that are judged on the same folds."""
    workers: int = 1
    """Threads."""


@dataclass(frozen=True)
class Learnt:
    """What came of it."""

    read: Read
    """Samples that were learnt from."""
    scores: dict[str, Any]
    """``left out``: by kind of model, and ``differences`` to the first; ``validation``."""
    paths: tuple[Path, Path]
    """Model and record."""
    warnings: tuple[str, ...]


def train_model(training: Training, tell: Tell = lambda *_: None) -> Learnt:
    """Judge by left-out groups, learn from all samples, write model and record. InputError for what cannot be learnt from.

    Networks are kept once a minute beside the model: the same command goes on where it was cut off.
    """
    parameters = training.parameters
    require_ending(training.output, parameters.kind)
    if not training.output.absolute().parent.is_dir():
        raise InputError(f"--output: {training.output.parent} is no folder; make it, or name another")
    tell("read samples", 0, 1)
    read = check_for_training(read_samples(training.data), training.data.least)
    series, warnings = read.series, list(read.warnings)
    validation = None
    if training.validation is not None:
        validation = read_again(replace(training.data, path=training.validation), series, read.codes)
        warnings += validation.warnings
    if any(kind in NETWORKS for kind in (parameters.kind, *training.beside)):
        configure_threads(training.workers)
    scores: dict[str, Any] = {}
    checkpoint = Checkpoint(training.output, key_of(training, series), "--output")
    trainings = Trainings(checkpoint.read(), checkpoint.keep)
    if training.folds:
        scores["left out"], found = left_out_scores(training, series, tell, trainings)
        warnings += found
    try:
        model = Learner(parameters, series).learn(
            series, parameters.seed, lambda done, total: tell("learn", done, total), training.workers, trainings
        )
    except ValueError as error:
        raise WorkError(f"{training.output}: cannot be trained: {error}") from None
    if validation is not None:
        part = validation.series
        scores["validation"] = judge(model.probabilities(part.values), part.labels, part.groups, series.classes).to_json()
    told = replace(told_of(parameters, series, read.source, read.codes), scores=scores)
    save_model(model, training.output, told)
    checkpoint.drop()
    return Learnt(read, scores, (training.output, record_path(training.output)), tuple(warnings))


def key_of(training: Training, series: Series) -> str:
    """What all trainings of a command depend on, in their order."""
    groups = np.unique(series.groups, return_inverse=True)[1].tolist()
    return digest_of({
        "form": "crops 1", "data": series_digest(series), "groups": groups, "folds": [training.folds, training.repeats],
        "parameters": training.parameters.model_dump(mode="json"), "beside": training.beside,
    })  # fmt: skip


def left_out_scores(training: Training, series: Series, tell: Tell, trainings: Trainings) -> tuple[dict[str, Any], list[str]]:
    """Scores by left-out groups of the model and of those beside it."""
    groups = [len(np.unique(series.groups[series.labels == k])) for k in range(len(series.classes))]
    folds = min(training.folds, len(np.unique(series.groups)))
    warnings = []
    if few := [f"{series.classes[k]} ({n})" for k, n in enumerate(groups) if 0 < n < folds]:
        warnings.append(f"classes with fewer groups than folds are learnt from fewer samples when judged: {', '.join(few)}")
    if folds < 2:
        return {}, ["all samples are of one group: nothing can be left out"]
    own = training.parameters
    kinds: dict[str, TrainingParameters] = {
        kind: own.model_copy(update={"kind": kind}) for kind in dict.fromkeys((own.kind, *training.beside))
    }

    def told(name: str, done: int, total: int) -> None:
        tell(f"judge {name}", done, total)

    found = cross_validate(kinds, series, folds, training.repeats, told, training.workers, trainings)
    result: dict[str, Any] = {name: judged.to_json() for name, judged in found.items()}
    if len(found) > 1:
        result["differences"] = {name: compared(found[own.kind], judged) for name, judged in found.items() if name != own.kind}
    return result | {"folds": folds}, warnings


def read_again(request: Request, like: Series, table: Any) -> Read:
    """Data to judge by: on the bands, steps and classes of samples or of a model."""
    codes = Codes(table or {}, like.classes, strict=False)
    named = all(band.startswith("B") for band in like.bands)
    dated = like.calendar.kind != "steps"
    found = read_samples(
        replace(request, calendar=like.calendar if dated else None, bands=like.bands if named else (), least=0), codes
    )
    if found.series.calendar.count != like.calendar.count or len(found.series.bands) != len(like.bands):
        raise InputError(
            f"{found.source}: has {found.series.calendar.count} steps of {len(found.series.bands)} bands; "
            f"{like.calendar.count} of {len(like.bands)} are needed"
        )
    return found


def evaluate_model(path: Path, request: Request, workers: int = 1) -> dict[str, Any]:
    """Scores of a model on data: what is printed as JSON, with ``warnings``."""
    if path.suffix.lower() in (".keras", ".h5"):
        configure_threads(workers)
    file = load_model(path)
    model, inputs = file.model, file.model.inputs
    like = Series(np.empty((0, 0, 0)), np.empty(0), np.empty(0), model.classes, inputs.bands, inputs.calendar)
    read = read_again(request, like, file.told.codes)
    require_bands(inputs.bands, read.series.bands, read.source)
    warnings = [*file.warnings, *read.warnings]
    if series_digest(read.series) == file.told.data.get("digest"):
        warnings.append("these are the samples that the model has learnt from: scores are of memory, not of skill")
    part = read.series
    judged = judge(model.probabilities(part.values), part.labels, part.groups, model.classes)
    counts = np.bincount(part.labels, minlength=len(model.classes))
    return {
        "model": path.name, "kind": model.kind, "data": Path(read.source).name,
        "samples": {name: int(count) for name, count in zip(model.classes, counts, strict=True)},
        "scores": judged.to_json(), "warnings": warnings,
    }  # fmt: skip


def score_table(found: dict[str, Any], classes: Sequence[str]) -> list[tuple[str, str]]:
    """Lines of scores: what, and percent with its interval."""
    from imperv.layers.statistics.scores import percent_text

    rows = [("overall accuracy", percent_text(found["oa"])), ("mean F1", percent_text(found["f1"]))]
    return rows + [(f"F1 {name}", percent_text(found["classes"].get(name))) for name in classes]
