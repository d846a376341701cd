"""Costs of networks, calibration and proxy of imperviousness; rates of docs/performance.md."""

from __future__ import annotations

from functools import cache

import numpy as np

from imperv.grids import Tile
from imperv.grids.tiles import TILE_METRES
from imperv.layers.catalogue import Layer
from imperv.tasks.engine import RESERVED
from imperv.tasks.family.costs import BLOCK_BYTES, REFERENCE_NS, TENSORFLOW, Cost, CostOf, by_block, pixels_of, resident
from imperv.tasks.imperviousness.nodes.clcplus import clcplus_is_given
from imperv.tasks.imperviousness.nodes.distilling import gains_nothing, student_share, taught_bytes
from imperv.tasks.imperviousness.nodes.models import TRAINING_SHARE, is_small
from imperv.tasks.imperviousness.nodes.predicting import Ground, cheapest_plan
from imperv.tasks.job import Job
from imperv.tasks.networks.precision import precision_share
from imperv.tasks.networks.starting import has_start

TRAIN_NS = 6100.0
"""Core nanoseconds of training a pixel, step and member without AVX-512: 16 filters, three levels; grows with their square."""
LEARN_NS = 480.0
"""Core nanoseconds to read a pixel of the ground, and for what else a training does beside its steps; of a whole tile."""
PREDICT_NS = 1100.0
"""Core nanoseconds of prediction for a pixel of `Windows.work` and member, of the same network; measured: 870 and 1050."""

BATCHES = 256 * 2**20
"""Bytes of a training's network and batches; measured: 180 MiB with 16 filters, 280 with 32."""
TRAINED_BYTE = 1.3
"""Memory over the bytes of the training regions: these, their masks and their normalisation; measured: 1.3."""

FOOTPRINT_NS = 47_000.0
"""Core nanoseconds to read a building of lines of GeoJSON and to draw it."""
FOOTPRINTS = 47 / 1e4
"""Buildings to a pixel of 10 m, the mean of the European Union and Switzerland (202 million, EUBUCCO); how many a tile has is not
known before they are read, and towns have many times as many."""

PROXY_SAMPLE_NS = 340.0
"""Core nanoseconds to read a pixel's features for the choice of samples."""
PROXY_TREE_NS = 23.0
"""Core nanoseconds of a sample, tree and level."""


def training_cost(job: Job, layer: Layer) -> Cost:
    """Of a density model."""
    unet, pixels = job.production.parameters.unet, pixels_of(job)
    epochs = unet.transfer_epochs if unet.transfer and has_start(job) else unet.epochs
    drawn = unet.steps(pixels, unet.crop) * unet.batch * unet.crop**2 * epochs * unet.members
    seconds = (drawn * _size(job) * TRAIN_NS + pixels * LEARN_NS) / 1e9
    tiles = 1 + len(job.area_neighbours()) if is_small(job) else 1
    regions = tiles * pixels * 4 * (len(unet.names) + 1)
    memory = resident(job, BATCHES + int(TRAINED_BYTE * min(regions, TRAINING_SHARE * job.engine.budget)))
    return Cost(seconds, memory + TENSORFLOW)


def prediction_cost(job: Job, layer: Layer) -> Cost:
    """Of a tile whose neighbours in the production are trained."""
    unet = job.production.parameters.unet
    plan, members = cheapest_plan(Ground.of(job, unet.depth), unet.depth, unet.base_filters), _members(job)
    seconds, size = plan.work * members * _size(job) * PREDICT_NS / 1e9, plan.bytes
    seconds *= precision_share(job)
    if job.production.parameters.ensemble.distil and not gains_nothing(job, members, plan.work):
        seconds *= student_share(job, members, plan.work)
        size = max(size, BATCHES + int(TRAINED_BYTE * taught_bytes(job)))
    return Cost(seconds, resident(job, size) + TENSORFLOW)


def whole_mask_cost(job: Job, layer: Layer) -> Cost:
    """Of the change mask, which is sieved in one piece."""
    pixels = pixels_of(job)
    return Cost(pixels * 28 / 1e9, resident(job, pixels * 8))


def only_for_proxy(cost: CostOf) -> CostOf:
    """Of nodes that are made only where CLC+ of `now` is missing."""
    return lambda job, layer: Cost(0, RESERVED) if clcplus_is_given(job) else cost(job, layer)


def proxy_training_cost(job: Job, layer: Layer) -> Cost:
    """Of the boosted trees."""
    proxy, pixels = job.production.parameters.proxy, pixels_of(job)
    seconds = (pixels * PROXY_SAMPLE_NS + min(pixels, proxy.samples) * proxy.trees * proxy.depth * PROXY_TREE_NS) / 1e9
    return Cost(seconds, resident(job, min(pixels, 1000 * 1000 * job.engine.settings.workers) * BLOCK_BYTES))


FOOTPRINTS_COST = by_block(REFERENCE_NS + FOOTPRINTS * FOOTPRINT_NS)
"""Of a tile with as many buildings as Europe has on average."""

DISTANCE_COST = only_for_proxy(by_block(80))
"""Without the drawing of shapes, whose number is not known here."""


def _members(job: Job) -> int:
    """Networks that predict a tile once all of its production are trained; where no tiles are named, all around it are."""
    own, ensemble = job.production.parameters.unet.members, job.production.parameters.ensemble
    others = _within(job.tile, job.production.tile_names, ensemble.reach) if job.production.tile_names else 8
    return max(own, min(ensemble.members, own * (1 + others)))


@cache
def _within(tile: Tile, names: tuple[str, ...], reach: float) -> int:
    """Number of other tiles within `reach` kilometres, as of `Tile.distance`."""
    apart = np.hypot(*(_indices(names) - tile.index).T) * TILE_METRES
    return int(np.count_nonzero(apart <= reach * 1000)) - (str(tile) in names)


@cache
def _indices(names: tuple[str, ...]) -> np.ndarray:
    """(tile, 2) columns and rows of tiles."""
    return np.array([Tile(name).index for name in names])


def _size(job: Job) -> float:
    """Work of the network relative to the measured one."""
    return float((job.production.parameters.unet.base_filters / 16) ** 2)
