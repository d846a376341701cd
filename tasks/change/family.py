"""The family of change: what shared code asks of the product."""

from __future__ import annotations

from imperv.layers.reflectance import COASTAL, REFLECTANCE_10M, REFLECTANCE_20M, SCL
from imperv.tasks.change.costs import classes_cost, date_cost, noise_cost, threshold_cost, vectors_cost
from imperv.tasks.change.delivery import ADDITIONS
from imperv.tasks.change.nodes import arrays_of_date, make_classes, make_date, make_noise, make_threshold, make_vectors
from imperv.tasks.change.starting import STARTING_FILE
from imperv.tasks.delivery.cog import cog_form
from imperv.tasks.family import Family
from imperv.tasks.family.costs import nothing
from imperv.tasks.family.task import Task
from imperv.tasks.job import Job
from imperv.tasks.yearly.freezing import freeze_scenes, require_any, scenes_external

SCENES = Task(freeze_scenes, scenes_external, require=require_any, cost=nothing)

TASKS = {
    **dict.fromkeys(("CH_S2_first", "CH_S2_second", "CH_S2_before", "CH_S2_after"), SCENES),
    **{symbol: Task(make_date, arrays=arrays_of_date, cost=date_cost) for symbol in ("CH_first", "CH_second")},
    "CH_noise": Task(make_noise, cost=noise_cost),
    "CH_threshold": Task(make_threshold, cost=threshold_cost),
    "CH_CVA": Task(make_vectors, cost=vectors_cost),
    "CH_classes": Task(make_classes, cost=classes_cost),
}
"""How each layer is made."""


def _report(job: Job) -> str:
    from imperv.tasks.change.report import write_report  # charts take a second to import

    return write_report(job)


FAMILY = Family(
    name="change",
    title="Change vectors and classes of change between two dates",
    method="Change (docs/change.md)",
    method_short="page",
    tasks=TASKS,
    form=cog_form("change", ADDITIONS),
    report=_report,
    bands=(*REFLECTANCE_10M, SCL),
    more_bands=(*REFLECTANCE_20M, *COASTAL),
    stages=("scenes", "features", "models", "layers"),
    compared=(("CH_CVA", "CH_classes"),),
    starting_file=STARTING_FILE,
)
