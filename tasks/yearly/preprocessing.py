"""PP: yearly quantiles and harmonics of every pixel of a tile (ATBD 4.2.1), and what of its scenes is lost."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import numpy as np
import psutil
from odc.geo.geobox import GeoBox

from imperv.layers.catalogue import Layer
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.job import Job, Made, attributes
from imperv.tasks.landsat.scenes import LandsatList
from imperv.tasks.references.land import Land
from imperv.tasks.scenes.access import ACCESS_REFUSED, RAN_OUT
from imperv.tasks.scenes.offset_check import check_offsets
from imperv.tasks.scenes.scenes import SceneList
from imperv.tasks.scenes.streams import Streams
from imperv.tasks.scenes.survey import Survey, damaged, readable, survey
from imperv.tasks.store.records import Record
from imperv.tasks.yearly.features import KEPT_BYTES, STEPS, yearly_features
from imperv.tasks.yearly.landsat import landsat_features, without_lost
from imperv.tasks.yearly.lists import read_scene_list
from imperv.tasks.yearly.looks import Looks
from imperv.tasks.yearly.shards import least_observed, sum_up, too_little, write_shard
from imperv.tasks.yearly.strips import Strips, plan_blocks


def make_pp(job: Job, layer: Layer) -> Made:
    """Compute and store the yearly features of a tile.

    WorkError if too many scenes cannot be read, or a server does not answer. InputError if too few scenes or clear looks are
    left, scenes show too little of the land, a block does not fit into memory, or the offset of some scenes was decided wrongly.
    """
    workers, access = job.production.engine.workers, job.production.scenes.of(layer.role).access
    scenes, land = read_scene_list(job, layer.inputs[0]), Land.of(job)
    found = Survey() if isinstance(scenes, LandsatList) else survey(scenes.scenes, workers, access)

    def compute(kept: Any) -> Made:
        require_left(job, layer, scenes, found.lost)
        if isinstance(kept, LandsatList):
            return landsat_features(job, layer, kept, found.lost, land)
        return _compute(job, layer, kept, found, land)

    return without_lost(scenes, found.lost, compute, lambda left: damaged(left, workers, access))  # type: ignore[no-any-return]


def require_left(job: Job, layer: Layer, scenes: SceneList | LandsatList, lost: dict[str, str]) -> None:
    """WorkError if too many scenes of a list are lost, InputError if too few overpasses are left."""
    settings = job.production.parameters.preprocessing
    missing, in_all = lost | scenes.reasons, len(scenes.scenes) + len(scenes.lost)
    if len(missing) > settings.max_lost_share * in_all:
        names = "; ".join(f"{name}: {why}" for name, why in list(missing.items())[:5])
        raise WorkError(
            f"{layer.symbol} of tile {job.tile}: {len(missing)} of {in_all} scenes cannot be read ({names}); "
            f"{remedy(missing.values(), settings.max_lost_share * in_all)}"
        )
    overpasses = len({s.overpass for s in scenes.scenes if s.id not in lost})
    if overpasses < settings.min_observations:
        raise InputError(too_few(job, layer, overpasses))


def remedy(reasons: Collection[str], allowed: float) -> str:
    """What to do about scenes that cannot be read: what is wrong with so many that the others alone would be put up with."""
    if sum(RAN_OUT not in why for why in reasons) <= allowed:
        return "signatures may have run out: sign the addresses in scenes.catalogue again and run with --refresh-scenes"
    if sum(not ACCESS_REFUSED.search(why) for why in reasons) <= allowed:
        return "access is refused: correct the keys or settings of scenes.access, or sign the addresses in scenes.catalogue"
    return "mend the files or raise parameters.preprocessing.max_lost_share"


def _features(
    looks: Looks, done: Callable[[], None] | None, grid: GeoBox, threads: int, told: Callable[[int], None], streams: Streams
) -> dict[str, np.ndarray]:
    return yearly_features(looks, grid, threads, done or (lambda: None), told, streams)


def _compute(job: Job, layer: Layer, scenes: SceneList, found: Survey, land: Land) -> Made:
    _require_extent(job, layer, scenes, found, land)
    engine, lost = job.engine, found.lost
    grid, looks = job.grid(10), Looks.of(scenes, found.bounds, job.production.scenes.of(layer.role).access)
    offsets = check_offsets(job, layer, scenes)
    plan, before = plan_blocks(job, looks, KEPT_BYTES), psutil.Process().memory_info().rss
    local = not engine.settings.dask_address
    done = engine.counter(len(STEPS) * plan.parts) if local else None
    compute = partial(_features, looks, done)
    with job.store.writing_arrays(job.place(layer.symbol), grid, 10, layer.variables, attributes(job, layer)) as out:
        work = Strips(compute, partial(write_shard, out, layer, land), grid, plan)
        made = engine.map(work, plan.blocks, plan.bytes, layer.symbol, most=plan.at_once, tell=not local)
        observed = sum_up(job, layer, land, [shard for block, _ in made for shard in block])
    statistics = observed.statistics | {
        "overpasses": len(scenes.overpasses),
        "scenes": len(scenes.scenes),
        "lost_scenes": lost,
        "lost_items": scenes.reasons,
        "offset_check": offsets,
        "bytes_read": sum(read for _, read in made),
        "planned_block_bytes": plan.bytes,
        "projected_memory": before + plan.bytes * plan.at_once,
        "blocks": len(plan.blocks),
        "blocks_at_once": plan.at_once,
    }
    warnings = [f"scene {name} left out: {why}" for name, why in (lost | scenes.reasons).items()]
    return Made(observed.digest, statistics, (*warnings, *observed.warnings, *filter(None, [offsets["doubt"]])))


def _require_extent(job: Job, layer: Layer, scenes: SceneList, found: Survey, land: Land) -> None:
    """Refuse scenes whose extents leave out too much of the land, before their pixels are read."""
    boxes = [found.bounds.get(s.id) for s in scenes.scenes]
    if None not in boxes:
        share = land.inside(job, filter(None, boxes)) / land.pixels
        if share < least_observed(job):
            raise InputError(too_little(job, layer, land, share, "at most"))


def too_few(job: Job, layer: Layer, count: int) -> str:
    """Message for a tile with too few overpasses."""
    period = job.period(layer)[0]
    return (
        f"{layer.symbol} of tile {job.tile}: {count} overpasses in {period}, "
        f"{job.production.parameters.preprocessing.min_observations} are needed; "
        "add scenes to scenes.catalogue or lower parameters.preprocessing.min_observations"
    )


def pp_trouble(job: Job, layer: Layer, record: Record) -> str:
    """Why features must be made again although their key fits (limits, scenes that may be mended); empty if they need not."""
    settings, found = job.production.parameters.preprocessing, record.statistics
    lost, looks = found["lost_scenes"], found["looks"]
    if found["overpasses"] < settings.min_observations:
        return "has fewer overpasses than parameters.preprocessing.min_observations"
    in_all = len(lost) + len(found.get("lost_items", ()))
    if in_all > settings.max_lost_share * (found["scenes"] + in_all):
        return "has lost more scenes than parameters.preprocessing.max_lost_share"
    if sum(looks[settings.min_clear :]) < settings.min_valid_share * sum(looks):
        return "has fewer clear looks than parameters.preprocessing ask for"
    if found.get("observed_share", 1) < least_observed(job):
        return "has observed less of the land than parameters.preprocessing.min_observed_share"
    if lost:
        again = [s for s in read_scene_list(job, layer.inputs[0]).scenes if s.id in lost]
        if readable(again, job.production.engine.workers, job.production.scenes.of(layer.role).access):
            return "scenes that could not be read can be read now"
    return ""
