"""The report of a tile: one self-contained HTML file below ``runs/``.

A part that cannot be drawn is named with the reason; the rest is shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from imperv.layers.palette import BUILT_UP_CLASSES, CLASSES
from imperv.tasks.imperviousness.report import charts, evidence, maps, pixels, zooms
from imperv.tasks.imperviousness.report.curves import distance_note, typical_pixels
from imperv.tasks.imperviousness.report.facts import CLASS_CODES, LayerFact, TileFacts, gather, quantile
from imperv.tasks.imperviousness.report.levels import built_up_level, level
from imperv.tasks.imperviousness.report.pixels import made
from imperv.tasks.imperviousness.report.verdicts import judge, overall
from imperv.tasks.imperviousness.settings import Parameters
from imperv.tasks.job import Job
from imperv.tasks.landsat.scenes import LandsatList
from imperv.tasks.report.charts import Chart
from imperv.tasks.report.page import flat, locator, number, relative, render
from imperv.tasks.report.parts import Parts
from imperv.tasks.report.pictures import Map
from imperv.tasks.scenes.scenes import SceneList
from imperv.tasks.settings.scenes import Scenes

LARGE, SMALL = 1000, 500
"""Most pixels each way of the maps at the top, and of the others: a report of a full tile stays below 15 MB."""

LARGE_MAPS = ("IMD_now", "IMCC")


def write_tile_report(job: Job) -> str:
    """Make the report of a tile, which may be unfinished, failed or not begun; its path, relative to the store."""
    path, page = job.report_path, compose(job)
    tables = _class_tables(page["facts"])
    job.store.write_text(path, render("tile.html.j2", page=page, locator=locator(str(job.tile)), class_tables=tables))
    return path


def compose(job: Job) -> dict[str, Any]:
    """All parts of a report by their names in the template; ``troubles`` holds the parts that are missing, and why."""
    part = Parts(str(job.tile))

    facts = gather(job)
    findings = part("delivery check", lambda: evidence.check_products(job, facts.layers), {})
    lists = part("scene lists", lambda: evidence.scene_lists(job), {})
    found = part("sources of the level", lambda: level(job), None)
    verdicts = judge(facts, findings, found)
    chosen: list[zooms.Chosen] = part("largest changes", lambda: zooms.choose(job), [])
    close = [part(f"zoom {k + 1}", partial(zooms.close_up, job, *one), None) for k, one in enumerate(chosen)]
    trained = [part(f"training of {m.symbol}", partial(charts.training_chart, m), None) for m in facts.models]
    middle = chosen[0][1] if chosen else job.bounds
    return {
        "facts": facts,
        "verdicts": verdicts,
        "light": overall(verdicts),
        "findings": findings,
        "level": found,
        "built_up_level": built_up_level(facts),
        "satellite": part("satellite images", lambda: _satellite(job), {}),
        "density": part("density maps", lambda: _density(job), {}),
        "cards": [_card(job, fact, part) for fact in facts.layers],
        "zooms": [one for one in close if one is not None],
        "looks": part("maps of clear observations", lambda: _looks(job, facts), []),
        "curves": part("NDVI curves", lambda: _curves(job, middle, lists), []),
        "charts": _charts(job, facts, lists, part),
        "training": [one for one in trained if one is not None],
        "scenes": part("scenes", lambda: evidence.summarise_scenes(job, lists), []),
        "parameters": flat(job.production.parameters.model_dump(mode="json"), Parameters().model_dump(mode="json")),
        "settings": _settings(job),
        "validation": part("validation", lambda: _validation(job), []),
        "troubles": part.troubles,
    }


def _satellite(job: Job) -> dict[str, Map]:
    found = {p: pixels.composite(job, p, LARGE) for p in ("then", "now") if made(job, f"PP_{p}")}
    limits = maps.stretch(*(bands for bands, _ in found.values()))
    seen_by = job.production.scenes.seen_by
    return {p: maps.draw_composite(bands, limits, picture, f"{seen_by(p)}, {p}") for p, (bands, picture) in found.items()}


def _density(job: Job) -> dict[str, Map]:
    known = {p: f"IMD_{p}" for p in ("then", "now") if made(job, f"IMD_{p}")}
    return {p: maps.draw(symbol, pixels.overview(job, symbol, LARGE), f"Density, {p}") for p, symbol in known.items()}


def _card(job: Job, fact: LayerFact, part: Parts) -> dict[str, Any]:
    """A final layer with its map, or why there is none."""
    if not fact.made:
        return {"fact": fact, "map": None, "reason": fact.reason}
    longest = LARGE if fact.symbol in LARGE_MAPS else SMALL
    drawn = part(f"map of {fact.symbol}", lambda: maps.draw(fact.symbol, pixels.overview(job, fact.symbol, longest)), None)
    return {"fact": fact, "map": drawn, "reason": "" if drawn else "is recorded, but its pixels cannot be read"}


def _looks(job: Job, facts: TileFacts) -> list[Map]:
    # One scale for both years, up to a high percentile.
    most = max((quantile(looks.histogram, 0.99) for looks in facts.looks.values()), default=1)
    return [maps.draw_looks(pixels.clear_looks(job, p, SMALL), max(most, 1), getattr(facts, p)) for p in facts.looks]


def _curves(job: Job, bounds: pixels.Bounds, lists: Mapping[str, SceneList | LandsatList]) -> list[Chart]:
    if not all(made(job, symbol) for symbol in ("PP_then", "PP_now", "IMD_then", "IMD_now")):
        return []
    found = []
    for one in typical_pixels(job, bounds, lists):
        place = f"Density {one.density[0]} → {one.density[1]} %; E {one.x:.0f}, N {one.y:.0f}"
        note = ". ".join(filter(None, (place, distance_note(one))))
        found.append(charts.ndvi_chart(one.title, one.time, one.curves, one.looks, note))
    return found


def _charts(job: Job, facts: TileFacts, lists: Mapping[str, SceneList | LandsatList], part: Parts) -> dict[str, Chart]:
    """Charts by name, of the numbers that exist."""
    periods, fitted = {p: getattr(job.production.periods, p) for p in ("then", "now")}, facts.calibration or {}
    edges = evidence.NDVI_CELLS, evidence.DENSITY_CELLS
    table: tuple[tuple[str, str, object, Callable[[], Chart]], ...] = (
        ("calibration", "calibration", fitted,
         lambda: charts.calibration_chart(evidence.calibration_samples(job), edges, fitted)),
        ("looks", "observations", facts.looks, lambda: charts.looks_chart(facts.looks, periods)),
        ("scenes", "calendar", lists, lambda: charts.scenes_chart(lists, periods)),
        ("confidence", "confidence", facts.confidence, lambda: charts.confidence_chart(facts.confidence)),
        ("areas", "areas", facts.status_then or facts.status_now,
         lambda: charts.areas_chart(facts.status_then, facts.status_now)),
    )  # fmt: skip
    drawn = {name: part(what, make, None) for name, what, known, make in table if known}
    return {name: chart for name, chart in drawn.items() if chart is not None}


def _settings(job: Job) -> list[tuple[str, str]]:
    """Inputs and settings of the production file, without its paths and keys."""
    production, window = job.production, job.production.window(job.tile)
    given = production.references.model_dump()
    footprints = ", ".join(relative(path, production.root) for path in production.references.footprints)
    rows = [
        ("periods", f"{production.periods.then}, {production.periods.now}"),
        ("area", " ".join(map(number, window)) if window else "the whole tile"),
        *_places(production.scenes, production.root),
        ("offset", production.scenes.boa_offset),
        *((name, relative(path, production.root)) for name, path in given.items() if isinstance(path, str)),
        ("footprints", footprints),
        ("memory, workers", f"{production.engine.memory / 2**30:.0f} GiB, {production.engine.workers}"),
    ]
    return [(name, text) for name, text in rows if text]


def _places(scenes: Scenes, root: Path) -> list[tuple[str, str]]:
    """Where scenes come from: of both periods, or of each where these differ."""
    found = {}
    for role in ("then", "now"):
        own = scenes.of(role)
        found[role] = (("catalogue", relative(own.catalogue, root)), ("collection", own.collection))
    if found["then"] == found["now"]:
        return list(found["now"])
    return [(f"{name} of {role}", text) for role, rows in found.items() for name, text in rows]


def _validation(job: Job) -> list[tuple[str, str]]:
    """Results of `imperv validate` as names and values."""
    text = job.store.read_text(f"{job.store.runs}/{job.tile}.validation.data.json")
    return [] if text is None else list(_leaves(json.loads(text)))


def _leaves(value: Any, name: str = "") -> list[tuple[str, str]]:
    """(name, text) of everything in nested results; estimates with their interval in one line."""
    inside: Mapping[Any, Any] = value if isinstance(value, Mapping) else {}
    if isinstance(value, list) and any(isinstance(inner, Mapping | list) for inner in value):
        inside = dict(enumerate(value, 1))
    if {"value", "low", "high"} <= set(inside):
        text = "{} ({} to {})".format(*(_value(inside[key]) for key in ("value", "low", "high")))
    elif inside or isinstance(value, Mapping):
        return [leaf for key, inner in inside.items() for leaf in _leaves(inner, f"{name} {key}".strip())]
    else:
        text = ", ".join(map(_value, value)) if isinstance(value, list) else _value(value)
    return [(name.replace("_", " "), text)]


def _value(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _class_tables(facts: TileFacts) -> list[tuple[list[str], list[tuple[int, str, str]]]]:
    """Layers of classified change, and the (code, meaning, colour) of their rows: one table for each legend."""
    tables = []
    for palette in (CLASSES, BUILT_UP_CLASSES):
        layers = [symbol for symbol in facts.classes_km2 if maps.palette_of(symbol) is palette]
        rows = [(code, palette.meaning(code), maps.css(palette.colours[code])) for code in CLASS_CODES]
        if layers:
            tables.append((layers, rows))
    return tables
