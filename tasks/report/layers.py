"""The report that every product has: its delivered maps, its layers with what their records say, and its parameters."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from imperv.layers.catalogue import CATALOGUE, Layer, topological_order
from imperv.tasks.delivery.delivery import delivered_symbols, places_of
from imperv.tasks.families import family
from imperv.tasks.job import Job
from imperv.tasks.report.page import css, flat, gradient, locator, number, render
from imperv.tasks.store.records import Record

TEMPLATE = "layers.html.j2"


@dataclass(frozen=True)
class MapOfLayer:
    """A delivered layer."""

    symbol: str
    title: str
    image: str
    """Its quicklook, as a data URI."""
    legend: tuple[tuple[str, str], ...]
    """(background in CSS, meaning) of classes."""
    ramp: tuple[str, str, str] | None
    """(background in CSS, lowest, highest) of a quantity."""
    shares: tuple[tuple[str, float], ...]
    """(meaning, share of what is mapped) of classes."""
    valid: float
    """Share of pixels with data."""
    file: str


@dataclass(frozen=True)
class Row:
    """A layer and what its record says."""

    symbol: str
    description: str
    state: str
    """Made, or why it is not."""
    seconds: float | None
    memory: int | None
    size: int | None
    warnings: tuple[str, ...]


def write_layers_report(job: Job) -> str:
    """Write the report of a tile; where it is, relative to the store."""
    found = family(job.family)
    records = {symbol: job.record(symbol) for symbol in topological_order(family=job.family)}
    maps = [m for symbol in delivered_symbols(job.family) if (m := _map_of(job, CATALOGUE[symbol])) is not None]
    facts = facts_of(job, records)
    page = render(
        TEMPLATE, family=found, tile=str(job.tile), period=job.production.periods.whole, locator=locator(str(job.tile)),
        maps=maps, **{name: facts[name] for name in ("windowed", "bounds", "run", "rows", "parameters")},
    )  # fmt: skip
    job.store.write_text(job.report_path, page)
    return job.report_path


def facts_of(job: Job, records: Mapping[str, Record | None]) -> dict[str, Any]:
    """What the report of any tile says of its ground, its last run, its records by layer, and its parameters."""
    made = {symbol: record for symbol, record in records.items() if record is not None and record.made}
    kilometres = [(job.bounds[k + 2] - job.bounds[k]) / 1000 for k in (0, 1)]
    return {
        "bounds": job.bounds,
        "windowed": job.windowed,
        "extent": f"{' × '.join(map(number, kilometres))} km, {'a window of the tile' if job.windowed else 'the whole tile'}",
        "run": json.loads(job.store.read_text(f"{job.store.runs}/{job.tile}.data.json") or "{}"),
        "warnings": [(symbol, text) for symbol, record in made.items() for text in record.warnings],
        "rows": [row_of(CATALOGUE[symbol], record) for symbol, record in records.items()],
        "parameters": _parameters(job.production.parameters),
    }


def _parameters(parameters: Any) -> list[tuple[str, str, Any, bool]]:
    """Parameters beside their defaults."""
    groups = {name: field.get_default(call_default_factory=True) for name, field in type(parameters).model_fields.items()}
    defaults = {name: group.model_dump(mode="json") for name, group in groups.items() if isinstance(group, BaseModel)}
    return flat(parameters.model_dump(mode="json"), defaults)


def row_of(layer: Layer, record: Record | None) -> Row:
    """What a record says of its layer; of one that is not made too."""
    if record is None:
        return Row(layer.symbol, layer.description, "not made yet", None, None, None, ())
    state = "made" if record.made else f"not made: {record.reason}"
    return Row(layer.symbol, layer.description, state, record.seconds, record.peak_memory, record.size, record.warnings)


def _map_of(job: Job, layer: Layer) -> MapOfLayer | None:
    """A delivered layer; None while it is not delivered."""
    places = places_of(job, layer.symbol)
    record = job.store.read_record(places.record)
    if record is None or layer.delivery is None or places.quicklook not in record.beside:
        return None
    picture = base64.b64encode(job.store.fs.cat_file(job.store.full(places.quicklook))).decode()
    counts: Mapping[str, Any] = record.statistics[layer.symbol]
    valid = counts["pixels"] - counts["outside"]
    palette, ramp = layer.delivery.palette, None
    legend: tuple[tuple[str, str], ...] = ()
    shares: tuple[tuple[str, float], ...] = ()
    if palette is None:
        ramp = gradient([(0, 0, 0), (255, 255, 255)]), "low", "high"
    elif palette.anchors:
        colours = [palette.colours[code] for code in palette.anchors]
        ramp = gradient(colours), palette.meaning(palette.anchors[0]), palette.meaning(palette.anchors[-1])
    else:
        codes = [code for code in palette.codes if code != layer.variables[0].nodata]
        legend = tuple((css(palette.colours[code]), palette.meaning(code)) for code in codes)
        mapped = counts.get("histogram", {})
        shares = tuple((palette.meaning(code), mapped.get(str(code), 0) / valid if valid else 0.0) for code in codes)
    return MapOfLayer(
        layer.symbol, layer.title, f"data:image/png;base64,{picture}", legend, ramp, shares,
        valid / counts["pixels"], places.tif,
    )  # fmt: skip
