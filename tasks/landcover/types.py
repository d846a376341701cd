"""Built-up types by centre patches: LC_types_model, LC_types (docs/landcover.md, Built-up types)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from imperv.grids import Block, inner_slices
from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.layers.features import URBAN15
from imperv.layers.landcover.features import REACH, stack_features
from imperv.layers.landcover.patches import (
    TYPES,
    Points,
    build_members,
    cut_patches,
    predict_dense,
    train_patches,
)
from imperv.layers.network.unet import Normalisation, configure_threads
from imperv.layers.network.weights import flat_weights, set_flat_weights
from imperv.layers.statistics.classes import class_counts, class_scores
from imperv.layers.statistics.scores import estimates
from imperv.layers.statistics.shares import shares_of_area, weights_of
from imperv.tasks.errors import WorkError
from imperv.tasks.family.costs import Cost, resident
from imperv.tasks.job import Job, Made, attributes, report, summarise
from imperv.tasks.landcover.maps import NO_DATA, PIECE
from imperv.tasks.landcover.points import Place, read_points
from imperv.tasks.references.fingerprints import fingerprint
from imperv.tasks.store.records import digest_of

MOST_POINTS = 20_000
"""Points that are learnt from; more are drawn from by the seed."""

ASKED, EVERY = 8, 10
"""Pieces of the tile that tell the shares of the types, and every how manieth of their pixels does."""

POINT_NS = 40.0
"""Core nanoseconds of training a pixel of a patch, filter and pass."""

TYPE_NS = 3000.0
"""Core nanoseconds of a pixel of the map, 24 filters."""


def not_needed(job: Job, symbol: str) -> str:
    """Why there is no map of types."""
    return "" if job.production.references.points else "references.points is missing"


def points_external(job: Job, layer: Layer) -> Mapping[str, Any]:
    """The file of points."""
    text = job.production.references.points
    return {"files": fingerprint(job, job.path(text))} if text else {}


def check_points(job: Job, symbol: str) -> None:
    """Refuse a wrong file before anything is made."""
    if job.production.references.points:
        type_points(job)


def type_points(job: Job) -> Place:
    """Points of built-up types on the tile's pixels, at most `MOST_POINTS`."""
    path, grid = job.path(job.production.references.points), job.grid_of(CATALOGUE["LC_types"])
    return read_points(path, TYPES, grid, "references.points").thinned(MOST_POINTS, job.production.parameters.types.seed)


def read_features(job: Job, block: Block) -> np.ndarray:
    """Features of a block of the mosaic, which may reach beyond the tile: (feature, y, x), NaN no data."""
    array, (rows, columns) = job.array("LC_mosaic"), job.grid_of(CATALOGUE["LC_mosaic"]).shape
    inner = Block(max(block.y0, 0), max(block.x0, 0), min(block.y1, rows), min(block.x1, columns))
    out = np.full((len(URBAN15), *block.shape), np.nan, "f4")
    here = inner_slices(inner, block)
    out[(slice(None), *here)] = stack_features(np.asarray(array[(slice(None), *inner.slices)]))
    return out


def features_around(job: Job, piece: Block, reach: int) -> np.ndarray:
    """Features of a piece and `reach` pixels around it, (feature, y, x)."""
    far = reach + REACH
    return read_features(job, Block(piece.y0 - far, piece.x0 - far, piece.y1 + far, piece.x1 + far))[
        :, REACH:-REACH, REACH:-REACH
    ]


def make_types_model(job: Job, layer: Layer) -> Made:
    """Train the network on points; scores are of points in blocks of ground that it did not learn from."""
    parameters = job.production.parameters.types
    configure_threads(job.engine.settings.workers)
    place = type_points(job)
    reach, (rows, columns) = parameters.reach, job.grid_of(CATALOGUE["LC_mosaic"]).shape
    patches = np.empty((len(place.rows), parameters.patch, parameters.patch, len(URBAN15)), "f4")
    for piece in Block(0, 0, rows, columns).pieces(PIECE):
        y, x = place.rows - piece.y0, place.columns - piece.x0
        mine = (y >= 0) & (y < piece.shape[0]) & (x >= 0) & (x < piece.shape[1])
        if mine.any():
            patches[mine] = cut_patches(features_around(job, piece, reach), y[mine] + reach, x[mine] + reach, parameters.patch)
    known = np.isfinite(patches[:, reach, reach]).all(axis=-1)
    block = place.rows // parameters.block * 100_000 + place.columns // parameters.block
    points = Points(patches[known], place.target[known], block[known])
    try:
        trained = train_patches(points, URBAN15, len(TYPES), parameters, job.engine.progress)
    except ValueError as error:
        raise WorkError(f"{layer.symbol} of tile {job.tile}: cannot be trained: {error}") from None
    network = Network(trained.model, trained.normalisation, parameters.reach, np.ones(len(TYPES), "f4"))
    shares = shares_of_area(some_answers(job, network), trained.learnt)
    text = json.dumps({
        "normalisation": trained.normalisation.to_json(),
        "weights": base64.b64encode(flat_weights(trained.model).astype("<f4").tobytes()).decode("ascii"),
        "scale": weights_of(shares, trained.learnt, parameters.shares).tolist(),
    })  # fmt: skip
    job.store.replace_text(job.place(layer.symbol), text + "\n")
    held = trained.held_out
    blocks, where = np.unique(points.block[held], return_inverse=True)
    counts = class_counts(trained.answers[held].argmax(axis=1), points.target[held], where, len(blocks), len(TYPES))
    scores = {name: estimate.to_json() for name, estimate in estimates([counts], class_scores(len(TYPES))).items()}
    warnings = []
    if place.outside:
        warnings.append(f"{place.outside} points lie outside of the area and are left out")
    size = len(TYPES)
    statistics = {
        "points": int(known.sum()), "held_out": int(held.sum()), "classes": [one.name for one in TYPES], "scores": scores,
        "confusion": counts.sum(axis=0).reshape(size, size).tolist(), "validation": [*map(list, trained.validation)],
        "shares": shares.tolist(),
    }  # fmt: skip
    return Made(digest_of(text), statistics, tuple(warnings))


