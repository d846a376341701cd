"""What networks see and correct: the regression's start by hand, features by NumPy; nothing spreads from pixels without data."""

from __future__ import annotations

import numpy as np
import pytest

from imperv.layers.sharpening.back_projection import back_project
from imperv.layers.sharpening.degradation import degrade
from imperv.layers.sharpening.enlarging import enlarge, fill
from imperv.layers.sharpening.features import CLIP, ROUNDS, feature_count, start_and_features
from imperv.layers.sharpening.network import pack
from imperv.layers.sharpening.regression import PENALTY, detail
from imperv.layers.sharpening.statistics import statistics_of
from imperv.layers.sharpening.steps import STEPS
from tests.support.sharpened import scene


@pytest.mark.parametrize("name", ["20to10", "60to10"])
def test_the_start_is_a_ridge_regression_an_octave_lower_projected_back(name):
    """By hand: the neighbours' details side by side, least squares with a penalty, and the sum of the products."""
    step, (guides, coarse) = STEPS[name], scene(name, 40)
    sigma, near = 0.5 * step.factor, step.neighbours

    def table(details: np.ndarray) -> np.ndarray:
        padded = np.pad(details, ((0, 0), (near, near), (near, near)), mode="edge").astype("f8")
        rows, columns = details.shape[1:]
        edge = range(2 * near + 1)
        return np.stack([g[y : y + rows, x : x + columns].ravel() for y in edge for x in edge for g in padded], 1)

    def lost(image: np.ndarray, factor: int, spread: float) -> np.ndarray:
        return image - enlarge(degrade(image, factor, spread), factor)

    x = table(lost(degrade(guides, step.factor, sigma), 2, 1.0))
    y = lost(coarse, 2, 1.0).reshape(len(coarse), -1).T.astype("f8")
    penalty = np.sqrt(PENALTY * (x**2).sum() / x.shape[1])
    rows = np.concatenate([x, penalty * np.eye(x.shape[1])])
    expected = np.linalg.lstsq(rows, np.concatenate([y, np.zeros((x.shape[1], y.shape[1]))]), rcond=None)[0]
    found = statistics_of(step, guides, coarse, sigma)
    np.testing.assert_allclose(found.coefficients, expected, atol=1e-4)
    told = (table(lost(guides, step.factor, sigma)) @ expected).T.reshape(len(coarse), *guides.shape[1:])
    plain = (enlarge(coarse, step.factor) + told).astype("f4")
    start, _ = start_and_features(step, found, guides, coarse, sigma)
    np.testing.assert_allclose(start, back_project(plain, coarse, step.factor, sigma, ROUNDS), atol=0.05)


@pytest.mark.parametrize("name", STEPS)
def test_pixels_without_data_stay_their_own(name):
    step, (guides, coarse) = STEPS[name], scene(name)
    coarse[0, 3, 4] = np.nan
    if len(guides):
        guides[1, 30:33, 40] = np.nan
    statistics = statistics_of(step, guides, coarse, 0.5 * step.factor)
    assert all(np.isfinite(getattr(statistics, key)).all() for key in statistics.__dataclass_fields__)
    start, seen = start_and_features(step, statistics, guides, coarse, 0.5 * step.factor)
    features = seen.whole()
    assert features.shape == seen.shape == (*start.shape[1:], feature_count(step)) and np.isfinite(features).all()
    missing = np.zeros(start.shape, bool)
    f = step.factor
    missing[0, 3 * f : 4 * f, 4 * f : 5 * f] = True
    np.testing.assert_array_equal(np.isnan(start), missing)


def test_a_scene_that_is_all_alike_has_no_detail():
    step = STEPS["20to10"]
    statistics = statistics_of(step, np.full((4, 40, 40), 500, "f4"), np.full((6, 20, 20), 300, "f4"), 1.0)
    start, seen = start_and_features(step, statistics, np.full((4, 40, 40), 500, "f4"), np.full((6, 20, 20), 300, "f4"), 1.0)
    features = seen.whole()
    np.testing.assert_allclose(start, 300, atol=0.01)
    assert np.isfinite(features).all() and np.abs(features[..., :-1]).max() < 0.1


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("unit", [1, 2])
def test_features_are_the_standardised_images(name, unit):
    """Of any window, packed or not; too large ones cut, and filled where there is no data."""
    step, (guides, coarse) = STEPS[name], scene(name)
    sigma = 0.5 * step.factor
    statistics = statistics_of(step, guides, coarse, sigma)
    coarse[0, 3, 4] = np.nan
    coarse[-1, 7, 6] = 60_000
    if len(guides):
        guides[1, 30:33, 40] = np.nan
    start, features = start_and_features(step, statistics, guides, coarse, sigma)
    plain = enlarge(coarse, step.factor)
    lost = detail(guides, step.factor, sigma)
    blind = np.isnan(lost).any(0)
    planes = [
        *((fill(g) - m) / s for g, m, s in zip(guides, statistics.guide_mean, statistics.guide_std, strict=True)),
        *(np.where(blind, 0, one) / s for one, s in zip(lost, statistics.guide_detail, strict=True)),
        *((fill(p) - m) / s for p, m, s in zip(plain, statistics.band_mean, statistics.band_std, strict=True)),
        *(np.nan_to_num(a - p) / s for a, p, s in zip(start, plain, statistics.band_detail, strict=True)),
        np.full(start.shape[1:], 4 * (sigma / step.factor - 0.4)),
    ]
    expected = np.clip(np.stack(planes, -1), -CLIP, CLIP).astype("f4")
    assert expected.max() == CLIP
    np.testing.assert_allclose(features.whole(), expected, rtol=1e-6, atol=1e-6)
    top, left, rows, columns = 5, 3, 8 * unit, 9 * unit
    seen = np.empty((8, 9, unit**2 * expected.shape[2]), "f4")
    features.write(seen, top, left, unit)
    np.testing.assert_array_equal(seen, pack(features.whole()[top : top + rows, left : left + columns], unit))
