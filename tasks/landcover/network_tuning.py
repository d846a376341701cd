"""Tuning the slow way: networks of the base model are trained on with polygons beside the labels (docs/landcover.md, Tuning).

Each of several networks starts from the base model and leaves out another part of the ground, so that every polygon is asked of
one that did not learn from it; the map is by all of them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imperv.grids import Block
from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.layers.landcover.classes import class_numbers
from imperv.layers.landcover.network import ClassNetworkParameters
from imperv.layers.landcover.tuning import Polygons, by_shares, log_shares
from imperv.layers.network.fitting import last
from imperv.layers.network.heads import PolygonHead
from imperv.layers.network.prediction import EDGES, predict
from imperv.layers.network.sampling import VALIDATION, Region, choose_split
from imperv.layers.network.training import Trained
from imperv.layers.network.unet import Normalisation, configure_threads, rebuild
from imperv.layers.network.weights import flat_weights
from imperv.layers.network.windows import Windows
from imperv.tasks.errors import InputError
from imperv.tasks.family.costs import Cost, resident
from imperv.tasks.job import Job
from imperv.tasks.landcover.maps import NO_DATA, PIECE, Answers, map_bytes
from imperv.tasks.landcover.model import NETWORKS, TRAIN_NS, TRAINING_SHARE, origin_of, training_regions
from imperv.tasks.landcover.polygons import ground_pixels, polygon_pixels, scores_of
from imperv.tasks.landcover.predicting import PREDICT_NS, Answering, predict_block, probability_bytes
from imperv.tasks.landcover.reference import labels_of, with_gaps
from imperv.tasks.landcover.rounds import present, read_round
from imperv.tasks.networks.making import train_on, training_key
from imperv.tasks.networks.registry import ensemble_models
from imperv.tasks.samples import Sample, rasterise
from imperv.tasks.store.records import Record, digest_of

MOST = 10
"""Networks that are trained on at most."""


def label_versions(job: Job) -> dict[str, str]:
    """Versions of the labels that networks learn from beside polygons; none where the tile has no labels."""
    record = job.usable("LC_reference")
    return {"LC_reference": record.version} if record is not None else {}


def start_of(job: Job) -> Record:
    """The model that training goes on from: the tile's own, or the nearest; InputError if it or the features are not there."""
    for symbol in ("LC_mosaic", "LC_season"):
        record = job.record(symbol)
        if record is None or record.made and not job.store.data_in_place(record):
            raise InputError(f"{symbol} of tile {job.tile} is not there, which networks see; first `imperv run {job.tile}`")
    found = ensemble_models(job, "LC_model").models
    if not found:
        raise InputError(f"LC_model of tile {job.tile} is not there; tune without --network, or `imperv run {job.tile}`")
    return found[0]


def parameters_of(job: Job, record: Record) -> ClassNetworkParameters:
    """Of the training: those of the model that it goes on from, but for few steps and one network a fold."""
    tuning, unet = job.production.parameters.tuning, job.production.parameters.unet
    members = min(tuning.folds, MOST)
    return ClassNetworkParameters.recorded(record.statistics["parameters"]).model_copy(update={
        "members": members, "validation_share": 1 / members, "epochs": tuning.epochs, "patience": tuning.epochs,
        "transfer_share": 1.0, "steps_per_epoch": tuning.steps, "learning_rate": tuning.learning_rate, "balance": unet.balance,
        "precision": unet.precision, "seed": tuning.seed,
    })  # fmt: skip


