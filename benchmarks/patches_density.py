"""Whether the same pretraining helps the density models: features of two years of one ground as a pair, then equal steps.

Part of `python -m benchmarks patches`. One city kit, imperviousness; a quarter of the ground is held out of everything, other blocks
in each of three trials; scores against the truth of both years. Figures stand in docs/patches.md.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy import kit_job
from imperv.grids import Block
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.network.heads import mean_target
from imperv.layers.network.sampling import TRAINING, VALIDATION
from imperv.layers.network.training import normalise, train
from imperv.layers.network.unet import Normalisation, build_unet, configure_threads, join_members
from imperv.layers.patches.pretraining import PretrainingParameters, learn_features
from imperv.layers.statistics.classes import blocks_of
from imperv.layers.statistics.scores import (
    density_scores,
    density_sums,
    differences,
    estimates,
    mask_scores_from,
    threshold_counts,
)
from imperv.tasks.imperviousness.assessment.evaluation import SEALED, held_out, hide, predict_block, true_mask
from imperv.tasks.imperviousness.assessment.truth import Truth
from imperv.tasks.imperviousness.nodes.features import read_features
from imperv.tasks.imperviousness.nodes.models import training_regions

TRIALS = 3
EPOCHS, STEPS, PAIRS, PRETRAINING = 10, 20, 4, 150
"""Of every training: epochs, steps of one; of the pretraining: pairs in a step, steps."""
WAYS = ("random start", "pretrained")
CROP = 64


class YearPairs:
    """Crops of the features of two years, whose corners differ by up to a quarter of a crop."""

    def __init__(self, years: tuple[np.ndarray, np.ndarray]) -> None:
        self._years, self.size = years, CROP

    def draw(self, random: np.random.Generator) -> tuple[np.ndarray, ...]:
        rows, columns = self._years[0].shape[:2]
        base = random.integers(0, (rows - CROP * 5 // 4, columns - CROP * 5 // 4))
        corners = random.integers(0, CROP // 4 + 1, (2, 2)) + base
        views = [year[r : r + CROP, c : c + CROP] for year, (r, c) in zip(self._years, corners, strict=True)]
        low, high = corners.max(0), corners.min(0) + CROP
        known = np.logical_and(*(np.isfinite(year[low[0] : high[0], low[1] : high[1]]).all(-1) for year in self._years))
        where = np.argwhere(known) + low
        return views[0], views[1], (where - corners[0]).astype("i4"), (where - corners[1]).astype("i4")


def density_lines(folder: Path) -> list[str]:
    """Markdown: scores with and without, and their difference; what is finished is kept in the folder."""
    file = folder / "density.json"
    job = kit_job(folder / "density-kit", 1)
    truth, layer = Truth.find(folder / "density-kit" / "truth"), CATALOGUE["IMD_model"]
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    configure_threads(2)
    base = job.production.parameters.unet
    whole = Block(0, 0, *job.grid(10).shape)
    years = [np.moveaxis(read_features(job, year, whole, base.names), 0, -1) for year in ("then", "now")]
    for number in range(TRIALS):
        parameters = base.model_copy(
            update={"members": 1, "epochs": EPOCHS, "steps_per_epoch": STEPS, "transfer_share": 1.0, "seed": base.seed + number}
        )
        regions = hide(training_regions(job, layer, parameters), number)
        held = held_out(whole.shape, job.global_index(), number)
        for way in WAYS:
            if f"{way}|{number}" in found:
                continue
            start, initial = time.process_time(), None
            if way == WAYS[1]:
                seen = [np.where((held == TRAINING)[..., None], year, np.float32(np.nan)) for year in years]
                normalisation = normalise(regions, [r.valid() for r in regions], base.names)
                initial = _pretrained(parameters, (seen[0], seen[1]), normalisation, number, regions), normalisation
            trained = train(regions, parameters, initial=initial)
            found[f"{way}|{number}"] = {
                year: _judged(job, year, whole, trained, truth, held) for year in ("then", "now")
            } | {"seconds": time.process_time() - start}  # fmt: skip
            file.write_text(json.dumps(found))
            print(f"density, {way}, trial {number + 1}: {time.process_time() - start:.0f} s", file=sys.stderr, flush=True)
    return _table(found)


def _pretrained(
    parameters: Any, years: tuple[np.ndarray, np.ndarray], normalisation: Normalisation, number: int, regions: list[Any]
) -> Any:
    """A member whose features have seen both years, with the head of an untrained one."""
    import keras

    member = build_unet(parameters, parameters.seed * 1000, "member_0")
    features = keras.Model(member.input, member.layers[-1].input)
    steps = PretrainingParameters(batch=PAIRS, steps=PRETRAINING, seed=number + 1)
    losses = learn_features(features, YearPairs(years), normalisation, steps)
    print(f"density, pretraining {number + 1}: loss {losses[0]:.1f} to {losses[-1]:.1f}", file=sys.stderr, flush=True)
    share = float(np.clip(mean_target(regions, [r.valid() for r in regions]), 1e-3, 0.5))
    kernel, _ = member.layers[-1].get_weights()
    member.layers[-1].set_weights([kernel, np.array([np.log(share / (1 - share))], "f4")])
    return join_members([member])


def _judged(job: Any, year: Any, whole: Block, trained: Any, truth: Truth, held: np.ndarray) -> dict[str, Any]:
    """Sums of the held-out blocks: of the density and of the mask."""
    fractions, features = predict_block(job, year, whole, trained.model, trained.normalisation)
    real = true_mask(job, "IMD", year, truth, whole)
    assert real is not None and real[0] is not None
    chosen = (held == VALIDATION) & (real[0] <= 100) & np.isfinite(features).all(0)
    numbers, _ = blocks_of(whole.shape, 64, job.global_index())
    block = np.unique(numbers[chosen], return_inverse=True)[1]
    count = int(block.max()) + 1
    percent = 100 * fractions.mean(0)[chosen]
    mask = threshold_counts(np.floor(percent + 0.5).astype("u1"), real[1][chosen] == 1, block, count)
    return {"density": density_sums(percent, real[0][chosen], block, count).tolist(), "mask": mask.tolist()}


def _table(found: dict[str, Any]) -> list[str]:
    lines = [
        "## Density models with the same pretraining",
        "",
        "| year | score | " + " | ".join(WAYS) + " | difference |",
        "|---|---|---|---|---|",
    ]
    for year in ("then", "now"):
        for part, name, scores in (("density", "rmse", density_scores), ("mask", "f1", mask_scores_from(SEALED))):
            sums = {way: [np.array(found[f"{way}|{k}"][year][part], "f8") for k in range(TRIALS)] for way in WAYS}
            cells = [estimates(sums[way], scores)[name] for way in WAYS] + [
                differences(sums[WAYS[1]], sums[WAYS[0]], scores)[name]
            ]
            lines.append(f"| {year} | {name} | " + " | ".join(f"{c.value:.3f} [{c.low:.3f}, {c.high:.3f}]" for c in cells) + " |")
    return [*lines, ""]
