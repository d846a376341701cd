"""Making a model of a tile: training that resumes, starts from another model, and is stored whole (ATBD 4.3.1)."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from imperv.layers.catalogue import Layer
from imperv.layers.network.fitting import Choice, DivergenceError, least
from imperv.layers.network.heads import Head
from imperv.layers.network.sampling import Region
from imperv.layers.network.training import Trained, train
from imperv.layers.network.unet import NetworkParameters, save_model
from imperv.tasks.errors import WorkError
from imperv.tasks.families import family
from imperv.tasks.job import Job, Made
from imperv.tasks.networks.checkpoints import drop_checkpoint, load_checkpoint, save_checkpoint
from imperv.tasks.networks.registry import OUTPUTS, weights_digest
from imperv.tasks.networks.starting import load_start, starting_model
from imperv.tasks.networks.symbols import KERAS
from imperv.tasks.store.records import Record, digest_of

OTHER_SEED = 100
"""Added to the seed when a training that diverged is repeated."""

START = "start"
"""Ingredient of a model whose training started from another one: that model's version."""


def train_and_store(
    job: Job, layer: Layer, regions: Sequence[Region], parameters: NetworkParameters, tiles: Sequence[str],
    versions: Mapping[str, str], head: Head | None = None,
) -> Made:  # fmt: skip
    """Train and store the model of a tile on regions of `tiles`; `versions` are those of neighbours' layers that it learns from.

    An interrupted training resumes from its last epoch. One that diverges is repeated once from another seed. WorkError if the
    ground is too small to be split, or the training diverges twice.
    """
    start = starting_model(job, layer.symbol) if parameters.transfer else None
    trained, warnings = train_on(job, layer, regions, parameters, start, versions, head)
    place, metadata = job.place(layer.symbol), trained.metadata()
    job.store.remove_record(place.record)
    with tempfile.TemporaryDirectory() as folder:
        save_model(trained.model, Path(folder) / KERAS)
        job.store.put_file(Path(folder) / KERAS, place.data)
    if any(min(member["validation"]) > member["constant_loss"] for member in trained.history):
        warnings += ("the validation loss is above that of a constant: the model has learnt nothing of use",)
    drop_checkpoint(job, layer.symbol)
    found = {**metadata, "members": parameters.members, "tiles": list(tiles), "start": start.tile if start else ""}
    if outputs := family(job.family).outputs(job.production):
        found[OUTPUTS] = list(outputs)
    return Made(
        weights_digest(trained.model, metadata["normalisation"]),
        found,
        warnings,
        external={START: start.version} if start else {},
    )


def train_on(
    job: Job, layer: Layer, regions: Sequence[Region], parameters: NetworkParameters, start: Record | None,
    versions: Mapping[str, Any], head: Head | None, choice: Choice = least,
) -> tuple[Trained, tuple[str, ...]]:  # fmt: skip
    """Train from a start if there is one, and once more from another seed if that diverges: the model, and warnings.

    The state after each epoch stays in the store until `drop_checkpoint`. WorkError as of `train_and_store`.
    """
    total, done = parameters.members * parameters.epochs, [0]

    def advance(*_: object) -> None:
        done[0] = min(done[0] + 1, total)
        if job.engine.progress:
            job.engine.progress(done[0], total)

    warnings: tuple[str, ...] = ()
    for attempt in (parameters, parameters.model_copy(update={"seed": parameters.seed + OTHER_SEED})):
        key = training_key(job, layer, attempt, start, versions)
        keep = partial(save_checkpoint, job, layer.symbol, key)
        initial = load_start(job, start) if start else None
        try:
            state = load_checkpoint(job, layer.symbol, key)
            return train(regions, attempt, advance, initial, state, keep, head, choice), warnings
        except DivergenceError as error:
            warnings = (f"the training diverged ({error}) and was repeated from another seed",)
        except ValueError as error:
            raise WorkError(f"{layer.symbol} of tile {job.tile}: cannot be trained: {error}") from None
    raise WorkError(
        f"{layer.symbol} of tile {job.tile}: {warnings[0].replace(' and was repeated', '; so did another')}; "
        "lower parameters.unet.learning_rate or check the references"
    )


def training_key(job: Job, layer: Layer, parameters: NetworkParameters, start: Record | None, versions: Mapping[str, Any]) -> str:
    """Key of a training, which its checkpoints must have: equal keys, equal weights."""
    inputs = {name: record.version if (record := job.record(name)) else "" for name in layer.inputs}
    return digest_of(
        {
            "algorithm": f"{layer.stem} {layer.version}",
            "window": list(job.bounds),
            "memory": job.engine.budget,
            "parameters": parameters.model_dump(mode="json"),
            "inputs": inputs,
            "neighbours": dict(versions),
            "start": start.version if start else "",
        }
    )
