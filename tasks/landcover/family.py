"""The family of land cover: what shared code asks of the product."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imperv.layers.catalogue import CATALOGUE
from imperv.layers.landcover.features import BANDS
from imperv.layers.reflectance import SCL
from imperv.tasks.delivery.cog import cog_form
from imperv.tasks.family import Family, ReferenceRaster
from imperv.tasks.family.costs import by_block, nothing
from imperv.tasks.family.task import Task
from imperv.tasks.family.teaching import Teaching
from imperv.tasks.job import Job
from imperv.tasks.landcover.before import sharpening_before
from imperv.tasks.landcover.delivery import ADDITIONS
from imperv.tasks.landcover.maps import make_base, make_confidence, map_cost
from imperv.tasks.landcover.model import make_model, model_external, require_model, training_cost
from imperv.tasks.landcover.mosaic import make_mosaic, mosaic_cost
from imperv.tasks.landcover.predicting import make_probability, planned_arrays, probability_cost, probability_external
from imperv.tasks.landcover.reference import (
    FOOTPRINTS,
    check_labels,
    make_reference_labels,
    optional_reference,
    reference_external,
)
from imperv.tasks.landcover.season import SEASON, YEAR
from imperv.tasks.landcover.starting import STARTING_FILE
from imperv.tasks.landcover.tuning import (
    make_training,
    make_tuned,
    make_tuned_model,
    not_tuned,
    training_external,
    tuned_cost,
    tuned_map_cost,
    way_external,
)
from imperv.tasks.landcover.types import (
    check_points,
    make_types,
    make_types_model,
    not_needed,
    points_external,
    types_cost,
    types_training_cost,
)
from imperv.tasks.networks.making import START
from imperv.tasks.networks.registry import imported, imported_reason
from imperv.tasks.samples import SampleRules
from imperv.tasks.settings.production import Production
from imperv.tasks.yearly.freezing import freeze_scenes, require_any, scenes_external

TASKS = {
    "LC_S2": Task(freeze_scenes, scenes_external, require=require_any, cost=nothing, until="models"),
    "LC_mosaic": Task(make_mosaic, cost=mosaic_cost, until="models"),
    "LC_year": YEAR,
    "LC_season": SEASON,
    "LC_clcplus": optional_reference("clcplus"),
    "LC_density": optional_reference("density"),
    "LC_footprints": FOOTPRINTS,
    "LC_reference": Task(
        make_reference_labels, reference_external, preflight=check_labels, cost=by_block(300), until="models"
    ),
    "LC_model": Task(
        make_model, model_external, history=(START,), preflight=require_model, cost=training_cost, network=True, until="models",
        fixed=lambda job, symbol, record: imported_reason(job, symbol, record) if imported(record) else None,
    ),
    "LC_probability": Task(make_probability, probability_external, arrays=planned_arrays, cost=probability_cost, network=True),
    "LC_base": Task(make_base, cost=map_cost),
    "LC_confidence": Task(make_confidence, cost=map_cost),
    "LC_training": Task(make_training, training_external, not_needed=not_tuned, cost=nothing),
    "LC_tuned_model": Task(make_tuned_model, way_external, not_needed=not_tuned, cost=tuned_cost),
    "LC_tuned": Task(make_tuned, not_needed=not_tuned, cost=tuned_map_cost),
    "LC_types_model": Task(
        make_types_model, points_external, not_needed=not_needed, preflight=check_points, cost=types_training_cost, network=True
    ),
    "LC_types": Task(make_types, not_needed=not_needed, cost=types_cost, network=True),
}  # fmt: skip
"""How each layer is made."""


def _evaluate(*given: Any) -> dict[str, Any]:
    from imperv.tasks.landcover.evaluation import evaluate  # what scores takes a second to import

    return evaluate(*given)


def _tables(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    from imperv.tasks.landcover.evaluation import tables

    return tables(found)


def _package(*given: Any) -> list[str]:
    from imperv.tasks.landcover.package import package

    return package(*given)


def _teaching() -> Teaching:
    from imperv.tasks.landcover.teaching import TEACHING

    return TEACHING


def _report(job: Job) -> str:
    from imperv.tasks.landcover.report import write_report

    return write_report(job)


def _outputs(production: Production) -> tuple[str, ...]:
    return tuple(one.name for one in production.parameters.classes.classes)


def _samples(production: Production) -> SampleRules:
    return SampleRules(production.parameters.classes.classes, CATALOGUE["LC_probability"].resolution)


FAMILY = Family(
    name="landcover",
    title="Urban land cover at 5 m, tuned by polygons; built-up types",
    method="Urban land cover (docs/landcover.md)",
    method_short="page",
    tasks=TASKS,
    form=cog_form("landcover", ADDITIONS),
    report=_report,
    bands=(*BANDS, SCL),
    stages=("scenes", "features", "references", "models", "layers"),
    references={
        "LC_clcplus": ReferenceRaster("clcplus"),
        "LC_density": ReferenceRaster("density", (254,), "bilinear"),
    },
    land=(("LC_clcplus",),),
    compared=(("LC_base", "LC_tuned"), ("LC_mosaic", "LC_base")),
    starting_file=STARTING_FILE,
    evaluate=_evaluate,
    tables=_tables,
    outputs=_outputs,
    samples=_samples,
    before=sharpening_before,
    package=_package,
    teaching=_teaching,
)
"""The product."""
