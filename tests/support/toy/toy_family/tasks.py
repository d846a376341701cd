"""How the layers are made."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from imperv.grids import Block
from imperv.layers.catalogue import Layer
from imperv.layers.reflectance import SCL, shift_offset
from imperv.layers.scl import scl_weights
from imperv.tasks.family.costs import Cost, by_block, nothing, pixels_of, resident
from imperv.tasks.family.task import Task
from imperv.tasks.job import BlockReport, Job, Made, attributes, report, summarise
from imperv.tasks.scenes.reading import read_band
from imperv.tasks.scenes.scenes import SceneList
from imperv.tasks.yearly.freezing import freeze_scenes, require_any, scenes_external
from toy_family.catalogue import BANDS

LOOK_BYTES = 16
"""Of a pixel and look: two bands, their copies and the mask."""


@dataclass(frozen=True)
class MosaicBlock:
    """One block of the mosaic."""

    scenes: SceneList
    grid: Any
    out: Any
    layer: Layer
    clear: int

    def __call__(self, block: Block) -> BlockReport:
        here, looks = block.geobox(self.grid), []
        for scene in self.scenes.scenes:
            clear = scl_weights(read_band(scene.bands[SCL], scene.id, here, classes=True)) >= self.clear
            bands = [shift_offset(read_band(scene.bands[band], scene.id, here), scene.subtract) for band in BANDS]
            looks.append(np.where(clear & (np.array(bands) > 0), np.array(bands, "f4"), np.nan))
        with np.errstate(all="ignore"):
            median = np.nanmedian(looks, axis=0)
        mosaic = np.nan_to_num(np.rint(median)).astype("uint16")
        self.out[(slice(None), *block.slices)] = mosaic
        return report({self.layer.symbol: mosaic}, self.layer)


def make_mosaic(job: Job, layer: Layer) -> Made:
    scenes = SceneList.from_json(job.store.read_text(job.place("TOY_S2").data) or "")
    grid, blocks = job.grid_of(layer), job.blocks_of(layer)
    place, size = job.place(layer.symbol), blocks[0].shape[0] * blocks[0].shape[1] * LOOK_BYTES * (len(scenes.scenes) + 2)
    with job.store.writing_arrays(place, grid, layer.resolution, layer.variables, attributes(job, layer)) as out:
        work = MosaicBlock(scenes, grid, out[layer.symbol], layer, job.production.parameters.mosaic.clear)
        digest, statistics = summarise(layer, job.engine.map(work, blocks, size, layer.symbol))
    return Made(digest, statistics)


def ndvi(mosaic: np.ndarray) -> np.ndarray:
    red, near = mosaic.astype("f4")
    with np.errstate(all="ignore"):
        return np.where((red > 0) & (near > 0), (near - red) / (near + red), np.nan)


def neighbours(job: Job) -> list[Job]:
    return [other for other in job.area_neighbours() if other.usable("TOY_mosaic")]


def model_external(job: Job, layer: Layer) -> Mapping[str, Any]:
    return {"neighbours": {str(other.tile): other.record("TOY_mosaic").version for other in neighbours(job)}}


def make_model(job: Job, layer: Layer) -> Made:
    """The middle of the NDVI of the tile and its neighbours."""
    values = np.concatenate([ndvi(other.array("TOY_mosaic")[:]).ravel() for other in (job, *neighbours(job))])
    text = json.dumps({"ndvi": round(float(np.nanmedian(values)), 6), "tiles": 1 + len(neighbours(job))}) + "\n"
    job.store.remove_record(job.place(layer.symbol).record)
    job.store.write_text(job.place(layer.symbol).data, text)
    return Made(hashlib.sha256(text.encode()).hexdigest(), json.loads(text))


@dataclass(frozen=True)
class MapBlock:
    """One block of the map."""

    mosaic: Any
    out: Any
    layer: Layer
    limit: float

    def __call__(self, block: Block) -> BlockReport:
        values = ndvi(self.mosaic[(slice(None), *block.slices)])
        codes = np.where(np.isnan(values), 0, 1 + (values > self.limit)).astype("uint8")
        self.out[block.slices] = codes
        return report({self.layer.symbol: codes}, self.layer)


def make_map(job: Job, layer: Layer) -> Made:
    model = json.loads(job.store.read_text(job.place("TOY_model").data) or "")
    grid, blocks, place = job.grid_of(layer), job.blocks_of(layer), job.place(layer.symbol)
    with job.store.writing_arrays(place, grid, layer.resolution, layer.variables, attributes(job, layer)) as out:
        limit = model["ndvi"] + job.production.parameters.green.more
        work = MapBlock(job.array("TOY_mosaic"), out[layer.symbol], layer, limit)
        size = blocks[0].shape[0] * blocks[0].shape[1] * 32
        digest, statistics = summarise(layer, job.engine.map(work, blocks, size, layer.symbol))
    return Made(digest, statistics)


def mosaic_cost(job: Job, layer: Layer) -> Cost:
    """Ten looks, each decoded and sorted, at four times the pixels of 10 m."""
    pixels = 4 * pixels_of(job)
    return Cost(pixels * 10 * 60 / 1e9, resident(job, min(pixels, 2000 * 2000) * LOOK_BYTES * 12), pixels * 10)


TASKS = {
    "TOY_S2": Task(freeze_scenes, scenes_external, require=require_any, cost=nothing, until="features"),
    "TOY_mosaic": Task(make_mosaic, cost=mosaic_cost, until="features"),
    "TOY_model": Task(make_model, model_external, cost=by_block(10), until="models"),
    "TOY_map": Task(make_map, cost=by_block(40)),
}