def train_networks(job: Job, layer: Layer, samples: Sequence[Sample]) -> tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]:
    """Networks as a JSON object, their statistics with scores by left-out polygons, and warnings.

    Those of a round that was finished with the same polygons, labels, base model and parameters are taken as they are.
    """
    if not samples:
        raise InputError(f"tile {job.tile}: networks cannot be trained on without polygons; draw some, or leave --network out")
    record = start_of(job)
    parameters, tuning = parameters_of(job, record), job.production.parameters.tuning
    versions = {**label_versions(job), "tuning": digest_of(tuning.model_dump(mode="json"))}
    key, kept = training_key(job, layer, parameters, record, versions), read_round(job, present(job))
    if kept["finished"] and kept["networks"]["key"] == key:
        return kept["networks"], kept["scores"], ()
    configure_threads(job.engine.settings.workers)
    classes = job.production.parameters.classes.classes
    polygons, places = polygon_pixels(job, Answers.of(job), samples, tuning)
    regions = training_regions(job, target_with(samples), [(y, x) for y, x in places.tolist()])
    head, missing = head_of(job, regions, samples, polygons, places, parameters)
    trained, warnings = train_on(job, layer, regions, parameters, record, versions, head, last)
    if missing:
        warnings += (
            f"{missing} polygons were not learnt from: all of them take more memory than is allowed; raise engine.memory",
        )
    known, left_out = answers_left_out(trained, regions, places, origin_of(job, Block(0, 0, 1, 1)))
    seen = Polygons(polygons.samples.pick(known), polygons.target[known], polygons.polygon[known], polygons.weights)
    found = {
        "key": key, "parameters": parameters.model_dump(mode="json"), "normalisation": trained.normalisation.to_json(),
        "weights": base64.b64encode(flat_weights(trained.model).astype("<f4").tobytes()).decode("ascii"),
    }  # fmt: skip
    return found, {"networks": parameters.members, **scores_of(left_out, seen, [c.name for c in classes])}, warnings


def target_with(samples: Sequence[Sample]) -> Callable[[Job, Block], np.ndarray]:
    """Targets of a block as of `PolygonHead`: labels, the base map where there are none, and polygons over both."""

    def target(job: Job, block: Block) -> np.ndarray:
        classes = job.production.parameters.classes.classes
        found = with_gaps(class_numbers(np.asarray(job.array("LC_base")[block.slices]), classes))
        if label_versions(job):
            labels = labels_of(job, block)
            found = np.where(np.isfinite(labels), labels, found)
        drawn = rasterise(samples, block.geobox(job.grid_of(CATALOGUE["LC_base"])))[1]
        return np.where(drawn >= 0, len(classes) + drawn, found).astype("f4")

    return target


def head_of(
    job: Job, regions: Sequence[Region], samples: Sequence[Sample], polygons: Polygons, places: np.ndarray,
    parameters: ClassNetworkParameters,
) -> tuple[PolygonHead, int]:  # fmt: skip
    """The head of a training, and how many polygons lie in none of its regions.

    Polygons weigh against each other and against the ground as for the head that is fitted without networks.
    """
    tuning, classes = job.production.parameters.tuning, job.production.parameters.classes.classes
    ground = ground_pixels(job, Answers.of(job), places, tuning)
    weights = by_shares(polygons, ground, tuning.shares).weights
    counts = np.zeros(len(classes) + len(samples))
    for region in regions:
        counts += np.bincount(region.target[region.valid()].astype("i8"), minlength=len(counts))
    drawn = counts[len(classes) :]
    each = weights * counts[: len(classes)].sum() / max(tuning.base, 1.0) / np.maximum(drawn, 1)
    polygon_classes = tuple(class_numbers(np.array([sample.code for sample in samples]), classes).tolist())
    head = PolygonHead.of(regions, len(classes), polygon_classes, tuple(each.tolist()), parameters.class_power, parameters.focal)
    return head, int((drawn[np.unique(polygons.polygon)] == 0).sum())


