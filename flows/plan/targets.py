"""What a request means: symbols of the layers asked for, and the steps that they need, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imperv.layers.catalogue import CATALOGUE, DEFAULT, family_of, layers_of, resolve, topological_order, upstream
from imperv.tasks.errors import InputError
from imperv.tasks.families import family, task_of
from imperv.tasks.job import Job

if TYPE_CHECKING:
    from imperv.tasks.family.task import Until

DELIVER = "deliver "
"""Start of the name of a delivery's task run."""

UP_TO = {"features": ("features",), "models": ("features", "models")}
"""Passes before the last one, and what each has made at its end."""


def resolve_targets(targets: Sequence[str] | None, product: str = DEFAULT) -> list[str] | None:
    """Symbols of the layers asked for, None for all of the product; InputError if it has no such layer."""
    try:
        found = [resolve(name) for name in targets] if targets else None
    except ValueError as error:
        raise InputError(f"--target: {error}") from None
    if strange := next((symbol for symbol in found or () if family_of(symbol) != product), ""):
        raise InputError(f"--target: {strange} is of product {family_of(strange)}; this production makes {product}")
    return found


def steps(targets: Sequence[str] | None, until: Until = "all", product: str = DEFAULT) -> tuple[list[str], list[str]]:
    """Nodes to make, in order, and final layers to deliver: all of a product where no targets are given.

    Before the pass "all" only what neighbouring tiles need (`Task.until`), and nothing is delivered.
    """
    order = topological_order(targets, product)
    if until != "all":
        return topological_order([s for s in order if task_of(s).until in UP_TO[until]], product), []
    wanted = layers_of(product) if targets is None else targets
    return order, [s for s in CATALOGUE if s in wanted and CATALOGUE[s].delivery]


def before(job: Job, targets: Sequence[str] | None) -> list[tuple[Job, list[str]]]:
    """Jobs of other products whose layers are read, and these layers: they are made first."""
    wanted = upstream(resolve_targets(targets, job.family) or layers_of(job.family))
    found = []
    for production in family(job.family).before(job.production):
        read = sorted({
            name for symbol in wanted if family_of(symbol) == job.family for name in CATALOGUE[symbol].inputs
            if family_of(name) == production.product
        })  # fmt: skip
        if read:
            found.append((Job.of(production, str(job.tile), job.engine.progress), read))
    return found
