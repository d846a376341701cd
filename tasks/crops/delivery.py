"""What crops add to the plain form of delivery: the model's own classes, and what a map was made with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from imperv.layers.catalogue import Layer
from imperv.layers.crops.classes import classes_named, palette_of
from imperv.tasks.crops.classifying import model_classes
from imperv.tasks.delivery.additions import Additions
from imperv.tasks.delivery.cog_check import check_classes
from imperv.tasks.delivery.lineage import Lineage
from imperv.tasks.family.findings import Finding
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production


def with_own_classes(production: Production, layer: Layer) -> Layer:
    """The layer with the names and colours of the model's classes; TimeSen2Crop's where its record names none."""
    if layer.delivery is None or not layer.delivery.own_classes or not (names := model_classes(production)):
        return layer
    palette = palette_of(classes_named(names))
    return replace(layer, delivery=replace(layer.delivery, palette=palette))


def properties_of(job: Job, layer: Layer, lineage: Lineage) -> Mapping[str, Any]:
    """Of a product's STAC Item: the model and its scores on samples that it has not learnt from."""
    told: dict[str, Any] = {"constellation": "sentinel-2", "instruments": ["msi"]}
    record = job.record("CR_probability")
    if record is not None:
        told["crops:model"] = record.statistics["model"]
        told["crops:kind"] = record.statistics["kind"]
        if found := scores_of(record.statistics):
            told["crops:mean_f1"], told["crops:overall_accuracy"] = found["f1"], found["oa"]
    return told


def scores_of(statistics: Mapping[str, Any]) -> dict[str, Any]:
    """Scores of the model by left-out samples, else by validation data; empty where it has none."""
    scores = statistics.get("scores", {})
    return dict(scores.get("left out", {}).get(statistics.get("kind"), {}) or scores.get("validation", {}))


def check_codes(job: Job, layer: Layer, path: Path) -> list[Finding]:
    """Codes and colours of a map against the classes of the model."""
    delivered = with_own_classes(job.production, layer)
    if layer.delivery is None or not layer.delivery.own_classes:
        return []
    assert delivered.delivery is not None and delivered.delivery.palette is not None
    return check_classes(path, delivered.delivery.palette, "the model's classes", "the model does not")


ADDITIONS = Additions(version=1, properties=properties_of, layer=with_own_classes, check=check_codes)
"""Of the family."""
