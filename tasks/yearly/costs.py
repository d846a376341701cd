"""What the features of a year cost: every look is decoded with as much more as the blocks of files stand out of those of work."""

from __future__ import annotations

from typing import Any

from imperv.layers.catalogue import Layer
from imperv.tasks.engine import RESERVED
from imperv.tasks.family.costs import Cost
from imperv.tasks.job import Job
from imperv.tasks.landsat.scenes import LandsatList, frozen_list
from imperv.tasks.scenes.scenes import Scene, SceneList
from imperv.tasks.settings.scenes import LANDSAT
from imperv.tasks.yearly.features import KEPT_BYTES
from imperv.tasks.yearly.landsat import landsat_cost
from imperv.tasks.yearly.looks import FILE_BLOCK, Looks
from imperv.tasks.yearly.strips import plan_blocks

OVERPASSES = 100
"""Looks at a pixel in a year where no scene list is frozen yet."""

LANDSAT_OVERPASSES = 30
"""The same of Landsat: one satellite passes every 16 days, neighbouring paths overlap."""

DECODED_BYTES = 4 * 2 + 6 * 2 / 4 + 1 / 4
"""Bytes of a look at a pixel of 10 m: four bands at 10 m, six and the classification at 20 m."""

DECODE_NS = 22.0
"""Core nanoseconds to decode all bands of one look at a pixel of 10 m, deflate with predictor, by ISA-L."""
LOOK_NS = 85.0
"""Core nanoseconds for what else a look takes: mapping, interpolation, weights, quantiles and harmonics; on AVX2, with AVX-512 a
third."""
STORE_NS = 750.0
"""Core nanoseconds for a pixel however many looks it has: to solve, to compress and to write its features."""

OVERLAP = 0.07
"""Share of the ground that each further granule of an overpass shows again."""


def features_cost(job: Job, layer: Layer) -> Cost:
    """Of the features of a year, by its frozen list of scenes where there is one."""
    (scenes,) = layer.inputs
    text = job.store.read_text(job.place(scenes).data)
    found = frozen_list(text) if text is not None else None
    if isinstance(found, LandsatList):
        return landsat_cost(job, len(found.overpasses))
    if job.production.scenes.of(layer.role).sensor == LANDSAT:
        return landsat_cost(job, LANDSAT_OVERPASSES)
    if found is not None:
        return _looked_at(job, Looks.of(found))
    return _unseen(job, OVERPASSES, OVERPASSES)


def features_made(job: Job, layer: Layer) -> Cost:
    """As if they were not there, by what their record says of the scenes: no list of them is read."""
    record = job.record(layer.symbol)
    counts: Any = record.statistics if record else {}
    if "overpasses" in counts and job.production.scenes.of(layer.role).sensor == LANDSAT:
        return landsat_cost(job, counts["overpasses"])
    if "overpasses" not in counts or "scenes" not in counts:
        return features_cost(job, layer)
    return _unseen(job, counts["overpasses"], counts["scenes"])


def _unseen(job: Job, overpasses: int, scenes: int) -> Cost:
    """Cost of the features of so many scenes: all tiles of one shape cost the same."""
    key = (*job.grid(10).shape, job.engine.settings.model_dump_json(), overpasses, scenes)
    if key not in _UNSEEN:
        _UNSEEN[key] = _looked_at(job, unseen(overpasses, scenes))
    return _UNSEEN[key]


_UNSEEN: dict[Any, Cost] = {}
"""Cost of a year's features by shape, settings and numbers of overpasses and scenes."""


def _looked_at(job: Job, looks: Looks) -> Cost:
    return looking_cost(job, looks, KEPT_BYTES, LOOK_NS, STORE_NS)


def looking_cost(job: Job, looks: Looks, kept: int, look_ns: float, store_ns: float) -> Cost:
    """What it takes to read all bands of some looks, and to keep `kept` bytes of each pixel: rates as `LOOK_NS`, `STORE_NS`."""
    plan = plan_blocks(job, looks, kept)
    pixels = decoded = 0
    for block in plan.blocks:
        rows, columns = block.shape
        down, across = plan.part or block.shape
        again = (1 if plan.rows else -(-rows // down), -(-columns // across))
        pixels += rows * columns
        decoded += (rows + FILE_BLOCK * again[0]) * (columns + FILE_BLOCK * again[1])
    count = len(looks.overpasses)
    decoded = round(decoded * (1 + OVERLAP * (looks.granules / max(count, 1) - 1)))
    seconds = (count * (decoded * DECODE_NS + pixels * look_ns) + pixels * store_ns) / 1e9
    return Cost(seconds, RESERVED + plan.bytes * plan.at_once, int(count * decoded * DECODED_BYTES))


def unseen(overpasses: int, scenes: int) -> Looks:
    """So many scenes of which nothing is known but their number: they may lie anywhere."""
    return Looks.of(SceneList(tuple(_someone(k, k % overpasses) for k in range(scenes))))


def _someone(k: int, overpass: int) -> Scene:
    return Scene(str(k), "2021-01-01T00:00:00+00:00", str(overpass), "", "", None, 0, "", {})
