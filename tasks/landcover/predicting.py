"""Applying the base model: probabilities of all classes, and what the networks see last (docs/landcover.md, Base model)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imperv.grids import Block
from imperv.layers.catalogue import CATALOGUE, Layer, Variable
from imperv.layers.catalogue.landcover import SEEN
from imperv.layers.landcover.tuning import STEPS
from imperv.layers.network.precision import Precision
from imperv.layers.network.prediction import AT_ONCE, EDGES, window_bytes, window_function
from imperv.layers.network.rows import Model, predict_channels
from imperv.layers.network.unet import Normalisation, configure_threads
from imperv.layers.network.unpadded import depth_of, filters_of, unpadded, with_last_features
from imperv.layers.network.windows import Windows
from imperv.layers.palette import PROBABILITY
from imperv.tasks.errors import WorkError
from imperv.tasks.family.costs import Cost, resident
from imperv.tasks.job import BlockReport, Job, Made, attributes, report, summarise
from imperv.tasks.landcover.model import NETWORKS, origin_of, read_features
from imperv.tasks.networks.precision import precision_external, precision_of, precision_share
from imperv.tasks.networks.registry import ensemble_models, ensemble_versions, load

NO_DATA = 255

PREDICT_NS = 1600.0
"""Core nanoseconds of prediction for a pixel of a window and member: 16 filters, three levels."""


def make_probability(job: Job, layer: Layer) -> Made:
    """Probabilities of the mean of all networks, and their last features; WorkError if no model can be used."""
    classes = job.production.parameters.classes.classes
    found = ensemble_models(job, layer.inputs[-1])
    if not found.models:
        seen = "; ".join(f"{tile}: {why}" for tile, why in list(found.left_out.items())[:5]) or "there is none"
        raise WorkError(
            f"{layer.symbol} of tile {job.tile}: no {layer.inputs[-1]} can be used within "
            f"{job.production.parameters.ensemble.reach:g} km ({seen}); name references.clcplus, or import a model"
        )
    configure_threads(job.engine.settings.workers)
    loaded = [load(job.store, record) for record in found.models]
    precision, warnings = precision_of(job)
    answering = Answering.of(job, loaded, with_last=True, precision=precision)
    channels = sum(answering.widths)
    variables = arrays_of_channels(job, channels)
    job.engine.at_once(probability_bytes(job, answering), layer.symbol)
    blocks, grid = job.blocks_of(layer), job.grid_of(layer)
    one_more = job.engine.counter(len(blocks))
    reports: list[BlockReport] = []
    with job.store.writing_arrays(job.place(layer.symbol), grid, layer.resolution, variables, attributes(job, layer)) as out:
        for block in blocks:  # TensorFlow uses all workers inside one call, so blocks follow one another
            shares, seen_last = predict_block(job, block, answering)
            out[layer.symbol][(slice(None), *block.slices)] = shares
            out[SEEN][(slice(None), *block.slices)] = seen_last
            reports.append(report({layer.symbol: shares, SEEN: seen_last}, layer))
            one_more()
    digest, statistics = summarise(layer, reports)
    counts = statistics[layer.symbol]
    pixels = {name: counts[name] // len(classes) for name in ("pixels", "outside")}
    told = {"members": found.members, "channels": channels, "precision": precision, **found.to_json()}
    return Made(digest, {layer.symbol: pixels, **told}, warnings)


def planned_arrays(job: Job, layer: Layer) -> tuple[Variable, ...]:
    """Arrays of the layer where the tile's own networks predict it."""
    return arrays_of_channels(job, sum(_own_networks(job).widths))


def arrays_of_channels(job: Job, channels: int) -> tuple[Variable, ...]:
    """Arrays of the layer, by the classes of the production and the channels of its models."""
    names = tuple(c.name for c in job.production.parameters.classes.classes)
    return (
        Variable("LC_probability", "uint8", NO_DATA, "class", names, units=PROBABILITY),
        Variable(SEEN, "uint8", NO_DATA, "channel", tuple(map(str, range(channels)))),
    )


