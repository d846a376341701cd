"""Training and applying the density models of a tile: IMD_model, IBUD_model, RIMD, RIBUD (ATBD 4.2.3, algorithms 6 and 7).

Here features and targets are read, regions chosen within memory, and members gathered from neighbouring tiles. The network
is in `layers.unet`.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from grids import Block, Tile, block_grid, inner_slices, nearest_tiles
from layers.catalogue import CATALOGUE, Layer
from layers.ensemble import ensemble
from layers.features import stack_features
from layers.sampling import Region, imd_reference
from layers.unet import Normalisation, UNetParameters, configure_threads
from layers.windows import halo
from tasks.errors import WorkError
from tasks.job import MEMBER_SD, Job, Made, report, summarise, variables_of
from tasks.preprocessing import attributes
from tasks.records import Record
from tasks.store import Store

REGION = 500
"""Edge of a training region on tiles too large to be held, pixels."""

TRAINING_SHARE = 0.4
"""Share of the memory for blocks that training regions may take; the rest is the network's and the crops'."""

SMALL_GROUND = 250_000
"""Windows of fewer pixels (25 square kilometres) also learn from neighbouring tiles."""

SEALED_PREFERENCE = 10
"""How much likelier a region that is all sealed is drawn than one without sealed land."""


# features -------------------------------------------------------------------------------------------------------


def read_features(job: Job, period: str, block: Block, names: tuple[str, ...]) -> np.ndarray:
    """Features of a block of the tile, NaN where there is no data; parts outside of the tile come from its neighbours.

    Parameters
    ----------
    block : Block
        In pixels of the job's 10 m grid; may reach beyond it.
    names : tuple of str
        Features in order.

    Returns
    -------
    (feature, y, x) float32
    """
    result = np.full((len(names), *block.shape), np.nan, "float32")
    rows, columns = job.grid(10).shape
    beyond = block.y0 < 0 or block.x0 < 0 or block.y1 > rows or block.x1 > columns
    own_row, own_column = job.global_index()
    for part in (job, *(_halo_jobs(job, period) if beyond else ())):
        row, column = part.global_index()
        rows, columns = part.grid(10).shape
        shifted = _shift(block, own_row - row, own_column - column)
        inside = Block(
            max(shifted.y0, 0), max(shifted.x0, 0), min(shifted.y1, rows), min(shifted.x1, columns)
        )  # fmt: skip
        if inside.y0 >= inside.y1 or inside.x0 >= inside.x1:
            continue
        group = part.group(f"PP_{period}")
        cut = (slice(None), *inside.slices)
        ndvi_q90 = group["ndvi_q90"][inside.slices] if "NDVI_q90" in names else None
        found = stack_features(group["quantiles"][cut], ndvi_q90, group["harmonics"][cut], names)
        result[(slice(None), *inner_slices(inside, shifted))] = found
    return result


def _shift(block: Block, rows: int, columns: int) -> Block:
    return Block(block.y0 + rows, block.x0 + columns, block.y1 + rows, block.x1 + columns)


def _halo_jobs(job: Job, period: str) -> list[Job]:
    """Neighbouring tiles of the area whose features are in the store."""
    return [other for other in job.area_neighbours() if other.usable(f"PP_{period}")]


def halo_versions(job: Job) -> dict[str, str]:
    """What the prediction takes from neighbouring tiles: their features' versions."""
    found = {str(j.tile): j.record("PP_now") for j in _halo_jobs(job, "now")}
    return {tile: record.version for tile, record in found.items() if record is not None}


# training -------------------------------------------------------------------------------------------------------


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


# prediction -----------------------------------------------------------------------------------------------------


