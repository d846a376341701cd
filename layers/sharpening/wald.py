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
from imperv.layers.sharpening.scene import DARKEST, ROUNDS, SceneModel, Window, sharpen
from imperv.layers.sharpening.statistics import statistics_of
from imperv.layers.sharpening.steps import STEPS

CUBIC, PROJECTED, REGRESSION, NETWORK = "cubic", "cubic, back-projected", "regression", "network"
"""Ways that are scored; all but the first end with back-projection."""

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
    """Scores (`measures.comparison_scores`: `rmse.B05` and so on) of every way that a step could be done; by way.

    The regression is fitted on the degraded bands alone, an octave lower still, as it is fitted on the measured ones where they
    are sharpened. A network takes part where the model has one of the step. A frame of one degraded pixel does not count. Empty
    where a window is too small, or holds nothing that is known.
    """
    step, sigma = STEPS[name], model.sigma(name)
    guides, coarse, truth = degraded(name, window, sigma)
    if min(coarse.shape[1:]) < LEAST or not np.isfinite(coarse).any():
        return {}
    lower = SceneModel({name: statistics_of(step, guides, coarse, sigma)}, {}, model.spread)
    plain = enlarge(coarse, step.factor)
    found = {CUBIC: plain, PROJECTED: back_project(plain, coarse, step.factor, sigma, ROUNDS[name], DARKEST)}
    if step.guides:
        found[REGRESSION] = sharpen(name, guides, coarse, lower)[0]
    if name in model.networks:
        lower.networks = {name: model.networks[name]}
        found[NETWORK] = sharpen(name, guides, coarse, lower)[0]
    inside = (slice(None), slice(step.factor, -step.factor), slice(step.factor, -step.factor))
    scores = comparison_scores(step.bands, step.factor)
    return {way: _plain(scores(comparison_sums(sharp[inside], truth[inside]).sum(0))) for way, sharp in found.items()}


def _plain(scores: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {score: float(value) for score, value in scores.items()}
