"""Training the density models of a tile: IMD_model, IBUD_model (ATBD 4.2.3, algorithms 6 and 7).

Here features and targets are read and regions chosen within memory. The network is in `layers.unet`; the models in the store
are in `tasks.registry`, applying them in `tasks.predicting`.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np

from grids import Block, block_grid
from layers.catalogue import CATALOGUE, Layer
from layers.sampling import Region, imd_reference
from layers.unet import UNetParameters, configure_threads
from tasks.errors import WorkError
from tasks.features import read_features
from tasks.job import Job, Made

REGION = 500
"""Edge of a training region on tiles too large to be held, pixels."""

TRAINING_SHARE = 0.4
"""Share of the memory for blocks that training regions may take; the rest is the network's and the crops'."""

SMALL_GROUND = 250_000
"""Windows of fewer pixels (25 square kilometres) also learn from neighbouring tiles."""

SEALED_PREFERENCE = 10
"""How much likelier a region that is all sealed is drawn than one without sealed land."""


def make_model(job: Job, layer: Layer) -> Made:
    """Train and store the model of a tile.

    Raises
    ------
    WorkError
        If there is too little ground with features and reference to learn from.
    """
    from layers.training import train
    from layers.unet import save_model

    parameters = job.production.parameters.unet
    configure_threads(job.engine.settings.workers)
    total, done = parameters.members * parameters.epochs, [0]

    def told(*_: object) -> None:
        done[0] = min(done[0] + 1, total)
        if job.engine.progress:
            job.engine.progress(done[0], total)

    try:
        trained = train(training_regions(job, layer, parameters), parameters, progress=told)
    except ValueError as error:
        raise WorkError(f"{layer.symbol} of tile {job.tile}: cannot be trained: {error}") from None
    place, metadata = job.place(layer.symbol), trained.metadata()
    job.store.remove_record(place.record)
    with tempfile.TemporaryDirectory() as folder:
        save_model(trained.model, Path(folder) / "model.keras")
        job.store.put_file(Path(folder) / "model.keras", place.data)
    hasher = hashlib.blake2b(json.dumps(metadata["normalisation"]).encode(), digest_size=16)
    for weights in trained.model.get_weights():
        hasher.update(np.ascontiguousarray(weights).data)
    learnt = [str(j.tile) for j in training_jobs(job, layer.symbol)]
    return Made(hasher.hexdigest(), {**metadata, "members": parameters.members, "tiles": learnt})


def training_jobs(job: Job, symbol: str) -> list[Job]:
    """Tiles to learn from: the tile itself; for a small window also what its neighbours know, as far as it is in the store.

    A model that has seen a few square kilometres only errs on all that is not there, such as water.
    """
    rows, columns = job.grid(10).shape
    found = [job]
    if rows * columns < SMALL_GROUND:
        for other in job.area_neighbours():
            if all(other.usable(name) for name in CATALOGUE[symbol].inputs):
                found.append(other)
    return found


def training_versions(job: Job, symbol: str) -> dict[str, str]:
    """What the training takes from neighbouring tiles, with versions."""
    found = {}
    for other in training_jobs(job, symbol)[1:]:
        for name in CATALOGUE[symbol].inputs:
            record = other.record(name)
            found[f"{name} of {other.tile}"] = record.version if record else ""
    return found


def training_regions(job: Job, layer: Layer, parameters: UNetParameters) -> list[Region]:
    """Regions to learn from: the whole ground where memory allows, otherwise a sample that prefers sealed land.

    Raises
    ------
    WorkError
        If no pixel has both features and a reference.
    """
    tiles = training_jobs(job, layer.symbol)
    pixel = 4 * (len(parameters.names) + 1)
    room = int(job.engine.budget * TRAINING_SHARE) // pixel // len(tiles)
    regions = [region for tile in tiles for region in _tile_regions(tile, layer, parameters, room)]
    if not regions:
        raise WorkError(
            f"{layer.symbol} of tile {job.tile}: no pixel has both features and a reference; check scenes and references"
        )
    return regions


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
        features = read_features(job, "then", block, parameters.names)
        if np.isfinite(features).all(axis=0).any():
            regions.append(Region(features, target, (row + block.y0, column + block.x0)))
    return regions


def read_target(job: Job, layer: Layer, block: Block) -> np.ndarray:
    """Density to learn in a block, 0..1, NaN unknown."""
    if layer.symbol == "IBUD_model":
        return job.array("IBUD_ref")[block.slices]
    return imd_reference(job.array("IMD_then")[block.slices], job.array("CLCP_then")[block.slices])


def _sample_blocks(job: Job, layer: Layer, room: int, seed: int) -> list[Block]:
    blocks = list(block_grid(job.grid(10), REGION))
    sealed = np.array([np.nan_to_num(read_target(job, layer, b)).mean() for b in blocks])
    odds = 1 + (SEALED_PREFERENCE - 1) * sealed
    count = max(1, min(len(blocks), room // REGION**2))
    chosen = np.random.default_rng(seed).choice(len(blocks), count, replace=False, p=odds / odds.sum())
    return [blocks[k] for k in sorted(chosen)]
