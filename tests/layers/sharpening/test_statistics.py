"""What a scene tells the networks: the same by blocks as at once; nothing spreads from pixels without data."""

from __future__ import annotations

import numpy as np
import pytest

from imperv.layers.sharpening.back_projection import back_project
from imperv.layers.sharpening.degradation import degrade
from imperv.layers.sharpening.enlarging import enlarge
from imperv.layers.sharpening.regression import PENALTY
from imperv.layers.sharpening.statistics import ROUNDS, Sums, feature_count, start_and_features, statistics_of
from imperv.layers.sharpening.steps import STEPS


def scene(name: str, edge: int = 24, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Guides and coarse bands of smooth noise, bands a mixture of the guides and some noise of their own."""
    step, random = STEPS[name], np.random.default_rng(seed)
    fine = degrade(random.normal(2000, 800, (max(4, len(step.guides)), edge * step.factor, edge * step.factor)), 1, 0.7)
    bands = np.tensordot(random.normal(0, 1, (len(step.bands), len(fine))), fine, 1).astype("f4") + 3000
    return fine[: len(step.guides)], degrade(bands, step.factor, 0.5 * step.factor)


@pytest.mark.parametrize("name", STEPS)
def test_blocks_sum_up_to_the_scene_but_for_their_edges(name):
    step = STEPS[name]
    guides, coarse = scene(name, 48)
    whole, joined = Sums(step, 0.4 * step.factor), Sums(step, 0.4 * step.factor)
    for rows in (slice(0, 24), slice(24, 48)):
        fine = slice(rows.start * step.factor, rows.stop * step.factor)
        part = Sums(step, 0.4 * step.factor)
        part.add(guides[:, fine], coarse[:, rows])
        joined.join(part)
    whole.add(guides, coarse)
    a, b = whole.solve(), joined.solve()
    np.testing.assert_allclose(a.band_mean, coarse.mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(a.band_std, coarse.std((1, 2)), rtol=1e-4)
    np.testing.assert_allclose(a.guide_mean, guides.mean((1, 2)), rtol=1e-5)
    for key in ("band_mean", "band_std", "guide_mean", "guide_std"):
        np.testing.assert_allclose(getattr(a, key), getattr(b, key), rtol=1e-4)
    np.testing.assert_allclose(a.band_detail, b.band_detail, rtol=0.03)
    np.testing.assert_allclose(a.coefficients, b.coefficients, atol=0.08)


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
    features = seen[:, :]
    assert features.shape == seen.shape == (*start.shape[1:], feature_count(step)) and np.isfinite(features).all()
    np.testing.assert_array_equal(seen[5:30, 3:41], features[5:30, 3:41])
    missing = np.zeros(start.shape, bool)
    f = step.factor
    missing[0, 3 * f : 4 * f, 4 * f : 5 * f] = True
    np.testing.assert_array_equal(np.isnan(start), missing)


def test_a_scene_that_is_all_alike_has_no_detail():
    step = STEPS["20to10"]
    statistics = statistics_of(step, np.full((4, 40, 40), 500, "f4"), np.full((6, 20, 20), 300, "f4"), 1.0)
    start, seen = start_and_features(step, statistics, np.full((4, 40, 40), 500, "f4"), np.full((6, 20, 20), 300, "f4"), 1.0)
    features = seen[:, :]
    np.testing.assert_allclose(start, 300, atol=0.01)
    assert np.isfinite(features).all() and np.abs(features[..., :-1]).max() < 0.1
