"""The task of every node of imperviousness."""

from __future__ import annotations

from imperv.tasks.imperviousness.calibration import calibration_external, make_calibration
from imperv.tasks.imperviousness.clcplus import clcplus_external, make_clcplus_now, not_needed
from imperv.tasks.imperviousness.distance import distance_external, make_distance
from imperv.tasks.imperviousness.proxy import make_proxy, make_proxy_model
from imperv.tasks.imperviousness.recipes import RECIPES, make_by_recipe
from imperv.tasks.imperviousness.whole_tile import make_chm, make_chm_raw
from imperv.tasks.networks.models import START, make_model, model_external
from imperv.tasks.networks.predicting import make_prediction, prediction_external
from imperv.tasks.networks.registry import imported, imported_reason
from imperv.tasks.references.footprints import footprints_external, make_footprints
from imperv.tasks.references.references import SETTING, make_reference, reference_external
from imperv.tasks.task import Task
from imperv.tasks.yearly.alignment import make_shift
from imperv.tasks.yearly.freezing import make_scene_list, scenes_external
from imperv.tasks.yearly.preprocessing import make_pp, pp_trouble

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
    **dict.fromkeys(SETTING, Task(make_reference, reference_external)),
    "CLCP_now": Task(make_clcplus_now, clcplus_external),
    "OSM_distance": Task(make_distance, distance_external, not_needed),
    "CLCP_proxy_model": Task(make_proxy_model, not_needed=not_needed),
    "CLCP_proxy": Task(make_proxy, not_needed=not_needed),
    "IBUD_ref": Task(make_footprints, footprints_external),
    "CHM_raw": Task(make_chm_raw),
    "CHM": Task(make_chm),
    "IMD_model": _MODEL,
    "IBUD_model": _MODEL,
    "RIMD": _PREDICTION,
    "RIBUD": _PREDICTION,
    "IMD_calibration": Task(make_calibration, calibration_external, history=("neighbours",)),
    **dict.fromkeys(RECIPES, Task(make_by_recipe)),
}
