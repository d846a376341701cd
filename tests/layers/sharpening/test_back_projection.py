"""Interpolation and back-projection: what comes out is consistent, and no data stays where it is."""

import cv2
import numpy as np
import pytest

from imperv.layers.sharpening.back_projection import back_project, residual
from imperv.layers.sharpening.degradation import degrade
from imperv.layers.sharpening.enlarging import enlarge, fill


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def textured(rng, shape=(2, 96, 96)):
    return np.stack([cv2.GaussianBlur(rng.uniform(0, 6000, shape[1:]).astype("f4"), (0, 0), 1.5) for _ in range(shape[0])])


def test_degraded_again_it_is_what_was_measured(rng):
    truth = textured(rng)
    coarse = degrade(truth, 2, 1.0)
    plain = enlarge(coarse, 2)
    before = residual(plain, coarse, 2, 1.0)
    found = [residual(back_project(plain, coarse, 2, 1.0, rounds), coarse, 2, 1.0) for rounds in (5, 20)]
    assert (found[0] < before / 5).all() and (found[1] < 2).all()
    error = [np.sqrt(((image - truth) ** 2).mean()) for image in (plain, back_project(plain, coarse, 2, 1.0, 20))]
    assert error[1] < 0.8 * error[0]


def test_no_data_stays(rng):
    truth = textured(rng)
    coarse = degrade(truth, 2, 1.0)
    whole = back_project(enlarge(coarse, 2), coarse, 2, 1.0)
    coarse[:, 10:14, 20:22] = np.nan
    sharp = back_project(enlarge(coarse, 2), coarse, 2, 1.0)
    empty = np.zeros((96, 96), bool)
    empty[20:28, 40:44] = True
    assert (np.isnan(sharp) == empty).all()
    far = ~cv2.dilate(empty.astype("u1"), np.ones((61, 61))).astype(bool)
    np.testing.assert_allclose(sharp[:, far], whole[:, far], atol=0.01)


def test_a_window_is_as_the_whole(rng):
    """With a margin of 30 pixels a window shows nothing of where it begins."""
    truth = textured(rng, (1, 160, 160))
    coarse = degrade(truth, 2, 1.0)
    whole = back_project(enlarge(coarse, 2), coarse, 2, 1.0)
    part = back_project(enlarge(coarse[:, 10:70, 10:70], 2), coarse[:, 10:70, 10:70], 2, 1.0)
    np.testing.assert_allclose(part[:, 30:-30, 30:-30], whole[:, 50:110, 50:110], atol=0.01)


def test_edges_of_pixels_coincide():
    ramp = np.tile(np.arange(16, dtype="f4") * 10, (16, 1))
    fine = enlarge(ramp, 2)
    np.testing.assert_allclose(fine[8, 8:24], np.arange(8, 24) * 5 - 2.5, atol=0.5)  # this cubic is not exact for lines
    np.testing.assert_allclose(enlarge(ramp[:, ::-1].copy(), 2), fine[:, ::-1], atol=1e-3)
    assert enlarge(ramp, 1) is not ramp


@pytest.mark.parametrize("kernel", ["cubic", "lanczos", "nearest"])
def test_no_data_takes_no_part(kernel):
    image = np.full((8, 8), 500, "f4")
    image[3, 4] = np.nan
    fine = enlarge(image, 3, kernel)
    assert np.isnan(fine).sum() == 9
    np.testing.assert_allclose(fine[np.isfinite(fine)], 500, rtol=1e-6)


def test_filling():
    assert fill(np.full((3, 3), np.nan, "f4")).tolist() == [[0] * 3] * 3
    row = np.array([[np.nan, 2, np.nan, np.nan, 7]], "f4")
    assert fill(row).tolist() == [[2, 2, 2, 7, 7]]
