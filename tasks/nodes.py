"""Making one node of the graph, unless it is up to date: keys, and the record written last."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from imperv.layers.catalogue import CATALOGUE, Layer, family_of
from imperv.tasks.engine import measured
from imperv.tasks.errors import WorkError
from imperv.tasks.families import task_of
from imperv.tasks.job import Job, Made, software, utc_now
from imperv.tasks.store.records import Record, digest_of, explain_difference
from imperv.tasks.store.store import with_measured


def input_versions(job: Job, layer: Layer) -> dict[str, str | None]:
    """Versions of a layer's inputs by the names that its record has for them; None for one that is not done."""
    found: dict[str, str | None] = {}
    for name in layer.inputs:
        # Another product may have been made for another area.
        record = job.usable(name) if _is_strange(name, layer) else job.record(name)
        # By stem: features of a year are the same whether that year is `then` or `now`.
        key = CATALOGUE[name].stem if layer.stem != layer.symbol else name
        # A scene list counts by what is in it: where its catalogue lies does not change a pixel.
        found[key] = None if record is None else record.digest if CATALOGUE[name].kind == "source" else record.version
    return found


def _is_strange(name: str, layer: Layer) -> bool:
    """True for an input that another product makes."""
    return family_of(name) != family_of(layer.symbol)


def _not_done(job: Job, layer: Layer) -> str:
    """Which inputs are not done, and what to do about it."""
    missing = [name for name, version in zip(layer.inputs, input_versions(job, layer).values(), strict=True) if version is None]
    strange = [f"{name} of product {family_of(name)} ({_when(job, name)})" for name in missing if _is_strange(name, layer)]
    if strange:
        return f"{' and '.join(strange)} is not there for this area; run that production first, in the same store"
    return f"{', '.join(missing)} is not done; run the tile without --target, or name it too"


def _when(job: Job, symbol: str) -> str:
    """Period that a layer describes."""
    return " to ".join(dict.fromkeys(map(str, job.period(CATALOGUE[symbol]))))


def ingredients(job: Job, layer: Layer, external: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """Everything that a layer's key is made of, None while an input is not done; `external` is looked up unless given."""
    inputs = input_versions(job, layer)
    if None in inputs.values():
        return None
    if reason := task_of(layer.symbol).not_needed(job, layer.symbol):  # then nothing else can change it
        return {"algorithm": f"{layer.stem} {layer.version}", "window": list(job.bounds), "not made": reason}
    return {
        "algorithm": f"{layer.stem} {layer.version}",
        "window": list(job.bounds),
        "periods": [str(p) for p in dict.fromkeys(job.period(layer))],
        "parameters": job.pick(layer),
        "inputs": inputs,
        **(task_of(layer.symbol).external(job, layer) if external is None else external),
    }


State = Literal["run", "up to date", "maybe"]


@dataclass(frozen=True)
class Standing:
    """Whether a layer must be made."""

    symbol: str
    state: State
    reason: str
    record: Record | None = None


def standing(job: Job, symbol: str, changing: Mapping[str, State] | None = None) -> Standing:
    """Whether a layer is up to date, and why not.

    For a plan, `changing` gives the state of the layers before it: "run" if its key will differ, "maybe" if the same pixels are
    expected to come again.
    """
    layer, changing = CATALOGUE[symbol], changing or {}
    record = job.record(symbol)
    task = task_of(symbol)
    if record is not None and (reason := task.fixed(job, symbol, record)) is not None:
        return Standing(symbol, "up to date", reason, record)
    external = task.external(job, layer)  # first, as a missing file is worth more words than a missing record
    if record is None:
        return Standing(symbol, "run", "not made yet")
    if ahead := [name for name in layer.inputs if changing.get(name) == "run"]:
        return Standing(symbol, "run", f"{', '.join(ahead)} will change", record)
    now = ingredients(job, layer, external)
    if now is None:
        return Standing(symbol, "run", _not_done(job, layer), record)
    if digest_of(now) != record.key:
        return Standing(symbol, "run", explain_difference(record.ingredients, now), record)
    if trouble := task.stale(job, layer, record):
        return Standing(symbol, "run", trouble, record)
    if not job.store.data_in_place(record):
        return Standing(symbol, "maybe", "its data are gone or damaged", record)
    if ahead := [name for name in layer.inputs if changing.get(name) == "maybe"]:
        return Standing(symbol, "up to date", f"as long as {', '.join(ahead)} comes out the same", record)
    return Standing(symbol, "up to date", record.reason, record)


def make_node(job: Job, symbol: str, force: bool = False) -> tuple[Record, bool]:
    """Make a layer unless it is up to date: its record, and False if it was. A failure leaves nothing that looks done."""
    layer = CATALOGUE[symbol]
    found = standing(job, symbol)
    if found.state == "up to date" and found.record is not None and not force:
        return found.record, False
    made_of = ingredients(job, layer)
    if made_of is None:
        raise WorkError(f"{symbol} of tile {job.tile}: {_not_done(job, layer)}")
    with measured() as usage:
        try:
            reason = task_of(symbol).not_needed(job, symbol)
            made = Made("", made=False, reason=reason) if reason else task_of(symbol).make(job, layer)
        except MemoryError:
            raise WorkError(f"{symbol} of tile {job.tile}: out of memory; lower engine.memory or engine.workers") from None
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise WorkError(
                    f"{symbol} of tile {job.tile}: no room left on the disk; free space and run again, nothing is lost"
                ) from None
            raise
    if not made.made:
        job.store.remove(job.place(symbol))  # what was there of it before
    made_of = {k: v for k, v in made_of.items() if k not in task_of(symbol).history} | dict(made.external)
    place, periods = job.place(symbol), job.period(layer)
    record = Record(
        symbol=layer.stem,
        tile=str(job.tile),
        key=digest_of(made_of),
        digest=made.digest,
        ingredients=made_of,
        made=made.made,
        reason=made.reason,
        href=place.data if made.made else "",
        bbox=job.bounds,
        windowed=job.windowed,
        start=str(min(period.start for period in periods)),
        end=str(max(period.end for period in periods)),
        statistics=made.statistics,
        warnings=made.warnings,
        seconds=usage.seconds,
        cpu_seconds=usage.cpu_seconds,
        peak_memory=usage.peak_memory,
        bytes_read=usage.bytes_read,
        bytes_written=usage.bytes_written,
        software=software(),
        created=utc_now(),
    )
    record = with_measured(record, job.store)
    job.store.write_record(place.record, record)
    return record, True