@dataclass(frozen=True)
class Network:
    """What tells the types of pixels."""

    model: Any
    normalisation: Normalisation
    reach: int
    """Pixels around a pixel that it sees."""
    scale: np.ndarray
    """(class,) what probabilities are multiplied by."""

    def answers(self, job: Job, piece: Block) -> np.ndarray:
        """Weighted probabilities of a piece of the mosaic, (class, y, x) float32, NaN no data."""
        reach = self.reach
        found = predict_dense(self.model, self.normalisation, features_around(job, piece, reach), reach)
        return found[:, reach:-reach, reach:-reach] * self.scale[:, None, None]


def some_answers(job: Job, network: Network) -> np.ndarray:
    """Of pixels all over the tile, (class, pixel): from `ASKED` pieces with data, drawn by the seed."""
    array, rng = job.array("LC_mosaic"), np.random.default_rng([job.production.parameters.types.seed, 61])
    pieces = list(Block(0, 0, *job.grid_of(CATALOGUE["LC_mosaic"]).shape).pieces(PIECE))
    found: list[np.ndarray] = []
    for k in rng.permutation(len(pieces)).tolist():
        if len(found) == ASKED:
            break
        if np.asarray(array[(0, *pieces[k].slices)]).any():
            answers = network.answers(job, pieces[k])
            known = np.flatnonzero(np.isfinite(answers[0]))
            found.append(answers.reshape(len(answers), -1)[:, rng.permutation(known)[::EVERY]])
    return np.concatenate(found, axis=1)


def load_types(job: Job) -> Network:
    """Network of LC_types_model."""
    parameters = job.production.parameters.types
    table = json.loads(job.store.read_text(job.place("LC_types_model").data) or "")
    model = build_members(parameters, len(URBAN15), len(TYPES))
    if not set_flat_weights(model, np.frombuffer(base64.b64decode(table["weights"]), "<f4")):
        raise WorkError(f"LC_types_model of tile {job.tile} is damaged; run the tile again")
    scale = np.array(table["scale"], "f4")
    return Network(model, Normalisation.from_json(table["normalisation"]), parameters.reach, scale)


def make_types(job: Job, layer: Layer) -> Made:
    """The map of types, piece by piece with the context that a patch sees."""
    configure_threads(job.engine.settings.workers)
    network = load_types(job)
    codes, reports, blocks = np.array([one.code for one in TYPES], "u1"), [], job.blocks_of(layer)
    job.engine.at_once(types_bytes(job, layer), layer.symbol)
    one_more = job.engine.counter(len(blocks))
    with job.store.writing_arrays(
        job.place(layer.symbol), job.grid_of(layer), layer.resolution, layer.variables, attributes(job, layer)
    ) as out:
        for block in blocks:
            pixels = np.full(block.shape, NO_DATA, "u1")
            for piece in block.pieces(PIECE):
                here = inner_slices(piece, block)
                pixels[here] = types_of(job, piece, network, codes)
            out[layer.symbol][block.slices] = pixels
            reports.append(report({layer.symbol: pixels}, layer))
            one_more()
    digest, statistics = summarise(layer, reports)
    return Made(digest, statistics)


def types_of(job: Job, piece: Block, network: Network, codes: np.ndarray) -> np.ndarray:
    """Codes of a piece, as patch by patch."""
    answers = network.answers(job, piece)
    known = np.isfinite(answers[0])
    found: np.ndarray = np.where(known, codes[np.where(known, answers, 0).argmax(axis=0)], NO_DATA)
    return found


def types_bytes(job: Job, layer: Layer) -> int:
    """Memory of a block and of a piece that is predicted."""
    rows, columns = job.blocks_of(layer)[0].shape
    edge = PIECE + 2 * (job.production.parameters.types.reach + REACH)
    return rows * columns * 2 + edge * edge * 4 * (3 * len(URBAN15) + 6) + 256 * 2**20


def types_cost(job: Job, layer: Layer) -> Cost:
    """Of the map."""
    rows, columns = job.grid_of(layer).shape
    return Cost(_mapping(job, rows * columns), resident(job, types_bytes(job, layer)) + 2**29)


def types_training_cost(job: Job, layer: Layer) -> Cost:
    """Of the training, for a thousand points, and of the pieces that tell the shares."""
    types = job.production.parameters.types
    seconds = 1000 * types.members * types.epochs * types.patch**2 * types.filters * POINT_NS / 1e9
    rows, columns = job.grid_of(CATALOGUE["LC_mosaic"]).shape
    seconds += _mapping(job, min(rows * columns, ASKED * PIECE**2))
    return Cost(seconds, resident(job, 1000 * types.patch**2 * len(URBAN15) * 12) + 2**29)


def _mapping(job: Job, pixels: int) -> float:
    types = job.production.parameters.types
    return pixels * TYPE_NS * types.members * (types.filters / 24) ** 2 / 1e9
