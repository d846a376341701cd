"""The family of crops: what shared code asks of the product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from imperv.tasks.crops.classifying import (
    check_model,
    look_at_model,
    make_confidence,
    make_map,
    make_probability,
    map_cost,
    model_external,
    probability_cost,
)
from imperv.tasks.crops.delivery import ADDITIONS
from imperv.tasks.crops.starting import STARTING_FILE
from imperv.tasks.delivery.cog import cog_form
from imperv.tasks.family import Family, ReferenceRaster
from imperv.tasks.family.before import beside
from imperv.tasks.family.costs import nothing
from imperv.tasks.family.task import Task
from imperv.tasks.job import Job
from imperv.tasks.references.references import reference_task
from imperv.tasks.settings.production import Production

_MASK = reference_task()


def _has_mask(job: Job) -> bool:
    return bool(job.production.references.mask)


TASKS = {
    "CR_mask": replace(
        _MASK,
        not_needed=lambda job, symbol: "" if _has_mask(job) else "references.mask is missing",
        external=lambda job, layer: _MASK.external(job, layer) if _has_mask(job) else {},
        preflight=lambda job, symbol: _MASK.preflight(job, symbol) if _has_mask(job) else None,
        look=lambda job, symbol: _MASK.look(job, symbol) if _has_mask(job) else iter(()),
        cost=lambda job, layer: _MASK.cost(job, layer) if _has_mask(job) else nothing(job, layer),
    ),
    "CR_probability": Task(
        make_probability, model_external, preflight=check_model, look=look_at_model, cost=probability_cost, network=True
    ),
    "CR_map": Task(make_map, cost=map_cost),
    "CR_confidence": Task(make_confidence, cost=map_cost),
}
"""How each layer is made."""


def composites_before(production: Production) -> Sequence[Production]:
    """The production of composites whose months are read."""
    own = production.parameters.composites
    parameters = {"composites": {"clear_weight": own.clear_weight, "fill": own.fill, "metrics": False}}
    return (beside(production, "composites", {"span": str(production.periods.span)}, parameters),)


def _report(job: Job) -> str:
    from imperv.tasks.crops.report import write_report

    return write_report(job)


FAMILY = Family(
    name="crops",
    title="Crop types of a season",
    method="Crop types (docs/crops.md)",
    method_short="page",
    tasks=TASKS,
    form=cog_form("crops", ADDITIONS),
    stages=("references", "layers"),
    references={"CR_mask": ReferenceRaster("mask")},
    compared=(("CR_map", "CR_confidence"),),
    starting_file=STARTING_FILE,
    before=composites_before,
    report=_report,
)
"""The product."""
