"""The report of a tile of super-resolution: one HTML file below ``runs/`` that needs nothing else.

A part that cannot be drawn is named with the reason; the rest is shown.
"""

from __future__ import annotations

import base64
from functools import partial
from typing import Any

import numpy as np

from imperv.grids import Block
from imperv.layers.catalogue import CATALOGUE, topological_order
from imperv.layers.sharpening.steps import STEPS
from imperv.layers.sharpening.wald import CUBIC
from imperv.tasks.delivery.delivery import places_of
from imperv.tasks.job import Job
from imperv.tasks.report.layers import facts_of
from imperv.tasks.report.page import locator, render
from imperv.tasks.report.parts import Parts
from imperv.tasks.superresolution import charts, evidence
from imperv.tasks.superresolution.cuts import detail_by_cell, sharpest
from imperv.tasks.superresolution.sharpening import CONSISTENT

TEMPLATE = "superresolution.html.j2"

EDGE = {"SR10": 2520, "SR5": 1500}
"""Edge of the cut of a layer, metres: 252 and 300 pixels."""

ENLARGED = 2
"""Screen pixels of a pixel of a cut, at most."""


def write_report(job: Job) -> str:
    """Write the report of a tile, which may be unfinished or failed; its path, relative to the store."""
    page = compose(job)
    text = render(TEMPLATE, tile=str(job.tile), locator=locator(str(job.tile)), page=page, enlarged=ENLARGED, limit=CONSISTENT)
    job.store.write_text(job.report_path, text)
    return job.report_path


def compose(job: Job) -> dict[str, Any]:
    """Everything that the page shows."""
    part = Parts(str(job.tile))

    records = {symbol: job.record(symbol) for symbol in topological_order(family=job.family)}
    made = {symbol: record for symbol, record in records.items() if record is not None and record.made}
    ready = {"SR_B10", "SR_B20", "SR_B60", "SR_mask"} <= made.keys()
    detail = part("choice of the cut", lambda: detail_by_cell(job), None) if ready else None
    cuts = {symbol: sharpest(detail, edge) for symbol, edge in EDGE.items() if symbol in made} if detail is not None else {}
    sample = sharpest(detail, evidence.SAMPLE) if detail is not None and "SR_model" in made else None
    lacks = {f"{CATALOGUE[s].resolution:g} m": made[s].statistics["consistency"] for s in EDGE if s in made}
    shares = part("share of the detail that is told", lambda: evidence.told_shares(job), {})
    finest = next((symbol for symbol in ("SR10", "SR5") if symbol in cuts), None)
    found = part("points", lambda: evidence.points(job, finest, cuts[finest]), []) if finest else []
    return facts_of(job, records) | {
        "period": job.production.periods.whole.replace("_", " to "),
        "settings": job.production.parameters.sharpening,
        "mosaic": job.production.parameters.input.kind == "mosaic",
        "troubles": part.troubles,
        "overview": part("overview", lambda: _overview(job, cuts), None),
        "pairs": {s: part(f"before and after of {s}", partial(evidence.pairs, job, s, cut), []) for s, cut in cuts.items()},
        "points": found,
        "spectra": [part(f"spectrum {n}", partial(charts.spectrum_chart, p, n), None) for n, p in enumerate(found, 1)],
        "lacks": lacks,
        "worst": _worst(lacks),
        "consistency": part("chart of consistency", lambda: charts.consistency_chart(lacks), None) if lacks else None,
        "shares": shares,
        "told": part("chart of the detail", lambda: charts.told_chart(shares), None) if shares else None,
        "deviation": part("deviation", lambda: evidence.deviation_map(job, finest, cuts[finest]), None) if finest else None,
        "scores": part("scores", lambda: evidence.scores(job, sample), {}) if sample is not None else {},
        "sample": _sides(sample),
        "networks": part("networks", lambda: evidence.networks(job), []),
        "overpasses": part("overpasses", lambda: evidence.overpasses(job), []),
        "input": made["SR_mask"].statistics if "SR_mask" in made else None,
        "mask": part("mask", lambda: evidence.mask_map(job), None) if "SR_mask" in made else None,
        "steps": STEPS,
        "plain": CUBIC,
        "pixels": {symbol: int(CATALOGUE[symbol].resolution) for symbol in EDGE},
    }


def _worst(lacks: dict[str, dict[str, float]]) -> tuple[str, str, float] | None:
    """Layer, band and value of the largest lack."""
    every = [(label, band, value) for label, found in lacks.items() for band, value in found.items()]
    return max(every, key=lambda one: one[2], default=None)


def _sides(cut: Block | None) -> tuple[float, float] | None:
    """Kilometres across and down."""
    return (cut.shape[1] * 0.06, cut.shape[0] * 0.06) if cut is not None else None


def _overview(job: Job, cuts: dict[str, Block]) -> dict[str, Any] | None:
    """The delivered quicklook at 10 m, with the frames of the cuts."""
    places = places_of(job, "SR10")
    record = job.store.read_record(places.record)
    if record is None:
        return None
    picture = base64.b64encode(job.store.fs.cat_file(job.store.full(places.quicklook))).decode()
    whole = Block(0, 0, *np.array(job.grid_of(CATALOGUE["SR_B60"]).shape).tolist())
    frames = [{**evidence.frame_of(cut, whole), "symbol": symbol} for symbol, cut in cuts.items()]
    return {"image": f"data:image/png;base64,{picture}", "frames": frames}
