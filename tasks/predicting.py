"""Applying the density models of a tile and of its neighbours: RIMD, RIBUD (ATBD 4.2.3, algorithms 6 and 7; 4.7).

Which models take part is in `tasks.registry`; the network is in `layers.unet`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from grids import Block, inner_slices
from layers.catalogue import Layer
from layers.ensemble import ensemble
from layers.unet import configure_threads
from layers.windows import halo
from tasks.errors import WorkError
from tasks.features import halo_jobs, read_features
from tasks.job import MEMBER_SD, Job, Made, report, summarise, variables_of
from tasks.preprocessing import attributes
from tasks.registry import ensemble_tiles, load_predictor


def halo_versions(job: Job) -> dict[str, str]:
    """What the prediction takes from neighbouring tiles: their features' versions."""
    found = {str(j.tile): j.record("PP_now") for j in halo_jobs(job, "now")}
    return {tile: record.version for tile, record in found.items() if record is not None}


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
