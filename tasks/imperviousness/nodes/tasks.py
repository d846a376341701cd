"""The task of every node of imperviousness."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from imperv.tasks.family.costs import by_block, nothing
from imperv.tasks.family.findings import Remark, doubtful, fine
from imperv.tasks.family.task import Task
from imperv.tasks.imperviousness.nodes.alignment import make_shift
from imperv.tasks.imperviousness.nodes.calibration import calibrates_alone, calibration_external, make_calibration
from imperv.tasks.imperviousness.nodes.clcplus import clcplus_external, clcplus_missing, make_clcplus_now, not_needed
from imperv.tasks.imperviousness.nodes.costs import (
    DISTANCE_COST,
    FOOTPRINTS_COST,
    only_for_proxy,
    prediction_cost,
    proxy_training_cost,
    training_cost,
    whole_mask_cost,
)
from imperv.tasks.imperviousness.nodes.distance import distance_external, make_distance, shape_files
from imperv.tasks.imperviousness.nodes.models import START, make_model, model_external
from imperv.tasks.imperviousness.nodes.predicting import make_prediction, prediction_external
from imperv.tasks.imperviousness.nodes.proxy import make_proxy, make_proxy_model
from imperv.tasks.imperviousness.nodes.recipes import RECIPES, make_by_recipe
from imperv.tasks.imperviousness.nodes.whole_tile import make_chm, make_chm_raw
from imperv.tasks.job import Job
from imperv.tasks.networks.registry import imported, imported_reason
from imperv.tasks.references.footprints import footprints_external, look_at_footprints, make_footprints
from imperv.tasks.references.references import look_at_reference, preflight_reference, reference_task
from imperv.tasks.references.sources import check_footprints
from imperv.tasks.vectors.osm import check_shapes
from imperv.tasks.yearly.costs import features_cost, features_made
from imperv.tasks.yearly.freezing import make_scene_list, require_enough, scenes_external
from imperv.tasks.yearly.landsat import features_external
from imperv.tasks.yearly.preprocessing import make_pp, pp_trouble


def _check_clcplus(job: Job, symbol: str) -> None:
    """Its file, or those of the proxy that takes its place."""
    if not clcplus_missing(job):
        return preflight_reference(job, symbol)
    for theme, paths in shape_files(job).items():
        for path in paths:
            check_shapes(path, theme)
    return None


def _look_at_clcplus(job: Job, symbol: str) -> Iterator[Remark]:
    reason = clcplus_missing(job)
    if not reason:
        yield from look_at_reference(job, symbol)
        return
    references = job.production.references
    remark = doubtful if references.clcplus_now else fine
    yield remark(f"{job.tile}: references.clcplus_now: {reason}: a proxy takes its place")
    for theme, paths in shape_files(job).items():
        for path in paths:
            yield fine(f"{job.tile}: references.{theme}: {path}, layers with {theme}: {', '.join(check_shapes(path, theme))}")


def no_change(job: Job, symbol: str) -> str:
    """Why there is no change to map: changes go from `then` to `now`, and a year before the references is mapped for itself."""
    periods = job.production.periods
    return f"now ({periods.now}) lies before then ({periods.then}): changes are not made" if periods.backward else ""


_SCENES = Task(make_scene_list, scenes_external, require=require_enough, cost=nothing)
_FEATURES = Task(make_pp, features_external, stale=pp_trouble, cost=features_cost, cost_made=features_made)
_MODEL = Task(
    make_model, model_external, history=(START,), cost=training_cost, network=True,
    fixed=lambda job, symbol, record: imported_reason(job, symbol, record) if imported(record) else None,
)  # fmt: skip
_PREDICTION = Task(make_prediction, prediction_external, cost=prediction_cost, network=True)

RECIPE_NS: dict[str, float] = {
    "RMSD": 160, "NDVI_p0_then": 36, "NDVI_p0_now": 36, "CHM_resampled": 19, "IMDC": 34, "IMDCS": 32, "IBUDC": 32, "IBUDCS": 32,
    "IMCC": 18, "IMCCS": 18, "IBUC": 17, "IBUCS": 17, "IMDC_resampled": 3, "IMDCS_resampled": 3, "SBUC": 3, "SBUCS": 3, "SBCC": 1,
    "SBCCS": 1, "IBUD_now_resampled": 6, "IMD_now_resampled": 6, "SBU_then": 5, "SBU": 5, "RIMD_sd": 39, "RIBUD_sd": 39,
    "IMDCL": 36, "IBUCL": 36, "IMD_MSK_then": 28, "IMD_MSK_now": 28, "IMD_now": 34,
}  # fmt: skip
"""Core nanoseconds by pixel of 10 m of recipes other than `BLOCK_NS`."""

TASKS: dict[str, Task] = {
    "S2_then": _SCENES,
    "S2_now": _SCENES,
    "PP_then": _FEATURES,
    "PP_now": _FEATURES,
    "PP_shift": Task(make_shift, cost=by_block(32)),
    "IMD_then": reference_task(),
    "IBU_then": reference_task(),
    "CLCP_then": reference_task(),
    "CLCP_now": replace(
        reference_task(), make=make_clcplus_now, external=clcplus_external, preflight=_check_clcplus, look=_look_at_clcplus
    ),
    "OSM_distance": Task(make_distance, distance_external, not_needed, cost=DISTANCE_COST),
    "CLCP_proxy_model": Task(make_proxy_model, not_needed=not_needed, cost=only_for_proxy(proxy_training_cost)),
    "CLCP_proxy": Task(make_proxy, not_needed=not_needed, cost=only_for_proxy(by_block(4500))),
    "IBUD_ref": Task(
        make_footprints,
        footprints_external,
        preflight=lambda job, symbol: check_footprints(job),
        look=look_at_footprints,
        cost=FOOTPRINTS_COST,
    ),
    "CHM_raw": Task(make_chm_raw, not_needed=no_change, cost=by_block(46)),
    "CHM": Task(make_chm, not_needed=no_change, cost=whole_mask_cost),
    "IMD_model": _MODEL,
    "IBUD_model": _MODEL,
    "RIMD": _PREDICTION,
    "RIBUD": _PREDICTION,
    "IMD_calibration": Task(
        make_calibration, calibration_external, history=("neighbours",), alone=calibrates_alone, cost=by_block(37)
    ),
    **{
        symbol: Task(make_by_recipe, cost=by_block(RECIPE_NS[symbol]) if symbol in RECIPE_NS else by_block())
        for symbol in RECIPES
    },
}

# What is made of these in turn is not made either.
TASKS["RMSD"] = replace(TASKS["RMSD"], not_needed=no_change)

# Models of small windows learn from the features of their neighbours; predictions use the neighbours' models and features,
# calibrations their samples.
for _symbol in ("PP_then", "PP_now", "IMD_then", "CLCP_then", "IBUD_ref"):
    TASKS[_symbol] = replace(TASKS[_symbol], until="features")
for _symbol in ("IMD_model", "IBUD_model", "NDVI_p0_then", "IMD_MSK_then", "IBU_then"):
    TASKS[_symbol] = replace(TASKS[_symbol], until="models")
