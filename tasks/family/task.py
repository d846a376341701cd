"""What a task is: how a node of the graph is made, and what decides whether it must be made again.

A family declares one for each of its nodes (`tasks.imperviousness.nodes.tasks`); `tasks.nodes` runs them and knows no family.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from imperv.layers.catalogue import Layer, Variable
from imperv.tasks.family.costs import CostOf, by_block
from imperv.tasks.family.findings import Remark
from imperv.tasks.job import Job, Made
from imperv.tasks.store.records import Record

Until = Literal["features", "models", "all"]
"""Passes of a run of several tiles."""


def _nothing(job: Job, layer: Layer) -> Mapping[str, Any]:
    return {}


def _needed(job: Job, symbol: str) -> str:
    return ""


def _silent(job: Job, symbol: str) -> Iterator[Remark]:
    return iter(())


def _enough(job: Job, layer: Layer, scenes: Any) -> None:
    return None


def _sound(job: Job, symbol: str) -> None:
    return None


def _declared(job: Job, layer: Layer) -> tuple[Variable, ...]:
    return layer.variables


def _not_stale(job: Job, layer: Layer, record: Record) -> str:
    return ""


def _not_fixed(job: Job, symbol: str, record: Record) -> str | None:
    return None


@dataclass(frozen=True)
class Task:
    """How a node is made."""

    make: Callable[[Job, Layer], Made]
    """Computes the layer and writes its data; the record is written by `make_node`."""
    external: Callable[[Job, Layer], Mapping[str, Any]] = _nothing
    """What it depends on beside other layers of its tile and parameters, by name; part of its key. Refuses a wrong input."""
    not_needed: Callable[[Job, str], str] = _needed
    """Why it need not be made, as far as records tell; empty where it may be needed. Then nothing else is in its key."""
    stale: Callable[[Job, Layer, Record], str] = _not_stale
    """Why it must be made again although its key is the same; empty where it need not."""
    fixed: Callable[[Job, str, Record], str | None] = _not_fixed
    """Why the record stands whatever its key is, such as that of an imported model; None where the key decides."""
    preflight: Callable[[Job, str], None] = _sound
    """Refuses wrong inputs before anything of a tile is made."""
    require: Callable[[Job, Layer, Any], None] = _enough
    """Of a list of scenes: InputError where it does not suffice (`tasks.yearly.freezing`)."""
    look: Callable[[Job, str], Iterator[Remark]] = _silent
    """What `imperv config check` says of its inputs; raises where they cannot serve."""
    until: Until = "all"
    """First pass that makes it: what neighbouring tiles need of it is made of all tiles before."""
    alone: Callable[[Job], bool] | None = None
    """Of a node that borrows of neighbours: whether it needs nothing of them, and is made with the models already."""
    arrays: Callable[[Job, Layer], tuple[Variable, ...]] = _declared
    """Arrays that it makes, as far as the production tells, where bands or classes are its own."""
    cost: CostOf = by_block()
    """What making it takes."""
    cost_made: CostOf | None = None
    """The same as if it were not there, without opening anything but its record; `cost` where there is none."""
    network: bool = False
    """True for what a GPU would do."""
    history: tuple[str, ...] = ()
    """Names of `external` that only the making tells, in `Made.external`; until then they are those of the last record."""
