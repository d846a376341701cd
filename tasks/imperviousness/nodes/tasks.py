"""The task of every node of imperviousness."""

from __future__ import annotations

from dataclasses import replace

from imperv.tasks.imperviousness.nodes.alignment import make_shift
from imperv.tasks.imperviousness.nodes.calibration import calibrates_alone, calibration_external, make_calibration
from imperv.tasks.imperviousness.nodes.clcplus import clcplus_external, clcplus_missing, make_clcplus_now, not_needed
from imperv.tasks.imperviousness.nodes.distance import distance_external, make_distance, shape_files
from imperv.tasks.imperviousness.nodes.proxy import make_proxy, make_proxy_model
from imperv.tasks.imperviousness.nodes.recipes import RECIPES, make_by_recipe
from imperv.tasks.imperviousness.nodes.whole_tile import make_chm, make_chm_raw
from imperv.tasks.job import Job
from imperv.tasks.networks.models import START, make_model, model_external
from imperv.tasks.networks.predicting import make_prediction, prediction_external
from imperv.tasks.networks.registry import imported, imported_reason
from imperv.tasks.references.footprints import footprints_external, make_footprints
from imperv.tasks.references.references import SETTING, check_reference, make_reference, open_reference, reference_external
from imperv.tasks.references.sources import check_footprints
from imperv.tasks.task import Task
from imperv.tasks.vectors.osm import check_shapes
from imperv.tasks.yearly.freezing import make_scene_list, scenes_external
from imperv.tasks.yearly.preprocessing import make_pp, pp_trouble


def _check_reference(job: Job, symbol: str) -> None:
    path, source = open_reference(job, symbol)
    with source:
        check_reference(job, symbol, source, path)


def _check_clcplus(job: Job, symbol: str) -> None:
    """Its file, or those of the proxy that takes its place."""
    if not clcplus_missing(job):
        return _check_reference(job, symbol)
    for theme, paths in shape_files(job).items():
        for path in paths:
            check_shapes(path, theme)
    return None


_SCENES = Task(make_scene_list, scenes_external)
_FEATURES = Task(make_pp, stale=pp_trouble)
_MODEL = Task(
    make_model, model_external, history=(START,),
    fixed=lambda job, symbol, record: imported_reason(job, symbol, record) if imported(record) else None,
)  # fmt: skip
_PREDICTION = Task(make_prediction, prediction_external)

TASKS: dict[str, Task] = {
    "S2_then": _SCENES,
    "S2_now": _SCENES,
    "PP_then": _FEATURES,
    "PP_now": _FEATURES,
    "PP_shift": Task(make_shift),
    **dict.fromkeys(SETTING, Task(make_reference, reference_external, preflight=_check_reference)),
    "CLCP_now": Task(make_clcplus_now, clcplus_external, preflight=_check_clcplus),
    "OSM_distance": Task(make_distance, distance_external, not_needed),
    "CLCP_proxy_model": Task(make_proxy_model, not_needed=not_needed),
    "CLCP_proxy": Task(make_proxy, not_needed=not_needed),
    "IBUD_ref": Task(make_footprints, footprints_external, preflight=lambda job, symbol: check_footprints(job)),
    "CHM_raw": Task(make_chm_raw),
    "CHM": Task(make_chm),
    "IMD_model": _MODEL,
    "IBUD_model": _MODEL,
    "RIMD": _PREDICTION,
    "RIBUD": _PREDICTION,
    "IMD_calibration": Task(make_calibration, calibration_external, history=("neighbours",), alone=calibrates_alone),
    **dict.fromkeys(RECIPES, Task(make_by_recipe)),
}

# Models of small windows learn from the features of their neighbours; predictions use the neighbours' models and features,
# calibrations their samples.
for _symbol in ("PP_then", "PP_now", "IMD_then", "CLCP_then", "IBUD_ref"):
    TASKS[_symbol] = replace(TASKS[_symbol], until="features")
for _symbol in ("IMD_model", "IBUD_model", "NDVI_p0_then", "IMD_MSK_then", "IBU_then"):
    TASKS[_symbol] = replace(TASKS[_symbol], until="models")
