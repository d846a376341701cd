"""PP of a period that Landsat sees: composites with the detail of single dates, and NDVI, in the form of those of Sentinel-2.

Where the production's other period is seen by Sentinel-2, Landsat is brought to its scale (`landsat_lines`); what that is fitted
on is part of the key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import psutil
from odc.geo.geobox import GeoBox

from imperv.grids import Block, block_grid
from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.layers.harmonisation import Harmonisation
from imperv.tasks.engine import RESERVED
from imperv.tasks.errors import InputError, SceneError
from imperv.tasks.family.costs import Cost
from imperv.tasks.job import Job, Made, attributes
from imperv.tasks.landsat.features import LandsatYear
from imperv.tasks.landsat.metrics import Metrics
from imperv.tasks.landsat.reading import landsat_geobox
from imperv.tasks.landsat.scenes import LandsatList
from imperv.tasks.landsat.sharpening import Registered, Sharpened, register
from imperv.tasks.references.land import Land
from imperv.tasks.scenes.access import files_at_once
from imperv.tasks.scenes.scenes import SceneList
from imperv.tasks.scenes.survey import damaged, survey
from imperv.tasks.settings.scenes import LANDSAT
from imperv.tasks.yearly.features import NDVI_QUANTILE, QUANTILE
from imperv.tasks.yearly.landsat_lines import fit_lines
from imperv.tasks.yearly.lists import read_scene_list
from imperv.tasks.yearly.looks import Looks
from imperv.tasks.yearly.shards import PARTS, SHARD, Shard, assembled, sum_up, write_shard

VERSION = 1
"""Raised when the same scenes would give other features."""

SOLVE_NS = 12000.0
"""Core nanoseconds to solve a pixel of 10 m and those around its part for the detail of one date."""
REACH = 90
"""Pixels of 10 m around a part that are solved with it."""
REST_NS = 12000.0
"""The same for what else a pixel takes: reading, composites, NDVI, warping."""


@dataclass(frozen=True)
class _Block:
    """A shard of PP; may travel to another process."""

    year: LandsatYear
    grid: GeoBox
    land: Land
    edge: int
    out: Any
    layer: Layer

    def __call__(self, block: Block) -> Shard:
        here = block.geobox(self.grid)
        arrays = assembled(here, (self.edge, self.edge), self.year)
        return write_shard(self.out, self.layer, self.land, arrays, block, Block(0, 0, *block.shape))


def partner(job: Job, layer: Layer) -> str:
    """Scene list of the other period, if Sentinel-2 sees it and Landsat the layer's; or empty."""
    sources = (s for s, la in CATALOGUE.items() if la.kind == "source" and la.stem == CATALOGUE[layer.inputs[0]].stem)
    others = [s for s in sources if s != layer.inputs[0]]
    return next((s for s in others if job.production.scenes.of(CATALOGUE[s].role).sensor != LANDSAT), "")


def features_external(job: Job, layer: Layer) -> dict[str, Any]:
    """What the features of a year depend on beside its scenes: of Landsat the scenes of Sentinel-2 that it is brought to."""
    if job.production.scenes.of(layer.role).sensor != LANDSAT:
        return {}
    found: dict[str, Any] = {"landsat": {"version": VERSION, "dates": job.production.parameters.preprocessing.landsat_dates}}
    if other := partner(job, layer):
        record = job.record(other)
        found["harmonised on"] = record.digest if record else None
    return found


def landsat_features(job: Job, layer: Layer, scenes: LandsatList, lost: dict[str, str], land: Land) -> Made:
    """Compute and store the features of a Landsat year; raises as `preprocessing.make_pp`."""
    production, engine = job.production, job.engine
    access, period = production.scenes.of(layer.role).access, job.period(layer)[0]
    threads = files_at_once((f.href for s in scenes.scenes for f in s.bands.values()), engine.settings.workers, access)
    metrics = Metrics(
        scenes.groups, landsat_geobox(job.bounds, str(job.grid(10).crs)), period, (QUANTILE,), access=access, threads=threads
    )
    most = production.parameters.preprocessing.landsat_dates
    dates = register(metrics, most) if most else ()
    lines = _lines(job, layer, metrics, scenes.sensor)
    year = LandsatYear(Sharpened(metrics, dates, {}), NDVI_QUANTILE, lines)
    grid, blocks = job.grid(10), list(block_grid(job.grid(10), SHARD))
    edge, size = plan_parts(job, year, layer.symbol)
    before = psutil.Process().memory_info().rss
    with job.store.writing_arrays(job.place(layer.symbol), grid, 10, layer.variables, attributes(job, layer)) as out:
        shards = engine.map(_Block(year, grid, land, edge, out, layer), blocks, size, layer.symbol)
        observed = sum_up(job, layer, land, shards)
    statistics = observed.statistics | {
        "sensor": scenes.sensor,
        "overpasses": len(scenes.overpasses),
        "scenes": len(scenes.scenes),
        "lost_scenes": lost,
        "lost_items": scenes.reasons,
        "dates": [_told(date) for date in dates],
        "harmonisation": lines.to_json() if lines else None,
        "planned_block_bytes": size,
        "projected_memory": before + size * min(engine.at_once(size, layer.symbol), len(blocks)),
    }
    warnings = [f"scene {name} left out: {why}" for name, why in (lost | scenes.reasons).items()]
    if most and not dates:
        warnings.append("no date of Landsat could be registered: composites are interpolated to 10 m, without detail of dates")
    if lines is None:
        warnings.append("Landsat sees both periods: its features are on the scale of its sensors, not of Sentinel-2")
    return Made(observed.digest, statistics, (*warnings, *observed.warnings))


