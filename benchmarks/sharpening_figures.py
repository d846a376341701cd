"""`python -m benchmarks.sharpening_figures MODELS [--tune]`: how good the networks of super-resolution are, beside their peers.

Degraded scale: Gaussian of half a coarse pixel, then the mean of blocks; root mean square error in reflectance x 10 000 of tile 33UUB, 6 x
6 km, with 95 % intervals of a bootstrap over 10 x 10 blocks of ground. All but what is called "without" ends with back-projection. MODELS are those
of `benchmarks.sharpening_model`: trained `--without-sweden` they never saw the scene. With `--tune` each quarter is judged by a model
that was tuned on the rest, an octave lower than it is judged, and one tuned at the scale that is judged.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from benchmarks.sharpening_data import native, sweden
from imperv.layers.network.unet import configure_threads
from imperv.layers.sharpening.back_projection import back_project, residual
from imperv.layers.sharpening.degradation import PLAIN, degrade
from imperv.layers.sharpening.enlarging import enlarge
from imperv.layers.sharpening.network import Model, load
from imperv.layers.sharpening.regression import detail, neighbourhood
from imperv.layers.sharpening.statistics import start_and_features, statistics_of
from imperv.layers.sharpening.steps import STEPS, Step
from imperv.layers.sharpening.training import tune

ROUNDS = 10
BLOCKS = 10
DRAWS = 1000
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


def show(name: str, sharp: np.ndarray, truth: np.ndarray, coarse: np.ndarray, step: Step) -> None:
    """One line of the table."""
    bands, mean, (low, high) = scores(sharp, truth)
    lack = residual(sharp, coarse, step.factor, PLAIN * step.factor).max()
    print(f"| {name} | {mean:.1f} ({low:.1f} to {high:.1f}) | {', '.join(f'{b:.1f}' for b in bands)} | {lack:.1f} |", flush=True)


def boosted(step: Step, guides: np.ndarray, coarse: np.ndarray, sigma: float) -> np.ndarray:
    """Boosted trees in the regression's place: details and levels, fitted an octave lower."""
    from xgboost import XGBRegressor

    def table(fine: np.ndarray, plain: np.ndarray) -> np.ndarray:
        return np.concatenate([neighbourhood(detail(fine, step.factor, sigma)), fine, plain]).reshape(-1, fine[0].size).T

    rows, columns = (n // step.octave * step.octave for n in coarse.shape[1:])
    few = coarse[:, :rows, :columns]
    lower = degrade(guides[:, : rows * step.factor, : columns * step.factor], step.factor, sigma)
    x = table(lower, enlarge(degrade(few, step.factor, sigma), step.factor))
    y = detail(few, step.factor, sigma)
    plain = enlarge(coarse, step.factor)
    at = table(guides, plain)
    trees = [
        XGBRegressor(n_estimators=200, max_depth=5, learning_rate=0.08, subsample=0.7, n_jobs=2).fit(x, band.ravel())
        for band in y
    ]
    return plain + np.stack([t.predict(at).reshape(plain.shape[1:]) for t in trees]).astype("f4")


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


def peers(step: Step, fine: np.ndarray, coarse: np.ndarray, truth: np.ndarray) -> None:
    """Interpolation, regression and trees."""
    sigma = PLAIN * step.factor
    for kernel in ("cubic", "lanczos"):
        plain = enlarge(coarse, step.factor, kernel)
        show(f"{kernel} without", plain, truth, coarse, step)
        show(kernel, back_project(plain, coarse, step.factor, sigma, ROUNDS), truth, coarse, step)
    if len(fine):
        start, _ = start_and_features(step, statistics_of(step, fine, coarse, sigma), fine, coarse, sigma)
        show("regression", back_project(start, coarse, step.factor, sigma, ROUNDS), truth, coarse, step)
        trees = boosted(step, fine, coarse, sigma)
        show("boosted trees", back_project(trees, coarse, step.factor, sigma, ROUNDS), truth, coarse, step)


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
    options = parser.parse_args()
    configure_threads(2)
    for name in options.step or list(STEPS):
        step = STEPS[name]
        _, truth, fine, coarse = degraded(step)
        print(f"\n{name}\n\n| what | mean | {', '.join(step.bands)} | inconsistent by |\n|---|---|---|---|")
        peers(step, fine, coarse, truth)
        path = options.models / f"{name}.npz"
        if not path.is_file():
            continue
        model = load(path)
        sharp, deviation = sharpened(model, fine, coarse, step)
        show("network", sharp, truth, coarse, step)
        ratio = ((sharp - truth) / deviation).std((1, 2))
        print(f"error over deviation: {', '.join(f'{r:.2f}' for r in ratio)}")
        if options.tune:
            for same in (False, True):
                found, truth, coarse = tuned(model, step, same)
                show("network, tuned " + ("on the other quarters" if same else "an octave lower"), found, truth, coarse, step)


if __name__ == "__main__":
    main()
