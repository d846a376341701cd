"""Distilling a tile's ensemble into one network: its answers on a part of the tile, the training, and what the record says
(docs/models.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imperv.grids import Block, block_grid, inner_slices
from imperv.layers.catalogue import Layer
from imperv.layers.network.distilling import (
    LEAST_WINDOWS,
    WINDOW,
    WORTH,
    EnsembleHead,
    ensemble_target,
    lesson_work,
    student_parameters,
    taught_windows,
)
from imperv.layers.network.heads import FractionHead
from imperv.layers.network.prediction import AT_ONCE, EDGES, window_function
from imperv.layers.network.rows import Model, predict_area
from imperv.layers.network.sampling import Region
from imperv.layers.network.unet import UNetParameters
from imperv.layers.network.unpadded import depth_of, filters_of, unpadded
from imperv.layers.network.windows import Windows, reach
from imperv.tasks.errors import WorkError
from imperv.tasks.imperviousness.nodes.features import read_features
from imperv.tasks.imperviousness.nodes.models import TRAINING_SHARE
from imperv.tasks.job import Job
from imperv.tasks.networks.making import train_on
from imperv.tasks.networks.precision import precision_of, precision_share
from imperv.tasks.networks.registry import Found

TOLD = "distilled"
"""Of the student in the record of a prediction."""

VERSION = 1
"""Raised when the same models and features would give another student."""


@dataclass(frozen=True)
class Student:
    """A network that answers for an ensemble, or why there is none: then the ensemble predicts."""

    model: Model | None = None
    """Windows of features to mean and deviation, as of `EnsembleHead`."""
    told: dict[str, Any] = field(default_factory=dict)
    """For the record of the prediction."""
    warnings: tuple[str, ...] = ()

    @classmethod
    def none(cls, reason: str, warnings: tuple[str, ...] = ()) -> Student:
        """None, with the reason for the record."""
        return cls(told={TOLD: {"made": False, "reason": reason}}, warnings=warnings)


def parameters_of(job: Job, filters: int | None = None, depth: int | None = None) -> UNetParameters:
    """Of a student with the shape of a model, by default that of the production's."""
    unet = job.production.parameters.unet
    return student_parameters(unet, filters or unet.base_filters, depth or unet.depth)


def taught(job: Job) -> int:
    """Windows that the ensemble answers, within memory."""
    room = int(job.engine.budget * TRAINING_SHARE) // (pixel_bytes(job) * WINDOW**2)
    return taught_windows(len(list(block_grid(job.grid(10), WINDOW))), max(1, room))


def taught_bytes(job: Job) -> int:
    """Memory of these windows: their features and two targets."""
    return taught(job) * WINDOW**2 * pixel_bytes(job)


def pixel_bytes(job: Job) -> int:
    """Memory of a pixel of them."""
    return 4 * (len(job.production.parameters.unet.names) + EnsembleHead().outputs)


def student_share(job: Job, members: int, work: float) -> float:
    """Time of a student, answers of the ensemble included, over that of the ensemble; `work` is that of a network on the tile."""
    return (work + lesson_work(parameters_of(job), members, taught(job), precision_share(job))) / (work * members)


def distil_external(job: Job) -> dict[str, Any]:
    """What a student is made by, where one is asked for."""
    if not job.production.parameters.ensemble.distil:
        return {}
    return {"distilling": {"version": VERSION, **parameters_of(job).model_dump(mode="json")}}


def gains_nothing(job: Job, members: int, work: float) -> str:
    """Why the ensemble predicts the tile itself though a student is asked for, or empty; `work` as of `student_share`."""
    (rows, columns), share = job.grid(10).shape, student_share(job, members, work)
    if share < WORTH:
        return ""
    return f"a student of {members} networks takes {share:.2f} times as long as they on {columns} x {rows} pixels"


def distil(
    job: Job, layer: Layer, found: Found, models: Sequence[Model], first: Any, depth: int, versions: Mapping[str, Any]
) -> Student:
    """The student of an ensemble, trained from a member of its `first` model.

    `models` are functions of windows with the context of `depth`. There is none where few windows have features. An interrupted
    training resumes from its last epoch, if the `versions` of what the answers hang on are the same.
    """
    parameters = parameters_of(job, filters_of(first), depth_of(first))
    regions = answered(job, models, depth, taught(job), WINDOW)
    if len(regions) < LEAST_WINDOWS:
        return Student.none(f"only {len(regions)} of {taught(job)} windows have features to learn from")
    head = EnsembleHead(FractionHead(parameters.absolute))
    try:
        trained, warnings = train_on(job, layer, regions, parameters, found.models[0], versions, head)
    except WorkError as error:
        return Student.none(str(error), (f"the ensemble predicts, as its student could not be trained: {error}",))
    (history,) = trained.history
    told = {
        "made": True, "windows": len(regions), "window": WINDOW, "start": found.models[0].tile, "seed": history["seed"],
        "steps": history["steps_per_epoch"] * len(history["validation"]), "best_epoch": history["best_epoch"],
        "training_pixels": history["training_pixels"], "left_out_pixels": history["validation_pixels"],
        "loss": history["loss"], "validation": history["validation"], "left_out": history["scores"],
    }  # fmt: skip
    model = unpadded(trained.model, precision_of(job)[0])
    return Student(window_function(model, trained.normalisation, depth), {TOLD: told}, warnings)


def answered(job: Job, models: Sequence[Model], depth: int, count: int, edge: int) -> list[Region]:
    """Those of so many windows of `edge` pixels, spread over a tile, that have features, with what the ensemble says there."""
    names, (row, column) = job.production.parameters.unet.names, job.global_index()
    blocks, margin = list(block_grid(job.grid(10), edge)), reach(depth) + 2**depth
    rng = np.random.default_rng([job.production.parameters.unet.seed, 19])
    regions = []
    for some in np.array_split(np.arange(len(blocks)), count):  # one of each stretch
        block = blocks[rng.choice(some)]
        outer = Block(block.y0 - margin, block.x0 - margin, block.y1 + margin, block.x1 + margin)
        features, inner = read_features(job, "now", outer, names), inner_slices(block, outer)
        origin = row + block.y0, column + block.x0
        windows = Windows(block.shape, origin, depth, EDGES[1])
        target = ensemble_target(np.concatenate([predict_area(features, model, windows, inner, AT_ONCE) for model in models]))
        if np.isfinite(target).any():
            regions.append(Region(np.ascontiguousarray(features[(slice(None), *inner)]), target, origin))
    return regions
