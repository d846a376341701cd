"""A window of all bands: measured bands untouched, the rest consistent, no data where it was, and no border of windows."""

import cv2
import numpy as np
import pytest

from imperv.layers.sharpening import scene
from imperv.layers.sharpening.back_projection import residual
from imperv.layers.sharpening.date_network import shipped as shipped_dates
from imperv.layers.sharpening.degradation import degrade
from imperv.layers.sharpening.enlarging import enlarge
from imperv.layers.sharpening.scene import (
    MARGIN,
    Dates,
    Fit,
    SceneModel,
    finer_sigma,
    sigma_of,
    statistics_from_json,
    statistics_to_json,
    to_5,
    to_10,
)
from imperv.layers.sharpening.steps import SIXTY, STEPS, TEN, TWENTY

BANDS = (*TEN, *TWENTY, *SIXTY)


def landscape(edge: int = 360, seed: int = 3) -> np.ndarray:
    """Fields with sharp borders at 10 m, all bands mixtures of four; (band, y, x)."""
    rng = np.random.default_rng(seed)
    parts = [cv2.GaussianBlur(rng.normal(size=(edge, edge)).astype("f4"), (0, 0), 6) for _ in range(4)]
    fields = sum((p > 0).astype("f4") * 2**k for k, p in enumerate(parts)).astype(int)
    own = rng.uniform(300, 3500, (16, 4)).astype("f4")[fields]
    own = cv2.GaussianBlur(own + rng.normal(scale=25, size=own.shape).astype("f4"), (0, 0), 0.6)
    mix = rng.dirichlet(np.ones(4), len(BANDS)).astype("f4")
    mix[:4] = np.eye(4)
    return np.moveaxis(own @ mix.T, -1, 0)


def seen(truth: np.ndarray) -> dict[str, np.ndarray]:
    """What the instrument sees of it."""
    found = dict(zip(TEN, truth[:4], strict=True))
    for name, first in (("20to10", 4), ("60to10", 10)):
        step = STEPS[name]
        found |= dict(zip(step.bands, degrade(truth[first : first + len(step.bands)], step.factor, sigma_of(name)), strict=True))
    return found


@pytest.fixture(scope="module")
def truth():
    return landscape()


@pytest.fixture(scope="module")
def window(truth):
    return seen(truth)


@pytest.fixture(scope="module")
def model(window):
    fit = Fit()
    fit.add(window)
    return SceneModel(fit.solve())


def test_all_bands_at_10_m(window, model, truth):
    sharp, deviation = to_10(window, model)
    assert set(sharp) == set(deviation) == set(BANDS)
    for band in TEN:
        assert sharp[band] is window[band] and not deviation[band].any()
    for name, first in (("20to10", 4), ("60to10", 10)):
        step = STEPS[name]
        found, wanted = np.stack([sharp[b] for b in step.bands]), truth[first : first + len(step.bands)]
        coarse = np.stack([window[b] for b in step.bands])
        assert residual(found, coarse, step.factor, model.sigma(name)).max() < 0.5
        error = [np.sqrt(((image - wanted) ** 2).mean()) for image in (found, enlarge(coarse, step.factor))]
        assert error[0] < 0.5 * error[1]
        # Deviations are about as large as errors: within a factor of two on the whole.
        told = np.sqrt(np.mean([(deviation[b] ** 2).mean() for b in step.bands]))
        assert 0.5 < told / error[0] < 2


@pytest.mark.slow
def test_all_bands_at_5_m(window, model):
    sharp, spread = to_10(window, model)
    fine, deviation = to_5(window, sharp, spread, model)
    assert set(fine) == set(BANDS) and fine["B02"].shape == (720, 720)
    assert residual(np.stack([fine[b] for b in TEN]), np.stack([window[b] for b in TEN]), 2, model.sigma("10to5")).max() < 2
    for name in ("20to10", "60to10"):
        step = STEPS[name]
        found, coarse = np.stack([fine[b] for b in step.bands]), np.stack([window[b] for b in step.bands])
        assert residual(found, coarse, 2 * step.factor, finer_sigma(name, model)).max() < 2
        assert all((deviation[b] >= enlarge(spread[b], 2, "nearest")).all() for b in step.bands)


