"""What a production must not replace unasked: layers and models that a newer production in the same store was made from.

Productions of several pairs of years share a store: features of a year, delivered maps as references, and one model a tile,
which an update replaces by that of its own year. Running an older production again would replace it back.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from imperv.flows.plan.planning import plan_tile
from imperv.flows.plan.targets import DELIVER
from imperv.layers.catalogue import CATALOGUE, layers_of
from imperv.tasks.delivery.delivery import places_of
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.settings.periods import periods_of
from imperv.tasks.settings.production import Production
from imperv.tasks.store.overlay import store_of
from imperv.tasks.store.records import Record

AT_ONCE = 8
"""Tiles looked at together: most of the time goes into waiting for the store."""


@dataclass(frozen=True)
class Taken:
    """What a run of a tile would make again although a newer production was made from it."""

    tile: str
    nodes: tuple[str, ...]
    newer: str
    """Folder of the newer production, such as ``2021-2024``."""


def taken_from_newer(production: Production, tiles: Sequence[str], targets: Sequence[str] | None) -> list[Taken]:
    """Tiles of which a run would make something again that a newer production uses, or started from.

    Costs one listing a tile where no newer production has been there.
    """
    if store_of(production).layered:  # its base is never written
        return []
    jobs = [Job.of(production, tile) for tile in tiles]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        newer = [(job, folder) for job, folder in zip(jobs, pool.map(_newer, jobs), strict=True) if folder]
    return [Taken(str(job.tile), nodes, folder) for job, folder in newer if (nodes := _taken(job, targets))]


def refuse_taken(found: Sequence[Taken]) -> None:
    """Raise InputError if a run would make again what a newer production uses."""
    if found:
        raise InputError(f"{describe(found)}; give --yes to do it (`yes` of the flow), or run it in a store of its own")


def describe(found: Sequence[Taken]) -> str:
    """One line for people: what would be lost."""
    nodes = list(dict.fromkeys(node for taken in found for node in taken.nodes))
    shown = ", ".join(taken.tile for taken in found[:5]) + (f" and {len(found) - 5} more tiles" if len(found) > 5 else "")
    years = ", ".join(dict.fromkeys(taken.newer for taken in found))
    return f"{', '.join(nodes)} of {shown} would be made again, which the newer production of {years} in the same store uses"


def _newer(job: Job) -> str:
    """Folder of a tile that tells of a period after this production's; empty where there is none."""
    job.store.fs.invalidate_cache()
    try:
        names = [PurePosixPath(path).name for path in job.store.fs.ls(job.store.full(f"tiles/{job.tile}"), detail=False)]
    except FileNotFoundError:
        return ""
    # A pair's folder tells more than that of its last year.
    later = [name for name in names if _last_day(name) > job.production.periods.last_day]
    return max(later, key=lambda name: (_last_day(name), len(name)), default="")


def _last_day(folder: str) -> dt.date:
    """Of the last period in the name of a folder; a day before all others where it tells of none."""
    try:
        return periods_of(folder)[-1].end
    except ValueError:
        return dt.date.min


def _taken(job: Job, targets: Sequence[str] | None) -> tuple[str, ...]:
    """What of a tile would be made again and is in use by a newer production."""
    mine, end = (
        {place for symbol in layers_of(job.family) for place in _records(job, symbol)},
        str(job.production.periods.last_day),
    )
    others = [
        record for path, record in job.store.records(job.tile).items()
        if _is_newer_model(job, record) or (path not in mine and record.end >= end)
    ]  # fmt: skip
    used = {text for record in others for text in _texts(record.ingredients)}
    return tuple(step.node for step in plan_tile(job, targets) if step.state == "run" and _is_taken(job, step.node, used))


def _is_taken(job: Job, node: str, used: Collection[str]) -> bool:
    """True for a layer or product that is there and is named in what others are made of, or is itself another's."""
    if node.startswith(DELIVER):  # maps are references by their file
        return PurePosixPath(places_of(job, node.removeprefix(DELIVER)).tif).name in used
    record, layer = job.record(node), CATALOGUE[node]
    if record is None or not record.made:
        return False
    return _is_newer_model(job, record) or (record.digest if layer.kind == "source" else record.version) in used


def _is_newer_model(job: Job, record: Record) -> bool:
    """True for a model of a later year than this production's: there is one a tile, in the same place for all years."""
    layer = layers_of(job.family).get(record.symbol)
    return layer is not None and bool(layer.model_file) and record.start > str(job.period(layer)[0].start)


def _records(job: Job, symbol: str) -> Iterator[str]:
    """Where this production keeps the records of a layer and of its product."""
    yield job.place(symbol).record
    if CATALOGUE[symbol].delivery is not None:
        yield places_of(job, symbol).record


def _texts(value: Any) -> Iterator[str]:
    """All texts in what a key is made of, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