def ensemble_tiles(job: Job, symbol: str) -> list[Job]:
    """Tiles whose models take part: the tile's own first, then the nearest that were trained alike.

    At most `parameters.ensemble.members` members altogether (ATBD 4.7: up to 10 predictions).
    """
    settings = job.production.parameters
    count = max(1, settings.ensemble.members // settings.unet.members)
    own, found = job.record(symbol), [job]
    trained = [t for t in _trained_tiles(job, symbol) if job.tile.distance(t) <= settings.ensemble.reach * 1000]
    for tile in nearest_tiles(job.tile, trained, len(trained)):
        if len(found) == count:
            break
        other = job.neighbour(tile)
        record = other.record(symbol)
        if record and own and _alike(record, own) and job.store.data_in_place(record):
            found.append(other)
    return found


def _alike(record: Record, own: Record) -> bool:
    """True where two models were trained for the same year with the same parameters and version."""
    a, b = record.ingredients, own.ingredients
    return all(a.get(k) == b.get(k) for k in ("algorithm", "parameters")) and (record.start, record.end) == (
        own.start,
        own.end,
    )


def _trained_tiles(job: Job, symbol: str) -> list[Tile]:
    pattern = job.store.full(f"models/{symbol.removesuffix('_model')}/*/model.json")
    found = []
    for path in job.store.fs.glob(pattern):
        try:
            found.append(Tile(PurePosixPath(path).parent.name))
        except ValueError:
            continue
    return found


def ensemble_versions(job: Job, symbol: str) -> dict[str, str]:
    """Models of other tiles that take part, with their versions."""
    found = {str(j.tile): j.record(symbol) for j in ensemble_tiles(job, symbol)[1:]}
    return {tile: record.version for tile, record in found.items() if record is not None}


Predict = Callable[[np.ndarray, tuple[int, int], tuple[slice, slice]], np.ndarray]


def load_predictor(store: Store, record: Record, patch: int, overlap: int) -> tuple[Predict, tuple[str, ...]]:
    """Function that predicts a block with a stored model, and the features that it needs."""
    from layers.unet import load_model, predict

    normalisation, data = Normalisation.from_json(record.statistics["normalisation"]), record.href
    if store.is_local:
        model = load_model(store.full(data))
    else:
        with tempfile.TemporaryDirectory() as folder:
            store.fs.get_file(store.full(data), f"{folder}/model.keras")
            model = load_model(f"{folder}/model.keras")

    def run(features: np.ndarray, origin: tuple[int, int], inner: tuple[slice, slice]) -> np.ndarray:
        return predict(model, normalisation, features, origin, patch, overlap, inner)

    return run, normalisation.names


def make_prediction(job: Job, layer: Layer) -> Made:
    """RIMD or RIBUD: mean and deviation of the members, in percent and as a fraction."""
    symbol = layer.inputs[1]
    settings = job.production.parameters.unet
    configure_threads(job.engine.settings.workers)
    tiles = ensemble_tiles(job, symbol)
    records = [j.record(symbol) for j in tiles]
    predictors = [load_predictor(job.store, r, settings.patch, settings.overlap) for r in records if r is not None]
    if len({names for _, names in predictors}) > 1:
        raise WorkError(f"{layer.symbol} of tile {job.tile}: the models were trained on different features")
    names, margin = predictors[0][1], halo(settings.patch, settings.overlap)
    row, column = job.global_index()
    blocks, reports, members = job.blocks(10), [], 0
    pixels = (min(1000, max(job.grid(10).shape)) + 2 * margin) ** 2
    size = pixels * 4 * len(names) * 2 + pixels * 4 * settings.members * len(tiles)
    job.engine.at_once(size, layer.symbol)
    with job.store.writing_arrays(job.place(layer.symbol), job.grid(10), 10, variables_of(layer), attributes(job, layer)) as out:
        for done, block in enumerate(blocks):
            outer = Block(block.y0 - margin, block.x0 - margin, block.y1 + margin, block.x1 + margin)
            features = read_features(job, "now", outer, names)
            origin, inner = (row + outer.y0, column + outer.x0), inner_slices(block, outer)
            # TensorFlow uses all workers inside one call, so blocks follow one another.
            fractions = np.concatenate([run(features, origin, inner) for run, _ in predictors])
            members = len(fractions)
            mean, deviation = ensemble(fractions)
            written: dict[str, np.ndarray] = {layer.symbol: mean, MEMBER_SD: deviation}
            for name, array in written.items():
                out[name][block.slices] = array
            reports.append(report(written))
            if job.engine.progress:
                job.engine.progress(done + 1, len(blocks))
    digest, statistics = summarise(layer, reports)
    found: dict[str, Any] = {**statistics, "members": members, "models": [str(j.tile) for j in tiles]}
    return Made(digest, found)
