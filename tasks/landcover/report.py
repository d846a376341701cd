"""The report of a tile of land cover: one HTML file below ``runs/`` that needs nothing else.

A part that cannot be drawn is named with the reason; the rest is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from imperv.layers.catalogue import CATALOGUE, topological_order
from imperv.layers.landcover.classes import LandClass, class_numbers, palette_of
from imperv.layers.landcover.features import BANDS
from imperv.layers.landcover.patches import TYPES
from imperv.layers.palette import CONFIDENCE
from imperv.layers.statistics.accuracy import accuracy, stratum_weights
from imperv.layers.statistics.scores import percent_text
from imperv.tasks.delivery.quicklooks import draw_bands
from imperv.tasks.job import Job
from imperv.tasks.landcover.points import read_points
from imperv.tasks.landcover.session import rounds
from imperv.tasks.report.layers import facts_of
from imperv.tasks.report.page import css, gradient, locator, render
from imperv.tasks.report.parts import Parts
from imperv.tasks.report.pictures import Legend, Map, data_uri, indexed_png, scale_bar

TEMPLATE = "landcover.html.j2"

LONGEST = 800
"""Most pixels of a picture each way; every n-th is shown."""

CUT = (2, 98)
"""Percentiles of a band that are black and white."""

NATURAL = tuple(BANDS.index(name) for name in ("B04", "B03", "B02"))


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
    classes = job.production.parameters.classes.classes
    present = "LC_tuned" if "LC_tuned" in made else "LC_base" if "LC_base" in made else ""
    titles = {symbol: title for symbol, title in (("LC_base", "Base map"), ("LC_tuned", "Tuned map")) if symbol in made}
    maps = {symbol: part(title, partial(coded_map, job, symbol, title, classes)) for symbol, title in titles.items()}
    tuned = made.get("LC_tuned_model")
    model = made.get("LC_model")
    return facts_of(job, records) | {
        "period": job.production.periods.whole.replace("_", " to "),
        "mosaic": part("mosaic", lambda: mosaic_map(job)) if "LC_mosaic" in made else None,
        "filled": made["LC_mosaic"].statistics["filled"] if "LC_mosaic" in made else None,
        "maps": maps,
        "present": present,
        "areas": part("areas", lambda: areas(job, present, classes), []) if present else [],
        "confidence": part("confidence", lambda: confidence_map(job)) if "LC_confidence" in made else None,
        "types": part("built-up types", lambda: coded_map(job, "LC_types", "Built-up types", TYPES))
        if "LC_types" in made else None,
        "types_scores": part("scores of types", lambda: _scores(made["LC_types_model"].statistics), None)
        if "LC_types_model" in made else None,
        "types_shares": part("shares of types", lambda: _shares(made["LC_types_model"].statistics), "")
        if "LC_types_model" in made else "",
        "tuning": part("scores of the round", lambda: _scores(tuned.statistics), None) if tuned else None,
        "changes": part("changes", lambda: changes(job, made["LC_tuned"].statistics, classes), []) if "LC_tuned" in made else [],
        "change_map": part("map of changes", lambda: change_map(job)) if "LC_tuned" in made else None,
        "rounds": part("rounds", lambda: rounds(job), []) if "LC_probability" in made else [],
        "members": model.statistics["history"] if model else [],
        "models": made["LC_probability"].statistics["models"] if "LC_probability" in made else [],
        "troubles": part.troubles,
    }  # fmt: skip


def _step(shape: Sequence[int]) -> int:
    return max(1, -(-max(shape[-2:]) // LONGEST))


def coded_map(job: Job, symbol: str, title: str, classes: Sequence[LandClass]) -> Map:
    """A map of classes; every n-th pixel of a large one."""
    array, palette = job.array(symbol), palette_of(classes)
    step = _step(array.shape)
    codes = np.asarray(array[::step, ::step])
    legend = Legend(classes=tuple((css(one.colour), one.name) for one in classes))
    share, text = scale_bar(job.bounds)
    note = f"every {step}th pixel" if step > 1 else ""
    height, width = codes.shape
    return Map(title, indexed_png(codes, palette.colours), title, legend, note, width, height, share, text, symbol)


def mosaic_map(job: Job) -> Map:
    """The mosaic in natural colour."""
    array = job.array("LC_mosaic")
    step = _step(array.shape)
    bands = np.stack([np.asarray(array[k, ::step, ::step]) for k in NATURAL]).astype("f4")
    bands[:, (bands == 0).any(axis=0)] = np.nan
    known = np.isfinite(bands[0])
    limits = [tuple(np.percentile(band[known], CUT)) if known.any() else (0.0, 1.0) for band in bands]
    share, text = scale_bar(job.bounds)
    picture = data_uri(draw_bands(bands, None, limits), "png", compress_level=9)
    height, width = known.shape
    return Map("Mosaic in natural colour", picture, "Mosaic", None, "", width, height, share, text, "LC_mosaic", True)


def confidence_map(job: Job) -> Map:
    """The probability of the class of the base map."""
    array = job.array("LC_confidence")
    step = _step(array.shape)
    codes = np.asarray(array[::step, ::step])
    ramp = gradient([CONFIDENCE.colours[code] for code in CONFIDENCE.anchors])
    share, text = scale_bar(job.bounds)
    height, width = codes.shape
    legend = Legend(ramps=((ramp, "0 %", "100 %"),))
    title = "Probability of the class of the base map"
    return Map(title, indexed_png(codes, CONFIDENCE.colours), title, legend, "", width, height, share, text, "LC_confidence")


def change_map(job: Job) -> Map:
    """Where the polygons changed the base map: changed pixels in their new class, others grey."""
    base, tuned = job.array("LC_base"), job.array("LC_tuned")
    step = _step(base.shape)
    before, after = np.asarray(base[::step, ::step]), np.asarray(tuned[::step, ::step])
    classes = job.production.parameters.classes.classes
    colours = list(palette_of(classes).colours)
    unchanged = next(code for code in range(255) if code not in {one.code for one in classes})
    colours[unchanged] = (232, 232, 228)
    shown = np.where(before == after, np.where(after == 255, 255, unchanged), after).astype("u1")
    share, text = scale_bar(job.bounds)
    height, width = shown.shape
    title = "What the polygons changed, in the new class"
    return Map(title, indexed_png(shown, colours), title, None, "", width, height, share, text, "LC_tuned")


def areas(job: Job, symbol: str, classes: Sequence[LandClass]) -> list[dict[str, Any]]:
    """Mapped area of each class; with reference points the area that they tell, with its interval (Olofsson et al. 2014)."""
    record = job.record(symbol)
    assert record is not None
    histogram = record.statistics[symbol]["histogram"]
    pixel = CATALOGUE[symbol].resolution ** 2 / 1e6
    counts = [int(histogram.get(str(one.code), 0)) for one in classes]
    total = max(sum(counts), 1)
    told = estimated_areas(job, symbol, classes, counts)
    rows = []
    for k, one in enumerate(classes):
        estimate = told[k] if told else None
        rows.append({
            "name": one.name, "colour": css(one.colour), "km2": counts[k] * pixel, "share": counts[k] / total,
            "estimate": None if estimate is None else estimate.value * total * pixel,
            "low": None if estimate is None else max(estimate.low, 0) * total * pixel,
            "high": None if estimate is None else estimate.high * total * pixel,
        })  # fmt: skip
    return rows


def estimated_areas(job: Job, symbol: str, classes: Sequence[LandClass], counts: Sequence[int]) -> list[Any] | None:
    """Share of each class by reference points, stratified by the map; None where no points are named."""
    if not job.production.references.sample:
        return None
    place = read_points(job.path(job.production.references.sample), classes, job.grid_of(CATALOGUE[symbol]), "references.sample")
    mapped = class_numbers(np.asarray(job.array(symbol)[:])[place.rows, place.columns], classes)
    known = mapped >= 0
    matrices = np.zeros((int(known.sum()), len(classes), len(classes)))
    matrices[np.arange(len(matrices)), mapped[known], place.target[known]] = 1
    weights = stratum_weights(mapped[known], {k: float(count) for k, count in enumerate(counts) if count})
    return [one.share for one in accuracy(matrices, weights, mapped[known]).classes]


def changes(job: Job, statistics: Mapping[str, Any], classes: Sequence[LandClass]) -> list[dict[str, Any]]:
    """The largest changes of the base map by polygons."""
    names = {one.code: one.name for one in classes}
    pixel = CATALOGUE["LC_tuned"].resolution ** 2 / 1e6
    rows = sorted(statistics["changed"], key=lambda row: -row[2])[:12]
    return [{"before": names.get(a, str(a)), "after": names.get(b, str(b)), "km2": n * pixel} for a, b, n in rows]


def _shares(statistics: Mapping[str, Any]) -> str:
    """Shares of the area by type."""
    return ", ".join(f"{name} {share:.1%}" for name, share in zip(statistics["classes"], statistics["shares"], strict=True))


def _scores(statistics: Mapping[str, Any]) -> dict[str, Any]:
    """Scores and confusion matrix as the page shows them."""
    names, scores = statistics["classes"], statistics["scores"]
    return {
        "names": names,
        "confusion": statistics["confusion"],
        "oa": percent_text(scores.get("oa")),
        "f1": [percent_text(scores.get(f"f1_{k}")) for k in range(len(names))],
        "polygons": statistics.get("polygons"),
    }
