"""Classifying the months of a tile: CR_probability, CR_map, CR_confidence (docs/crops.md, Maps)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imperv.grids import Block, inner_slices, pad_clipped
from imperv.layers.catalogue import Layer, Variable
from imperv.layers.catalogue.crops import MONTHLY
from imperv.layers.crops.classes import TIMESEN2CROP
from imperv.layers.crops.maps import NO_DATA, classes_of, confidence_of, shares_of
from imperv.layers.crops.models import AT_ONCE, CropModel, Inputs
from imperv.layers.crops.series import Calendar
from imperv.layers.features import QUANTILE_BANDS, REFLECTANCE_SCALE
from imperv.layers.network.unet import configure_threads
from imperv.layers.palette import PROBABILITY
from imperv.tasks.crops.model_files import ModelFile, inputs_of, load_model, model_digest, read_record
from imperv.tasks.errors import InputError
from imperv.tasks.family.costs import TENSORFLOW, Cost, pixels_of, resident
from imperv.tasks.family.findings import Remark, fine
from imperv.tasks.job import BlockReport, Job, Made, attributes, report, summarise
from imperv.tasks.settings.production import Production

PIECE = 500
"""Edge of what is read at once, pixels: a chunk of the store."""

MODEL_NS = {"tempcnn": 24_000.0, "lstm": 42_000.0, "forest": 14_000.0, "boosting": 9_500.0, "other": 42_000.0}
"""Core nanoseconds of a pixel, of networks for each member."""

READ_NS = 4_500.0
"""Core nanoseconds to read a pixel of all months, to fill its gaps and to make its features."""

MAP_NS, MAJORITY_NS = 250.0, 9.0
"""Core nanoseconds of a pixel of a map, and of its filter for each class."""

SEASON = Calendar("months", len(MONTHLY))
"""Steps that are planned for where a model has no record."""


def model_path(production: Production) -> Path:
    """Where the model lies."""
    return Path(production.path(production.references.model))


def model_classes(production: Production) -> tuple[str, ...]:
    """Names of the classes of the model, from its record alone; none where it has no record."""
    return tuple(read_record(model_path(production)).get("classes", ()))


def check_fits(inputs: Inputs, first_month: int, where: str) -> None:
    """InputError where a model wants other bands or steps than composites have."""
    if missing := [band for band in inputs.bands if band not in QUANTILE_BANDS]:
        raise InputError(f"{where}: wants {', '.join(missing)}; composites have {', '.join(QUANTILE_BANDS)}")
    calendar = inputs.calendar
    if (calendar.kind, calendar.count) != ("months", len(MONTHLY)):
        raise InputError(f"{where}: wants {calendar}; composites are twelve months: train it with --monthly")
    if calendar.first_month != first_month:
        raise InputError(
            f"{where}: its season begins in month {calendar.first_month}, that of periods.span in month {first_month}; change "
            "periods.span, or train it with --first-month"
        )


def check_model(job: Job, symbol: str) -> None:
    """Refuse a model that is not there, or does not fit the composites."""
    opened(job)


def look_at_model(job: Job, symbol: str) -> Iterator[Remark]:
    """What `imperv config check` says of the model."""
    path, inputs = model_path(job.production), opened(job)
    yield fine(f"references.model: {path}, {len(model_classes(job.production)) or len(TIMESEN2CROP)} classes, {inputs.calendar}")


def opened(job: Job) -> Inputs:
    """What the model sees, from its record, or from itself where it has none; InputError if it does not fit."""
    path = model_path(job.production)
    model_digest(path)
    record = read_record(path)
    inputs = inputs_of(record) if record else loaded(job).model.inputs
    check_fits(inputs, job.production.periods.span.start.month, f"references.model: {path}")
    return inputs


def loaded(job: Job) -> ModelFile:
    """The model of a production."""
    path = model_path(job.production)
    if path.suffix.lower() in (".keras", ".h5"):
        configure_threads(job.engine.settings.workers)
    return load_model(path)


def model_external(job: Job, layer: Layer) -> Mapping[str, Any]:
    """The model's digest."""
    return {"model": model_digest(model_path(job.production))}


