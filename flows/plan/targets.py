"""What a request means: symbols of the layers asked for, and the steps that they need, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imperv.layers.catalogue import CATALOGUE, resolve, topological_order
from imperv.tasks.errors import InputError

if TYPE_CHECKING:
    from imperv.tasks.task import Until

DELIVER = "deliver "
"""Start of the name of a delivery's task run."""

UP_TO = {"features": ("features",), "models": ("features", "models")}
"""Passes before the last one, and what each has made at its end."""


def resolve_targets(targets: Sequence[str] | None) -> list[str] | None:
    """Symbols of the layers asked for, None for all; InputError if there is no such layer."""
    try:
        return [resolve(name) for name in targets] if targets else None
    except ValueError as error:
        raise InputError(f"--target: {error}") from None


def steps(targets: Sequence[str] | None, until: Until = "all") -> tuple[list[str], list[str]]:
    """Nodes to make, in order, and final layers to deliver.

    Before the pass "all" only what neighbouring tiles need (`Task.until`), and nothing is delivered.
    """
    order = topological_order(targets)
    if until != "all":
        from imperv.tasks.families import TASKS  # here: it loads every maker, which a list of layers does not need

        return topological_order([s for s in order if TASKS[s].until in UP_TO[until]]), []
    wanted = CATALOGUE if targets is None else targets
    return order, [s for s in CATALOGUE if s in wanted and CATALOGUE[s].delivery]
