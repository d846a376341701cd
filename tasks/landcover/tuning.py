"""Tuning a tile by the polygons of the present round: LC_training, LC_tuned_model, LC_tuned (docs/landcover.md, Tuning)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.layers.landcover.tuning import Head, Polygons, Tuned, TuningParameters, tune
from imperv.tasks.family.costs import Cost, nothing
from imperv.tasks.job import Job, Made
from imperv.tasks.landcover.maps import Answers, Headed, Way, make_map, map_cost
from imperv.tasks.landcover.network_tuning import (
    Networks,
    in_turn,
    label_versions,
    networks_cost,
    networks_map_cost,
    train_networks,
)
from imperv.tasks.landcover.polygons import ground_pixels, polygon_pixels, scores_of
from imperv.tasks.landcover.rounds import CHANGES, polygons_of, present, trains
from imperv.tasks.networks.checkpoints import drop_checkpoint
from imperv.tasks.samples import Sample, of_store, pixels_of
from imperv.tasks.store.records import digest_of

NO_ROUND = "no polygons yet; `imperv landcover tune` takes them"


def not_tuned(job: Job, symbol: str) -> str:
    """Why nothing is tuned."""
    return "" if present(job) else NO_ROUND


def training_external(job: Job, layer: Layer) -> Mapping[str, Any]:
    """The polygons, and the round: the same ones may be drawn again."""
    text = polygons_of(job)
    return {"polygons": digest_of(text), "round": present(job)} if text else {}


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


def way_external(job: Job, layer: Layer) -> Mapping[str, Any]:
    """Whether the present round trains the networks on, and the labels that they then learn from too."""
    return {"networks": label_versions(job)} if present(job) and trains(job) else {}


def make_tuned_model(job: Job, layer: Layer) -> Made:
    """LC_tuned_model: the head of the present round, or its networks, with scores on polygons that were left out."""
    samples = training_samples(job)
    if trains(job):
        networks, statistics, warnings = train_networks(job, layer, samples)
        text = json.dumps({"networks": networks})
    else:
        tuned, polygons = fit(job, Answers.of(job), samples, job.production.parameters.tuning)
        text = json.dumps({"head": tuned.head.to_json(), "penalty": tuned.penalty})
        statistics, warnings = {"penalty": tuned.penalty, **scores_of_head(job, tuned, polygons)}, ()
    job.store.replace_text(job.place(layer.symbol), text + "\n")
    drop_checkpoint(job, layer.symbol)
    return Made(digest_of(text), statistics, warnings)


def fit(job: Job, answers: Answers, samples: Sequence[Sample], parameters: TuningParameters) -> tuple[Tuned, Polygons]:
    """The head of some polygons, and their pixels."""
    polygons, places = polygon_pixels(job, answers, samples, parameters)
    return tune(polygons, ground_pixels(job, answers, places, parameters), parameters), polygons


def scores_of_head(job: Job, tuned: Tuned, polygons: Polygons) -> dict[str, Any]:
    """Scores by left-out polygons, and the losses of the penalties that were tried."""
    found = scores_of(tuned.left_out, polygons, [c.name for c in job.production.parameters.classes.classes])
    return found | {"penalties": {f"{penalty:g}": round(loss, 6) for penalty, loss in tuned.losses.items()}}


def tuned_cost(job: Job, layer: Layer) -> Cost:
    """Of LC_tuned_model: networks cost, a head does not."""
    return networks_cost(job, layer) if present(job) and trains(job) else nothing(job, layer)


def tuned_map_cost(job: Job, layer: Layer) -> Cost:
    """Of LC_tuned, by networks or by a head."""
    return networks_map_cost(job, layer) if present(job) and trains(job) else map_cost(job, layer)


def present_change(job: Job) -> dict[str, Any]:
    """What LC_tuned_model holds of the present round: ``head``, or ``networks``."""
    table = json.loads(job.store.read_text(job.place("LC_tuned_model").data) or "")
    return {key: table[key] for key in CHANGES if key in table}


def way_of(job: Job, change: Mapping[str, Any]) -> Way:
    """How a round answers, by `present_change` or a round."""
    if "networks" in change:
        return Networks.of(job, change["networks"])
    return Headed(Answers.of(job), Head.from_json(change["head"]))


def make_tuned(job: Job, layer: Layer) -> Made:
    """LC_tuned: the map, and what it changed of the base map."""
    way = way_of(job, present_change(job))
    digest, statistics = make_map(job, layer, way, "LC_base", in_turn(job, way) if isinstance(way, Networks) else None)
    return Made(digest, {**statistics, "round": present(job)})