def _told(date: Registered) -> dict[str, Any]:
    return {"scene": date.scene.id, "shift": [round(s, 3) for s in date.shift], "clear": round(date.clear, 3)}


def _lines(job: Job, layer: Layer, metrics: Metrics, sensor: str) -> Harmonisation | None:
    """Lines to the Sentinel-2 of the other period; None where that is Landsat's too."""
    symbol = partner(job, layer)
    if not symbol:
        return None
    if job.record(symbol) is None:
        raise InputError(
            f"{layer.symbol} of tile {job.tile}: Landsat is brought to the scale of {symbol}, which is not done; "
            "run the tile without --target, or name it too"
        )
    other, access = read_scene_list(job, symbol), job.production.scenes.of(CATALOGUE[symbol].role).access
    assert isinstance(other, SceneList)
    lost = survey(other.scenes, job.engine.settings.workers, access).lost
    periods = f"{job.period(layer)[0]} and {job.period(CATALOGUE[symbol])[0]}"

    def fit(kept: SceneList) -> Harmonisation:
        # Extents of scenes are known in the grid's reference system, not in that of the zone: all are asked.
        return fit_lines(job, layer, metrics, sensor, kept, Looks.of(kept, None, access), periods)

    return without_lost(other, lost, fit, lambda left: damaged(left, job.engine.settings.workers, access))


def without_lost(
    scenes: Any, lost: dict[str, str], work: Callable[[Any], Any], look: Callable[[Iterable[Any]], dict[str, str]]
) -> Any:
    """What `work` gives for the scenes of a list that are not `lost`, to which it adds those that cannot be read.

    Starting again costs everything so far: then `look` looks for all other damage first, once. A scene that is none of the list's
    is somebody else's.
    """
    while True:
        kept = replace(scenes, scenes=tuple(s for s in scenes.scenes if s.id not in lost))
        try:
            return work(kept)
        except SceneError as error:
            if error.scene in lost or all(s.id != error.scene for s in kept.scenes):
                raise
            lost[error.scene] = error.reason
            lost |= look([s for s in kept.scenes if s.id not in lost])


def plan_parts(job: Job, year: LandsatYear, what: str) -> tuple[int, int]:
    """Edge of the parts of a shard, and the bytes of a shard; InputError if not even small parts fit into memory."""
    grid = job.grid(10)
    rows, columns = (min(SHARD, side) for side in (grid.shape.y, grid.shape.x))
    planes = rows * columns * (10 * 2 + 8 * 4 + 2)
    for edge in PARTS:
        part = Block(0, 0, min(edge, rows), min(edge, columns)).geobox(grid)
        size = 2 * planes + year.bytes(part)
        if size <= job.engine.budget:
            break
    job.engine.at_once(size, what)
    return edge, size


def landsat_cost(job: Job, overpasses: int) -> Cost:
    """Of the features of a Landsat year with so many overpasses."""
    grid, dates = job.grid(10), min(job.production.parameters.preprocessing.landsat_dates, overpasses)
    pixels = grid.shape.y * grid.shape.x
    around = (1 + 2 * REACH / min(PARTS[0], grid.shape.y)) * (1 + 2 * REACH / min(PARTS[0], grid.shape.x))
    seconds = pixels * (around * SOLVE_NS * dates + REST_NS) / 1e9
    decoded = int(pixels / 9 * 2 * (6 * 2 + 2 + 2) * overpasses)
    return Cost(seconds, RESERVED + job.engine.budget // 2, decoded)
