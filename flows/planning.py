"""What a run would do, and why: the graph walked without running anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from flows.targets import DELIVER, resolve_targets, steps
from layers.catalogue import CATALOGUE
from tasks.delivery import delivery_standing
from tasks.errors import ImpervError
from tasks.job import Job, variables_of
from tasks.nodes import State, standing


@dataclass(frozen=True)
class Step:
    """One task run of a plan."""

    tile: str
    node: str
    state: State
    """run; maybe: run, with the same result expected; up to date."""
    reason: str
    bytes: int
    """What the layer takes before compression, bytes; 0 where it is not a raster."""


def plan_tile(job: Job, targets: Sequence[str] | None) -> list[Step]:
    """Steps of a tile in order."""
    order, products = steps(resolve_targets(targets))
    states: dict[str, State] = {}
    found = []
    for symbol in order:
        try:
            entry = standing(job, symbol, states)
            state, reason = entry.state, entry.reason
        except ImpervError as error:  # such as a missing reference: the run will say so too
            state, reason = "run", f"will fail: {error}"
        states[symbol] = state
        found.append(Step(str(job.tile), symbol, state, reason, _bytes(job, symbol)))
    for symbol in products:
        entry = delivery_standing(job, symbol, states)
        found.append(Step(str(job.tile), DELIVER + symbol, entry.state, entry.reason, 0))
    return found


def _bytes(job: Job, symbol: str) -> int:
    layer = CATALOGUE[symbol]
    if not layer.resolution:
        return 0
    pixels = int(np.prod(job.grid(layer.resolution).shape))
    return pixels * sum(np.dtype(v.dtype).itemsize * max(1, len(v.labels)) for v in variables_of(layer))


def as_table(found: Sequence[Step]) -> list[dict[str, Any]]:
    """For ``--json``."""
    return [asdict(step) for step in found]


STAGES = {
    "scenes": ("S2_then", "S2_now"),
    "features": ("PP_then", "PP_now", "NDVI_p0_then", "NDVI_p0_now", "RMSD", "CHM_raw", "CHM", "CHM_resampled"),
    "references": ("IMD_then", "IBU_then", "CLCP_then", "CLCP_now", "IBUD_ref"),
    "models": ("IMD_model", "IBUD_model", "IMD_MSK_then", "IMD_calibration"),
    "status": tuple(
        s for s in CATALOGUE if s in ("RIMD", "RIMD_sd", "RIBUD", "RIBUD_sd", "IMD_MSK_now", "IMD_now", "IBUD_now", "IBU_now", "IMD_now_resampled", "IBUD_now_resampled", "SBU", "IMDCL", "IBUCL")
    ),
    "change": tuple(
        s for s in CATALOGUE if s.startswith(("IMDC", "IMCC", "IBUDC", "IBUC", "SBUC", "SBCC", "SBU_then")) and s not in ("IMDCL", "IBUCL")
        or s.endswith("_mean")
    ),
    "delivery": (),
}  # fmt: skip
"""Columns of `imperv status`."""


def tile_status(job: Job) -> dict[str, Any]:
    """How far a tile is: done of all nodes in each stage, and what the last run said."""
    import json

    _, products = steps(None)
    stages = {}
    for stage, symbols in STAGES.items():
        if stage == "delivery":
            done, total = sum(delivery_standing(job, s).record is not None for s in products), len(products)
        else:
            done, total = sum(job.record(s) is not None for s in symbols), len(symbols)
        stages[stage] = {"done": done, "total": total}
    last = json.loads(job.store.read_text(f"runs/{job.tile}.data.json") or "{}")
    complete = all(s["done"] == s["total"] for s in stages.values())
    if job.store.is_locked(job.tile):
        state = "running"
    elif last.get("state") == "failed":
        state = "failed"
    elif complete:
        state = "done"
    else:
        state = "incomplete" if any(s["done"] for s in stages.values()) else "missing"
    why = last.get("why", "") if state == "failed" else ""
    if state == "incomplete" and last.get("state") == "running":
        why = "the last run was cut off; run again to go on"
    return {"tile": str(job.tile), "state": state, "why": why, "stages": stages}
