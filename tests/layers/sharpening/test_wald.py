"""Scores at the degraded scale, against errors computed here one by one."""

import numpy as np
import pytest

from imperv.layers.sharpening import wald
from imperv.layers.sharpening.degradation import degrade
from imperv.layers.sharpening.enlarging import enlarge
from imperv.layers.sharpening.scene import SceneModel
from imperv.layers.sharpening.wald import CUBIC, NETWORK, PROJECTED, REGRESSION, degraded, degraded_scores
from imperv.tasks.scenes.bands import PIXEL
from tests.support.sharpened import ground

BANDS = [band for band in PIXEL if band not in ("SCL", "B10")]


@pytest.fixture(scope="module")
def window():
    return {band: pixels.astype("f4") for band, pixels in ground(5, (48, 48)).items() if band in BANDS}


@pytest.mark.parametrize("name", ["20to10", "60to10", "10to5"])
def test_interpolation_is_scored_as_it_is_done_by_hand(window, name):
    model = SceneModel({})
    step, sigma = wald.STEPS[name], model.sigma(name)
    found = degraded_scores(name, window, model)
    for band in step.bands:
        f = step.factor
        edge = len(window[band]) // (2 * f) * (2 * f)
        truth = window[band][:edge, :edge]
        error = (enlarge(degrade(truth, f, sigma), f) - truth)[f:-f, f:-f]
        assert found[CUBIC][f"rmse.{band}"] == pytest.approx(np.sqrt((error.astype("f8") ** 2).mean()), rel=1e-5)
    assert found[CUBIC]["rmse"] == pytest.approx(np.mean([found[CUBIC][f"rmse.{band}"] for band in step.bands]))


def test_what_knows_more_is_better(window):
    found = degraded_scores("20to10", window, SceneModel({}))
    assert list(found) == [CUBIC, PROJECTED, REGRESSION]
    assert found[REGRESSION]["rmse"] < found[PROJECTED]["rmse"] < found[CUBIC]["rmse"]
    assert found[REGRESSION]["sam"] < found[CUBIC]["sam"] and found[REGRESSION]["uiq"] > found[CUBIC]["uiq"]
    assert list(degraded_scores("10to5", window, SceneModel({}))) == [CUBIC, PROJECTED]  # no band guides these


def test_a_network_is_scored_where_there_is_one(window):
    class Right:
        """Answers with what is to be found."""

        def predict(self, guides, coarse, sigma, statistics):
            truth = degraded("20to10", window, sigma)[2]
            assert statistics.band_mean == pytest.approx(np.nanmean(coarse, (1, 2)), rel=1e-4)  # of the degraded bands
            return truth.copy(), np.zeros_like(truth)

    found = degraded_scores("20to10", window, SceneModel({}, {"20to10": Right()}))
    assert found[NETWORK]["rmse"] == pytest.approx(0, abs=1e-2)


def test_guides_of_larger_pixels_are_degraded_by_what_they_lack(window):
    guides, coarse, truth = degraded("60to10", window, 2.3)
    assert guides.shape == (10, 48, 48) and coarse.shape == (2, 8, 8) and truth.shape == (2, 48, 48)
    assert np.array_equal(guides[0], degrade(window["B02"], 6, 2.3))
    assert np.array_equal(guides[4], degrade(window["B05"], 3, 1.15))


def test_pixels_without_data_do_not_count(window):
    holes = {band: pixels.copy() for band, pixels in window.items()}
    holes["B05"][:40] = np.nan
    found = degraded_scores("20to10", holes, SceneModel({}))
    whole = degraded_scores("20to10", window, SceneModel({}))
    assert np.isfinite(found[CUBIC]["rmse.B11"]) and found[CUBIC]["rmse.B11"] != whole[CUBIC]["rmse.B11"]
    empty = {band: np.full_like(pixels, np.nan) for band, pixels in window.items()}
    assert degraded_scores("20to10", empty, SceneModel({})) == {}


def test_too_little_is_not_scored(window):
    small = {band: pixels[: 42 * 60 // PIXEL[band], : 42 * 60 // PIXEL[band]] for band, pixels in window.items()}
    assert degraded_scores("60to10", small, SceneModel({})) == {}
