"""Transfer learning: which stored model a training starts from (ATBD 4.3.1; docs/dev/algorithms.md, section 7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from imperv.grids import Tile
from imperv.layers.network.unet import NetworkParameters, Normalisation
from imperv.tasks.job import Job
from imperv.tasks.networks.registry import Wanted, find, load, period_of, trouble
from imperv.tasks.store.records import Record

LOOKED_AT = 25
"""Networks among which one of the same architecture is looked for, nearest first."""


def starts_anew(tile: Tile) -> bool:
    """True for every other tile each way: it starts from nothing, whatever models are there, and serves those between."""
    return all(number % 2 == 0 for number in tile.index)


def has_start(job: Job) -> bool:
    """Whether a plan may expect a neighbour of the production to start from."""
    planned = set(job.production.tile_names)
    near = any(str(tile) in planned and starts_anew(tile) for tile in job.tile.neighbours())
    return near and not starts_anew(job.tile)


def starting_model(job: Job, symbol: str) -> Record | None:
    """The model to start from: the tile's own of another year, as in a yearly update, else the nearest of the same year.

    Of the same year only models of tiles that started anew are taken, and none for these themselves. None where no model within
    ``parameters.ensemble.reach`` has the architecture asked for.
    """
    unet, reach = job.production.parameters.unet, job.production.parameters.ensemble.reach
    wanted = Wanted.of(job.production, symbol, same=False)
    own = job.record(symbol)
    if own is not None and own.made and (own.start, own.end) != period_of(job.production, symbol):
        usable = _fits(own, unet) and not trouble(own, replace(wanted, period=None))
        if usable and job.store.data_in_place(own):
            return own
    if starts_anew(job.tile):
        return None
    near = find(job.store, symbol, job.tile, wanted, LOOKED_AT, reach).models
    return next((record for record in near if starts_anew(Tile(record.tile)) and _fits(record, unet)), None)


def _fits(record: Record, unet: NetworkParameters) -> bool:
    try:
        return type(unet).model_validate(record.statistics["parameters"]).architecture == unet.architecture
    except (KeyError, ValueError):
        return False


def load_start(job: Job, record: Record) -> tuple[Any, Normalisation]:
    """Network and normalisation of a stored model."""
    return load(job.store, record)