def answers_left_out(
    trained: Trained, regions: Sequence[Region], places: np.ndarray, origin: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Of pixels (row, column) those that one network left out, as an index, and the class that it gives them."""
    p, edge = trained.parameters, EDGES[2]
    classes = trained.model.output_shape[-1] // p.members
    found = np.full(len(places), -1)
    for fold in range(p.members):
        splits, _ = choose_split(
            [region.valid() for region in regions], [region.origin for region in regions], p.split_block, p.validation_share,
            p.guard, p.seed, fold,
        )  # fmt: skip
        for region, split in zip(regions, splits, strict=True):
            y, x = (places + np.array(origin) - np.array(region.origin)).T
            inside = (y >= 0) & (x >= 0) & (y < split.shape[0]) & (x < split.shape[1])
            mine = np.flatnonzero(inside)[split[y[inside], x[inside]] == VALIDATION]
            for row, column in {(int(a) // edge, int(b) // edge) for a, b in zip(y[mine], x[mine], strict=True)}:
                here = mine[(y[mine] // edge == row) & (x[mine] // edge == column)]
                top, left = int(y[here].min()), int(x[here].min())
                inner = slice(top, int(y[here].max()) + 1), slice(left, int(x[here].max()) + 1)
                answers = predict(trained.model, trained.normalisation, region.features, region.origin, inner)
                own = answers[fold * classes : (fold + 1) * classes, y[here] - top, x[here] - left]
                found[here] = np.where(np.isfinite(own[0]), np.nan_to_num(own).argmax(axis=0), -1)
    known = np.flatnonzero(found >= 0)
    return known, found[known]


@dataclass(frozen=True)
class Networks:
    """A `maps.Way`: what networks answer that were trained on."""

    job: Job
    networks: Answering
    answers: Answers
    """Of the base model."""

    @classmethod
    def of(cls, job: Job, table: Mapping[str, Any]) -> Networks:
        """From `train_networks`."""
        configure_threads(job.engine.settings.workers)
        parameters = ClassNetworkParameters.recorded(table["parameters"])
        classes = len(job.production.parameters.classes.classes)
        model = rebuild(parameters, np.frombuffer(base64.b64decode(table["weights"]), "<f4"), classes)
        loaded = [(model, Normalisation.from_json(table["normalisation"]))]
        return cls(job, Answering.of(job, loaded, with_last=False), Answers.of(job))

    @property
    def shape(self) -> tuple[int, int]:
        """As of `Way`."""
        rows, columns = self.answers.shares.shape[1:]
        return rows, columns

    def logits(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        """As of `Way`."""
        shares, _ = predict_block(self.job, block, self.networks)
        known = (shares[0] != NO_DATA) & (np.asarray(self.answers.shares[(0, *block.slices)]) != NO_DATA)
        return log_shares(shares[:, known].T), known


def in_turn(job: Job, way: Networks) -> Callable[..., list[Any]]:
    """A `map` of the engine for networks: TensorFlow uses all workers inside one call, so blocks follow one another."""

    def run(work: Callable[[Block], Any], blocks: Sequence[Block], block_bytes: int, what: str) -> list[Any]:
        job.engine.at_once(block_bytes + probability_bytes(job, way.networks), what)
        one_more, found = job.engine.counter(len(blocks)), []
        for block in blocks:
            found.append(work(block))
            one_more()
        return found

    return run


def networks_map_cost(job: Job, layer: Layer) -> Cost:
    """Of the map by these networks, piece by piece: a piece is predicted with the windows around it."""
    unet, (rows, columns) = job.production.parameters.unet, job.grid_of(layer).shape
    piece = Windows((PIECE, PIECE), (0, 0), unet.depth, EDGES[1])
    repeated = piece.work / PIECE**2
    each = min(job.production.parameters.tuning.folds, MOST) * (unet.base_filters / 16) ** 2 * PREDICT_NS / 1e9
    return Cost(rows * columns * repeated * each, resident(job, map_bytes(job, layer)) + NETWORKS)


def networks_cost(job: Job, layer: Layer) -> Cost:
    """Of training them on."""
    tuning, unet = job.production.parameters.tuning, job.production.parameters.unet
    pixels = min(tuning.folds, MOST) * tuning.epochs * tuning.steps * unet.batch * unet.crop**2
    rows, columns = job.grid_of(CATALOGUE["LC_mosaic"]).shape
    regions = min(rows * columns * 4 * (len(unet.names) + 1), int(TRAINING_SHARE * job.engine.budget))
    return Cost(pixels * (unet.base_filters / 16) ** 2 * TRAIN_NS / 1e9, resident(job, int(1.3 * regions)) + NETWORKS)
