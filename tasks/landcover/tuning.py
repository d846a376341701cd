"""Tuning a tile by the polygons of the present round: LC_training, LC_tuned_model, LC_tuned (docs/landcover.md, Tuning)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from imperv.grids import Block
from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.layers.landcover.tuning import Head, Polygons, Samples, Tuned, TuningParameters, tune
from imperv.layers.statistics.classes import class_scores
from imperv.layers.statistics.scores import estimates
from imperv.tasks.job import Job, Made
from imperv.tasks.landcover.maps import NO_DATA, Answers, block_of_tile, make_map
from imperv.tasks.landcover.rounds import polygons_of, present
from imperv.tasks.samples import Sample, of_store, pixels_of
from imperv.tasks.store.records import digest_of

NO_ROUND = "no polygons yet; `imperv landcover tune` takes them"

GROUND_PIECES = 16
"""Pieces of the tile that the ground without polygons is sampled from."""


def not_tuned(job: Job, symbol: str) -> str:
    """Why nothing is tuned."""
    return "" if present(job) else NO_ROUND


def training_external(job: Job, layer: Layer) -> Mapping[str, Any]:
    """The polygons."""
    text = polygons_of(job)
    return {"polygons": digest_of(text)} if text else {}


def make_training(job: Job, layer: Layer) -> Made:
    """LC_training: the polygons of the present round, by class."""
    text = polygons_of(job)
    samples = of_store(json.loads(text), job.production.parameters.classes.classes)
    grid = job.grid_of(CATALOGUE["LC_probability"])
    counts: dict[str, list[int]] = {}
    for sample in samples:
        found = counts.setdefault(sample.class_name, [0, 0])
        found[0] += 1
        found[1] += len(pixels_of(sample, grid)[0])
    job.store.replace_text(job.place(layer.symbol), text + "\n")
    warnings = []
    if len(counts) == 1:
        warnings.append(f"all polygons are of class {next(iter(counts))}; draw another class, or the map may turn to it")
    statistics = {name: {"polygons": n, "pixels": pixels} for name, (n, pixels) in counts.items()}
    return Made(digest_of(text), {"round": present(job), "classes": statistics}, tuple(warnings))


def training_samples(job: Job) -> tuple[Sample, ...]:
    """Polygons of LC_training."""
    text = job.store.read_text(job.place("LC_training").data) or '{"features": []}'
    return of_store(json.loads(text), job.production.parameters.classes.classes)


def make_tuned_model(job: Job, layer: Layer) -> Made:
    """LC_tuned_model: the head of the present round, with scores on polygons that were left out."""
    classes = job.production.parameters.classes.classes
    samples, parameters = training_samples(job), job.production.parameters.tuning
    answers = Answers.of(job)
    tuned, polygons = fit(job, answers, samples, parameters)
    text = json.dumps({"head": tuned.head.to_json(), "penalty": tuned.penalty})
    job.store.replace_text(job.place(layer.symbol), text + "\n")
    names = [c.name for c in classes]
    return Made(digest_of(text), {"penalty": tuned.penalty, **scores_of(tuned, polygons, names)})


def fit(job: Job, answers: Answers, samples: Sequence[Sample], parameters: TuningParameters) -> tuple[Tuned, Polygons]:
    """The head of some polygons, and their pixels."""
    polygons, taken = polygon_pixels(job, answers, samples, parameters)
    return tune(polygons, ground_pixels(job, answers, taken, parameters), parameters), polygons


def polygon_pixels(
    job: Job, answers: Answers, samples: Sequence[Sample], parameters: TuningParameters
) -> tuple[Polygons, set[tuple[int, int]]]:
    """Pixels of polygons with data, at most so many of each, and where they lie; pieces of the store are read once."""
    numbers = {c.code: k for k, c in enumerate(job.production.parameters.classes.classes)}
    grid = job.grid_of(CATALOGUE["LC_probability"])
    rows, columns, polygon = [], [], []
    for number, sample in enumerate(samples):
        y, x = pixels_of(sample, grid)
        if len(y) > parameters.pixels:
            rng = np.random.default_rng([parameters.seed, 43, number])
            kept = np.sort(rng.choice(len(y), parameters.pixels, replace=False))
            y, x = y[kept], x[kept]
        rows.append(y)
        columns.append(x)
        polygon.append(np.full(len(y), number))
    y, x, p = (np.concatenate(v) if v else np.empty(0, "i8") for v in (rows, columns, polygon))
    found, kept = read_pixels(job, answers, y, x)
    target = np.array([numbers[samples[k].code] for k in p[kept].tolist()], "i8")
    weights = np.array([sample.weight for sample in samples], "f8")
    return Polygons(found, target, p[kept], weights), set(zip(y.tolist(), x.tolist(), strict=True))


def read_pixels(job: Job, answers: Answers, y: np.ndarray, x: np.ndarray) -> tuple[Samples, np.ndarray]:
    """Stored answers of pixels, and which of them have data, in their order."""
    classes, channels = answers.shares.shape[0], answers.seen.shape[0]
    shares, seen = np.full((len(y), classes), NO_DATA, "u1"), np.zeros((len(y), channels), "u1")
    for block in block_of_tile(job):
        mine = (y >= block.y0) & (y < block.y1) & (x >= block.x0) & (x < block.x1)
        if not mine.any():
            continue
        inner = Block(int(y[mine].min()), int(x[mine].min()), int(y[mine].max()) + 1, int(x[mine].max()) + 1)
        here = (slice(None), y[mine] - inner.y0, x[mine] - inner.x0)
        shares[mine] = np.asarray(answers.shares[(slice(None), *inner.slices)])[here].T
        seen[mine] = np.asarray(answers.seen[(slice(None), *inner.slices)])[here].T
    known = np.flatnonzero(shares[:, 0] != NO_DATA)
    return Samples(shares[known], seen[known]), known


def ground_pixels(job: Job, answers: Answers, taken: set[tuple[int, int]], parameters: TuningParameters) -> Samples:
    """A sample of the ground without polygons, drawn by the seed."""
    rng = np.random.default_rng([parameters.seed, 47])
    blocks = block_of_tile(job)
    chosen = sorted(rng.choice(len(blocks), min(GROUND_PIECES, len(blocks)), replace=False).tolist())
    rows, columns = [], []
    for k in chosen:
        count = -(-parameters.sample // len(chosen))
        rows.append(rng.integers(blocks[k].y0, blocks[k].y1, count))
        columns.append(rng.integers(blocks[k].x0, blocks[k].x1, count))
    y, x = np.concatenate(rows), np.concatenate(columns)
    free = np.array([place not in taken for place in zip(y.tolist(), x.tolist(), strict=True)], bool)
    return read_pixels(job, answers, y[free], x[free])[0]


def scores_of(tuned: Tuned, polygons: Polygons, names: Sequence[str]) -> dict[str, Any]:
    """Scores on left-out polygons, each polygon counting as its weight whatever its size: overall accuracy and F1 with intervals
    of a bootstrap over polygons, and the confusion matrix in polygons (row: drawn, column: mapped)."""
    size, count = len(names), len(polygons.weights)
    if not len(polygons.target):
        return {"polygons": count, "classes": list(names), "confusion": np.zeros((size, size)).tolist(), "scores": {}}
    pixels = np.bincount(polygons.polygon, minlength=count)
    share = polygons.weights[polygons.polygon] / pixels[polygons.polygon]
    index = (polygons.polygon * size + polygons.target) * size + tuned.left_out
    counts = np.bincount(index, share, count * size**2).reshape(count, size**2)
    found = estimates([counts], class_scores(size))
    return {
        "polygons": count, "classes": list(names),
        "confusion": np.round(counts.sum(axis=0).reshape(size, size), 3).tolist(),
        "scores": {name: estimate.to_json() for name, estimate in found.items()},
        "penalties": {f"{penalty:g}": round(loss, 6) for penalty, loss in tuned.losses.items()},
    }  # fmt: skip


def present_head(job: Job) -> Head:
    """The head of LC_tuned_model."""
    return Head.from_json(json.loads(job.store.read_text(job.place("LC_tuned_model").data) or "")["head"])


def make_tuned(job: Job, layer: Layer) -> Made:
    """LC_tuned: the map, and what it changed of the base map."""
    digest, statistics = make_map(job, layer, present_head(job), "LC_base")
    return Made(digest, {**statistics, "round": present(job)})
