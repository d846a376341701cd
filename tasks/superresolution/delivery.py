"""What super-resolution adds to the plain form of delivery: what was sharpened by what, and a picture of before and after."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imperv.layers.catalogue import Layer
from imperv.layers.catalogue.superresolution import FALSE, NATURAL
from imperv.layers.sharpening.scene import steps_to
from imperv.tasks.delivery.additions import Additions
from imperv.tasks.delivery.lineage import Lineage
from imperv.tasks.delivery.quicklooks import draw_bands
from imperv.tasks.job import Job
from imperv.tasks.superresolution.cuts import detail_by_cell, differing, limits_of, measured_cut, sharp_cut, sharpest
from imperv.tasks.superresolution.input import chosen_looks
from imperv.tasks.superresolution.verifying import check_against_input

EDGE = {10: 3000, 5: 1500}
"""Edge of the cut of a picture, metres."""

GAP = 6
"""Pixels between before and after."""

COMPARISON = "comparison"
"""Asset of the picture."""

SHARPENED = ("SR10", "SR5")
"""Layers that have one."""


def properties_of(job: Job, layer: Layer, lineage: Lineage) -> dict[str, Any]:
    """Of a product's STAC Item: instrument, level, scenes, networks, and what the bands lack when they are degraded again."""
    looks = chosen_looks(job)
    level = looks[0].level
    scenes = [scene.id for look in looks for scene in look.scenes]
    told: dict[str, Any] = {
        "constellation": "sentinel-2", "instruments": ["msi"], "processing:level": level, "superresolution:scenes": scenes,
    }  # fmt: skip
    statement = f"Pixels are of {'the median of ' if len(looks) > 1 else ''}{', '.join(scenes)} ({level})."
    model = job.record("SR_model")
    if model is not None and layer.symbol != "SR_mask":
        tuned = sorted(set(model.statistics["tuned"]) & set(steps_to(layer.resolution)))
        digests = {step: digest for step, digest in model.statistics["networks"].items() if step in steps_to(layer.resolution)}
        told |= {"superresolution:models": digests, "superresolution:tuned": tuned}
        told["superresolution:scene_model"] = model.digest[:16]
        networks = ", ".join(f"{step} {'tuned on the scene' if step in tuned else digest}" for step, digest in digests.items())
        statement += f" Regressions of the scene: {model.digest[:16]}; networks: {networks or 'none'}."
    shifts = job.record("SR_shifts")
    if shifts is not None and shifts.made and layer.symbol.startswith("SR5"):
        told["superresolution:dates"] = [date["name"] for date in shifts.statistics["dates"]]
    lead = job.record(layer.symbol if layer.symbol in SHARPENED else (*layer.inputs, layer.symbol)[0])
    if lead is not None and "consistency" in lead.statistics:
        told["superresolution:consistency"] = lead.statistics["consistency"]
        if lead.statistics.get("precision", "float32") != "float32":
            told["superresolution:precision"] = lead.statistics["precision"]
    return told | {"processing:lineage": f"{lineage.statement} {statement}"}


def write_comparison(job: Job, layer: Layer, files: Mapping[str, Path]) -> None:
    """The cut with most detail, pixel by pixel: on the left as measured, on the right sharpened; one row for each composite."""
    if COMPARISON not in files:
        return
    resolution = int(layer.resolution)
    cut = sharpest(detail_by_cell(job), EDGE[resolution])
    rows = []
    for _, bands in differing((NATURAL, FALSE), resolution):
        before, after = measured_cut(job, cut, bands, resolution), sharp_cut(job, layer.symbol, cut, bands)
        gap = np.full((len(bands), before.shape[1], GAP), np.nan, "f4")
        rows.append(np.array(draw_bands(np.concatenate([before, gap, after], 2), None, limits_of(before))))
    space = np.zeros((GAP, *rows[0].shape[1:]), "u1")
    whole = np.concatenate([part for row in rows for part in (row, space)][:-1])
    Image.fromarray(whole, mode="RGBA").save(files[COMPARISON], "PNG", optimize=False, compress_level=6)


ADDITIONS = Additions(
    version=1,
    properties=properties_of,
    files=lambda layer: {COMPARISON: "before_after.png"} if layer.symbol in SHARPENED else {},
    write=write_comparison,
    check=check_against_input,
)
"""Of the family."""
