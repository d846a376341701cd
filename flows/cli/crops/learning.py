"""The commands ``imperv crops train`` and ``imperv crops evaluate``."""

from __future__ import annotations

import json
import os
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imperv.flows.runtime.console import Json, duration, err, out, say
from imperv.tasks.errors import InputError

if TYPE_CHECKING:
    from imperv.tasks.crops.samples import Request


class ModelKind(StrEnum):
    """Kinds of models."""

    TEMPCNN = "tempcnn"
    LSTM = "lstm"
    FOREST = "forest"
    BOOSTING = "boosting"


Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA", help="Folder in TimeSen2Crop's form, folder with train.npy and y_train.npy, or Parquet file of parcels."
    ),
]
Bands = Annotated[str, typer.Option(metavar="BANDS", help="Bands, such as B02,B03,B04,B08; default: all that the data have.")]
Mapping = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="JSON file of crop codes and their classes; default: class_mappings.json beside the data."),
]
Scheme = Annotated[str, typer.Option(metavar="NAME", help="Table of that file; default: CROPTYPE20_EUROPE.")]
Label = Annotated[str, typer.Option(metavar="COLUMN", help="Column of the crop in a Parquet file; default: found by its name.")]


def train(
    data: Data,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Model to write: .keras or .h5; .npz of a forest, .ubj of boosting.")
    ],
    model: Annotated[ModelKind, typer.Option(help="Kind of the model.")] = ModelKind.TEMPCNN,
    n_epochs: Annotated[int, typer.Option(help="Passes over the samples.")] = 50,
    batch_size: Annotated[int, typer.Option(help="Samples of a step, a power of 2.")] = 32,
    class_weights: Annotated[bool, typer.Option("--class-weights", help="Weigh classes by their rarity.")] = False,
    learning_rate: Annotated[float, typer.Option(help="Highest size of a step.")] = 1e-3,
    val: Annotated[Path | None, typer.Option(metavar="DATA", help="Data that are not learnt from, to be judged by.")] = None,
    members: Annotated[int, typer.Option(help="Networks whose answers are averaged.")] = 3,
    plain: Annotated[bool, typer.Option("--plain", help="Learn from the samples alone, without variants of them.")] = False,
    monthly: Annotated[
        bool,
        typer.Option(
            "--monthly", help="Learn from twelve monthly medians, such as composites have, in place of the data's steps."
        ),
    ] = False,
    first_month: Annotated[int, typer.Option(help="Month that a season begins with.", min=1, max=12)] = 9,
    bands: Bands = "",
    mapping: Mapping = None,
    scheme: Scheme = "",
    label: Label = "",
    least: Annotated[int, typer.Option(help="Leave out classes with fewer samples.", min=0)] = 0,
    folds: Annotated[
        int, typer.Option(help="Parts of the samples that are left out in turn, to judge; 0: none.", min=0, max=50)
    ] = 5,
    repeats: Annotated[int, typer.Option(help="Times that the samples are parted anew.", min=1, max=20)] = 1,
    beside: Annotated[
        list[ModelKind] | None, typer.Option(help="Kind of a model to judge on the same parts; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Start of all random numbers.", min=0)] = 1,
    as_json: Json = False,
) -> None:
    """Learn a model of crops from series of Sentinel-2, and judge it on samples that it has not learnt from."""
    from pydantic import ValidationError

    from imperv.flows.cli.parts.showing import run_view
    from imperv.layers.crops.parameters import TrainingParameters
    from imperv.layers.crops.series import Calendar
    from imperv.tasks.crops.learning import Training, train_model

    began = time.perf_counter()
    try:
        parameters = TrainingParameters(
            kind=model.value, n_epochs=n_epochs, batch_size=batch_size, class_weights=class_weights, learning_rate=learning_rate,
            members=members, variants=not plain, seed=seed,
        )  # fmt: skip
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]).replace("_", "-")
        raise InputError(f"--{option}: {first['msg'].removeprefix('Value error, ')}") from None
    calendar = Calendar("months", 12, first_month) if monthly else None
    request = _request(data, bands, mapping, scheme, label, least, calendar)
    training = Training(
        request, output, parameters, val, folds, repeats, tuple(one.value for one in beside or ()), min(2, os.cpu_count() or 1)
    )
    with run_view(err) as view:
        made = train_model(training, view.steps_of(output.name))
    for warning in made.warnings:
        say(f"warning: {warning}")
    series = made.read.series
    if as_json:
        out.print_json(json.dumps({"model": str(made.paths[0]), "classes": list(series.classes), "scores": made.scores}))
        return
    out.print(f"samples      {len(series.labels)} of {len(series.classes)} classes, {series.calendar}, {', '.join(series.bands)}")
    for name, found in made.scores.get("left out", {}).items():
        if name not in ("folds", "differences"):
            print_scores(f"{name}, left out", found, series.classes)
    for name, found in made.scores.get("left out", {}).get("differences", {}).items():
        from imperv.layers.statistics.scores import percent_text

        out.print(f"less {name:<8}mean F1 {percent_text(found['f1'])}, overall accuracy {percent_text(found['oa'])}")
    if "validation" in made.scores:
        print_scores("validation", made.scores["validation"], series.classes)
    for path in made.paths:
        out.print(f"file         {path}")
    out.print(f"time         {duration(time.perf_counter() - began)}")


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Model that imperv crops train has written, with its record.")],
    data: Annotated[Path, typer.Option("--data", "-d", metavar="DATA", help="Samples, in any form that train reads.")],
    mapping: Mapping = None,
    scheme: Scheme = "",
    label: Label = "",
    as_json: Json = False,
) -> None:
    """Judge a model of crops on samples, such as those of another year."""
    from imperv.tasks.crops.learning import evaluate_model

    found = evaluate_model(model, _request(data, "", mapping, scheme, label, 0, None), min(2, os.cpu_count() or 1))
    for warning in found["warnings"]:
        say(f"warning: {warning}")
    if as_json:
        out.print_json(json.dumps(found))
        return
    samples = found["samples"]
    out.print(f"samples      {sum(samples.values())}: {', '.join(f'{name} {count}' for name, count in samples.items())}")
    print_scores(found["kind"], found["scores"], list(samples))


def _request(data: Path, bands: str, mapping: Path | None, scheme: str, label: str, least: int, calendar: Any) -> Request:
    from imperv.tasks.crops.samples import Request

    named = tuple(_band(text) for text in bands.replace(" ", "").split(",") if text)
    return Request(data, calendar, named, mapping, scheme, label, least)


def _band(text: str) -> str:
    upper = text.upper()
    return f"B0{upper[1:]}" if len(upper) == 2 and upper[1:].isdigit() else upper


def print_scores(title: str, found: dict[str, Any], classes: Any) -> None:
    """Scores with their intervals."""
    from imperv.tasks.crops.learning import score_table

    out.print(title)
    for what, text in score_table(found, classes):
        out.print(f"  {what:<28}{text}", markup=False)
