"""What dates tell: against a fit of each pixel by NumPy, Fourier transforms, and dates that must not matter."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from imperv.layers.sharpening.back_projection import back_project
from imperv.layers.sharpening.dates import MARGIN, RADIUS, TRUST, Sampling, harmonised
from imperv.layers.sharpening.degradation import degrade
from imperv.layers.sharpening.enlarging import enlarge
from imperv.layers.sharpening.evidence import PRIOR, evidence, moved_back

SIGMA = 0.85
SHIFTS = [(0.25, 0.1), (-0.3, 0.2), (0.1, -0.4), (0.0, 0.35)]
NOISE = np.array([20.0, 30.0])


def looks(seed: int, size: int = 48) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """A reference, four dates and the first image of the reference."""
    random = np.random.default_rng(seed)
    ground = 1000 + 400 * ndimage.gaussian_filter(random.standard_normal((2, 2 * size, 2 * size)), (0, 1, 1)).astype("f4") * 3
    wide = np.pad(ground, [(0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)], mode="symmetric")
    others = [Sampling(2, SIGMA, s).apply(wide) + 15 * random.standard_normal((2, size, size)).astype("f4") for s in SHIFTS]
    reference = degrade(ground, 2, SIGMA) + 15 * random.standard_normal((2, size, size)).astype("f4")
    return reference, others, back_project(enlarge(reference, 2), reference, 2, SIGMA, 10)


def test_coefficients_are_those_of_a_penalised_fit_of_each_pixel():
    reference, others, first = looks(1)
    clear = np.ones(reference.shape[1:], bool)
    told = evidence(reference, others, SHIFTS, [clear] * 5, first, 2, SIGMA, NOISE)
    wide = np.pad(first, [(0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)], mode="symmetric")
    differences, weights, terms = [], [], []
    for date, (down, right) in zip(others, SHIFTS, strict=True):
        expected = Sampling(2, SIGMA, (down, right)).apply(wide)
        difference = (harmonised(date, expected, clear.astype("f4")) - expected) / NOISE[:, None, None]
        size = 2 * RADIUS + 1
        local = ndimage.uniform_filter((difference**2).mean(0), size, mode="constant")
        count = ndimage.uniform_filter(np.ones(clear.shape), size, mode="constant")
        weights.append(1 / (1 + TRUST * local / count))
        differences.append(moved_back(difference.astype("f4"), (down, right)))
        y, x = 2 * np.pi * down, 2 * np.pi * right
        terms.append([1, np.sin(y), np.sin(x), 1 - np.cos(y), 1 - np.cos(x), np.sin(y) * np.sin(x)])
    for y, x in ((5, 7), (24, 30), (40, 11)):
        root = np.sqrt([w[y, x] for w in weights])[:, None]
        design = np.concatenate([root * np.array(terms), np.diag(np.sqrt(PRIOR))])
        for band in range(2):
            aim = np.concatenate([root[:, 0] * [d[band, y, x] for d in differences], np.zeros(6)])
            expected = np.linalg.lstsq(design, aim, rcond=None)[0]
            np.testing.assert_allclose(told.coefficients[:, band, y, x], expected, rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(told.variance[:, y, x], np.diag(np.linalg.inv(design.T @ design)), rtol=1e-3)


def test_without_a_clear_date_nothing_is_told():
    reference, others, first = looks(2)
    dark = np.zeros(reference.shape[1:], bool)
    for dates, shifts, masks in (
        ([], [], [~dark]),
        (others, SHIFTS, [~dark] + [dark] * 4),
        (others, SHIFTS, [dark] + [~dark] * 4),
    ):
        told = evidence(reference, dates, shifts, masks, first, 2, SIGMA, NOISE)
        assert not told.coefficients.any()
        np.testing.assert_allclose(told.variance, np.broadcast_to(1 / PRIOR[:, None, None], told.variance.shape), rtol=1e-5)


def test_what_lies_under_clouds_does_not_matter():
    reference, others, first = looks(3)
    masks = [np.ones(reference.shape[1:], bool) for _ in range(5)]
    masks[2][10:20, 5:25] = False
    cloudy = [o.copy() for o in others]
    cloudy[1][:, 10:20, 5:25] = np.nan
    bright = [o.copy() for o in others]
    bright[1][:, 10:20, 5:25] = 8000
    one, two = (evidence(reference, dates, SHIFTS, masks, first, 2, SIGMA, NOISE) for dates in (cloudy, bright))
    np.testing.assert_array_equal(one.coefficients, two.coefficients)
    assert np.isfinite(one.coefficients).all()
    assert (one.variance[0, 12:18, 8:22] > one.variance[0, 30:36, 8:22].max()).all()


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, -0.2), (-0.5, 0.45)])
def test_moving_back_is_a_shift_of_the_spectrum(shift):
    image = ndimage.gaussian_filter(np.random.default_rng(4).standard_normal((1, 80, 80)), (0, 1.2, 1.2)).astype("f4")
    moved = np.fft.ifft2(ndimage.fourier_shift(np.fft.fft2(image), (0, *shift))).real.astype("f4")
    inner = np.s_[:, 12:-12, 12:-12]
    error = (moved_back(moved, shift) - image)[inner]
    assert np.sqrt((error**2).mean()) < 0.015 * image.std()
