"""Point spread and pixels, against SciPy and NumPy."""

import math

import numpy as np
import pytest
from scipy import ndimage

from imperv.layers.sharpening.degradation import MTF, degrade, relative_spread, spread_of


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.mark.parametrize(("factor", "sigma"), [(2, 1.0), (6, 3.0), (3, 0.7), (2, 0.0), (1, 1.2)])
def test_against_scipy(rng, factor, sigma):
    image = rng.uniform(0, 4000, (2, 48, 60)).astype("f4")
    blurred = [ndimage.gaussian_filter(b.astype("f8"), sigma, mode="reflect", truncate=4) if sigma else b for b in image]
    wanted = np.array(blurred).reshape(2, 48 // factor, factor, 60 // factor, factor).mean((2, 4))
    # OpenCV reflects about the middle of the last pixel's edge as SciPy does; the Gaussian is cut where SciPy cuts it, or after.
    np.testing.assert_allclose(degrade(image, factor, sigma), wanted, atol=0.6)


@pytest.mark.parametrize(
    ("shape", "factor", "sigma"), [((240, 264), 2, 1.3), ((252, 288), 12, 5.5), ((6, 12), 6, 5.0), ((2, 2), 2, 1.0)]
)
def test_what_has_data_is_degraded_as_what_lacks_some(rng, shape, factor, sigma):
    """The kernel against OpenCV's filters, which bands without data go through; borders, and blurs beyond the image too."""
    image = rng.uniform(0, 4000, shape).astype("f4")
    wanted = degrade(image, factor, sigma, np.ones(shape, "f4"))
    np.testing.assert_allclose(degrade(image, factor, sigma), wanted, atol=2e-3)
    np.testing.assert_array_equal(degrade(np.asfortranarray(image), factor, sigma), degrade(image, factor, sigma))


def test_no_data_never_spreads(rng):
    image = np.full((1, 24, 24), 1234, "f4")
    image[0, 5, 7] = np.nan
    coarse = degrade(image, 2, 1.0)
    assert np.isnan(coarse[0, 2, 3]) and np.isnan(coarse).sum() == 1
    np.testing.assert_allclose(coarse[np.isfinite(coarse)], 1234, rtol=1e-6)


def test_sides_that_are_no_blocks():
    with pytest.raises(ValueError, match="not blocks of 2 x 2"):
        degrade(np.zeros((1, 5, 4), "f4"), 2, 1.0)
    assert degrade(np.zeros((0, 4, 4), "f4"), 2, 1.0).shape == (0, 2, 2)


@pytest.mark.parametrize("band", MTF)
def test_the_spread_gives_the_modulation_transfer(band):
    """A wave of two pixels, blurred and averaged over pixels of sixty fine ones."""
    fine, sigma = 60, spread_of(MTF[band])
    x = (np.arange(fine * 40) + 0.5) / fine
    seen = ndimage.gaussian_filter1d(np.cos(math.pi * x + math.pi / 2 * 0), sigma * fine, mode="wrap", truncate=8)
    shifted = np.roll(seen, fine // 2).reshape(-1, fine).mean(1)  # pixels in phase with the wave
    assert np.abs(shifted).max() == pytest.approx(MTF[band], abs=2e-3)


def test_what_is_as_sharp_as_the_fine_sensor_needs_the_rest_only():
    assert relative_spread(0.27, 0.27, 1) == 0
    sigma = relative_spread(0.35, 0.27, 2)
    assert math.hypot(sigma, spread_of(0.27)) == pytest.approx(2 * spread_of(0.35))
    with pytest.raises(ValueError, match="modulation transfer"):
        spread_of(0.7)
