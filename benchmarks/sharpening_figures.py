"""`python -m benchmarks.sharpening_figures MODELS [--tune]`: how good the networks of super-resolution are, beside their peers.

Degraded scale: Gaussian of half a coarse pixel, then the mean of blocks; root mean square error in reflectance x 10 000 of tile 33UUB, 6 x
6 km, with 95 % intervals of a bootstrap over 10 x 10 blocks of ground. All but what is called "without" ends with back-projection. MODELS are those
of `benchmarks.sharpening_model`: trained `--without-sweden` they never saw the scene. With `--tune` each quarter is judged by a model
that was tuned on the rest, an octave lower than it is judged, and one tuned at the scale that is judged.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.sharpening_data import native, sweden
from imperv.layers.network.unet import configure_threads
from imperv.layers.sharpening.back_projection import back_project, residual
from imperv.layers.sharpening.degradation import PLAIN, degrade
from imperv.layers.sharpening.enlarging import enlarge
from imperv.layers.sharpening.network import Model, load, save
from imperv.layers.sharpening.statistics import start_and_features, statistics_of
from imperv.layers.sharpening.steps import STEPS, Step
from imperv.layers.sharpening.training import tune
from imperv.layers.sharpening.wald import boosted_detail

ROUNDS = 10
BLOCKS = 10
DRAWS = 1000
OF = "tile 33UUB, 6 x 6 km, an octave lower, reflectance x 10 000, by a model trained alike that never saw it"
MARGIN = 16
"""Pixels of the bands between a quarter that judges and the ground that a model was tuned on."""


def scores(sharp: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Error of each band, of their mean, and its interval."""
    edge = [n // BLOCKS for n in truth.shape[1:]]
    part = (sharp - truth)[:, : edge[0] * BLOCKS, : edge[1] * BLOCKS].astype("f8") ** 2
    squares = part.reshape(len(part), BLOCKS, edge[0], BLOCKS, edge[1]).mean((2, 4)).reshape(len(part), -1)
    draws = np.random.default_rng(1).integers(0, squares.shape[1], (DRAWS, squares.shape[1]))
    drawn = np.sqrt(squares[:, draws].mean(-1)).mean(0)
    bands = np.sqrt(((sharp - truth).astype("f8") ** 2).mean((1, 2)))
    return bands, bands.mean(), tuple(np.quantile(drawn, (0.025, 0.975)))


def show(name: str, sharp: np.ndarray, truth: np.ndarray, coarse: np.ndarray, step: Step) -> dict[str, Any]:
    """One line of the table, and its figures."""
    bands, mean, (low, high) = scores(sharp, truth)
    lack = residual(sharp, coarse, step.factor, PLAIN * step.factor).max()
    print(f"| {name} | {mean:.1f} ({low:.1f} to {high:.1f}) | {', '.join(f'{b:.1f}' for b in bands)} | {lack:.1f} |", flush=True)
    return {
        "rmse": round(float(mean), 1),
        "interval": [round(float(low), 1), round(float(high), 1)],
        "bands": [round(float(b), 1) for b in bands],
    }


def quarters(shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """Four quarters of a grid."""
    halves = [[slice(0, n // 2), slice(n // 2, n)] for n in shape]
    return [(y, x) for y in halves[0] for x in halves[1]]


def degraded(step: Step) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Guides and bands as measured, and both degraded."""
    guides, bands = native(step, sweden())
    rows, columns = (n // step.factor * step.factor for n in bands.shape[1:])
    guides, bands = guides[:, : rows * step.factor, : columns * step.factor], bands[:, :rows, :columns]
    sigma = PLAIN * step.factor
    return guides, bands, degrade(guides, step.factor, sigma), degrade(bands, step.factor, sigma)


def peers(step: Step, fine: np.ndarray, coarse: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Interpolation, regression and trees."""
    sigma, found = PLAIN * step.factor, {}
    for kernel in ("cubic", "lanczos"):
        plain = enlarge(coarse, step.factor, kernel)
        show(f"{kernel} without", plain, truth, coarse, step)
        found[kernel] = show(kernel, back_project(plain, coarse, step.factor, sigma, ROUNDS), truth, coarse, step)
    if len(fine):
        start, _ = start_and_features(step, statistics_of(step, fine, coarse, sigma), fine, coarse, sigma)
        found["regression"] = show("regression", back_project(start, coarse, step.factor, sigma, ROUNDS), truth, coarse, step)
        trees = enlarge(coarse, step.factor) + boosted_detail(step.name, fine, coarse, sigma)
        found["boosted trees"] = show(
            "boosted trees", back_project(trees, coarse, step.factor, sigma, ROUNDS), truth, coarse, step
        )
    return found


def sharpened(model: Model, fine: np.ndarray, coarse: np.ndarray, step: Step) -> tuple[np.ndarray, np.ndarray]:
    """A model's answer, back-projected, and its deviation."""
    sigma = PLAIN * step.factor
    sharp, deviation = model.predict(fine, coarse, sigma)
    return back_project(sharp, coarse, step.factor, sigma, ROUNDS), deviation


def tuned(model: Model, step: Step, same_scale: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every quarter by a model tuned on the other three: sharpened, truth, coarse.

    At the scale that is judged, what is learnt is how the other quarters' bands follow from them degraded. An octave lower, the judged scale
    is seen as a scene is that somebody tunes on: then no quarter is left out.
    """
    guides, bands, fine, coarse = degraded(step)
    out, start = np.full_like(bands, np.nan), time.monotonic()
    if not same_scale:
        found = tune(model, [(fine, coarse)], PLAIN * step.factor)
        print(f"tuned in {time.monotonic() - start:.0f} s: {found.record['tuned']}", flush=True)
        return sharpened(found, fine, coarse, step)[0], bands, coarse
    for y, x in quarters(bands.shape[1:]):
        kept = bands.copy()
        kept[:, max(0, y.start - MARGIN) : y.stop + MARGIN, max(0, x.start - MARGIN) : x.stop + MARGIN] = np.nan
        found = tune(model, [(guides, kept)], PLAIN * step.factor)
        print(f"tuned in {time.monotonic() - start:.0f} s: {found.record['tuned']}", flush=True)
        out[:, y, x] = sharpened(found, fine, coarse, step)[0][:, y, x]
        start = time.monotonic()
    return out, bands, coarse


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharpening_figures", description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("--step", choices=list(STEPS), action="append")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--record", type=Path, help="folder of models that get the figures into their records")
    options = parser.parse_args()
    configure_threads(2)
    for name in options.step or list(STEPS):
        step = STEPS[name]
        _, truth, fine, coarse = degraded(step)
        print(f"\n{name}\n\n| what | mean | {', '.join(step.bands)} | inconsistent by |\n|---|---|---|---|")
        figures: dict[str, Any] = {"of": OF, **peers(step, fine, coarse, truth)}
        path = options.models / f"{name}.npz"
        if not path.is_file():
            continue
        model = load(path)
        sharp, deviation = sharpened(model, fine, coarse, step)
        figures["network"] = show("network", sharp, truth, coarse, step)
        ratio = ((sharp - truth) / deviation).std((1, 2))
        print(f"error over deviation: {', '.join(f'{r:.2f}' for r in ratio)}")
        if options.tune:
            for same in (False, True):
                found, truth, coarse = tuned(model, step, same)
                way = "network, tuned " + ("on the other quarters" if same else "an octave lower")
                figures[way] = show(way, found, truth, coarse, step)
        if options.record:
            kept = load(options.record / f"{step.name}.npz")
            save(replace(kept, record={**kept.record, "figures": figures}), options.record / f"{step.name}.npz")


if __name__ == "__main__":
    main()
