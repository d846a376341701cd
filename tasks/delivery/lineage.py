"""Where a product comes from, told from the records of everything that it was made from: for metadata that people read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imperv.layers.catalogue import CATALOGUE, Layer, family_of, topological_order
from imperv.tasks.errors import InputError
from imperv.tasks.families import family
from imperv.tasks.job import Job
from imperv.tasks.landsat.scenes import frozen_list
from imperv.tasks.scenes.scenes import SceneList
from imperv.tasks.store.records import Record


@dataclass(frozen=True)
class Step:
    """A node that a product was made from."""

    symbol: str
    text: str
    """What was done, with which parameters."""
    when: str
    """UTC, ISO 8601."""


@dataclass(frozen=True)
class Lineage:
    """The chain of a product."""

    statement: str
    """All of it in a paragraph."""
    sources: tuple[str, ...]
    """Scenes and reference maps, one each."""
    steps: tuple[Step, ...]
    """In the order of work."""
    software: Mapping[str, str]
    """Versions that the pixels may depend on."""


def lineage_of(job: Job, layer: Layer, made: Record) -> Lineage:
    """Lineage of a layer of a tile, from all records of its chain that are there; nothing is looked up elsewhere."""
    found = family(family_of(layer.symbol))
    order = topological_order([layer.symbol], across=True)
    chain = {symbol: record for symbol in order if (record := _record(job, symbol)) is not None}
    sources = tuple(filter(None, (_source(job, symbol, record) for symbol, record in chain.items())))
    steps = tuple(Step(s, _step(CATALOGUE[s], r), r.created) for s, r in chain.items() if r.made)
    software = dict(made.software)
    versions = ", ".join(f"{name} {version}" for name, version in software.items() if name != "imperv")
    statement = (
        f"{layer.description} of EEA tile {job.tile}, {'a window of it, ' if made.windowed else ''}"
        f"{', '.join(f'{name} {period}' for name, period in job.production.periods.named.items())}. "
        f"Made by imperv {software.get('imperv', '')} after the {found.method}, section {layer.section}. "
        f"Made from: {'; '.join(sources) or 'unknown sources'}. "
        f"{len(steps)} steps, from {_day(min((s.when for s in steps), default=made.created))} to {_day(made.created)}, "
        f"with {versions or 'software of unknown versions'}."
    )
    return Lineage(statement, sources, steps, software)


def _record(job: Job, symbol: str) -> Record | None:
    """A layer's record; None too for layers of another product whose periods this one does not have."""
    try:
        return job.record(symbol)
    except InputError:
        return None


def _day(when: str) -> str:
    return when[:10]


def _source(job: Job, symbol: str, record: Record) -> str:
    """A source in words; empty for what is made here."""
    layer, found = CATALOGUE[symbol], record.statistics
    if layer.kind == "source":
        baselines, levels = _baselines(job, symbol)
        level = " and ".join(levels) or "L2A"
        shifted = found.get("offset_subtracted", 0)
        sensors: Any = found.get("sensors", ())
        seen_by = f"{' and '.join(sensors)}, Collection 2 Level 2" if sensors else f"Sentinel-2 {level}"
        return (
            f"{seen_by} of {layer.role}: "
            f"{found.get('scenes', '?')} scenes of {found.get('overpasses', '?')} overpasses, "
            f"{found.get('first', '?')} to {found.get('last', '?')}"
            + (f", processing baselines {', '.join(baselines)}" if baselines else "")
            + (f", the offset of baseline 04.00 subtracted from {shifted}" if shifted else "")
        )
    if layer.kind == "reference":
        count = found.get("footprints")
        return f"{layer.description}{f': {count} building footprints' if count is not None else ''}"
    return ""


def _baselines(job: Job, symbol: str) -> tuple[list[str], list[str]]:
    """Processing baselines and levels of scenes of Sentinel-2."""
    text = job.store.read_text(job.place(symbol).data)
    found = frozen_list(text) if text else None
    scenes = found.scenes if isinstance(found, SceneList) else ()
    return sorted({scene.baseline for scene in scenes} - {""}), sorted({scene.level for scene in scenes})


def _step(layer: Layer, record: Record) -> str:
    """What a node does, with its parameters and what was noticed."""
    parameters: Mapping[str, Any] = record.ingredients.get("parameters", {})
    told = ", ".join(f"{name} = {value}" for name, value in parameters.items())
    warnings, method = "; ".join(record.warnings), family(family_of(layer.symbol)).method_short
    return (
        f"{layer.symbol}: {layer.description} ({method} {layer.section}, version {layer.version})"
        + (f"; {told}" if told else "")
        + (f"; noticed: {warnings}" if warnings else "")
    )
