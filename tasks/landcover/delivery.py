"""What land cover adds to the plain form of delivery: the production's own classes, and what a map was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from imperv.layers.catalogue import Layer
from imperv.layers.landcover.classes import palette_of
from imperv.tasks.delivery.additions import Additions
from imperv.tasks.delivery.cog_check import check_classes
from imperv.tasks.delivery.lineage import Lineage
from imperv.tasks.family.findings import Finding
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production

BASE, TUNED = "LC_base", "LC_tuned"
"""Maps of the classes."""


def with_own_classes(production: Production, layer: Layer) -> Layer:
    """The layer with the codes, names and colours of the production file."""
    if layer.delivery is None or not layer.delivery.own_classes:
        return layer
    palette = palette_of(production.parameters.classes.classes)
    return replace(layer, codes=palette.codes, delivery=replace(layer.delivery, palette=palette))


def properties_of(job: Job, layer: Layer, lineage: Lineage) -> Mapping[str, Any]:
    """Of a product's STAC Item: models of the base map, and the round and scores of a tuned one."""
    told: dict[str, Any] = {"constellation": "sentinel-2", "instruments": ["msi"]}
    probability = job.record("LC_probability")
    if layer.symbol in (BASE, TUNED, "LC_confidence") and probability is not None:
        told["landcover:models"] = list(probability.statistics.get("models", []))
        told["landcover:networks"] = probability.statistics.get("members", 0)
    model = job.record("LC_tuned_model")
    if layer.symbol == TUNED and model is not None and model.made:
        training = job.record("LC_training")
        told["landcover:round"] = training.statistics["round"] if training else 0
        told["landcover:polygons"] = model.statistics["polygons"]
        oa = model.statistics["scores"].get("oa")
        if oa:
            told["landcover:left_out_accuracy"] = oa
    return told


def check_codes(job: Job, layer: Layer, path: Path) -> list[Finding]:
    """Codes and colours of a map against the class list of the production."""
    delivered = with_own_classes(job.production, layer)
    if delivered is layer or delivered.delivery is None or delivered.delivery.palette is None:
        return []
    return check_classes(path, delivered.delivery.palette, "parameters.classes.list", "parameters.classes.list does not")


ADDITIONS = Additions(version=1, properties=properties_of, layer=with_own_classes, check=check_codes)
"""Of the family."""
