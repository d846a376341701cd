"""Trials on a finished tile: networks and per-pixel models are trained with blocks of space held out, and scored there.

All methods learn from the same references of `then` (ATBD 4.2.3, 4.3.1). An independent truth scores them in that year and in the
next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from imperv.grids import Block, block_grid, inner_slices
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.network.baselines import BASELINES, FOREST, fit_baseline, sample_pixels
from imperv.layers.network.prediction import predict
from imperv.layers.network.sampling import TRAINING, VALIDATION, Region, spatial_split
from imperv.layers.network.unet import Normalisation, configure_threads
from imperv.layers.network.unpadded import depth_of
from imperv.layers.network.windows import reach
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.imperviousness.assessment.block_sums import EDGE, Judged, Pixels
from imperv.tasks.imperviousness.assessment.truth import OUTSIDE, Truth
from imperv.tasks.imperviousness.nodes.features import read_features
from imperv.tasks.imperviousness.nodes.models import read_target, training_regions
from imperv.tasks.job import Job

Product = Literal["IMD", "IBU"]
Year = Literal["then", "now"]

UNET, REFERENCE = "U-Net", "reference"
METHODS = (UNET, *BASELINES, REFERENCE)
"""REFERENCE is no model: the training reference, used as the map of both years."""

MODELS: dict[Product, str] = {"IMD": "IMD_model", "IBU": "IBUD_model"}
DENSITY: dict[Product, str] = {"IMD": "imd", "IBU": "ibud"}
NEEDED = {"IMD": ("PP_then", "PP_now", "PP_shift", "IMD_then", "CLCP_then"), "IBU": ("PP_then", "PP_now", "PP_shift", "IBUD_ref")}

SEALED = 10.0
"""Density in percent from which a pixel counts as sealed when masks of IMD are compared; that of IBU is `built_up.threshold`."""

SHARE, GUARD, SEED = 0.25, 8, 20_000
"""Share of blocks held out of a trial; width of the guard band around them, pixels; seed of the choice."""

JUDGED = 16_000_000
"""Pixels predicted in a trial, in whole blocks of work: more than a window, a sixth of a tile."""


@dataclass(frozen=True)
class Trial:
    """One training of every method with its own held-out blocks."""

    tile: str
    product: Product
    number: int
    """From 0."""
    judged: Mapping[tuple[Year, str], Judged]
    seconds: Mapping[str, float]
    pixels: int
    """Training pixels."""
    history: tuple[dict[str, Any], ...]
    """Of the networks' training."""


