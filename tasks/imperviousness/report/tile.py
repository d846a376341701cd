"""The report of a tile: everything is gathered, drawn and written as one self-contained HTML file below ``runs/``.

Each part stands alone: what cannot be drawn is told with its reason, and never keeps the rest from being shown.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from imperv.layers.palette import BUILT_UP_CLASSES, CLASSES
from imperv.tasks.imperviousness.checks.delivery_check import Finding
from imperv.tasks.imperviousness.report import charts, evidence, zooms
from imperv.tasks.imperviousness.report.charts import Chart
from imperv.tasks.imperviousness.report.curves import distance_note, typical_pixels
from imperv.tasks.imperviousness.report.facts import CLASS_CODES, LayerFact, TileFacts, gather
from imperv.tasks.imperviousness.report.levels import Level, built_up_level, level
from imperv.tasks.imperviousness.report.verdicts import Verdict, judge, overall
from imperv.tasks.job import Job
from imperv.tasks.report import maps, pixels
from imperv.tasks.report.maps import Map
from imperv.tasks.report.page import flat, locator, number, relative, render
from imperv.tasks.scenes.scenes import SceneList
from imperv.tasks.settings.parameters import Parameters

T = TypeVar("T")

LARGE, SMALL = 1000, 500
"""Most pixels each way of the maps at the top, and of the others: a report of a full tile stays below 15 MB."""

LARGE_MAPS = ("IMD_now", "IMCC")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Card:
    """A final layer: its map, or why there is none."""

    fact: LayerFact
    map: Map | None
    reason: str = ""


@dataclass(frozen=True)
class Page:
    """Everything that the template shows of a tile."""

    facts: TileFacts
    verdicts: Sequence[Verdict]
    light: str
    findings: Mapping[str, Sequence[Finding]]
    level: Level | None = None
    built_up_level: float | None = None
    satellite: Mapping[str, Map] = field(default_factory=dict)
    """Composites of the whole area by period."""
    density: Mapping[str, Map] = field(default_factory=dict)
    """IMD of the whole area by period."""
    cards: Sequence[Card] = ()
    zooms: Sequence[zooms.Zoom] = ()
    looks: Sequence[Map] = ()
    curves: Sequence[Chart] = ()
    charts: Mapping[str, Chart] = field(default_factory=dict)
    training: Sequence[Chart] = ()
    scenes: Sequence[evidence.SceneSummary] = ()
    parameters: Sequence[tuple[str, str, Any, bool]] = ()
    settings: Sequence[tuple[str, str]] = ()
    validation: Sequence[tuple[str, str]] = ()
    troubles: Sequence[tuple[str, str]] = ()
    """(part of the report, why it is not there)."""


def report_path(tile: object) -> str:
    """Where the report of a tile is, relative to the store."""
    return f"runs/{tile}.report.html"


def write_tile_report(job: Job) -> str:
    """Make the report of a tile, which may be unfinished, failed or not begun; its path, relative to the store."""
    path = report_path(job.tile)
    page = compose(job)
    html = render("tile.html.j2", page=page, locator=locator(str(job.tile)), class_tables=_class_tables(page.facts))
    job.store.write_text(path, html)
    return path


def compose(job: Job) -> Page:
    """Gather and draw all parts of a report."""
    troubles: list[tuple[str, str]] = []

    def part(what: str, make: Callable[[], T], otherwise: T) -> T:
        try:
            return make()
        except Exception as error:  # a report is needed most where something is damaged
            log.warning("report of tile %s: %s: %s", job.tile, what, error)
            troubles.append((what, " ".join(str(error).split()) or type(error).__name__))
            return otherwise

    facts = gather(job)
    findings: dict[str, list[Finding]] = part("delivery check", lambda: evidence.check_products(job, facts.layers), {})
    lists: dict[str, SceneList] = part("scene lists", lambda: evidence.scene_lists(job), {})
    found: Level | None = part("sources of the level", lambda: level(job), None)
    verdicts = judge(facts, findings, found)
    chosen: list[zooms.Chosen] = part("largest changes", lambda: zooms.choose(job), [])
    close = [part(f"zoom {k + 1}", partial(zooms.close_up, job, *one), None) for k, one in enumerate(chosen)]
    trained = [part(f"training of {m.symbol}", partial(charts.training_chart, m), None) for m in facts.models]
    middle = chosen[0][1] if chosen else job.bounds
    curves: list[Chart] = part("NDVI curves", lambda: _curves(job, middle, lists), [])
    return Page(
        facts=facts,
        verdicts=verdicts,
        light=overall(verdicts),
        findings=findings,
        level=found,
        built_up_level=built_up_level(facts),
        satellite=part("satellite images", lambda: _satellite(job), {}),
        density=part("density maps", lambda: _density(job), {}),
        cards=[_card(job, fact, part) for fact in facts.layers],
        zooms=[one for one in close if one is not None],
        looks=part("maps of clear observations", lambda: _looks(job, facts), []),
        curves=curves,
        charts=_charts(job, facts, lists, part),
        training=[one for one in trained if one is not None],
        scenes=part("scenes", lambda: evidence.summarise_scenes(job, lists), []),
        parameters=flat(job.production.parameters.model_dump(mode="json"), Parameters().model_dump(mode="json")),
        settings=_settings(job),
        validation=part("validation", lambda: _validation(job), []),
        troubles=troubles,
    )


def _made(job: Job, symbol: str) -> bool:
    record = job.record(symbol)
    return record is not None and record.made


def _satellite(job: Job) -> dict[str, Map]:
    found = {p: pixels.composite(job, p, LARGE) for p in ("then", "now") if _made(job, f"PP_{p}")}
    if not found:
        return {}
    limits = maps.stretch(*(bands for bands, _ in found.values()))
    return {p: maps.draw_composite(bands, limits, picture, f"Sentinel-2, {p}") for p, (bands, picture) in found.items()}


def _density(job: Job) -> dict[str, Map]:
    found = [p for p in ("then", "now") if _made(job, f"IMD_{p}")]
    return {p: maps.draw(f"IMD_{p}", pixels.overview(job, f"IMD_{p}", LARGE), f"Density, {p}") for p in found}


def _card(job: Job, fact: LayerFact, part: Callable[[str, Callable[[], Any], Any], Any]) -> Card:
    if not fact.made:
        return Card(fact, None, fact.reason)
    longest = LARGE if fact.symbol in LARGE_MAPS else SMALL
    drawn = part(f"map of {fact.symbol}", lambda: maps.draw(fact.symbol, pixels.overview(job, fact.symbol, longest)), None)
    return Card(fact, drawn, "" if drawn else "is recorded, but its pixels cannot be read")


def _looks(job: Job, facts: TileFacts) -> list[Map]:
    found = {p: pixels.clear_looks(job, p, SMALL) for p in ("then", "now") if p in facts.looks}
    # One scale for both years: up to what nearly no pixel exceeds.
    most = max((_quantile_of(facts, p) for p in found), default=1)
    return [maps.draw_looks(picture, most, getattr(facts, p)) for p, picture in found.items()]


def _quantile_of(facts: TileFacts, period: str) -> int:
    counts = facts.looks[period].histogram
    total, seen = sum(counts), 0
    for value, count in enumerate(counts):
        seen += count
        if seen >= 0.99 * total:
            return max(value, 1)
    return 1


def _curves(job: Job, bounds: pixels.Bounds, lists: Mapping[str, Any]) -> list[Chart]:
    needed = ("PP_then", "PP_now", "IMD_then", "IMD_now")
    if not all(_made(job, symbol) for symbol in needed):
        return []
    return [
        charts.ndvi_chart(
            one.title,
            one.time,
            one.curves,
            one.looks,
            ". ".join(
                filter(
                    None,
                    (f"Density {one.density[0]} → {one.density[1]} %; E {one.x:.0f}, N {one.y:.0f}", distance_note(one)),
                )
            ),
        )
        for one in typical_pixels(job, bounds, lists)
    ]


def _charts(
    job: Job, facts: TileFacts, lists: Mapping[str, Any], part: Callable[[str, Callable[[], Any], Any], Any]
) -> dict[str, Chart]:
    found: dict[str, Chart | None] = {}
    if facts.calibration:
        edges = (evidence.NDVI_CELLS, evidence.DENSITY_CELLS)
        fitted = facts.calibration
        found["calibration"] = part(
            "calibration", lambda: charts.calibration_chart(evidence.calibration_samples(job), edges, fitted), None
        )
    if facts.looks:
        labels = {"then": facts.then, "now": facts.now}
        found["looks"] = part("observations", lambda: charts.looks_chart(facts.looks, labels), None)
    if lists:
        periods = {"then": job.production.periods.then, "now": job.production.periods.now}
        found["scenes"] = part("calendar", lambda: charts.scenes_chart(lists, periods), None)
    if facts.confidence:
        found["confidence"] = part("confidence", lambda: charts.confidence_chart(facts.confidence), None)
    if facts.status_then or facts.status_now:
        found["areas"] = part("areas", lambda: charts.areas_chart(facts.status_then, facts.status_now), None)
    return {name: chart for name, chart in found.items() if chart is not None}


def _settings(job: Job) -> list[tuple[str, str]]:
    """What of the production file a reader may know."""
    production, window = job.production, job.production.window(job.tile)
    given = production.references.model_dump()
    footprints = ", ".join(relative(path, production.root) for path in production.references.footprints)
    rows = [
        ("periods", f"{production.periods.then}, {production.periods.now}"),
        ("area", " ".join(map(number, window)) if window else "the whole tile"),
        ("catalogue", relative(production.scenes.catalogue, production.root)),
        ("collection", production.scenes.collection),
        ("offset", production.scenes.boa_offset),
        *((name, relative(path, production.root)) for name, path in given.items() if isinstance(path, str)),
        ("footprints", footprints),
        ("memory, workers", f"{production.engine.memory / 2**30:.0f} GiB, {production.engine.workers}"),
    ]
    return [(name, text) for name, text in rows if text]


def _validation(job: Job) -> list[tuple[str, str]]:
    """Results of `imperv validate`, if there are any, as names and values."""
    text = job.store.read_text(f"runs/{job.tile}.validation.data.json")
    return [] if text is None else list(_leaves(json.loads(text)))


def _leaves(value: Any, name: str = "") -> list[tuple[str, str]]:
    """(name, text) of everything in nested results; estimates with their interval in one line."""
    if isinstance(value, Mapping) and {"value", "low", "high"} <= set(value):
        value, low, high = (value[key] for key in ("value", "low", "high"))
        return [(name.replace("_", " "), f"{_value(value)} ({_value(low)} to {_value(high)})")]
    if isinstance(value, Mapping):
        return [leaf for key, inner in value.items() for leaf in _leaves(inner, f"{name} {key}".strip())]
    if isinstance(value, list) and any(isinstance(inner, Mapping | list) for inner in value):
        return [leaf for k, inner in enumerate(value) for leaf in _leaves(inner, f"{name} {k + 1}".strip())]
    shown = ", ".join(map(_value, value)) if isinstance(value, list) else _value(value)
    return [(name.replace("_", " "), shown)]


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
