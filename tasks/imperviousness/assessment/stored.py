"""Scores of the stored layers of a tile by a truth of `now`: densities, masks, own model and ensemble, confidence (ATBD 4.7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imperv.grids import Block, block_grid
from imperv.layers.confidence import confidence
from imperv.layers.network.ensemble import ensemble
from imperv.layers.network.unet import Normalisation, configure_threads
from imperv.tasks.imperviousness.assessment.block_sums import Confident, Judged, Pixels
from imperv.tasks.imperviousness.assessment.evaluation import Product, origin, predict_block, require_memory, threshold, true_mask
from imperv.tasks.imperviousness.assessment.truth import OUTSIDE, Truth
from imperv.tasks.job import Job
from imperv.tasks.networks.registry import load

RAW: dict[Product, tuple[str, str]] = {"IMD": ("RIMD", "IMD_model"), "IBU": ("RIBUD", "IBUD_model")}
FINAL: dict[Product, str] = {"IMD": "IMD_now", "IBU": "IBU_now"}

OWN = "own model"
"""Prediction of the tile's own members, where models of other tiles take part in the ensemble."""


@dataclass
class Stored:
    """Per-block error sums of the stored layers of one product of one tile."""

    tile: str
    product: Product
    judged: dict[str, Judged] = field(default_factory=dict)
    """By layer, such as IMD_now and RIMD; `OWN` as well."""
    trust: Confident = field(default_factory=Confident)
    """Errors of the raw density and its mask by confidence."""
    members: int = 0
    """Predictions in the ensemble."""
    own_members: int = 0
    """Those of the tile's own model."""
    models: tuple[str, ...] = ()
    """Tiles whose models take part."""
    missing: tuple[str, ...] = ()
    """Layers that are not made, with the reason."""


def judge_stored(job: Job, product: Product, truth: Truth) -> Stored | None:
    """Score the stored layers of a product; None without a truth of `now`, or if no layer is made."""
    if true_mask(job, product, "now", truth, Block(0, 0, 1, 1)) is None:
        return None
    raw, model = RAW[product]
    symbols, missing = [], []
    for symbol in (FINAL[product], raw, f"{raw}_sd"):
        record = job.record(symbol)
        if record is not None and record.made and job.store.data_in_place(record):
            symbols.append(symbol)
        else:
            missing.append(f"{symbol}: {record.reason if record and record.reason else 'not made'}")
    if not symbols:
        return None
    result = Stored(str(job.tile), product, missing=tuple(missing))
    own = _own_predictor(job, raw, model, result) if raw in symbols else None
    arrays = {symbol: job.array(symbol) for symbol in symbols}
    for block in block_grid(job.grid(10)):
        real = true_mask(job, product, "now", truth, block)
        assert real is not None
        layers = {symbol: array[block.slices] for symbol, array in arrays.items()}
        if own is not None:
            layers[OWN] = ensemble(predict_block(job, "now", block, *own)[0])[0]
        _judge_block(job, result, block, layers, *real)
    return result if result.judged else None


def _judge_block(
    job: Job, result: Stored, block: Block, layers: dict[str, np.ndarray], density: np.ndarray | None, mask: np.ndarray
) -> None:
    raw, cut = RAW[result.product][0], threshold(job, result.product)
    spread = layers.pop(f"{raw}_sd", None)
    known = mask != OUTSIDE
    if density is not None:
        known &= density != OUTSIDE
    for layer in layers.values():  # the same pixels for all layers
        known &= layer != 255
    if not known.any():
        return
    pixels = Pixels.of(known, origin(job, block))
    real = None if density is None else density[known]
    for symbol, layer in layers.items():
        values = layer[known].astype("f4")
        into = result.judged.setdefault(symbol, Judged())
        percent, truth = (100 * values, None) if symbol == "IBU_now" else (values, real)
        pixels.judge(into, percent, truth, mask[known] == 1)
    if spread is not None and raw in layers:
        percent = layers[raw][known].astype("f4")
        error = np.full_like(percent, np.nan) if real is None else percent - real  # unknown, not 0
        wrong = (percent >= cut) != (mask[known] == 1)
        # Without a true density the spread is ranked against errors of the mask.
        against = 100 * wrong if real is None else error
        level = confidence(spread, known)[known]
        pixels.trust(result.trust, level, spread[known], error, wrong, against)


def _own_predictor(job: Job, raw: str, model: str, result: Stored) -> tuple[Any, Normalisation] | None:
    """The tile's own model, where others took part in the stored ensemble."""
    record, own = job.record(raw), job.record(model)
    assert record is not None
    result.models = tuple(record.statistics.get("models", ()))
    result.members = int(record.statistics.get("members", 0))
    if own is None or not own.made or not job.store.data_in_place(own):
        return None
    result.own_members = int(own.statistics.get("members", 0))
    if len(result.models) < 2:
        return None
    names = job.production.parameters.unet.names
    require_memory(job, 2 * len(names) + 2 * result.own_members, f"the evaluation of {raw}")
    configure_threads(job.engine.settings.workers)
    return load(job.store, own)
