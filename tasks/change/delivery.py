"""What change adds to the plain form of delivery: as many classes as the production has, and the rates of false alarms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from imperv.layers.catalogue import Layer
from imperv.layers.catalogue.change import palette_of
from imperv.tasks.change.nodes import look_of, read_threshold
from imperv.tasks.delivery.additions import Additions
from imperv.tasks.delivery.lineage import Lineage
from imperv.tasks.family.findings import Finding, failed, passed
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production

CLASSES = "CH_classes"


def with_own_classes(production: Production, layer: Layer) -> Layer:
    """The layer with the classes that the production has."""
    if layer.delivery is None or not layer.delivery.own_classes:
        return layer
    palette = palette_of(production.parameters.classes.number)
    return replace(layer, codes=palette.codes, delivery=replace(layer.delivery, palette=palette))


def properties_of(job: Job, layer: Layer, lineage: Lineage) -> Mapping[str, Any]:
    """Of a product's STAC Item: scenes, threshold, and false alarms nominal and measured, never one alone."""
    told: dict[str, Any] = {"constellation": "sentinel-2", "instruments": ["msi"]}
    for key, symbol in (("first", "CH_S2_first"), ("second", "CH_S2_second")):
        told[f"change:{key}"] = [scene.id for scene in look_of(job, symbol).scenes]
    told["change:bands"] = list(job.production.parameters.vectors.bands)
    found, record = read_threshold(job), job.record(CLASSES)
    if layer.symbol == CLASSES and record is not None:
        rate = found.measured.get(found.method)
        told |= {
            "change:threshold": found.threshold, "change:threshold_method": found.method,
            "change:false_alarms_nominal": found.nominal,
            "change:false_alarms_measured": [rate.value, rate.low, rate.high] if rate else "not measured: no quiet pair of dates",
            "change:classes": record.statistics["classes"],
        }  # fmt: skip
    return told


def check_threshold(job: Job, layer: Layer, path: Path) -> list[Finding]:
    """Classes against the change vectors of the store: no class below the threshold, and one wherever it is reached."""
    if layer.symbol != CLASSES:
        return []
    threshold, vectors = read_threshold(job).threshold, job.array("CH_CVA")
    wrong = 0
    with rasterio.open(path) as source:
        for _, window in source.block_windows(1):
            codes = source.read(1, window=window)
            (rows, columns) = window.toslices()
            amplitude = np.nan_to_num(np.asarray(vectors[0, rows, columns]), nan=-1)
            wrong += int(
                ((codes == 255) != (amplitude < 0)).sum() + (((codes > 0) & (codes < 255)) != (amplitude >= threshold)).sum()
            )
    if wrong:
        return [failed("threshold", f"{wrong} pixels are not what their amplitude says at the threshold {threshold:.2f}")]
    return [passed("threshold", f"changed where the amplitude reaches {threshold:.2f}")]


ADDITIONS = Additions(version=1, properties=properties_of, layer=with_own_classes, check=check_threshold)
"""Of the family."""