@pytest.mark.slow
def test_several_dates_at_5_m(window, model):
    window = {name: band[: len(band) // 3, : len(band) // 3] for name, band in window.items()}
    sharp, spread = to_10(window, model)
    ten = np.stack([window[b] for b in TEN])
    clear = np.ones(ten.shape[1:], bool)
    dates = Dates((ten * 0.9, ten * 1.1), ((0.0, 0.0),) * 2, (clear,) * 3, np.full(4, 25, "f4"))
    fine, deviation = to_5(window, sharp, spread, model, dates)
    assert residual(np.stack([fine[b] for b in TEN]), ten, 2, model.sigma("10to5")).max() < 2
    assert all(np.isfinite(deviation[b]).all() for b in BANDS)


@pytest.mark.slow
def test_the_network_of_several_dates(window, model, monkeypatch):
    """It is consistent, and the parts that it is computed in show no border."""
    window = {name: band[: len(band) // 2, : len(band) // 2] for name, band in window.items()}
    sharp, spread = to_10(window, model)
    ten = np.stack([window[b] for b in TEN])
    clear = np.ones(ten.shape[1:], bool)
    dates = Dates((ten * 0.9, ten * 1.1), ((0.1, -0.2), (-0.15, 0.1)), (clear,) * 3, np.full(4, 25, "f4"))
    with_network = SceneModel(model.statistics, several=shipped_dates())
    whole, deviation = to_5(window, sharp, spread, with_network, dates)
    assert residual(np.stack([whole[b] for b in TEN]), ten, 2, model.sigma("10to5")).max() < 2
    assert min(float(deviation[b].min()) for b in TEN) > 0
    monkeypatch.setattr(scene, "PART", 60)
    parts, _ = to_5(window, sharp, spread, with_network, dates)
    assert max(float(np.abs(parts[b] - whole[b]).max()) for b in TEN) < 1


def test_no_data_stays_where_it_is(window, model):
    holed = {name: band.copy() for name, band in window.items()}
    holed["B02"][100:112, 120:132] = np.nan
    holed["B05"][60:63, 70:74] = np.nan
    holed["B01"][5, 5] = np.nan
    sharp, _ = to_10(holed, model)
    for band, where in (("B02", np.s_[100:112, 120:132]), ("B05", np.s_[120:126, 140:148]), ("B01", np.s_[30:36, 30:36])):
        empty = np.zeros((360, 360), bool)
        empty[where] = True
        assert (np.isnan(sharp[band]) == empty).all()
    assert np.isfinite(sharp["B06"]).all() and np.isfinite(sharp["B09"]).all()


def test_windows_show_no_border(window, model):
    """With the margin around it a window is as the whole, far below a digital number."""
    whole, _ = to_10(window, model)
    first, last = 6 * 18, 6 * 42  # pixels of 10 m that are wanted
    low, high = max(first - MARGIN // 10, 0), min(last + MARGIN // 10, 360)
    cut = {
        n: b[low * len(b) // 360 : high * len(b) // 360, low * len(b) // 360 : high * len(b) // 360] for n, b in window.items()
    }
    part, _ = to_10(cut, model)
    for band in BANDS:
        inner = np.s_[first - low : last - low, first - low : last - low]
        np.testing.assert_allclose(part[band][inner], whole[band][first:last, first:last], atol=0.3)


def test_nothing_is_darker_than_1(model):
    dark = {
        name: np.full((s, s), 3.0, "f4")
        for name, s in [*((b, 120) for b in TEN), *((b, 60) for b in TWENTY), *((b, 20) for b in SIXTY)]
    }
    for band in dark.values():
        band[len(band) // 2 :, len(band) // 2 :] = 8000
    sharp, _ = to_10(dark, model)
    assert min(float(band.min()) for band in sharp.values()) >= 1


def test_statistics_survive_json(model):
    for found in model.statistics.values():
        again = statistics_from_json(statistics_to_json(found))
        np.testing.assert_array_equal(again.coefficients.ravel(), found.coefficients.ravel())
        np.testing.assert_array_equal(again.unexplained, found.unexplained)


def test_a_given_point_spread():
    assert sigma_of("20to10", 0.5) == 1 and sigma_of("60to10", 0.5) == 3
    assert 0.5 < sigma_of("20to10") < 0.6 and 2.2 < sigma_of("60to10") < 2.4
