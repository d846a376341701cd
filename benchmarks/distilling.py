"""An ensemble and the one network that has learnt from it, on ground with truth: `python -m benchmarks distilling`.

Five models of two members each, trained shortly on city kits of one town with weather and errors of their own, predict the year
after on two of these kits; a student learns from their answers on a part of the ground and is judged, beside them, on the rest.
The ensemble is judged in numbers of 16 bits, too. What was trained is kept in the folder. Figures stand in docs/accuracy.md.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy import kit_job
from imperv.flows.cli.imperviousness.evaluating import PRODUCTS
from imperv.grids import Block
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.network.distilling import WIDEST_SPREAD, EnsembleHead, student_parameters
from imperv.layers.network.ensemble import ensemble
from imperv.layers.network.heads import FractionHead
from imperv.layers.network.prediction import EDGES, window_function
from imperv.layers.network.rows import predict_area
from imperv.layers.network.sampling import Region
from imperv.layers.network.training import train
from imperv.layers.network.unet import Normalisation, configure_threads, load_model, save_model
from imperv.layers.network.unpadded import depth_of, unpadded
from imperv.layers.network.windows import Windows, reach
from imperv.layers.statistics.reliability import joint_histogram, spearman
from imperv.layers.statistics.scores import (
    Estimate,
    Scores,
    confusion,
    density_scores,
    density_sums,
    differences,
    estimates,
    mask_scores_from,
    threshold_counts,
)
from imperv.tasks.imperviousness.assessment.block_sums import EDGE
from imperv.tasks.imperviousness.assessment.evaluation import MODELS, Product, true_mask
from imperv.tasks.imperviousness.assessment.truth import OUTSIDE, Truth
from imperv.tasks.imperviousness.nodes.distilling import answered
from imperv.tasks.imperviousness.nodes.features import read_features
from imperv.tasks.imperviousness.nodes.models import training_regions
from imperv.tasks.job import Job

SITES = (1, 2, 3, 4, 5)
"""Kits whose models take part, by seed."""
JUDGED = (1, 2)
"""Kits that are predicted; their own model comes first, as in a production."""
EPOCHS, STEPS, MORE_STEPS = 8, 50, 45
"""Of the trainings: short; all models but the first start from it."""
WINDOW, TAUGHT = 100, 12
"""Edge in pixels and number of the windows that the student learns from: two fifths of a kit, or 0.12 million pixels."""
CUT = 10.0
"""Density in percent from which a pixel is sealed or built-up."""
WIDE = 2.0
"""Deviations within which a truth is covered."""

Network = tuple[Any, Normalisation]


def distilling_lines(folder: Path) -> list[str]:
    """Markdown: scores of the ensemble, of the student and of the first member, and their differences, by kit and product."""
    configure_threads(2)
    jobs = {seed: kit_job(folder / f"kit-{seed}", seed) for seed in SITES}
    lines = []
    for product in PRODUCTS:
        networks: dict[int, Network] = {}
        for seed, job in jobs.items():
            networks[seed] = _trained(folder, product, seed, job, networks.get(1))
        for seed in JUDGED:
            order = [seed, *(other for other in networks if other != seed)]
            lines += _compared(folder, product, seed, jobs[seed], [networks[k] for k in order])
    return lines


def _trained(folder: Path, product: Product, seed: int, job: Job, start: Network | None) -> Network:
    """The model of a kit, made once."""
    place, told = folder / f"{product}-{seed}.keras", folder / f"{product}-{seed}.json"
    if not place.exists():
        unet = job.production.parameters.unet
        steps = MORE_STEPS if start else STEPS
        schedule = unet.model_copy(update={"seed": seed, "epochs": EPOCHS, "steps_per_epoch": steps})
        found = train(training_regions(job, CATALOGUE[MODELS[product]], unet), schedule, initial=start)
        told.write_text(json.dumps(found.normalisation.to_json()))
        _save(found.model, place)
    return load_model(place), Normalisation.from_json(json.loads(told.read_text()))


def _compared(folder: Path, product: Product, seed: int, job: Job, networks: Sequence[Network]) -> list[str]:
    """Scores of a kit by the models in the order of a production."""
    unet, depth = job.production.parameters.unet, depth_of(networks[0][0])
    models = [window_function(unpadded(model), normalisation, depth) for model, normalisation in networks]
    regions = answered(job, models, depth, TAUGHT, WINDOW)
    (student, normalisation), history = _student(folder, product, seed, job, regions, networks[0])
    rows, columns = job.grid(10).shape
    margin = reach(depth) + 2**depth
    features = read_features(job, "now", Block(-margin, -margin, rows + margin, columns + margin), unet.names)
    inner = np.s_[margin : margin + rows, margin : margin + columns]
    windows = Windows((rows, columns), job.global_index(), depth, EDGES[1])
    members = np.concatenate([predict_area(features, model, windows, inner) for model in models])
    short = [window_function(unpadded(model, "bfloat16"), normalisation, depth) for model, normalisation in networks]
    rounded = np.concatenate([predict_area(features, model, windows, inner) for model in short])
    mean, spread = predict_area(features, window_function(unpadded(student), normalisation, depth), windows, inner)
    maps = {
        "ensemble": ensemble(members),
        "student": (ensemble(mean[None])[0], spread * WIDEST_SPREAD),
        "own model": ensemble(members[: networks[0][0].output_shape[-1]]),
        "ensemble in bfloat16": ensemble(rounded),
    }
    found = true_mask(job, product, "now", Truth.find(folder / f"kit-{seed}" / "truth"), Block(0, 0, rows, columns))
    assert found is not None
    density, mask = found
    known = (mask != OUTSIDE) & np.isfinite(members).all(axis=0)
    if density is not None:
        known &= density != OUTSIDE
    row, column = job.global_index()
    for region in regions:  # the student is judged where it has not learnt
        y, x = (first - origin for first, origin in zip(region.origin, (row, column), strict=True))
        known[y : y + region.target.shape[1], x : x + region.target.shape[2]] = False
    truth = None if density is None else density[known].astype("f4")
    return [
        f"## {product}, kit {seed}", "", *_tables(maps, truth, mask[known] == 1, known, _blocks(known, (row, column))), "",
        f"Training: {history['steps_per_epoch'] * len(history['validation'])} steps, {history['seconds']:.0f} s of processor, best epoch "
        f"{history['best_epoch'] + 1}; student minus ensemble on what was left out of it: {json.dumps(history['scores'])}.", "",
    ]  # fmt: skip


def _student(
    folder: Path, product: Product, seed: int, job: Job, regions: Sequence[Region], start: Network
) -> tuple[Network, dict[str, Any]]:
    """The student of a kit and how it was trained, made once."""
    place, told = folder / f"student-{product}-{seed}.keras", folder / f"student-{product}-{seed}.json"
    if not place.exists():
        unet = job.production.parameters.unet
        parameters = student_parameters(unet, unet.base_filters, depth_of(start[0])).model_copy(update={"split_block": WINDOW})
        before = time.process_time()
        found = train(regions, parameters, initial=start, head=EnsembleHead(FractionHead(parameters.absolute)))
        history = {**found.history[0], "seconds": time.process_time() - before}
        told.write_text(json.dumps({"normalisation": found.normalisation.to_json(), "history": history}))
        _save(found.model, place)
    known = json.loads(told.read_text())
    return (load_model(place), Normalisation.from_json(known["normalisation"])), known["history"]


def _save(model: Any, place: Path) -> None:
    draft = place.with_name(f"draft-{place.name}")
    save_model(model, draft)
    draft.rename(place)


def _blocks(known: np.ndarray, origin: tuple[int, int]) -> np.ndarray:
    """Number of the block of space of each known pixel."""
    y, x = np.nonzero(known)
    return np.unique((y + origin[0]) // EDGE * 2**20 + (x + origin[1]) // EDGE, return_inverse=True)[1]


def _accuracy(counts: np.ndarray) -> dict[str, np.ndarray]:
    matrix = confusion(counts, CUT)
    return {"oa": (matrix[..., 0] + matrix[..., 3]) / matrix.sum(axis=-1)}


def _covered(sums: np.ndarray) -> dict[str, np.ndarray]:
    return {name: sums[..., k] / sums[..., 0] for k, name in ((1, "covered"), (2, "deviation"))}


def _sums(
    mean: np.ndarray, spread: np.ndarray, density: np.ndarray | None, mask: np.ndarray, blocks: np.ndarray
) -> list[tuple[np.ndarray, Scores]]:
    """Sums by block with the scores that follow from them; those of a density where there is a true one."""
    count = int(blocks.max()) + 1
    counts = threshold_counts(mean, mask, blocks, count)
    found: list[tuple[np.ndarray, Scores]] = [(counts, mask_scores_from(CUT)), (counts, _accuracy)]
    if density is not None:
        inside = np.abs(mean - density) <= 100 * WIDE * spread + 0.5  # maps are whole percents
        cover = np.stack([np.bincount(blocks, w, count) for w in (np.ones(len(mean)), inside, 100 * spread)], axis=-1)
        found += [(density_sums(mean, density, blocks, count), density_scores), (cover, _covered)]
    return found


SHOWN = ("mae", "rmse", "bias", "oa", "f1", "covered", "deviation")


def _tables(
    maps: Mapping[str, tuple[np.ndarray, np.ndarray]], density: np.ndarray | None, mask: np.ndarray, known: np.ndarray,
    blocks: np.ndarray,
) -> list[str]:  # fmt: skip
    sums = {name: _sums(mean[known], spread[known], density, mask, blocks) for name, (mean, spread) in maps.items()}
    rows = []
    for name, (mean, spread) in maps.items():
        scores = {key: value for one, of in sums[name] for key, value in estimates([one], of).items()}
        # Without a true density the deviation is ranked against errors of the mask.
        error = 100.0 * ((mean[known] >= CUT) != mask) if density is None else np.abs(mean[known] - density)
        rows.append((name, scores, f"{spearman(joint_histogram(spread[known], error)):.2f}"))
    for name in list(maps)[1:]:
        pairs = zip(sums[name], sums["ensemble"], strict=True)
        scores = {key: value for (a, of), (b, _) in pairs for key, value in differences([a], [b], of).items()}
        rows.append((f"{name} minus ensemble", scores, ""))
    shown = [key for key in SHOWN if key in rows[0][1]]
    heads = ["", *shown, "rank correlation of deviation and error"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *(_row(*row, shown) for row in rows)]
    for name in ("student", "ensemble in bfloat16"):
        apart = [np.abs(maps[name][k][known].astype("f8") - maps["ensemble"][k][known]).mean() for k in (0, 1)]
        lines += ["", f"Ensemble and {name} apart: mean {apart[0]:.3f}, deviation {100 * apart[1]:.3f} percent"]
    return lines


def _row(name: str, scores: Mapping[str, Estimate], last: str, shown: Sequence[str]) -> str:
    cells = [f"{scores[key].value:.3f} [{scores[key].low:.3f}, {scores[key].high:.3f}]" for key in shown]
    return f"| {name} | {' | '.join(cells)} | {last} |"
