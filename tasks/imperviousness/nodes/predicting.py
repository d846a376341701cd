"""Applying the density models of a tile and its neighbours: RIMD, RIBUD (ATBD 4.2.3, 4.7; docs/dev/algorithms.md, section 7)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from imperv.grids import Block, spec_of
from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.layers.catalogue.node import MEMBER_SD
from imperv.layers.network.distilling import student_rows
from imperv.layers.network.prediction import AT_ONCE, EDGES, window_bytes, window_function
from imperv.layers.network.rows import predict_rows
from imperv.layers.network.unet import configure_threads
from imperv.layers.network.unpadded import depth_of, filters_of, unpadded
from imperv.layers.network.windows import Windows
from imperv.tasks.errors import WorkError
from imperv.tasks.imperviousness.nodes.distilling import Student, distil, distil_external, gains_nothing
from imperv.tasks.imperviousness.nodes.features import FeatureRows, halo_jobs, open_parts
from imperv.tasks.job import BlockReport, Job, Made, attributes, report, summarise
from imperv.tasks.networks.checkpoints import drop_checkpoint
from imperv.tasks.networks.precision import precision_external, precision_of
from imperv.tasks.networks.registry import Found, ensemble_models, ensemble_versions, load


def halo_versions(job: Job) -> dict[str, str]:
    """Versions of the features of neighbouring tiles that a prediction reads."""
    found = {str(j.tile): j.record("PP_now") for j in halo_jobs(job, "now")}
    return {tile: record.version for tile, record in found.items() if record is not None}


@dataclass(frozen=True)
class Ground:
    """What the plan of a prediction depends on, which is the same for all whole tiles of a production."""

    shape: tuple[int, int]
    """Rows and columns, 10 m."""
    origin: tuple[int, int]
    """(row, column) of the first pixel on the EEA grid, less what is whole at the deepest level."""
    block: int
    """Edge of a block of the store, pixels."""
    features: tuple[str, ...]
    workers: int
    budget: int
    """Memory that may be used, bytes."""

    @classmethod
    def of(cls, job: Job, depth: int) -> Ground:
        """That of a tile, for networks of `depth` halvings."""
        row, column = (first % 2**depth for first in job.global_index())
        shape, names = job.grid(10).shape, job.production.parameters.unet.names
        return cls(shape.yx, (row, column), spec_of(10).block, tuple(names), job.engine.settings.workers, job.engine.budget)


@dataclass(frozen=True)
class Plan:
    """Strips and windows of a prediction within memory."""

    strips: dict[int, Windows]
    """Windows of each strip, by its first column; strips end at blocks of the store."""
    bytes: int
    """Projected memory."""

    @property
    def work(self) -> float:
        """As of `Windows.work`."""
        return sum(windows.work for windows in self.strips.values())

    @classmethod
    def of(cls, ground: Ground, depth: int, filters: int, width: int, most: int) -> Plan:
        """Strips of `width` columns with windows of up to `most` pixels, for networks of so many halvings and filters."""
        (row, column), (rows, columns) = ground.origin, ground.shape
        strips = {
            left: Windows((rows, min(width, columns - left)), (row, column + left), depth, most)
            for left in range(0, columns, width)
        }
        each = (window_bytes(len(ground.features), filters, one) + strip_bytes(ground, one) for one in strips.values())
        return cls(strips, max(each))


def plan_prediction(job: Job, what: str, depth: int, filters: int) -> Plan:
    """As of `cheapest_plan`; InputError if not even one block fits into memory."""
    plan = cheapest_plan(Ground.of(job, depth), depth, filters)
    job.engine.at_once(plan.bytes, what)
    return plan


@cache
def cheapest_plan(ground: Ground, depth: int, filters: int) -> Plan:
    """Windows and strips within memory that compute least, as what is around them is seen twice; the smallest if none fits."""
    columns = ground.shape[1]
    edge = min(ground.block, columns)
    blocks = -(-columns // edge)
    widths = sorted({min(-(-blocks // strips) * edge, columns) for strips in range(1, blocks + 1)}, reverse=True)
    plans = [Plan.of(ground, depth, filters, width, most) for most in EDGES for width in widths]
    fitting = [plan for plan in plans if plan.bytes <= ground.budget]
    return min(fitting, key=lambda plan: plan.work) if fitting else min(plans, key=lambda plan: plan.bytes)


def strip_bytes(ground: Ground, windows: Windows) -> int:
    """Memory of a strip: features with context, those that windows are cut from, answers, and rows that wait to be written."""
    names, (height, _), width = ground.features, windows.edges, windows.shape[1]
    first, end = windows.columns
    features = FeatureRows.bytes(names, end - first, height + 2 * windows.reach, ground.workers)
    valid = height * width * (len(names) + 1)
    answers = height * width * 5
    spread = AT_ONCE * windows.edges[0] * windows.edges[1] * 8 * 7
    waiting = 2 * (min(ground.block, ground.shape[0]) + height) * width * 5
    return features + valid + answers + spread + waiting


def make_prediction(job: Job, layer: Layer) -> Made:
    """RIMD or RIBUD: mean and deviation of the members, in percent and as a fraction; WorkError if no model can be used."""
    symbol, unet = layer.inputs[1], job.production.parameters.unet
    found = ensemble_models(job, symbol)
    if not found.models:
        raise WorkError(_without_models(job, layer, symbol, found))
    configure_threads(job.engine.settings.workers)
    loaded = [load(job.store, record) for record in found.models]
    depth = max(depth_of(model) for model, _ in loaded)
    precision, warnings = precision_of(job)
    models = [window_function(unpadded(model, precision), normalisation, depth) for model, normalisation in loaded]
    plan = plan_prediction(job, layer.symbol, depth, max(filters_of(model) for model, _ in loaded))
    student = Student()
    if job.production.parameters.ensemble.distil:
        if reason := gains_nothing(job, found.members, plan.work):
            student = Student.none(reason)
        else:
            student = distil(job, layer, found, models, loaded[0][0], depth, prediction_external(job, layer))
    predict = partial(student_rows, student=student.model) if student.model else partial(predict_rows, models=models)
    parts = open_parts(job, "now")
    one_more = job.engine.counter(sum(len(windows.tops) for windows in plan.strips.values()))
    reports: dict[Block, BlockReport] = {}
    with job.store.writing_arrays(job.place(layer.symbol), job.grid(10), 10, layer.variables, attributes(job, layer)) as out:
        for left, windows in plan.strips.items():
            first, end = windows.columns
            most = windows.edges[0] + 2 * windows.reach
            read = FeatureRows(parts, unet.names, (left + first, left + end), most, job.engine.settings.workers)
            mine = [block for block in job.blocks(10) if left <= block.x0 < left + windows.shape[1]]
            waiting = _Waiting(out, layer.symbol, left, mine, reports)
            # TensorFlow uses all workers inside one call, so windows follow one another.
            for y, mean, deviation in predict(read, windows=windows, at_once=AT_ONCE):
                waiting.add(y, mean, deviation)
                one_more()
    digest, statistics = summarise(layer, [reports[block] for block in job.blocks(10)])
    if student.model:
        drop_checkpoint(job, layer.symbol)
    told = {"members": found.members, "precision": precision, **found.to_json(), **student.told}
    return Made(digest, {**statistics, **told}, (*warnings, *student.warnings))


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
    models = {"models": ensemble_versions(job, layer.inputs[1]), "halos": halo_versions(job)}
    return {**models, **distil_external(job), **precision_external(job)}
