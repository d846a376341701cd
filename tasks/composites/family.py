"""The family of composites: what shared code asks of the product."""

from __future__ import annotations

from imperv.layers.catalogue.composites import MONTHLY
from imperv.tasks.composites.costs import composite_cost, looks_cost
from imperv.tasks.composites.making import make_composite, make_list, make_looks
from imperv.tasks.composites.report import write_report
from imperv.tasks.composites.starting import STARTING_FILE
from imperv.tasks.delivery.cog import cog_form
from imperv.tasks.family import Family
from imperv.tasks.family.costs import nothing
from imperv.tasks.family.task import Task
from imperv.tasks.job import Job
from imperv.tasks.yearly.freezing import require_any, scenes_external


def _no_months(job: Job, symbol: str) -> str:
    """Why no composites of months are made."""
    if not job.production.parameters.composites.monthly:
        return "parameters.composites.monthly is false"
    return "" if job.production.periods.monthly else f"{job.production.periods.span} is longer than twelve months"


def _no_month(job: Job, symbol: str) -> str:
    month, periods = symbol.removeprefix("CO_"), job.production.periods
    return _no_months(job, symbol) or ("" if periods.within(month) else f"{periods.span} ends before month {month}")


def _no_metrics(job: Job, symbol: str) -> str:
    return "" if job.production.parameters.composites.metrics else "parameters.composites.metrics is false"


TASKS = {
    "CO_S2": Task(make_list, scenes_external, require=require_any, cost=nothing),
    **{symbol: Task(make_composite, not_needed=_no_month, cost=composite_cost) for symbol in MONTHLY},
    "CO_looks": Task(make_looks, not_needed=_no_months, cost=looks_cost),
    "CO_metrics": Task(make_composite, not_needed=_no_metrics, cost=composite_cost),
}
"""How each layer is made."""

FAMILY = Family(
    name="composites",
    title="Medians of months and spectral-temporal metrics",
    method="Composites (docs/composites.md)",
    method_short="page",
    tasks=TASKS,
    form=cog_form("composites"),
    report=write_report,
    stages=("scenes", "months", "metrics"),
    compared=(("CO_A", "CO_G"), ("CO_J", "CO_metrics")),
    starting_file=STARTING_FILE,
)
"""The product."""
