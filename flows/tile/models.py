"""What `imperv model list` and `imperv model show` tell of the models in a store, as data and as lines."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imperv.grids import Tile
from imperv.layers.catalogue import CATALOGUE, family_of
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.networks.registry import (
    IMPORTED,
    Wanted,
    describe_period,
    imported,
    list_models,
    members_of,
    read_records,
    trouble,
    whole,
)
from imperv.tasks.networks.symbols import model_symbol, models_of
from imperv.tasks.settings.production import Production
from imperv.tasks.store.overlay import store_of
from imperv.tasks.store.records import Record

BARS = "▁▂▃▄▅▆▇█"
"""Heights of a curve drawn in a line."""

COLUMNS = ("product", "tile", "year", "features", "members", "pixels", "loss", "age", "note")
"""Of the table."""


def list_entries(production: Production) -> list[dict[str, Any]]:
    """All models of the store of a production, by product and tile; one listing and one reading a product."""
    store = store_of(production)
    found = []
    for product, symbol in models_of(production.product).items():
        file = CATALOGUE[symbol].model_file
        listed = list_models(store, product, file)
        records = read_records(store, product, sorted(listed))
        for tile in sorted(listed):
            record = records.get(tile)
            if record is None:
                found.append({"product": product, "tile": str(tile), "note": "its record is missing or cannot be read"})
                continue
            why = trouble(record, Wanted.of(production, symbol))
            if not why and not whole(record, tile, product, listed[tile], file):
                why = "its data are gone or damaged"
            found.append(_entry(product, record, why))
    return found


def _entry(product: str, record: Record, why: str) -> dict[str, Any]:
    histories = [h for h in _list(record.statistics.get("history")) if isinstance(h, Mapping)]
    losses = [min(values) for h in histories if (values := _numbers(h.get("validation")))]
    pixels = [int(h["training_pixels"]) for h in histories if isinstance(h.get("training_pixels"), int)]
    return {
        "product": product,
        "tile": record.tile,
        "year": describe_period(record.start, record.end),
        "features": record.ingredients.get("parameters", {}).get("unet.features", ""),
        "members": members_of(record) if record.made else 0,
        "pixels": max(pixels, default=0),
        "loss": sum(losses) / len(losses) if losses else None,
        "created": record.created,
        "imported": imported(record),
        "usable": not why,
        "note": "; ".join(["imported"] * imported(record) + [why] * bool(why)),
    }


def table_lines(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table, one line a model."""
    if not entries:
        return ["no models"]
    rows: list[tuple[str, ...]] = [COLUMNS]
    for entry in entries:
        loss = entry.get("loss")
        cells = {"loss": f"{loss:.4f}" if loss is not None else "", "age": age(entry["created"]) if entry.get("created") else ""}
        rows.append(tuple(cells.get(name, str(entry.get(name) or "")) for name in COLUMNS))
    widths = [max(len(row[k]) for row in rows) for k in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    usable = sum(bool(entry.get("usable")) for entry in entries)
    return [*lines, f"{len(entries)} models, {usable} of use to this production"]


def age(created: str) -> str:
    """How long ago, for people; empty where that cannot be told."""
    try:
        seconds = (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(created)).total_seconds()
    except (ValueError, TypeError):
        return ""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "now"


def describe(job: Job, name: str) -> dict[str, Any]:
    """What is known of the model of a tile, named by folder or symbol; InputError if there is none."""
    symbol = model_symbol(job.family, name)
    tile, product = Tile(str(job.tile)), CATALOGUE[symbol].model_folder.rpartition("/")[2]
    record = read_records(job.store, product, [tile]).get(tile)
    if record is None:
        raise InputError(f"{symbol} of tile {tile} is not in {job.store.url}; `imperv model list` shows what is")
    owner = family_of(symbol)
    why = f"of product {owner}" if owner != job.family else trouble(record, Wanted.of(job.production, symbol))
    if not why and not job.store.data_in_place(record):
        why = "its data are gone or damaged"
    told = ("normalisation", "history", "scores", "parameters", "tiles", "transfer", "members", "crop", IMPORTED)
    statistics = record.statistics
    return _entry(product, record, why) | {
        "symbol": symbol,
        "algorithm": record.ingredients.get("algorithm", ""),
        "key": record.key,
        "digest": record.digest,
        "bytes": record.size,
        "seconds": record.seconds,
        "made": record.made,
        "reason": record.reason,
        "inputs": dict(record.ingredients.get("inputs", {})),
        "neighbours": dict(record.ingredients.get("neighbours", {})),
        "parameters": dict(record.ingredients.get("parameters", {})),
        "normalisation": statistics.get("normalisation", {}),
        "history": _list(statistics.get("history")),
        "scores": statistics.get("scores") or _scores_of_members(_list(statistics.get("history"))),
        "learnt_from": _list(statistics.get("tiles")),
        "origin": statistics.get(IMPORTED, {}),
        "other": {k: v for k, v in statistics.items() if k not in told},
        "warnings": list(record.warnings),
        "software": dict(record.software),
    }


def description_lines(found: Mapping[str, Any]) -> list[str]:
    """The same for people."""
    return list(_lines(found))


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{found['symbol']} of tile {found['tile']}, {found['year']}, {found['algorithm']}"
    if not found["made"]:
        yield f"  not trained: {found['reason']}"
        return
    use = "of use to this production" if found["usable"] else "of no use to this production"
    yield f"  {use}{found['note'] and ': '}{found['note']}"
    yield f"  trained {found['created']} in {found['seconds']:.0f} s; {found['bytes']} bytes; weights {found['digest']}"
    for name, value in found["origin"].items():
        yield f"  imported: {name} {value}"
    yield "parameters"
    for name, value in found["parameters"].items():
        yield f"  {name} {value}"
    yield "made from"
    for name, version in {**found["inputs"], **found["neighbours"]}.items():
        yield f"  {name} {version}"
    if found["learnt_from"]:
        yield f"  samples of {', '.join(map(str, found['learnt_from']))}"
    yield from _features(found["normalisation"])
    yield from _curves(found["history"])
    yield from _scores(found["scores"])
    for name, value in found["other"].items():
        yield f"{name} {_short(value)}"
    for warning in found["warnings"]:
        yield f"warning: {warning}"


def _features(normalisation: Any) -> Iterator[str]:
    if not isinstance(normalisation, Mapping) or not normalisation:
        return
    yield "features                mean        std"
    for name, mean, std in zip(normalisation["names"], normalisation["mean"], normalisation["std"], strict=False):
        yield f"  {name:<16} {mean:9.4f}  {std:9.4f}"


def _curves(history: Sequence[Any]) -> Iterator[str]:
    """Training and validation loss of each member by epoch."""
    for k, member in enumerate(history):
        if not isinstance(member, Mapping):
            continue
        facts = [f"{name} {value}" for name, value in member.items() if isinstance(value, int | float | str)]
        yield f"member {k}: {', '.join(facts)}"
        for name in ("loss", "validation"):
            if values := _numbers(member.get(name)):
                yield f"  {name:<10} {curve(values)}  {values[0]:.4f} -> {values[-1]:.4f}, lowest {min(values):.4f}"


def _scores_of_members(history: Sequence[Any]) -> dict[str, Any]:
    """Validation scores of all members by name."""
    members = [member.get("scores", {}) for member in history if isinstance(member, Mapping)]
    return {f"{name}, member {k + 1}": score for k, scores in enumerate(members) for name, score in scores.items()}


def _scores(scores: Any) -> Iterator[str]:
    """Scores as the training has left them: a number, or one with its interval."""
    if not isinstance(scores, Mapping) or not scores:
        return
    yield "validation"
    for name, value in scores.items():
        if isinstance(value, Mapping) and value.get("value") is not None:
            interval = value.get("interval") or [value.get("low"), value.get("high")]
            shown = _numbers(interval)
            yield f"  {name:<20} {value['value']:.4f}" + (f"  [{shown[0]:.4f}, {shown[1]:.4f}]" if len(shown) == 2 else "")
        else:
            yield f"  {name:<20} {_short(value)}"


def curve(values: Sequence[float]) -> str:
    """A curve in one line, lowest to highest."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(BARS[min(len(BARS) - 1, int((v - low) / span * len(BARS)))] for v in values)


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 100 else text[:97] + "..."


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _numbers(value: Any) -> list[float]:
    return [float(v) for v in _list(value) if isinstance(v, int | float)]
