"""Training the density models of a tile: IMD_model, IBUD_model (ATBD 4.2.3; docs/dev/algorithms.md, sections 6 and 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from imperv.grids import Block, block_grid
from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.layers.network.sampling import SEALED_FRACTION, Region, density_reference, imd_reference
from imperv.layers.network.unet import UNetParameters, configure_threads
from imperv.tasks.imperviousness.nodes.features import read_features
from imperv.tasks.job import Job, Made
from imperv.tasks.networks.making import START, train_and_store

REGION = 500
"""Edge of a training region on tiles too large to be held, pixels."""

TRAINING_SHARE = 0.4
"""Share of the memory for blocks that training regions may take; the rest is the network's and the crops'."""

SMALL_GROUND = 250_000
"""Windows of fewer pixels (25 square kilometres) also learn from neighbouring tiles."""

LEAST_SEALED = 20
"""Sealed or built-up pixels below which a tile gets no model of its own; our choice."""

SEALED_PREFERENCE = 10
"""Odds of drawing a fully sealed region against one without sealed land."""


def make_model(job: Job, layer: Layer) -> Made:
    """Train and store the model of a tile.

    A tile that has nothing to learn from gets no model: those of the nearest tiles serve it. Else as `train_and_store`.
    """
    parameters = job.production.parameters.unet
    configure_threads(job.engine.settings.workers)
    regions = training_regions(job, layer, parameters)
    if reason := nothing_to_learn(job, layer, regions):
        return Made("", {}, (f"{reason}: the models of the nearest tiles are used",), made=False, reason=reason)
    learnt = [str(j.tile) for j in training_jobs(job, layer.symbol)]
    return train_and_store(job, layer, regions, parameters, learnt, training_versions(job, layer.symbol))


def nothing_to_learn(job: Job, layer: Layer, regions: Sequence[Region]) -> str:
    """Reason why a tile gets no model, or empty: a model trained without buildings would find none."""
    what, where = ("built-up land", "footprints") if layer.symbol == "IBUD_model" else ("sealed land", "IMD_then and CLCP_then")
    if not regions:
        return f"no pixel of tile {job.tile} has both features and a reference"
    sealed = sum(int(np.count_nonzero(region.valid() & (region.target >= SEALED_FRACTION))) for region in regions)
    if sealed < LEAST_SEALED:
        return f"{where} hold {sealed} pixels of {what} in tile {job.tile}, too few to learn from"
    return ""


def is_small(job: Job) -> bool:
    """True for windows whose models also learn from neighbouring tiles."""
    rows, columns = job.grid(10).shape
    return bool(rows * columns < SMALL_GROUND)


def training_jobs(job: Job, symbol: str) -> list[Job]:
    """Tiles to learn from: the tile itself; for a small window, which may lack water, also its neighbours in the store."""
    found = [job]
    if is_small(job):
        for other in job.area_neighbours():
            if all(other.usable(name) for name in CATALOGUE[symbol].inputs):
                found.append(other)
    return found


def training_versions(job: Job, symbol: str) -> dict[str, str]:
    """Versions of the layers of neighbouring tiles that a training reads."""
    found = {}
    for other in training_jobs(job, symbol)[1:]:
        for name in CATALOGUE[symbol].inputs:
            record = other.record(name)
            found[f"{name} of {other.tile}"] = record.version if record else ""
    return found


def training_regions(job: Job, layer: Layer, parameters: UNetParameters) -> list[Region]:
    """The whole ground where memory allows, else a sample that prefers sealed land; none without features and reference."""
    tiles = training_jobs(job, layer.symbol)
    pixel = 4 * (len(parameters.names) + 1)
    room = int(job.engine.budget * TRAINING_SHARE) // pixel // len(tiles)
    return [region for tile in tiles for region in _tile_regions(tile, layer, parameters, room)]


def _tile_regions(job: Job, layer: Layer, parameters: UNetParameters, room: int) -> list[Region]:
    """Regions of one tile, at most `room` pixels."""
    rows, columns = job.grid(10).shape
    row, column = job.global_index()
    whole = rows * columns <= room
    chosen = [Block(0, 0, rows, columns)] if whole else _sample_blocks(job, layer, room, parameters.seed)
    regions = []
    for block in chosen:
        target = read_target(job, layer, block)
        if not np.isfinite(target).any():
            continue
        features = _read_in_pieces(job, block, parameters.names)
        if np.isfinite(features).all(axis=0).any():
            regions.append(Region(features, target, (row + block.y0, column + block.x0)))
    return regions


def _read_in_pieces(job: Job, block: Block, names: tuple[str, ...]) -> np.ndarray:
    """Features of a block, read piece by piece: reading takes three times the memory of the result."""
    found = np.empty((len(names), *block.shape), "f4")
    for piece in block_grid(block.geobox(job.grid(10)), REGION):
        here = Block(block.y0 + piece.y0, block.x0 + piece.x0, block.y0 + piece.y1, block.x0 + piece.x1)
        found[(slice(None), *piece.slices)] = read_features(job, "then", here, names)
    return found


def read_target(job: Job, layer: Layer, block: Block) -> np.ndarray:
    """Density to learn in a block, 0..1, NaN unknown."""
    if layer.symbol == "IBUD_model":
        return job.array("IBUD_ref")[block.slices]
    join = density_reference if job.production.parameters.unet.reference == "density" else imd_reference
    return join(job.array("IMD_then")[block.slices], job.array("CLCP_then")[block.slices])


def _sample_blocks(job: Job, layer: Layer, room: int, seed: int) -> list[Block]:
    blocks = list(block_grid(job.grid(10), REGION))
    sealed = np.array([np.nan_to_num(read_target(job, layer, b)).mean() for b in blocks])
    odds = 1 + (SEALED_PREFERENCE - 1) * sealed
    count = max(1, min(len(blocks), room // REGION**2))
    chosen = np.random.default_rng(seed).choice(len(blocks), count, replace=False, p=odds / odds.sum())
    return [blocks[k] for k in sorted(chosen)]


def model_external(job: Job, layer: Layer) -> dict[str, Any]:
    """Layers of neighbours that a model learns from, and the model that its training started from."""
    # The start is history, like a frozen scene list: it does not change with the neighbours.
    record = job.record(layer.symbol)
    start = {START: record.ingredients[START]} if record and START in record.ingredients else {}
    return {"neighbours": training_versions(job, layer.symbol), **start}
