"""Pixels of polygons and of the ground without any, from the stored answers of the base model; scores by left-out polygons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from imperv.grids import Block
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.landcover.classes import class_numbers
from imperv.layers.landcover.tuning import Polygons, Samples, TuningParameters
from imperv.layers.statistics.classes import class_scores
from imperv.layers.statistics.scores import estimates
from imperv.tasks.job import Job
from imperv.tasks.landcover.maps import NO_DATA, Answers, block_of_tile
from imperv.tasks.samples import Sample, pixels_of

GROUND_PIECES = 16
"""Pieces of the tile that the ground without polygons is sampled from."""


def polygon_pixels(
    job: Job, answers: Answers, samples: Sequence[Sample], parameters: TuningParameters
) -> tuple[Polygons, np.ndarray]:
    """Pixels of polygons with data, at most so many of each, and their rows and columns (pixel, 2); reads piece by piece."""
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
    of_polygon = class_numbers(np.array([sample.code for sample in samples], "i8"), job.production.parameters.classes.classes)
    target = of_polygon[p[kept]]
    weights = np.array([sample.weight for sample in samples], "f8")
    return Polygons(found, target, p[kept], weights), np.stack([y, x], axis=1)[kept]


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


def ground_pixels(job: Job, answers: Answers, places: np.ndarray, parameters: TuningParameters) -> Samples:
    """A sample of the ground without the pixels of polygons, (pixel, 2) rows and columns, drawn by the seed."""
    taken = set(map(tuple, places.tolist()))
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


def scores_of(left_out: np.ndarray, polygons: Polygons, names: Sequence[str]) -> dict[str, Any]:
    """Scores by the classes that were mapped where a polygon was left out, (pixel,): each polygon counts as its weight, whatever
    its size. Overall accuracy and F1 with intervals of a bootstrap over polygons, and the confusion matrix in polygons (row:
    drawn, column: mapped)."""
    size, count = len(names), len(polygons.weights)
    if not len(polygons.target):
        return {"polygons": count, "classes": list(names), "confusion": np.zeros((size, size)).tolist(), "scores": {}}
    pixels = np.bincount(polygons.polygon, minlength=count)
    share = polygons.weights[polygons.polygon] / pixels[polygons.polygon]
    index = (polygons.polygon * size + polygons.target) * size + left_out
    counts = np.bincount(index, share, count * size**2).reshape(count, size**2)
    found = estimates([counts], class_scores(size))
    return {
        "polygons": count, "classes": list(names),
        "confusion": np.round(counts.sum(axis=0).reshape(size, size), 3).tolist(),
        "scores": {name: estimate.to_json() for name, estimate in found.items()},
    }  # fmt: skip
