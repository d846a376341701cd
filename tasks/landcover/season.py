"""Seasons of the year around the span, where the networks see them: LC_year, LC_season (docs/landcover.md, Seasons)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from imperv.grids import Block
from imperv.layers.catalogue import Layer
from imperv.layers.features import HARMONIC_NAMES, QUANTILE_BANDS, stack_features
from imperv.tasks.family.task import Task
from imperv.tasks.job import Job
from imperv.tasks.store.records import Record
from imperv.tasks.yearly.costs import features_cost, features_made
from imperv.tasks.yearly.freezing import make_scene_list, require_enough, scenes_external
from imperv.tasks.yearly.preprocessing import make_pp, pp_trouble

SEASONAL = tuple(f"{band}_q20" for band in QUANTILE_BANDS) + (*(f"NDVI_{name}" for name in HARMONIC_NAMES), "NDVI_q90")
"""Features that need a year."""


def seasonal_names(job: Job) -> tuple[str, ...]:
    """Features of the production's networks that need a year."""
    return tuple(name for name in job.production.parameters.unet.names if name in SEASONAL)


def not_needed(job: Job, symbol: str) -> str:
    """Why no year is read."""
    return "" if seasonal_names(job) else f"parameters.unet.features is {job.production.parameters.unet.features}"


def _external(job: Job, layer: Layer) -> Mapping[str, Any]:
    return scenes_external(job, layer) if seasonal_names(job) else {}


def _stale(job: Job, layer: Layer, record: Record) -> str:
    return pp_trouble(job, layer, record) if record.made else ""


YEAR = Task(make_scene_list, _external, not_needed=not_needed, require=require_enough, until="models")
SEASON = Task(make_pp, not_needed=not_needed, stale=_stale, cost=features_cost, cost_made=features_made, until="models")
"""Tasks of the two layers."""


def read_season(job: Job, block: Block, names: tuple[str, ...]) -> np.ndarray:
    """Seasonal features of a block of 5 m, (feature, y, x) float32, NaN no data: those of the 10 m pixels, bilinear."""
    group, rows_columns = job.group("LC_season"), job.grid(10).shape.yx
    coarse = block.coarser(2)
    outer = Block(
        max(coarse.y0 - 1, 0), max(coarse.x0 - 1, 0), min(coarse.y1 + 1, rows_columns[0]), min(coarse.x1 + 1, rows_columns[1])
    )
    found = stack_features(
        np.asarray(group["quantiles"][(slice(None), *outer.slices)]), np.asarray(group["ndvi_q90"][outer.slices]),
        np.asarray(group["harmonics"][(slice(None), *outer.slices)]), names,
    )  # fmt: skip
    fine = np.stack([doubled(plane) for plane in found])
    top, left = block.y0 - 2 * outer.y0, block.x0 - 2 * outer.x0
    return fine[:, top : top + block.shape[0], left : left + block.shape[1]]


def doubled(plane: np.ndarray) -> np.ndarray:
    """A plane on pixels of half the size, bilinear; at the edge and beside no data the nearest pixel."""
    near = plane.repeat(2, axis=0).repeat(2, axis=1)
    smooth = cv2.resize(plane, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)  # NaN spreads to what it takes part in
    return np.where(np.isfinite(smooth), smooth, near).astype("f4")
