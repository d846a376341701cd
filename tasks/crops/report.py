"""The report of a tile of crops: map, areas, confidence, and how good the model is; one HTML file that needs nothing else.

A part that cannot be drawn is named with the reason; the rest is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from imperv.layers.catalogue import CATALOGUE, topological_order
from imperv.layers.catalogue.crops import MONTHLY
from imperv.layers.crops.classes import classes_named, palette_of
from imperv.layers.palette import CONFIDENCE
from imperv.layers.statistics.scores import percent_text
from imperv.tasks.crops.delivery import scores_of
from imperv.tasks.job import Job
from imperv.tasks.report.layers import facts_of
from imperv.tasks.report.page import css, gradient, locator, render
from imperv.tasks.report.parts import Parts
from imperv.tasks.report.pictures import Legend, Map, indexed_png, scale_bar

TEMPLATE = "crops.html.j2"

LONGEST = 800
"""Most pixels of a picture each way; every n-th is shown."""


def write_report(job: Job) -> str:
    """Write the report of a tile, which may be unfinished or failed; its path, relative to the store."""
    page = compose(job)
    job.store.write_text(job.report_path, render(TEMPLATE, tile=str(job.tile), locator=locator(str(job.tile)), page=page))
    return job.report_path


def compose(job: Job) -> dict[str, Any]:
    """Everything that the page shows."""
    part = Parts(str(job.tile))
    records = {symbol: job.record(symbol) for symbol in topological_order(family=job.family)}
    made = {symbol: record for symbol, record in records.items() if record is not None and record.made}
    told: Mapping[str, Any] = made["CR_probability"].statistics if "CR_probability" in made else {}
    names = tuple(told.get("classes", ()))
    return facts_of(job, records) | {
        "period": job.production.periods.whole.replace("_", " to "),
        "map": part("map", lambda: crop_map(job, names)) if "CR_map" in made else None,
        "confidence": part("confidence", lambda: confidence_map(job)) if "CR_confidence" in made else None,
        "areas": part("areas", lambda: areas(job, names), []) if "CR_map" in made else [],
        "majority": job.production.parameters.map.majority,
        "model": told.get("model", ""),
        "kind": told.get("kind", ""),
        "scores": part("scores", lambda: scores(told)) if told else None,
        "months": part("months", lambda: months(job), []),
        "troubles": part.troubles,
    }


def _picture(job: Job, symbol: str, title: str, colours: Any, legend: Legend) -> Map:
    array = job.array(symbol)
    step = max(1, -(-max(array.shape) // LONGEST))
    codes = np.asarray(array[::step, ::step])
    share, text = scale_bar(job.bounds)
    note = f"every {step}th pixel" if step > 1 else ""
    height, width = codes.shape
    return Map(title, indexed_png(codes, colours), title, legend, note, width, height, share, text, symbol)


def shown(name: str) -> str:
    """A class as people write it."""
    return name.replace("_", " ")


def crop_map(job: Job, names: tuple[str, ...]) -> Map:
    """The map, with the classes that it has in its legend."""
    classes = classes_named(names)
    record = job.record("CR_map")
    assert record is not None
    there = record.statistics["CR_map"]["histogram"]
    legend = Legend(classes=tuple((css(one.colour), shown(one.name)) for code, one in enumerate(classes) if str(code) in there))
    return _picture(job, "CR_map", "Crop types", palette_of(classes).colours, legend)


def confidence_map(job: Job) -> Map:
    """Probability of the crop of the map."""
    ramp = gradient([CONFIDENCE.colours[code] for code in CONFIDENCE.anchors])
    legend = Legend(ramps=((ramp, "0 %", "100 %"),))
    return _picture(job, "CR_confidence", "Probability of the crop", CONFIDENCE.colours, legend)


def areas(job: Job, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Mapped area and mean confidence of each class, the largest first."""
    record = job.record("CR_map")
    assert record is not None
    histogram = record.statistics["CR_map"]["histogram"]
    pixel = CATALOGUE["CR_map"].resolution ** 2 / 1e6
    counts = {code: int(histogram.get(str(code), 0)) for code in range(len(names))}
    total = max(sum(counts.values()), 1)
    classes = classes_named(names)
    return [
        {"name": shown(classes[code].name), "colour": css(classes[code].colour), "km2": count * pixel, "share": count / total}
        for code, count in sorted(counts.items(), key=lambda pair: -pair[1])
        if count
    ]


def scores(told: Mapping[str, Any]) -> dict[str, Any] | None:
    """Scores of the model on samples that it has not learnt from; None where its record has none."""
    found, names = scores_of(told), told["classes"]
    if not found:
        return None
    return {
        "names": names, "confusion": found["confusion"], "samples": found["samples"], "oa": percent_text(found["oa"]),
        "f1": percent_text(found["f1"]), "each": [percent_text(found["classes"].get(name)) for name in names],
    }  # fmt: skip


def months(job: Job) -> list[dict[str, Any]]:
    """Share of the pixels that each month shows, as far as its record tells."""
    rows = []
    for symbol in MONTHLY:
        record = job.record(symbol)
        if record is None or not record.made or symbol not in record.statistics:
            continue
        counts = record.statistics[symbol]
        rows.append({"day": str(job.period(CATALOGUE[symbol])[0].start)[:7], "share": 1 - counts["outside"] / counts["pixels"]})
    return rows
