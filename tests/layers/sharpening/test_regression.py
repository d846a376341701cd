"""The regression on details, against scikit-learn on random data and against published figures on a real scene."""

import numpy as np
import pytest
import rasterio
from sklearn.linear_model import Ridge

from imperv.layers.sharpening.back_projection import back_project
from imperv.layers.sharpening.degradation import degrade
from imperv.layers.sharpening.enlarging import enlarge
from imperv.layers.sharpening.regression import PENALTY, Normal, detail, neighbourhood, told_detail


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def features(guides):
    return neighbourhood(detail(guides, 2, 1.0))


def test_coefficients_are_those_of_scikit_learn(rng):
    guides, bands = rng.uniform(0, 3000, (2, 40, 48)).astype("f4"), rng.uniform(0, 3000, (3, 40, 48)).astype("f4")
    sums = Normal.empty(18, 3)
    sums.add(features(guides), detail(bands, 2, 1.0))
    x = features(guides).reshape(18, -1).T.astype("f8")
    y = detail(bands, 2, 1.0).reshape(3, -1).T
    peer = Ridge(alpha=PENALTY * (x**2).sum() / 18, fit_intercept=False, solver="cholesky").fit(x, y)
    np.testing.assert_allclose(sums.solve(), peer.coef_.T, atol=1e-5)
    told = peer.predict(x)
    share = np.sqrt(((y - told) ** 2).sum(0) / (told**2).sum(0))
    np.testing.assert_allclose(sums.unexplained(sums.solve()), share, rtol=1e-3)
    np.testing.assert_allclose(told_detail(sums.solve(), detail(guides, 2, 1.0)).reshape(3, -1).T, told, atol=0.05)


def test_blocks_add_up(rng):
    guides, bands = rng.uniform(0, 3000, (2, 40, 48)).astype("f4"), rng.uniform(0, 3000, (1, 40, 48)).astype("f4")
    guides[:, :3] = np.nan
    whole, other, twice = (Normal.empty(18, 1) for _ in range(3))
    for sums in (whole, other, twice):
        sums.add(features(guides), detail(bands, 2, 1.0))
    twice.join(other)
    np.testing.assert_allclose(whole.solve(), twice.solve(), rtol=1e-6)
    assert twice.count == 2 * whole.count < 2 * 40 * 48


def test_too_little_tells_nothing(rng):
    sums = Normal.empty(9, 1)
    sums.add(np.full((9, 3, 3), np.nan), np.zeros((1, 3, 3)))
    assert not sums.solve().any() and sums.unexplained(sums.solve()).tolist() == [1]


def test_no_data_tells_nothing_around_it(rng):
    guides = rng.uniform(0, 3000, (2, 20, 20)).astype("f4")
    guides[1, 6, 7] = np.nan
    told = told_detail(rng.normal(size=(18, 1)).astype("f4"), guides)
    assert not told[0, 5:8, 6:9].any() and np.isfinite(told).all() and (told[0, 10:, 10:] != 0).all()


def test_a_real_scene(shared_data):
    """40 to 20 m of T33UUB, six bands: 51.8 in the issue's 60 lines of NumPy, 182 by cubic interpolation."""
    fine, truth = (rasterio.open(shared_data / "superres" / f"t33uub_{n}m.tif").read().astype("f4") for n in (10, 20))
    guides, coarse = degrade(fine, 2, 1.0), degrade(truth, 2, 1.0)
    sums = Normal.empty(36, 6)
    sums.add(features(degrade(guides, 2, 1.0)), detail(coarse, 2, 1.0))
    start = enlarge(coarse, 2) + told_detail(sums.solve(), detail(guides, 2, 1.0))
    sharp = back_project(start, coarse, 2, 1.0)
    error = {name: np.sqrt(((image - truth) ** 2).mean((1, 2))).mean() for name, image in
             {"cubic": enlarge(coarse, 2), "ridge": sharp}.items()}  # fmt: skip
    assert error["cubic"] == pytest.approx(182, abs=1.5) and error["ridge"] == pytest.approx(51.8, abs=0.5)
