"""The report of a tile of change: one HTML file below ``runs/`` that needs nothing else.

A part that cannot be drawn is named with the reason; the rest is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from imperv.layers.catalogue import CATALOGUE, topological_order
from imperv.layers.cva.classes import Centre
from imperv.tasks.change.nodes import DATES, read_noise, read_threshold
from imperv.tasks.change.pictures import (
    POINTS,
    class_map,
    class_rows,
    date_maps,
    noise_rows,
    polar_chart,
    rates,
    shown_bands,
    step_of,
    thinned_classes,
)
from imperv.tasks.job import Job
from imperv.tasks.report.charts import Chart
from imperv.tasks.report.layers import facts_of
from imperv.tasks.report.page import locator, render
from imperv.tasks.report.parts import Parts
from imperv.tasks.report.pictures import Map

TEMPLATE = "change.html.j2"


def write_report(job: Job) -> str:
    """Write the report of a tile, which may be unfinished or failed; its path, relative to the store."""
    job.store.write_text(job.report_path, render(TEMPLATE, page=compose(job)))
    return job.report_path


def compose(job: Job) -> dict[str, Any]:
    """Everything that the page shows."""
    part = Parts(str(job.tile))
    records = {symbol: job.record(symbol) for symbol in topological_order(family=job.family)}
    made = {symbol: record for symbol, record in records.items() if record is not None and record.made}
    bands = job.production.parameters.vectors.bands
    noise = part("noise", lambda: read_noise(job)) if "CH_noise" in made else None
    found = part("threshold", lambda: read_threshold(job)) if "CH_threshold" in made else None
    classes = made["CH_classes"].statistics if "CH_classes" in made else None
    periods = job.production.periods
    return facts_of(job, records) | {
        "name": str(job.tile),
        "kind": "tile report",
        "period": f"{periods.first} to {periods.second}",
        "crs": "EPSG:3035",
        "bands": bands,
        "pixel": f"{CATALOGUE['CH_CVA'].resolution:g} m",
        "locator": locator(str(job.tile)),
        "dates": part("dates", lambda: _dates(job), []) if set(DATES) <= made.keys() else [],
        "colours": shown_bands(bands)[1],
        "map": part("classes", lambda: _map(job, len(classes["classes"]))) if classes else None,
        "polar": part("polar plane", lambda: _polar(job, classes)) if classes else None,
        "rates": rates(found) if found else [],
        "held_out": found.held_out if found else "",
        "pairs": found.pairs if found else (),
        "classes": class_rows(classes["CH_classes"]["histogram"], classes["classes"], 1e-4) if classes else [],
        "noise": noise_rows(noise, bands) if noise else [],
        "registration": noise.registration**0.5 if noise else 0,
        "freedom": noise.freedom if noise else 0,
        "troubles": part.troubles,
    }


def _note(step: int) -> str:
    return f"every {step}th pixel" if step > 1 else ""


def _dates(job: Job) -> list[Map]:
    """Both dates."""
    places, what = shown_bands(job.production.parameters.vectors.bands)
    step = step_of(job.array(DATES[0]).shape)
    pixels = [np.stack([np.asarray(job.array(symbol)[k, ::step, ::step]) for k in places]) for symbol in DATES]
    titles = [str(job.period(CATALOGUE[symbol])[0]) for symbol in DATES]
    return date_maps(pixels, titles, what, job.bounds, _note(step))


def _map(job: Job, number: int) -> Map:
    """The classes, of large tiles by strips, so that no change is lost."""
    array = job.array("CH_classes")
    step = step_of(array.shape)
    rows = 100 * step
    parts = [thinned_classes(np.asarray(array[y : y + rows]), step) for y in range(0, array.shape[0], rows)]
    note = f"the most frequent change of {step} × {step} pixels" if step > 1 else ""
    return class_map(np.concatenate(parts), number, job.bounds, note)


def _polar(job: Job, statistics: Mapping[str, Any]) -> Chart:
    """Changed pixels of evenly spread rows."""
    vectors, classes = job.array("CH_CVA"), job.array("CH_classes")
    found = []
    for block in job.blocks_of(CATALOGUE["CH_classes"]):
        codes, both = np.asarray(classes[block.slices]), np.asarray(vectors[(slice(None), *block.slices)])
        changed = (codes > 0) & (codes < 255)
        step = max(1, int(changed.sum()) // POINTS)
        found.append(np.vstack([both[:, changed], codes[changed]])[:, ::step])
    amplitude, angle, codes = np.concatenate(found, 1)
    centres = [Centre(**centre) for centre in statistics["classes"]]
    return polar_chart(amplitude, angle, codes.astype(int), centres, statistics["threshold"])
