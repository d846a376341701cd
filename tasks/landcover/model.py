"""Training the base model of a tile: LC_model (docs/landcover.md, Base model)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from imperv.grids import Block, block_grid, inner_slices, pad_clipped
from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.layers.landcover.features import REACH, stack_features
from imperv.layers.network.heads import ClassHead, class_frequency
from imperv.layers.network.sampling import Region
from imperv.layers.network.unet import configure_threads
from imperv.tasks.errors import InputError
from imperv.tasks.family.costs import TENSORFLOW, Cost, resident
from imperv.tasks.job import Job, Made
from imperv.tasks.landcover.reference import labels_of
from imperv.tasks.landcover.season import read_season, seasonal_names
from imperv.tasks.networks.making import START, train_and_store
from imperv.tasks.networks.registry import ensemble_models

REGION = 500
"""Edge of a training region on tiles too large to be held, pixels."""

TRAINING_SHARE = 0.4
"""Share of the memory for blocks that training regions may take."""

LEAST_PIXELS = 20
"""Labelled pixels below which a class counts as absent; our choice."""

TRAIN_NS = 6600.0
"""Core nanoseconds of training a pixel, step and member: 16 filters, three levels; grows with their square."""

NETWORKS = TENSORFLOW + 256 * 2**20
"""Bytes that TensorFlow and compiled networks add to a process, batches included."""


def read_features(job: Job, block: Block) -> np.ndarray:
    """Features of a block of the tile, (feature, y, x) float32; of pixels beside it they know what lies inside of the tile."""
    layer, seasonal = CATALOGUE["LC_mosaic"], seasonal_names(job)
    outer = pad_clipped(block, REACH, job.grid_of(layer).shape.yx)
    found = stack_features(np.asarray(job.array(layer.symbol)[(slice(None), *outer.slices)]))
    found = found[(slice(None), *inner_slices(block, outer))]
    return np.concatenate([found, read_season(job, block, seasonal)]) if seasonal else found


def origin_of(job: Job, block: Block) -> tuple[int, int]:
    """Global (row, column) of the first pixel of a block of 5 m, counted from the origin of EPSG:3035 to the south-east."""
    row, column = job.global_index()
    return 2 * row + block.y0, 2 * column + block.x0


def make_model(job: Job, layer: Layer) -> Made:
    """Train and store the model of a tile; without labels of two classes it gets none, and the nearest tiles' models serve it."""
    labels = job.record(layer.inputs[-1])
    classes = job.production.parameters.classes.classes
    if labels is not None and not labels.made:
        return _none(job, labels.reason)
    parameters = job.production.parameters.unet
    configure_threads(job.engine.settings.workers)
    regions = training_regions(job)
    counts = class_frequency(regions, [region.valid() for region in regions], len(classes))
    if int((counts >= LEAST_PIXELS).sum()) < 2:
        return _none(job, f"tile {job.tile} has labels of fewer than two classes")
    head = ClassHead.of(regions, len(classes), parameters.class_power, parameters.focal)
    made = train_and_store(job, layer, regions, parameters, [str(job.tile)], {}, head)
    pixels = {one.name: int(count) for one, count in zip(classes, counts, strict=True)}
    return Made(made.digest, {**made.statistics, "pixels": pixels}, made.warnings, external=made.external)


def _none(job: Job, reason: str) -> Made:
    return Made("", {}, (f"{reason}: the models of the nearest tiles are used",), made=False, reason=reason)


def training_regions(
    job: Job, target_of: Callable[[Job, Block], np.ndarray] = labels_of, first: Sequence[tuple[int, int]] = ()
) -> list[Region]:
    """The whole ground where memory allows, else a sample of regions drawn by the seed; none without features and labels.

    `target_of` gives the targets of a block, (y, x) float32 with NaN for none. Regions that hold the pixels (row, column) of
    `first` come before others.
    """
    unet, grid = job.production.parameters.unet, job.grid_of(CATALOGUE["LC_mosaic"])
    room = int(job.engine.budget * TRAINING_SHARE) // (4 * (len(unet.names) + 1))
    rows, columns = grid.shape
    blocks = [Block(0, 0, rows, columns)]
    if rows * columns > room:
        every = list(block_grid(grid, REGION))
        count = max(1, min(len(every), room // REGION**2))
        chosen = np.random.default_rng([unet.seed, 41]).choice(len(every), count, replace=False).tolist()
        number = {(b.y0 // REGION, b.x0 // REGION): k for k, b in enumerate(every)}
        held = Counter(number[y // REGION, x // REGION] for y, x in first)
        wanted = dict.fromkeys([k for k, _ in held.most_common()] + chosen)
        blocks = [every[k] for k in sorted(list(wanted)[:count])]
    regions = []
    for block in blocks:
        target = target_of(job, block)
        if not np.isfinite(target).any():
            continue
        features = np.empty((len(unet.names), *block.shape), "f4")
        for piece in block_grid(block.geobox(grid), REGION):
            here = Block(block.y0 + piece.y0, block.x0 + piece.x0, block.y0 + piece.y1, block.x0 + piece.x1)
            features[(slice(None), *piece.slices)] = read_features(job, here)
        regions.append(Region(features, target, origin_of(job, block)))
    return regions


def model_external(job: Job, layer: Layer) -> Mapping[str, Any]:
    """The model that its training started from, which is history."""
    record = job.record(layer.symbol)
    return {START: record.ingredients[START]} if record and START in record.ingredients else {}


def require_model(job: Job, symbol: str) -> None:
    """InputError where there is neither anything to learn from nor a model."""
    references = job.production.references
    if references.clcplus or references.labels or references.polygons or ensemble_models(job, symbol).models:
        return
    found = ensemble_models(job, symbol)
    seen = "; ".join(f"{tile}: {why}" for tile, why in list(found.left_out.items())[:5])
    raise InputError(
        f"{symbol} of tile {job.tile}: nothing to learn from and no model of a tile near by{f' ({seen})' if seen else ''}; name "
        "references.clcplus, or import a model of elsewhere with `imperv model import`"
    )


def training_cost(job: Job, layer: Layer) -> Cost:
    """Of the networks of a tile."""
    unet = job.production.parameters.unet
    rows, columns = job.grid_of(CATALOGUE["LC_mosaic"]).shape
    steps = unet.steps(rows * columns, unet.crop)
    seconds = steps * unet.batch * unet.crop**2 * unet.epochs * unet.members * (unet.base_filters / 16) ** 2 * TRAIN_NS / 1e9
    regions = min(rows * columns * 4 * (len(unet.names) + 1), int(TRAINING_SHARE * job.engine.budget))
    return Cost(seconds, resident(job, int(1.3 * regions)) + NETWORKS)
