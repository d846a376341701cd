"""Applying the base model: probabilities of all classes, and what the networks see last (docs/landcover.md, Base model)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from imperv.grids import Block
from imperv.layers.catalogue import CATALOGUE, Layer, Variable
from imperv.layers.catalogue.landcover import SEEN
from imperv.layers.landcover.tuning import STEPS
from imperv.layers.network.prediction import bytes_at_once, window_bytes, window_function
from imperv.layers.network.rows import Lattice, predict_channels
from imperv.layers.network.unet import configure_threads, with_last_features
from imperv.tasks.errors import WorkError
from imperv.tasks.family.costs import Cost, resident
from imperv.tasks.job import BlockReport, Job, Made, attributes, report, summarise
from imperv.tasks.landcover.model import NETWORKS, origin_of, read_features
from imperv.tasks.networks.registry import ensemble_models, ensemble_versions, load

NO_DATA = 255

PREDICT_NS = 1600.0
"""Core nanoseconds of prediction for a pixel of a window and member: 16 filters, three levels."""


def make_probability(job: Job, layer: Layer) -> Made:
    """Probabilities of the mean of all networks, and their last features; WorkError if no model can be used."""
    unet, classes = job.production.parameters.unet, job.production.parameters.classes.classes
    found = ensemble_models(job, layer.inputs[-1])
    if not found.models:
        seen = "; ".join(f"{tile}: {why}" for tile, why in list(found.left_out.items())[:5]) or "there is none"
        raise WorkError(
            f"{layer.symbol} of tile {job.tile}: no {layer.inputs[-1]} can be used within "
            f"{job.production.parameters.ensemble.reach:g} km ({seen}); name references.clcplus, or import a model"
        )
    configure_threads(job.engine.settings.workers)
    loaded = [load(job.store, record) for record in found.models]
    models = [window_function(with_last_features(model), normalisation, unet.patch) for model, normalisation in loaded]
    members = [model.output_shape[-1] // len(classes) for model, _ in loaded]
    widths = [count * _width(model) for count, (model, _) in zip(members, loaded, strict=True)]
    channels = sum(widths)
    variables = variables_of(job, channels)
    window = max(window_bytes(model, unet.patch) for model, _ in loaded)
    at_once = max(1, int(min(bytes_at_once(), 0.3 * job.engine.budget)) // window)
    job.engine.at_once(probability_bytes(job, channels) + at_once * window, layer.symbol)
    blocks, grid = job.blocks_of(layer), job.grid_of(layer)
    one_more = job.engine.counter(len(blocks))
    reports: list[BlockReport] = []
    with job.store.writing_arrays(job.place(layer.symbol), grid, layer.resolution, variables, attributes(job, layer)) as out:
        for block in blocks:  # TensorFlow uses all workers inside one call, so blocks follow one another
            shares, seen_last = predict_block(job, block, models, members, widths, len(classes), at_once)
            out[layer.symbol][(slice(None), *block.slices)] = shares
            out[SEEN][(slice(None), *block.slices)] = seen_last
            reports.append(report({layer.symbol: shares, SEEN: seen_last}, layer))
            one_more()
    digest, statistics = summarise(layer, reports)
    counts = statistics[layer.symbol]
    pixels = {name: counts[name] // len(classes) for name in ("pixels", "outside")}
    return Made(
        digest, {layer.symbol: pixels, "members": found.members, "channels": channels, **found.to_json()}
    )  # fmt: skip


def _width(model: Any) -> int:
    """Channels that a member of a joined model sees last."""
    from imperv.layers.network.unet import split_members

    return int(split_members(model)[0].get_layer("up0_conv2").filters)


def variables_of(job: Job, channels: int) -> tuple[Variable, ...]:
    """Arrays of the layer, by the classes of the production and the channels of its models."""
    names = tuple(c.name for c in job.production.parameters.classes.classes)
    return (
        Variable("LC_probability", "uint8", NO_DATA, "class", names),
        Variable(SEEN, "uint8", NO_DATA, "channel", tuple(map(str, range(channels)))),
    )


def predict_block(
    job: Job, block: Block, models: list[Any], members: list[int], widths: list[int], classes: int, at_once: int
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (class, y, x) and last features (channel, y, x) of a block, uint8, 255 no data.

    `members` are the networks of each model, `widths` the channels that they see last, which may differ from model to model.
    A probability p is stored as round(254 p), a feature f as round(254 f / (1 + f)).
    """
    unet, grid = job.production.parameters.unet, job.grid_of(CATALOGUE["LC_mosaic"])
    lattice = Lattice(block.shape, origin_of(job, block), unet.patch, unet.overlap)
    left, right = (block.x0 + x for x in lattice.columns)

    def read(first: int, end: int) -> np.ndarray:
        """Rows of a lattice with the columns that its windows see."""
        out = np.full((end - first, right - left, len(unet.names)), np.nan, "f4")
        top, bottom = max(block.y0 + first, 0), min(block.y0 + end, grid.shape.y)
        a, b = max(left, 0), min(right, grid.shape.x)
        if top < bottom:
            pixels = read_features(job, Block(top, a, bottom, b))
            out[top - block.y0 - first : bottom - block.y0 - first, a - left : b - left] = np.moveaxis(pixels, 0, -1)
        return out

    shares = np.full((classes, *block.shape), NO_DATA, "u1")
    seen = np.full((sum(widths), *block.shape), NO_DATA, "u1")
    for row, answers, valid in predict_channels(read, models, lattice, at_once):
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
    return {"models": ensemble_versions(job, layer.inputs[-1])}


def probability_bytes(job: Job, channels: int) -> int:
    """Memory of a block: what is stored of it, twice while it is encoded, and a row of windows in float32."""
    unet, classes = job.production.parameters.unet, len(job.production.parameters.classes.classes)
    rows, columns = job.blocks_of(CATALOGUE["LC_probability"])[0].shape
    reach = columns + 2 * unet.patch
    each = classes + channels
    return rows * columns * each * 2 + reach * unet.patch * 4 * (3 * len(unet.names) + 3 * each)


def probability_cost(job: Job, layer: Layer) -> Cost:
    """Of a tile that is predicted by as many networks as it has members."""
    unet = job.production.parameters.unet
    rows, columns = job.grid_of(layer).shape
    stride = unet.patch - unet.overlap
    edge = min(job.blocks_of(layer)[0].shape[0], rows)
    repeated = ((edge / stride + 1) * unet.patch / edge) ** 2
    seconds = rows * columns * repeated * unet.members * (unet.base_filters / 16) ** 2 * PREDICT_NS / 1e9
    return Cost(seconds, resident(job, probability_bytes(job, unet.members * unet.base_filters)) + NETWORKS)
