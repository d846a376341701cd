"""Differences of two productions beside pixels: settings, keys of nodes, software versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pandas import json_normalize

from imperv.layers.catalogue import CATALOGUE, topological_order
from imperv.tasks.job import Job
from imperv.tasks.networks.registry import imported
from imperv.tasks.nodes import ingredients
from imperv.tasks.settings.production import Production
from imperv.tasks.store.records import Record, explain_difference

PLACES = ("root", "store", "store_options", "base", "base_options", "engine", "prices", "tiles", "countries", "aoi")
"""Settings that change no pixel of a tile: places of files, and the engine."""


@dataclass(frozen=True)
class Difference:
    """A setting or software with two values."""

    name: str
    a: str
    b: str

    def __str__(self) -> str:
        return f"{self.name}: {self.a or '(none)'} | {self.b or '(none)'}"


@dataclass(frozen=True)
class Nodes:
    """How the nodes of a tile differ."""

    same: int
    """Nodes with the same key: same inputs, parameters and algorithm."""
    other: int
    """Nodes with another key."""
    causes: tuple[str, ...]
    """What differs in nodes whose own ingredients differ, not only those of their inputs."""
    equal: int
    """Nodes with another key and the same content."""


def settings_differences(a: Production, b: Production) -> list[Difference]:
    """Settings of two productions that may change pixels and have two values; paths are compared as absolute ones."""
    one, two = (_flat(production) for production in (a, b))
    return [Difference(k, one.get(k, ""), two.get(k, "")) for k in {**one, **two} if one.get(k) != two.get(k)]


def _flat(production: Production) -> dict[str, str]:
    """Settings by their dotted names."""
    settings = {key: value for key, value in production.model_dump(mode="json").items() if key not in PLACES}
    found = {}
    for name, value in json_normalize(settings, max_level=None).astype(object).iloc[0].items():
        values = [v for v in (value if isinstance(value, list) else [value]) if v is not None]
        if values or isinstance(value, list):
            found[str(name)] = ", ".join(production.path(v) if _is_path(str(name), v) else str(v) for v in values)
    return found


def _is_path(name: str, value: Any) -> bool:
    return isinstance(value, str) and bool(value) and name.startswith(("references.", "scenes.catalogue"))


def node_differences(a: Mapping[str, Record], b: Mapping[str, Record], layers: Iterable[str]) -> Nodes:
    """Differences of the nodes upstream of a tile's layers, by their records."""
    same = other = equal = 0
    causes = []
    for symbol in topological_order(layers):
        one, two = a.get(symbol), b.get(symbol)
        if one is None or two is None:
            continue
        if one.key == two.key and one.digest == two.digest:
            same += 1
            continue
        other += 1
        equal += one.digest == two.digest
        own = [{k: v for k, v in record.ingredients.items() if k != "inputs"} for record in (one, two)]
        if one.key == two.key:
            causes.append(f"{symbol}: same inputs, other pixels")
        elif one.made != two.made:
            reason = one.reason or two.reason
            causes.append(f"{symbol}: only in {'A' if one.made else 'B'}{f' ({reason})' if reason else ''}")
        elif own[0] != own[1]:
            causes.append(f"{symbol}: {explain_difference(*own)}")
        elif CATALOGUE[symbol].kind in ("source", "reference"):
            causes.append(f"{symbol}: other content")
    return Nodes(same, other, tuple(causes), equal)


def outdated(job: Job) -> list[str]:
    """Nodes made with other settings than the production has now, or from such nodes; files and versions do not count."""
    found: list[str] = []
    for symbol in topological_order():
        layer, record = CATALOGUE[symbol], job.record(symbol)
        if record is None or imported(record):
            continue
        wanted, had = ingredients(job, layer, {}) or {}, record.ingredients
        parameters = had.get("parameters", {})
        if (
            any(name in found for name in layer.inputs)
            or any(parameters.get(name, value) != value for name, value in wanted.get("parameters", {}).items())
            or any(part in had and part in wanted and had[part] != wanted[part] for part in ("window", "periods", "inputs"))
        ):
            found.append(symbol)
    return found


def software_differences(a: Iterable[Record], b: Iterable[Record]) -> list[Difference]:
    """Software with different versions in the records."""
    one, two = (_versions(records) for records in (a, b))
    return [Difference(name, one.get(name, ""), two.get(name, "")) for name in {**one, **two} if one.get(name) != two.get(name)]


def _versions(records: Iterable[Record]) -> dict[str, str]:
    found: dict[str, dict[str, None]] = {}
    for record in records:
        for name, version in record.software.items():
            found.setdefault(name, {})[version] = None
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}
