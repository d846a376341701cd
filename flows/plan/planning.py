"""What a run would do, and why: the graph walked without running anything."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from imperv.flows.plan.targets import DELIVER, before, resolve_targets, steps
from imperv.flows.runtime.journal import last_run
from imperv.layers.catalogue import CATALOGUE, layers_of
from imperv.tasks.delivery.delivery import delivery_standing, form_of
from imperv.tasks.delivery.drafts import WITH_OVERVIEWS
from imperv.tasks.errors import ImpervError
from imperv.tasks.families import family, task_of
from imperv.tasks.family.costs import Cost, CostOf
from imperv.tasks.job import Job
from imperv.tasks.nodes import State, standing

STORED_SHARE = {1: 0.25, 2: 0.6, 4: 0.9, 8: 0.9}
"""Bytes in the store to one before compression, by the bytes of a value, of ground with data: codes and percent take 0.13,
probabilities 0.5; quantiles 0.46, bands of one day 0.8; harmonics and deviations 0.9 (the demo and the fine kit)."""


@dataclass(frozen=True)
class Step:
    """One task run of a plan."""

    tile: str
    node: str
    state: State
    """run; maybe: run, with the same result expected; up to date."""
    reason: str
    bytes: int
    """What the layer takes before compression, bytes; 0 where it is not a raster."""
    stored: int = 0
    """Projected bytes of the layer or the delivered file, compressed; 0 where it is no raster."""
    core_seconds: float = 0
    """Projected time of one core; 0 for what is up to date."""
    memory: int = 0
    """Projected highest memory of the process, bytes; 0 for what is up to date."""
    bytes_decoded: int = 0
    """Of scenes, bytes after decoding; 0 for what is up to date."""


def remembering(job: Job) -> Job:
    """The job with a store whose texts are read once: a plan looks at every record several times."""
    store = copy(job.store)
    store.read_text = cache(job.store.read_text)  # type: ignore[method-assign]
    return replace(job, store=store)


def plan_tile(job: Job, targets: Sequence[str] | None) -> list[Step]:
    """Steps of a tile in order."""
    found: list[Step] = []
    for other, wanted in before(job, targets):  # what is made of other products first
        found += plan_tile(other, wanted)
    states: dict[str, State] = {step.node: step.state for step in found}
    job = remembering(job)
    order, products = steps(resolve_targets(targets, job.family), product=job.family)
    needless: dict[str, str] = {}
    for symbol in order:
        try:
            entry = standing(job, symbol, states)
            state, reason = entry.state, entry.reason
            needless[symbol] = "" if state == "up to date" else task_of(symbol).not_needed(job, symbol)
        except ImpervError as error:  # such as a missing reference: the run will say so too
            state, reason = "run", f"will fail: {error}"
        states[symbol] = state
        cost, why = task_of(symbol).cost, needless.get(symbol, "")
        found.append(_step(job, symbol, state, reason, cost, needless=why))
    for symbol in products:
        entry = delivery_standing(job, symbol, states)
        cost, why = form_of(CATALOGUE[symbol]).cost, needless.get(symbol, "")
        found.append(_step(job, symbol, entry.state, entry.reason, cost, DELIVER, why))
    return found


def _step(job: Job, symbol: str, state: State, reason: str, cost_of: CostOf, prefix: str = "", needless: str = "") -> Step:
    """A step with its cost, if it is to run; `needless` says why what it makes will not be made."""
    if needless:
        return Step(str(job.tile), prefix + symbol, state, f"will not be made: {needless}", 0)
    cost = Cost() if state == "up to date" else cost_of(job, CATALOGUE[symbol])
    size, stored = (0, delivered_bytes(job, symbol)) if prefix else (layer_bytes(job, symbol), stored_bytes(job, symbol))
    seconds = round(cost.core_seconds, 2)
    return Step(str(job.tile), prefix + symbol, state, reason, size, stored, seconds, cost.memory, cost.bytes_decoded)


def layer_bytes(job: Job, symbol: str) -> int:
    """What a layer takes before compression; 0 where it is not a raster."""
    return sum(_bytes_by_type(job, symbol).values())


def stored_bytes(job: Job, symbol: str) -> int:
    """About what a layer takes in the store; 0 where it is not a raster."""
    return round(sum(STORED_SHARE[size] * found for size, found in _bytes_by_type(job, symbol).items()))


def delivered_bytes(job: Job, symbol: str) -> int:
    """About what the delivered file of a layer takes."""
    return round(WITH_OVERVIEWS * stored_bytes(job, symbol))


def _bytes_by_type(job: Job, symbol: str) -> dict[int, int]:
    """Bytes before compression of the arrays of a layer, by the bytes of a value."""
    layer = CATALOGUE[symbol]
    found: dict[int, int] = {}
    if layer.resolution:
        rows, columns = job.grid_of(layer).shape
        for variable in task_of(symbol).arrays(job, layer):
            size = np.dtype(variable.dtype).itemsize
            found[size] = found.get(size, 0) + rows * columns * size * variable.bands
    return found


def as_table(found: Sequence[Step]) -> list[dict[str, Any]]:
    """For ``--json``."""
    return [asdict(step) for step in found]


def stages_of(product: str) -> dict[str, tuple[str, ...]]:
    """Columns of `imperv status`, before delivery, and the layers that count in each."""
    layers = layers_of(product)
    return {stage: tuple(s for s, layer in layers.items() if layer.column == stage) for stage in family(product).stages}


def tile_status(job: Job) -> dict[str, Any]:
    """How far a tile is: done of all nodes in each stage, and what the last run said."""
    job = remembering(job)
    _, products = steps(None, product=job.family)
    stages = {}
    for stage, symbols in stages_of(job.family).items():
        stages[stage] = {"done": sum(job.record(s) is not None for s in symbols), "total": len(symbols)}
    # What is not made, with its reason, is not delivered either.
    wanted = [s for s in products if (record := job.record(s)) is None or record.made]
    handed_over = sum(delivery_standing(job, s).record is not None for s in wanted)
    stages["delivery"] = {"done": handed_over, "total": len(wanted)}
    last = last_run(job)
    complete = all(s["done"] == s["total"] for s in stages.values())
    if job.store.is_locked(job.tile):
        state = "running"
    elif complete and all(step.state == "up to date" for step in plan_tile(job, None)):
        state = "done"
    elif last.get("state") == "failed":
        state = "failed"
    elif complete:
        state = "out of date"
    else:
        state = "incomplete" if any(s["done"] for s in stages.values()) else "missing"
    why = last.get("why", "") if state == "failed" else ""
    if state == "incomplete" and last.get("state") == "running":
        why = "the last run was cut off; run again to go on"
    others = [PurePosixPath(path).name for path in family(job.family).form.strangers(job)]
    return {"tile": str(job.tile), "state": state, "why": why, "stages": stages, "other_editions": others}
