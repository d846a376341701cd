"""Layers that need the whole tile at once: thresholds and connected components of the change mask (ATBD 4.2.5).

Percentiles are of the tile, and a patch must never be cut at a block edge. At 10 000 x 10 000 pixels this takes about 2 GB.
"""

from __future__ import annotations

import numpy as np

from layers.catalogue import Layer
from layers.change_mask import sieve_mask, threshold_mask, thresholds
from tasks.errors import WorkError
from tasks.job import Job, Made, report, summarise, variables_of
from tasks.preprocessing import attributes

BYTES_PER_PIXEL = {"CHM_raw": 14, "CHM": 14}
"""Projected memory: RMSD with a partitioned copy and masks; codes with int32 labels and masks."""


def make_chm_raw(job: Job, layer: Layer) -> Made:
    """CHM_raw: RMSD against the tile's own lower and upper percentile."""
    _fits(job, layer)
    settings = job.production.parameters.change_mask
    rmsd = job.array("RMSD")[:]
    if not np.isfinite(rmsd).any():
        raise WorkError(f"CHM_raw of tile {job.tile}: no pixel is observed in both periods; check the scenes of then and now")
    low, high = thresholds(rmsd, settings.lower, settings.upper)
    made = _write(job, layer, threshold_mask(rmsd, low, high))
    return Made(made.digest, {**made.statistics, "lower": low, "upper": high})


def make_chm(job: Job, layer: Layer) -> Made:
    """CHM: patches that pass the upper threshold and are large enough."""
    _fits(job, layer)
    return _write(job, layer, sieve_mask(job.array("CHM_raw")[:], job.production.parameters.change_mask.sieve))


def _fits(job: Job, layer: Layer) -> None:
    rows, columns = job.grid(layer.resolution).shape
    job.engine.at_once(rows * columns * BYTES_PER_PIXEL[layer.symbol], layer.symbol)


def _write(job: Job, layer: Layer, array: np.ndarray) -> Made:
    grid = job.grid(layer.resolution)
    with job.store.writing_arrays(
        job.place(layer.symbol), grid, layer.resolution, variables_of(layer), attributes(job, layer)
    ) as out:
        out[variables_of(layer)[0].name][:] = array
    return Made(*summarise(layer, [report({layer.symbol: array})]))