@dataclass(frozen=True)
class Answering:
    """Networks that answer for blocks."""

    models: tuple[Model, ...]
    """As of `window_function`."""
    members: tuple[int, ...]
    """Networks of each model."""
    widths: tuple[int, ...]
    """Channels that those see last, which may differ from model to model; 0 where they are not asked for."""
    filters: int
    """Most filters of a network's first level."""
    depth: int
    """Most halvings of a network."""
    most: int
    """Longest edge of a window, pixels."""

    @classmethod
    def of(
        cls, job: Job, loaded: Sequence[tuple[Any, Normalisation]], with_last: bool, precision: Precision = "float32"
    ) -> Answering:
        """Of joined models, with the largest windows that memory allows, 512 pixels at most."""
        classes = len(job.production.parameters.classes.classes)
        depth, filters = max(depth_of(model) for model, _ in loaded), [filters_of(model) for model, _ in loaded]
        members = tuple(model.output_shape[-1] // classes for model, _ in loaded)
        networks = [unpadded(model, precision) for model, _ in loaded]
        if with_last:
            networks = [tuple(map(with_last_features, network)) for network in networks]
        models = tuple(
            window_function(network, normalisation, depth) for network, (_, normalisation) in zip(networks, loaded, strict=True)
        )
        widths = tuple(with_last * count * width for count, width in zip(members, filters, strict=True))
        ways = [cls(models, members, widths, max(filters), depth, most) for most in EDGES[1:]]
        return next((way for way in ways if probability_bytes(job, way) <= job.engine.budget), ways[-1])

    def windows(self, job: Job, block: Block) -> Windows:
        """Those of a block."""
        return Windows(block.shape, origin_of(job, block), self.depth, self.most)


def predict_block(job: Job, block: Block, networks: Answering) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (class, y, x) and last features (channel, y, x) of a block, uint8, 255 no data.

    A probability p is stored as round(254 p), a feature f as round(254 f / (1 + f)).
    """
    unet, grid = job.production.parameters.unet, job.grid_of(CATALOGUE["LC_mosaic"])
    classes, members, widths = len(job.production.parameters.classes.classes), networks.members, networks.widths
    windows = networks.windows(job, block)
    left, right = (block.x0 + x for x in windows.columns)

    def read(first: int, end: int) -> np.ndarray:
        """Rows with the columns that windows see."""
        out = np.full((end - first, right - left, len(unet.names)), np.nan, "f4")
        top, bottom = max(block.y0 + first, 0), min(block.y0 + end, grid.shape.y)
        a, b = max(left, 0), min(right, grid.shape.x)
        if top < bottom:
            pixels = read_features(job, Block(top, a, bottom, b))
            out[top - block.y0 - first : bottom - block.y0 - first, a - left : b - left] = np.moveaxis(pixels, 0, -1)
        return out

    shares = np.full((classes, *block.shape), NO_DATA, "u1")
    seen = np.full((sum(widths), *block.shape), NO_DATA, "u1")
    for row, answers, valid in predict_channels(read, networks.models, windows, AT_ONCE):
        if not len(answers) or not valid.any():
            continue
        rows = slice(row, row + len(valid))
        total, first, place = np.zeros((classes, *valid.shape), "f4"), 0, 0
        for count, width in zip(members, widths, strict=True):
            total += answers[first : first + count * classes].reshape(count, classes, *valid.shape).sum(axis=0)
            first += count * classes
            last = answers[first : first + width]
            first += width
            seen[place : place + width, rows] = np.where(valid, np.rint(STEPS * last / (1 + last)), NO_DATA)
            place += width
        shares[:, rows] = np.where(valid, np.rint(STEPS * np.clip(total / sum(members), 0, 1)), NO_DATA)
    return shares, seen


def probability_external(job: Job, layer: Layer) -> Mapping[str, Any]:
    """The models of other tiles that take part."""
    return {"models": ensemble_versions(job, layer.inputs[-1]), **precision_external(job)}


def probability_bytes(job: Job, networks: Answering) -> int:
    """Memory of a block: what is stored of it, twice while it is encoded, a row of windows in float32, and the networks."""
    unet, classes = job.production.parameters.unet, len(job.production.parameters.classes.classes)
    block = job.blocks_of(CATALOGUE["LC_probability"])[0]
    windows = networks.windows(job, block)
    (height, _), (first, end), around = windows.edges, windows.columns, 2 * windows.reach
    each = classes + sum(networks.widths)
    row = (end - first) * (height + around) * 3 * len(unet.names) + height * block.shape[1] * 3 * each
    return block.shape[0] * block.shape[1] * each * 2 + 4 * row + window_bytes(len(unet.names), networks.filters, windows)


def probability_cost(job: Job, layer: Layer) -> Cost:
    """Of a tile that is predicted by as many networks as it has members."""
    unet, networks = job.production.parameters.unet, _own_networks(job)
    work = sum(networks.windows(job, block).work for block in job.blocks_of(layer))
    seconds = work * unet.members * (unet.base_filters / 16) ** 2 * PREDICT_NS / 1e9 * precision_share(job)
    return Cost(seconds, resident(job, probability_bytes(job, networks)) + NETWORKS)


def _own_networks(job: Job) -> Answering:
    """As wide as those of the tile's model, without what they answer with."""
    unet = job.production.parameters.unet
    return Answering((), (unet.members,), (unet.members * unet.base_filters,), unet.base_filters, unet.depth, EDGES[1])
