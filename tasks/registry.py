"""The density models in the store: which are there, which take part for a tile, loading them (ATBD 4.7).

Training them is in `tasks.models`, applying them in `tasks.predicting`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import PurePosixPath

import numpy as np

from grids import Tile, nearest_tiles
from layers.unet import Normalisation
from tasks.job import Job
from tasks.records import Record
from tasks.store import Store

Predict = Callable[[np.ndarray, tuple[int, int], tuple[slice, slice]], np.ndarray]


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
