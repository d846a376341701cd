"""Applying the density models of a tile and its neighbours: RIMD, RIBUD (ATBD 4.2.3, 4.7; docs/dev/algorithms.md, section 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from imperv.grids import Block
from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.layers.catalogue.node import MEMBER_SD
from imperv.layers.network.prediction import bytes_at_once, window_bytes, window_function
from imperv.layers.network.rows import Lattice, predict_rows
from imperv.layers.network.unet import configure_threads
from imperv.layers.network.windows import halo
from imperv.tasks.errors import WorkError
from imperv.tasks.imperviousness.nodes.features import FeatureRows, halo_jobs, open_parts
from imperv.tasks.job import BlockReport, Job, Made, attributes, report, summarise
from imperv.tasks.networks.registry import Found, ensemble_models, ensemble_versions, load

WINDOW_SHARE = 0.4
"""Largest share of the memory for blocks that windows may take; one window is always predicted."""


def halo_versions(job: Job) -> dict[str, str]:
    """Versions of the features of neighbouring tiles that a prediction reads."""
    found = {str(j.tile): j.record("PP_now") for j in halo_jobs(job, "now")}
    return {tile: record.version for tile, record in found.items() if record is not None}


@dataclass(frozen=True)
class Plan:
    """Strips and windows of a prediction within memory."""

    width: int
    """Columns of a strip, whole blocks of the store."""
    windows: int
    """Windows of one call of a network."""
    bytes: int
    """Projected memory."""


def plan_prediction(job: Job, what: str, members: int, window: int) -> Plan:
    """Widest strips that fit into memory, so that few windows are predicted twice; InputError if not even one block fits."""
    budget, columns, edge = job.engine.budget, job.grid(10).shape[1], job.blocks(10)[0].shape[1]
    windows = max(1, int(min(bytes_at_once(), WINDOW_SHARE * budget)) // window)
    blocks = -(-columns // edge)
    for strips in range(1, blocks + 1):
        width = min(-(-blocks // strips) * edge, columns)
        size = windows * window + strip_bytes(job, width, members)
        if size <= budget:
            break
    else:
        windows, size = 1, window + strip_bytes(job, width, members)
    job.engine.at_once(size, what)
    return Plan(width, windows, size)


def strip_bytes(job: Job, width: int, members: int) -> int:
    """Memory of a strip: features with context, sums of each member, statistics, and rows that wait to be written."""
    unet = job.production.parameters.unet
    reach, stride, rows = width + 2 * halo(unet.patch, unet.overlap), unet.patch - unet.overlap, job.blocks(10)[0].shape[0]
    features = FeatureRows.bytes(unet.names, reach, unet.patch, job.engine.settings.workers)
    held = unet.patch * width * (len(unet.names) + 1)
    # A model's own members are summed together: a row of windows, twice while it is added to.
    sums = 4 * width * (members * unet.overlap + 2 * unet.patch * min(members, 10))
    statistics = stride * width * 8 * 7
    waiting = 2 * (rows + stride) * width * 5
    return features + held + sums + statistics + waiting


def make_prediction(job: Job, layer: Layer) -> Made:
    """RIMD or RIBUD: mean and deviation of the members, in percent and as a fraction; WorkError if no model can be used."""
    symbol, unet = layer.inputs[1], job.production.parameters.unet
    found = ensemble_models(job, symbol)
    if not found.models:
        raise WorkError(_without_models(job, layer, symbol, found))
    configure_threads(job.engine.settings.workers)
    loaded = [load(job.store, record) for record in found.models]
    models = [window_function(model, normalisation, unet.patch) for model, normalisation in loaded]
    plan = plan_prediction(job, layer.symbol, found.members, max(window_bytes(model, unet.patch) for model, _ in loaded))
    parts, (row, column), (rows, columns) = open_parts(job, "now"), job.global_index(), job.grid(10).shape
    lattices = {
        left: Lattice((rows, min(plan.width, columns - left)), (row, column + left), unet.patch, unet.overlap)
        for left in range(0, columns, plan.width)
    }
    one_more = job.engine.counter(sum(len(lattice.tops) for lattice in lattices.values()))
    reports: dict[Block, BlockReport] = {}
    with job.store.writing_arrays(job.place(layer.symbol), job.grid(10), 10, layer.variables, attributes(job, layer)) as out:
        for left, lattice in lattices.items():
            first, end = lattice.columns
            read = FeatureRows(parts, unet.names, (left + first, left + end), unet.patch, job.engine.settings.workers)
            mine = [block for block in job.blocks(10) if left <= block.x0 < left + plan.width]
            waiting = _Waiting(out, layer.symbol, left, mine, reports)
            # TensorFlow uses all workers inside one call, so windows follow one another.
            for y, mean, deviation in predict_rows(read, models, lattice, plan.windows):
                waiting.add(y, mean, deviation)
                one_more()
    digest, statistics = summarise(layer, [reports[block] for block in job.blocks(10)])
    return Made(digest, {**statistics, "members": found.members, **found.to_json()})


def _without_models(job: Job, layer: Layer, symbol: str, found: Found) -> str:
    reach = job.production.parameters.ensemble.reach
    seen = "; ".join(f"{tile}: {why}" for tile, why in list(found.left_out.items())[:5]) or "there is none"
    return (
        f"{layer.symbol} of tile {job.tile}: no {symbol} can be used within {reach:g} km ({seen}); run neighbouring tiles "
        "first, or import a model with `imperv model import`"
    )


class _Waiting:
    """Predicted rows of a strip until they fill blocks of the store, which are written whole."""

    def __init__(self, out: Any, symbol: str, left: int, blocks: list[Block], reports: dict[Block, BlockReport]) -> None:
        self.out, self.symbol, self.left, self.blocks, self.reports = out, symbol, left, blocks, reports
        self.rows: list[tuple[int, np.ndarray, np.ndarray]] = []

    def add(self, y: int, mean: np.ndarray, deviation: np.ndarray) -> None:
        self.rows.append((y, mean, deviation))
        end = y + len(mean)
        ready = [block for block in self.blocks if block.y1 <= end and block not in self.reports]
        if not ready:
            return
        top = self.rows[0][0]
        means, deviations = (np.concatenate([rows[k] for rows in self.rows]) for k in (1, 2))
        for block in ready:
            cut = np.s_[block.y0 - top : block.y1 - top, block.x0 - self.left : block.x1 - self.left]
            written = {self.symbol: means[cut], MEMBER_SD: deviations[cut]}
            for name, array in written.items():
                self.out[name][block.slices] = array
            self.reports[block] = report(written, CATALOGUE[self.symbol])
        done = max(block.y1 for block in ready)
        self.rows = [(done, means[done - top :], deviations[done - top :])] if done < end else []


def prediction_external(job: Job, layer: Layer) -> dict[str, Any]:
    """The models of an ensemble, and the features of neighbours that a prediction reaches into."""
    return {"models": ensemble_versions(job, layer.inputs[1]), "halos": halo_versions(job)}
