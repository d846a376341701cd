"""The family of super-resolution: what shared code asks of the product."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imperv.layers.catalogue.superresolution import SHARP
from imperv.layers.reflectance import SCL
from imperv.tasks.delivery.cog import cog_form
from imperv.tasks.family import Family
from imperv.tasks.family.costs import nothing
from imperv.tasks.family.task import Task
from imperv.tasks.superresolution.dates import make_shifts, no_shifts, shifts_cost
from imperv.tasks.superresolution.delivery import ADDITIONS
from imperv.tasks.superresolution.input import dates_cost, input_cost, make_dates, make_input
from imperv.tasks.superresolution.models import make_scene_model, model_cost, model_external, sharp_external
from imperv.tasks.superresolution.report import write_report
from imperv.tasks.superresolution.sharpening import (
    make_deviation,
    make_sharp,
    make_warped,
    not_at_5,
    sharpen_cost,
    warp_cost,
)
from imperv.tasks.superresolution.starting import STARTING_FILE
from imperv.tasks.yearly.freezing import freeze_scenes, require_any, scenes_external

TASKS = {
    "SR_S2": Task(freeze_scenes, scenes_external, require=require_any, cost=nothing),
    "SR_dates": Task(make_dates, cost=dates_cost),
    **{symbol: Task(make_input, cost=input_cost) for symbol in ("SR_B10", "SR_B20", "SR_B60", "SR_mask")},
    "SR_model": Task(make_scene_model, model_external, cost=model_cost),
    "SR_shifts": Task(make_shifts, not_needed=no_shifts, cost=shifts_cost),
    "SR10": Task(make_sharp, sharp_external, cost=sharpen_cost, network=True),
    "SR10_sd": Task(make_deviation, cost=warp_cost),
    "SR10_laea": Task(make_warped, cost=warp_cost),
    "SR5": Task(make_sharp, sharp_external, not_needed=not_at_5, cost=sharpen_cost, network=True),
    "SR5_sd": Task(make_deviation, not_needed=not_at_5, cost=warp_cost),
    "SR5_laea": Task(make_warped, not_needed=not_at_5, cost=warp_cost),
}
"""How each layer is made."""


def _evaluate(*given: Any) -> dict[str, Any]:
    from imperv.tasks.superresolution.evaluation import evaluate  # what scores takes a second to import

    return evaluate(*given)


def _tables(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    from imperv.tasks.superresolution.evaluation import tables

    return tables(found)


FAMILY = Family(
    name="superresolution",
    title="All bands of Sentinel-2 at 10 m and 5 m",
    method="Super-resolution (docs/superresolution.md)",
    method_short="page",
    tasks=TASKS,
    form=cog_form("superresolution", ADDITIONS),
    report=write_report,
    bands=(*SHARP, SCL),
    levels=("L2A", "L1C"),
    stages=("scenes", "features", "models", "layers"),
    compared=(("SR_B10", "SR5_laea"), ("SR_B20", "SR10_laea")),
    starting_file=STARTING_FILE,
    evaluate=_evaluate,
    tables=_tables,
)
