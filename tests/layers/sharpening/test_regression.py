"""The regression on details, against scikit-learn on random data and against published figures on a real scene."""

import numpy as np
import pytest
import rasterio
from sklearn.linear_model import Ridge

from imperv.layers.sharpening.back_projection import back_project
from imperv.layers.sharpening.degradation import degrade
from imperv.layers.sharpening.enlarging import enlarge
from imperv.layers.sharpening.regression import PENALTY, Normal, detail, neighbourhood, predict


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_coefficients_are_those_of_scikit_learn(rng):
    guides, bands = rng.uniform(0, 3000, (2, 40, 48)).astype("f4"), rng.uniform(0, 3000, (3, 40, 48)).astype("f4")
    sums = Normal.empty(18, 3)
    sums.add(guides, bands, 2, 1.0)
    x = neighbourhood(detail(guides, 2, 1.0)).reshape(18, -1).T.astype("f8")
    y = detail(bands, 2, 1.0).reshape(3, -1).T
    ridge = PENALTY * (x**2).sum() / 18
    peer = Ridge(alpha=ridge, fit_intercept=False, solver="cholesky").fit(x, y)
    np.testing.assert_allclose(sums.solve(), peer.coef_.T, atol=1e-5)


def test_blocks_add_up(rng):
    guides, bands = rng.uniform(0, 3000, (2, 40, 48)).astype("f4"), rng.uniform(0, 3000, (1, 40, 48)).astype("f4")
    guides[:, :3] = np.nan
    whole, twice = Normal.empty(18, 1), Normal.empty(18, 1)
    whole.add(guides, bands, 2, 1.0)
    for _ in range(2):
        twice.add(guides, bands, 2, 1.0)
    np.testing.assert_allclose(whole.solve(), twice.solve(), rtol=1e-6)
    assert twice.count == 2 * whole.count < 2 * 40 * 48


def test_too_little_is_plain_interpolation(rng):
    coarse = rng.uniform(0, 3000, (1, 10, 10)).astype("f4")
    coefficients = Normal.empty(9, 1).solve()
    guides = rng.uniform(0, 3000, (1, 20, 20)).astype("f4")
    np.testing.assert_array_equal(predict(coefficients, guides, coarse, 2, 1.0), enlarge(coarse, 2))


def test_a_real_scene(shared_data):
    """40 to 20 m of T33UUB, six bands: 51.8 in the issue's 60 lines of NumPy, 182 by cubic interpolation."""
    fine, truth = (rasterio.open(shared_data / "superres" / f"t33uub_{n}m.tif").read().astype("f4") for n in (10, 20))
    guides, coarse = degrade(fine, 2, 1.0), degrade(truth, 2, 1.0)
    sums = Normal.empty(36, 6)
    sums.add(degrade(guides, 2, 1.0), coarse, 2, 1.0)
    sharp = back_project(predict(sums.solve(), guides, coarse, 2, 1.0), coarse, 2, 1.0)
    error = {name: np.sqrt(((image - truth) ** 2).mean((1, 2))).mean() for name, image in
             {"cubic": enlarge(coarse, 2), "ridge": sharp}.items()}  # fmt: skip
    assert error["cubic"] == pytest.approx(182, abs=1.5) and error["ridge"] == pytest.approx(51.8, abs=0.5)
