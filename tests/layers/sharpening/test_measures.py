"""Scores of sharpened bands against scikit-image, scikit-learn and sums by hand; pixels without data; intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import structural_similarity
from sklearn.metrics import mean_squared_error

from imperv.layers.sharpening.degradation import degrade
from imperv.layers.sharpening.measures import (
    block_of,
    comparison_scores,
    comparison_sums,
    correctness,
    opensr_scores,
    opensr_sums,
    uiq_map,
)
from imperv.layers.statistics.scores import estimates

BANDS = ("B02", "B03", "B04", "B08")


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    truth = 1500 + 900 * ndimage.gaussian_filter(random.standard_normal((4, 96, 80)), (0, 2, 2)) * 4
    return (truth + 60 * random.standard_normal(truth.shape)).astype("f4"), truth.astype("f4")


def test_errors_and_spectra_are_those_of_other_implementations(pair):
    sharp, truth = pair
    scores = comparison_scores(BANDS, 2)(comparison_sums(sharp, truth, 32, 7).sum(0))
    relative = []
    for k, band in enumerate(BANDS):
        mse = mean_squared_error(truth[k].ravel(), sharp[k].ravel())
        assert scores[f"rmse.{band}"] == pytest.approx(math.sqrt(mse), rel=1e-5)
        assert scores[f"sre.{band}"] == pytest.approx(10 * math.log10(truth[k].mean(dtype="f8") ** 2 / mse), rel=1e-5)
        relative.append(mse / truth[k].mean(dtype="f8") ** 2)
        # SSIM without its constants is UIQ; its filter also has windows beyond the edge.
        options = {"win_size": 7, "use_sample_covariance": False, "K1": 0, "K2": 0, "data_range": 1.0, "full": True}
        _, image = structural_similarity(truth[k].astype("f8"), sharp[k].astype("f8"), **options)
        assert scores[f"uiq.{band}"] == pytest.approx(image[3:-3, 3:-3].mean(), rel=1e-6)
    assert scores["rmse"] == pytest.approx(np.mean([scores[f"rmse.{b}"] for b in BANDS]))
    assert scores["ergas"] == pytest.approx(100 / 2 * math.sqrt(np.mean(relative)), rel=1e-5)
    angles = [
        math.degrees(math.acos(min(1.0, float(a @ b) / math.sqrt(float(a @ a) * float(b @ b)))))
        for a, b in zip(sharp.reshape(4, -1).T.astype("f8"), truth.reshape(4, -1).T.astype("f8"), strict=True)
    ]
    assert scores["sam"] == pytest.approx(np.mean(angles), rel=1e-5)


def test_pixels_without_data_count_in_nothing(pair):
    sharp, truth = pair
    holes = sharp.copy()
    holes[2, 40:60, 30:50] = np.nan
    truth = truth.copy()
    truth[0, 0, 0] = np.nan
    changed = np.where(np.isnan(holes), 9999, holes).astype("f4")
    changed[2, 40:60, 30:50] = np.nan
    sums = comparison_sums(holes, truth, 32)
    np.testing.assert_array_equal(sums, comparison_sums(changed, truth, 32))
    known = np.isfinite(holes).all(0) & np.isfinite(truth).all(0)
    assert sums[:, 0].sum() == known.sum() == 96 * 80 - 400 - 1
    scores = comparison_scores(BANDS, 2)(sums.sum(0))
    assert scores["rmse.B03"] == pytest.approx(math.sqrt(mean_squared_error(truth[1][known], holes[1][known])), rel=1e-5)
    windows = sum(known[y : y + 8, x : x + 8].all() for y in range(89) for x in range(73))
    assert sums[:, 2].sum() == windows
    nothing = comparison_scores(BANDS, 2)(comparison_sums(np.full_like(truth, np.nan), truth).sum(0))
    assert all(np.isnan(v) for v in nothing.values())


def test_uiq_of_constant_windows_is_that_of_their_means():
    known = np.ones((10, 10), bool)
    one, two = np.full((1, 10, 10), 3.0), np.full((1, 10, 10), 4.0)
    np.testing.assert_allclose(uiq_map(one, two, known)[0], 24 / 25)
    np.testing.assert_allclose(uiq_map(one * 0, two * 0, known)[0], 1)


def test_perfect_images_have_perfect_scores(pair):
    _, truth = pair
    scores = comparison_scores(BANDS, 2)(comparison_sums(truth, truth).sum(0))
    assert (scores["rmse"], scores["ergas"], scores["sre"]) == (0, 0, np.inf)
    assert scores["uiq"] == pytest.approx(1)
    assert scores["sam"] == pytest.approx(0, abs=1e-5)


def test_intervals_are_drawn_from_blocks_and_hold_the_score(pair):
    sharp, truth = pair
    found = estimates([comparison_sums(sharp, truth, 16)], comparison_scores(BANDS, 2))["rmse.B08"]
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(math.sqrt(mean_squared_error(truth[3].ravel(), sharp[3].ravel())), rel=1e-5)
    assert found.high - found.low < 0.1 * found.value


def test_blocks_cover_the_ground_in_squares():
    expected = np.kron(np.arange(6).reshape(2, 3), np.ones((4, 4), int))[:7, :10]
    np.testing.assert_array_equal(block_of((7, 10), 4), expected)


def test_correctness_of_one_pixel_by_hand():
    wrong, new, reference = 50.0, 120.0, 100.0
    d_im, d_om = 0.5, 1.2
    h = d_im + d_om - 1
    improvement = d_im + d_om * (1 - math.exp(-0.8 * h))
    omission = d_om + d_im * (1 - math.exp(-0.8 * h))
    hallucination = math.exp(-0.8 * d_im * d_om)
    soft = np.exp(-np.array([improvement, omission, hallucination]) / 0.25)
    found = correctness(*(np.full((1, 1), v) for v in (wrong, new, reference)))[:, 0, 0]
    np.testing.assert_allclose(found, soft / soft.sum(), rtol=1e-9)


def test_shares_say_what_was_done(pair):
    """The truth is all improvement, the enlarged input all omission, detail of elsewhere mostly hallucination."""
    _, truth = pair
    truth = truth + 1200 * np.random.default_rng(2).standard_normal(truth.shape).astype("f4")
    coarse = degrade(truth, 2, 0.8)

    def shares(sharp: np.ndarray) -> dict[str, float]:
        return dict(opensr_scores(opensr_sums(coarse, sharp, truth, 2, 0.8).sum(0)))

    import cv2

    plain = np.stack([cv2.resize(b, (80, 96), interpolation=cv2.INTER_LINEAR) for b in coarse])
    best, same, made_up = shares(truth), shares(plain), shares(plain + 5 * (truth - plain)[..., ::-1])
    assert best["improvement"] > 0.9
    assert same["omission"] > 0.9
    assert made_up["hallucination"] > 0.9
    for found in (best, same, made_up):
        assert found["improvement"] + found["omission"] + found["hallucination"] == pytest.approx(1)
    assert best["reflectance"] == pytest.approx(0, abs=1e-3)
    assert same["synthesis"] == pytest.approx(0, abs=1e-3)
    again = degrade(plain, 2, 0.8).astype("f8")
    assert same["reflectance"] == pytest.approx(np.abs(again - coarse).mean(), rel=1e-5)


def test_images_of_other_shapes_are_refused(pair):
    with pytest.raises(ValueError, match="cannot be compared"):
        comparison_sums(pair[0][:, :90], pair[1])