def held_out(shape: tuple[int, int], origin: tuple[int, int], number: int) -> np.ndarray:
    """Part of each pixel in a trial, as `spatial_split`: no block is held out twice within 1 / `SHARE` trials."""
    turns = round(1 / SHARE)
    return spatial_split(shape, origin, EDGE, SHARE, GUARD, SEED + number // turns, number % turns)


def hide(regions: list[Region], number: int) -> list[Region]:
    """The regions with the references of the held-out blocks and their guard band removed."""
    found = []
    for region in regions:
        known = held_out(region.target.shape, region.origin, number) == TRAINING
        hidden = replace(region, target=np.where(known, region.target, np.float32(np.nan)))
        if hidden.valid().any():
            found.append(hidden)
    return found


def threshold(job: Job, product: Product) -> float:
    """Density in percent from which a pixel is in the product's mask."""
    return job.production.parameters.built_up.threshold if product == "IBU" else SEALED


def true_mask(job: Job, product: Product, year: Year, truth: Truth, block: Block) -> tuple[np.ndarray | None, np.ndarray] | None:
    """True density (percent, 255 outside, or None) and true mask (0, 1, 255 outside) of a block; None if there is no truth."""
    grid = block.geobox(job.grid(10))
    density = truth.read(f"{DENSITY[product]}_{year}", grid)
    if product == "IBU":
        mask = truth.read(f"ibu_{year}", grid)
    else:
        mask = None if density is None else np.where(density == OUTSIDE, OUTSIDE, density >= SEALED).astype("u1")
    return None if mask is None else (density, mask)


def require(job: Job, product: Product) -> None:
    """Raise InputError if a tile lacks features or references."""
    if missing := [symbol for symbol in NEEDED[product] if (r := job.record(symbol)) is None or not r.made]:
        targets = " ".join(f"--target {symbol}" for symbol in missing)
        raise InputError(f"tile {job.tile}: {', '.join(missing)} not done; first imperv run {job.tile} {targets}")


def run_trial(
    job: Job, product: Product, truth: Truth, number: int = 0, progress: Callable[[str], None] = lambda text: None
) -> Trial:
    """Train every method with blocks held out and score it there, in a tile with features of both years and references.

    `number`, from 0, gives other blocks and seeds. InputError if the tile is not ready or the truth does not overlap it;
    WorkError if no reference is left for the training.
    """
    from imperv.layers.network.training import train

    require(job, product)
    layer, parameters = CATALOGUE[MODELS[product]], job.production.parameters.unet
    parameters = parameters.model_copy(update={"seed": parameters.seed + number})
    workers = job.engine.settings.workers
    configure_threads(workers)
    regions = hide(training_regions(job, layer, parameters), number)
    if not regions:
        raise WorkError(f"{layer.symbol} of tile {job.tile}: no reference is left outside of the held-out blocks")
    seconds: dict[str, float] = {}
    start = time.perf_counter()
    try:
        trained = train(regions, parameters)
    except ValueError as error:
        raise WorkError(f"{layer.symbol} of tile {job.tile}: cannot be trained: {error}") from None
    seconds[UNET] = time.perf_counter() - start
    progress(f"{job.tile} {product} trial {number + 1}: {UNET} trained in {seconds[UNET]:.0f} s")
    predictors = {}
    x, y = sample_pixels(regions, seed=number)
    pixels = sum(int(region.valid().sum()) for region in regions)
    del regions
    for name in BASELINES:
        start = time.perf_counter()
        predictors[name] = fit_baseline(name, x, y, number, workers)
        seconds[name] = time.perf_counter() - start
        progress(f"{job.tile} {product} trial {number + 1}: {name} trained in {seconds[name]:.0f} s on {len(y)} pixels")

    judged: dict[tuple[Year, str], Judged] = {}
    for year in ("then", "now"):
        for block, chosen, density, mask in _judged_blocks(job, product, year, truth, number):
            fractions, features = predict_block(job, year, block, trained.model, trained.normalisation)
            chosen &= np.isfinite(features).all(axis=0)
            if not chosen.any():
                continue
            found = {UNET: fractions.mean(axis=0, dtype="f8")[chosen]}
            found |= {name: run(np.ascontiguousarray(features[:, chosen].T)) for name, run in predictors.items()}
            reference = read_target(job, layer, block)
            known = chosen & np.isfinite(reference)
            cases = [(name, chosen, fraction) for name, fraction in found.items()] + [(REFERENCE, known, reference[known])]
            for name, where, fraction in cases:
                real = None if density is None else density[where]
                into = judged.setdefault((year, name), Judged())
                Pixels.of(where, origin(job, block)).judge(into, 100 * fraction, real, mask[where] == 1)
        progress(f"{job.tile} {product} trial {number + 1}: {year} scored")
    if not judged:
        raise InputError(f"tile {job.tile}: the truth of {product} holds no pixel of its held-out blocks; name rasters that do")
    return Trial(str(job.tile), product, number, judged, seconds, pixels, tuple(trained.history))


def _judged_blocks(
    job: Job, product: Product, year: Year, truth: Truth, number: int
) -> Iterator[tuple[Block, np.ndarray, np.ndarray | None, np.ndarray]]:
    """Random blocks of work up to `JUDGED` pixels: block, held-out pixels with a truth, true density, true mask."""
    parameters = job.production.parameters.unet
    blocks = list(block_grid(job.grid(10)))
    require_memory(job, 3 * len(parameters.names) + 2 * parameters.members, "the evaluation")
    seen = 0
    for k in np.random.default_rng([SEED, number]).permutation(len(blocks)):
        if seen >= JUDGED:
            return
        block = blocks[k]
        real = true_mask(job, product, year, truth, block)
        if real is None:
            return
        density, mask = real
        chosen = (held_out(block.shape, origin(job, block), number) == VALIDATION) & (mask != OUTSIDE)
        if density is not None:
            chosen &= density != OUTSIDE
        if chosen.any():
            seen += mask.size
            yield block, chosen, density, mask


def require_memory(job: Job, arrays: int, what: str) -> None:
    """Raise InputError if predicting a block with its margin, so many float32 arrays, exceeds `engine.memory`."""
    settings = job.production.parameters.unet
    rows, columns = (size + 2 * reach(settings.depth) for size in next(block_grid(job.grid(10))).shape)
    job.engine.at_once(rows * columns * 4 * arrays, what)


def predict_block(job: Job, year: Year, block: Block, model: Any, normalisation: Normalisation) -> tuple[np.ndarray, np.ndarray]:
    """Predicted fractions of a block, (member, y, x), and its features, (feature, y, x)."""
    margin = reach(depth_of(model))
    outer = Block(block.y0 - margin, block.x0 - margin, block.y1 + margin, block.x1 + margin)
    features, inner = read_features(job, year, outer, normalisation.names), inner_slices(block, outer)
    found = predict(model, normalisation, features, origin(job, outer), inner)
    return found, features[(slice(None), *inner)]


def origin(job: Job, block: Block) -> tuple[int, int]:
    """Global (row, column) of the first pixel of a block."""
    row, column = job.global_index()
    return row + block.y0, column + block.x0


def method_settings(job: Job) -> dict[str, Any]:
    """Settings of the methods, for reports."""
    from imperv.layers.network.baselines import BOOSTED, LOGIT, PIXELS

    return {
        UNET: job.production.parameters.unet.model_dump(mode="json"),
        **dict(zip(BASELINES, (FOREST, BOOSTED, LOGIT), strict=True)),
        "per_pixel_training_pixels": PIXELS,
        "held_out": {"share": SHARE, "block": EDGE, "guard": GUARD},
    }
