"""Scores of the sharpening on a scene itself, at the degraded scale (Wald et al. 1997).

Bands and guides are degraded once, sharpened back, and held against the bands as they were measured. What is found there is taken
to hold where it is applied.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from imperv.layers.sharpening.back_projection import back_project
from imperv.layers.sharpening.degradation import degrade
from imperv.layers.sharpening.enlarging import enlarge
from imperv.layers.sharpening.measures import comparison_scores, comparison_sums
from imperv.layers.sharpening.regression import detail, neighbourhood
from imperv.layers.sharpening.scene import DARKEST, PACE, ROUNDS, SceneModel, Window, sharpen
from imperv.layers.sharpening.statistics import statistics_of
from imperv.layers.sharpening.steps import STEPS

CUBIC, PROJECTED, REGRESSION, NETWORK = "cubic", "cubic, back-projected", "regression", "network"
"""Ways that are scored; all but the first end with back-projection."""

LANCZOS, LANCZOS_PROJECTED, BOOSTED = "Lanczos", "Lanczos, back-projected", "boosted trees"
"""Further ways, which the product does not have."""

TREES = {"max_iter": 100, "learning_rate": 0.1, "max_leaf_nodes": 31, "min_samples_leaf": 20}
"""Settings of scikit-learn's boosted trees, our choice."""

TREE_PIXELS = 20_000
"""Most pixels that they are fitted to."""

LEAST = 8
"""Least pixels of the degraded bands each way, where scores are worth something; our choice."""


def degraded(name: str, window: Window, sigma: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Guides on the pixels of the measured bands, bands degraded, and the measured bands: (band, y, x) float32.

    `sigma` is the point spread of the step in fine pixels; a guide of larger pixels is blurred by as much as it lacks of it.
    Rows and columns that do not fill a degraded pixel of the octave below are left out.
    """
    step = STEPS[name]
    truth = np.stack([window[band] for band in step.bands])
    unit = step.factor * step.octave
    rows, columns = (n - n % unit for n in truth.shape[1:])
    guides = []
    for guide in step.guides:
        each = len(window[guide]) // truth.shape[1]  # its pixels along one of a band
        guides.append(degrade(window[guide][: rows * each, : columns * each], each, sigma * each / step.factor))
    truth = truth[:, :rows, :columns]
    fine = np.stack(guides) if guides else np.empty((0, rows, columns), np.float32)
    return fine, degrade(truth, step.factor, sigma), truth


def degraded_scores(name: str, window: Window, model: SceneModel) -> dict[str, dict[str, float]]:
    """Scores (`measures.comparison_scores`: `rmse.B05` and so on) of every way of the product that a step could be done; by way.

    Empty where a window is too small, or holds nothing that is known.
    """
    scores = comparison_scores(STEPS[name].bands, STEPS[name].factor)
    return {way: _plain(scores(sums.sum(0))) for way, sums in degraded_sums(name, window, model).items()}


def degraded_sums(name: str, window: Window, model: SceneModel, *, peers: bool = False) -> dict[str, np.ndarray]:
    """Sums (`measures.comparison_sums`) of every way that a step could be done, with `peers` also of those of others; by way.

    The regression is fitted on the degraded bands alone, an octave lower still, as it is fitted on the measured ones where they
    are sharpened. A network takes part where the model has one of the step. A frame of one degraded pixel does not count. Empty
    where a window is too small, or holds nothing that is known.
    """
    step, sigma = STEPS[name], model.sigma(name)
    guides, coarse, truth = degraded(name, window, sigma)
    if min(coarse.shape[1:]) < LEAST or not np.isfinite(coarse).any():
        return {}
    lower = SceneModel({name: statistics_of(step, guides, coarse, sigma)}, spread=model.spread)

    def projected(image: np.ndarray) -> np.ndarray:
        return back_project(image, coarse, step.factor, sigma, ROUNDS[name], DARKEST, PACE)

    plain = enlarge(coarse, step.factor)
    found = {CUBIC: plain, PROJECTED: projected(plain)}
    if peers:
        sharper = enlarge(coarse, step.factor, "lanczos")
        found |= {LANCZOS: sharper, LANCZOS_PROJECTED: projected(sharper)}
    if step.guides:
        found[REGRESSION] = sharpen(name, guides, coarse, lower)[0]
        if peers:
            found[BOOSTED] = projected(plain + boosted_detail(name, guides, coarse, sigma))
    if name in model.networks:
        lower.networks = {name: model.networks[name]}
        found[NETWORK] = sharpen(name, guides, coarse, lower)[0]
    inside = (slice(None), slice(step.factor, -step.factor), slice(step.factor, -step.factor))
    return {way: comparison_sums(sharp[inside], truth[inside]) for way, sharp in found.items()}


def boosted_detail(name: str, guides: np.ndarray, coarse: np.ndarray, sigma: float) -> np.ndarray:
    """(band, y, x) float32: what gradient-boosted trees tell of the bands' detail, fitted as the regression is."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    step = STEPS[name]
    lower = sigma * step.octave / step.factor
    x = neighbourhood(detail(degrade(guides, step.factor, sigma), step.octave, lower), step.neighbours)
    y = detail(coarse, step.octave, lower)
    known = np.flatnonzero((np.isfinite(x).all(0) & np.isfinite(y).all(0)).ravel())
    told = np.zeros((len(coarse), *guides.shape[1:]), np.float32)
    if len(known) < TREES["min_samples_leaf"]:
        return told
    if len(known) > TREE_PIXELS:
        known = np.random.default_rng(1).choice(known, TREE_PIXELS, replace=False)
    features = x.reshape(len(x), -1)[:, known].T
    fine = neighbourhood(detail(guides, step.factor, sigma), step.neighbours)
    usable = np.isfinite(fine).all(0)
    for k, band in enumerate(y.reshape(len(y), -1)[:, known]):
        told[k][usable] = HistGradientBoostingRegressor(**TREES, random_state=1).fit(features, band).predict(fine[:, usable].T)
    return told


def _plain(scores: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {score: float(value) for score, value in scores.items()}