def variables_of(classes: Sequence[str]) -> tuple[Variable, ...]:
    """Arrays of the probabilities of a model."""
    return (Variable("CR_probability", "uint8", NO_DATA, "class", tuple(classes), units=PROBABILITY),)


def shares_of_months(model: CropModel, months: Sequence[np.ndarray], wanted: np.ndarray) -> np.ndarray:
    """Probabilities of a piece, (class, y, x) uint8, from the model's bands of each month, (band, y, x) uint16, 0 no data.

    Only pixels that are `wanted`, (y, x) bool, and have data in a month, are asked for.
    """
    wanted = wanted & np.any([(month > 0).all(axis=0) for month in months], axis=0)
    shares = np.full((len(model.classes), *wanted.shape), NO_DATA, "u1")
    rows, columns = np.nonzero(wanted)
    for first in range(0, len(rows), 8 * AT_ONCE):
        here = slice(first, first + 8 * AT_ONCE)
        values = np.stack([month[:, rows[here], columns[here]].T for month in months], axis=1).astype("f4")
        values *= np.float32(REFLECTANCE_SCALE)
        values[values == 0] = np.nan
        shares[:, rows[here], columns[here]] = shares_of(model.probabilities(values)).T
    return shares


def make_probability(job: Job, layer: Layer) -> Made:
    """Classify the tile block by block; TensorFlow uses all workers inside one call, so blocks follow one another."""
    opened(job)
    file = loaded(job)
    model = file.model
    bands = [QUANTILE_BANDS.index(band) for band in model.inputs.bands]
    months = [job.array(symbol) for symbol in layer.inputs if symbol in MONTHLY]
    masked = job.record("CR_mask")
    mask = job.array("CR_mask") if masked is not None and masked.made else None
    blocks, variables = job.blocks_of(layer), variables_of(model.classes)
    job.engine.at_once(probability_bytes(job, layer, model.inputs, len(model.classes)), layer.symbol)
    one_more, reports = job.engine.counter(len(blocks)), []
    with job.store.writing_arrays(
        job.place(layer.symbol), job.grid_of(layer), layer.resolution, variables, attributes(job, layer)
    ) as out:
        for block in blocks:
            shares = np.empty((len(model.classes), *block.shape), "u1")
            for piece in block.pieces(PIECE):
                wanted = np.asarray(mask[piece.slices]) == 0 if mask is not None else np.ones(piece.shape, bool)
                read = [np.asarray(month[(slice(None), *piece.slices)])[bands] for month in months]
                here = inner_slices(piece, block)
                shares[(slice(None), *here)] = shares_of_months(model, read, wanted)
            out[layer.symbol][(slice(None), *block.slices)] = shares
            reports.append(report({layer.symbol: shares}, layer))
            one_more()
    digest, statistics = summarise(layer, reports)
    counts = statistics[layer.symbol]
    pixels = {name: counts[name] // len(model.classes) for name in ("pixels", "outside")}
    told = {"model": model_path(job.production).name, "kind": model.kind, "classes": list(model.classes)}
    warnings = file.warnings
    if pixels["outside"] == pixels["pixels"]:
        warnings = (*warnings, "no pixel was classified: the months have no data, or the mask leaves nothing")
    return Made(digest, {layer.symbol: pixels, **told, "scores": dict(file.told.scores)}, warnings)


@dataclass(frozen=True)
class MapBlock:
    """One block of the map."""

    shares: Any
    out: Any
    layer: Layer
    majority: int

    def __call__(self, block: Block) -> BlockReport:
        """The most probable class of each pixel, filtered."""
        pixels = np.empty(block.shape, "u1")
        for piece in block.pieces(PIECE):
            outer = pad_clipped(piece, self.majority // 2, self.shares.shape[1:])
            codes = classes_of(np.asarray(self.shares[(slice(None), *outer.slices)]), self.majority)
            here = inner_slices(piece, block)
            pixels[here] = codes[inner_slices(piece, outer)]
        self.out[block.slices] = pixels
        return report({self.layer.symbol: pixels}, self.layer)


@dataclass(frozen=True)
class ConfidenceBlock:
    """One block of the confidence."""

    shares: Any
    codes: Any
    out: Any
    layer: Layer

    def __call__(self, block: Block) -> BlockReport:
        """Percent of the probability of the class of the map, also where the filter has changed it."""
        pixels = np.empty(block.shape, "u1")
        for piece in block.pieces(PIECE):
            shares, codes = np.asarray(self.shares[(slice(None), *piece.slices)]), np.asarray(self.codes[piece.slices])
            here = inner_slices(piece, block)
            pixels[here] = confidence_of(shares, codes)
        self.out[block.slices] = pixels
        return report({self.layer.symbol: pixels}, self.layer)


def make_map(job: Job, layer: Layer) -> Made:
    """CR_map."""
    shares = job.array("CR_probability")
    with job.store.writing_arrays(
        job.place(layer.symbol), job.grid_of(layer), layer.resolution, layer.variables, attributes(job, layer)
    ) as out:
        work = MapBlock(shares, out[layer.symbol], layer, job.production.parameters.map.majority)
        digest, statistics = summarise(layer, job.engine.map(work, job.blocks_of(layer), map_bytes(job, layer), layer.symbol))
    return Made(digest, statistics)


def make_confidence(job: Job, layer: Layer) -> Made:
    """CR_confidence."""
    with job.store.writing_arrays(
        job.place(layer.symbol), job.grid_of(layer), layer.resolution, layer.variables, attributes(job, layer)
    ) as out:
        work = ConfidenceBlock(job.array("CR_probability"), job.array("CR_map"), out[layer.symbol], layer)
        digest, statistics = summarise(layer, job.engine.map(work, job.blocks_of(layer), map_bytes(job, layer), layer.symbol))
    return Made(digest, statistics)


def _classes(job: Job) -> int:
    return len(model_classes(job.production)) or len(TIMESEN2CROP)


def probability_bytes(job: Job, layer: Layer, inputs: Inputs, classes: int) -> int:
    """Memory of a block: its probabilities twice while they are encoded, a piece of all months, and what is asked at once."""
    rows, columns = job.blocks_of(layer)[0].shape
    months, steps = len(MONTHLY), inputs.calendar.count
    piece = min(PIECE * PIECE, rows * columns) * (months * (len(QUANTILE_BANDS) + len(inputs.bands)) * 2 + classes)
    return 2 * rows * columns * classes + piece + 8 * AT_ONCE * steps * len(inputs.features) * 4 * 6


def map_bytes(job: Job, layer: Layer) -> int:
    """Memory of a block: its codes, and the probabilities of a piece with what the filter counts."""
    rows, columns = job.blocks_of(layer)[0].shape
    edge = PIECE + job.production.parameters.map.majority
    return rows * columns * 4 + edge * edge * (2 * _classes(job) + 40)


def probability_cost(job: Job, layer: Layer) -> Cost:
    """Of reading twelve months and asking the model for every pixel; a mask that leaves less is not known yet."""
    path = model_path(job.production)
    record = read_record(path) if path.is_file() else {}
    kind = record.get("kind", "other")
    members = record.get("parameters", {}).get("members", 1) if kind in ("tempcnn", "lstm") else 1
    inputs = inputs_of(record) if record else Inputs(QUANTILE_BANDS, SEASON, False)
    size = probability_bytes(job, layer, inputs, _classes(job))
    network = TENSORFLOW if kind in ("tempcnn", "lstm", "other") else 0
    return Cost(pixels_of(job) * (READ_NS + members * MODEL_NS.get(kind, MODEL_NS["other"])) / 1e9, resident(job, size) + network)


def map_cost(job: Job, layer: Layer) -> Cost:
    """Of a map."""
    filtered = layer.symbol == "CR_map" and job.production.parameters.map.majority
    ns = MAP_NS + (MAJORITY_NS * _classes(job) if filtered else 0)
    return Cost(pixels_of(job) * ns / 1e9, resident(job, map_bytes(job, layer) * job.engine.settings.workers))
