"""The noise of two dates: what was planted is found again, whatever share of the ground has changed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from imperv.layers.cva.noise import HEAVIEST, LIGHTEST, Noise, Sample, fit_noise
from imperv.layers.cva.vectors import sample_of

COVARIANCE = np.array([[900.0, 500.0, 300.0], [500.0, 1600.0, 700.0], [300.0, 700.0, 2500.0]])
GAIN, OFFSET = np.array([1.1, 0.9, 1.25]), np.array([-40.0, 80.0, 10.0])


def planted(freedom: float = 6, registration: float = 0.04, pixels: int = 8000, changed: float = 0.0) -> Sample:
    rng = np.random.default_rng(3)
    first = rng.uniform(300, 4000, (pixels, 3))
    steep = rng.normal(0, 150, (pixels, 2, 3))
    weight = rng.chisquare(freedom, pixels) / freedom
    rest = rng.multivariate_normal(np.zeros(3), COVARIANCE, pixels)
    shift = rng.normal(0, registration**0.5, (pixels, 2))
    noise = (rest + np.einsum("nk,nkb->nb", shift, steep)) / np.sqrt(weight)[:, None]
    second = GAIN * first + OFFSET + noise
    second[: int(changed * pixels)] += rng.uniform(800, 3000, (int(changed * pixels), 3))
    return Sample(first, second, steep)


@pytest.mark.parametrize("changed", [0, 0.03])
def test_lines_covariance_registration_and_tails_are_found_again(changed):
    found = fit_noise(planted(changed=changed))
    assert np.allclose(found.gain, GAIN, rtol=0.01)
    assert np.allclose(found.offset, OFFSET, atol=25)
    assert np.allclose(found.covariance, COVARIANCE, rtol=0.25, atol=0.1 * COVARIANCE.max())
    assert found.registration == pytest.approx(0.04, rel=0.25)
    assert LIGHTEST <= found.freedom <= 8


def test_normal_noise_has_light_tails():
    assert fit_noise(planted(freedom=5000)).freedom > HEAVIEST / 2


def test_the_body_is_the_amplitude_that_nine_of_ten_stay_below():
    """Of normal noise that of the chi-squared distribution with three degrees of freedom: sqrt(6.25)."""
    assert fit_noise(planted(freedom=5000)).body == pytest.approx(2.50, abs=0.05)


def test_bands_that_do_not_go_together_have_a_sound_line():
    """Orthogonal regression would give a gain of 30 or so."""
    sample = planted()
    apart = np.random.default_rng(5).permutation(sample.second)
    found = fit_noise(Sample(sample.first, apart, sample.steepness))
    assert np.all(np.array(found.gain) < 1.5)


def test_it_is_kept_as_text():
    found = fit_noise(planted(pixels=2000))
    assert Noise.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda s: Sample(s.first[:50], s.second[:50], s.steepness[:50]), "50 clear pixels are too few for 3 bands"),
        (lambda s: Sample(s.first, s.first.copy(), s.steepness), "equal, pixel by pixel"),
        (lambda s: Sample(s.first * [1, 0, 1], s.second, s.steepness), "band 2 has one value everywhere"),
    ],
)
def test_what_tells_nothing_is_refused(change, text):
    with pytest.raises(ValueError, match=text):
        fit_noise(change(planted(pixels=2000)))


def test_a_shift_of_the_ground_is_found_as_registration():
    """Half of a pixel along x: its square is 0.25, on one of the two axes, so 0.125 on both in the mean."""
    rng = np.random.default_rng(1)
    fine = gaussian_filter(rng.normal(0, 4000, (160, 162)), 3)
    bands = np.array([1.0, 0.8, 1.2])[:, None, None] * fine + 2000
    first, second = (np.rint(b + rng.normal(0, 5, b.shape)).astype("u2") for b in (bands[:, ::2, :-2:2], bands[:, ::2, 1:-1:2]))
    valid = np.ones(first.shape[1:], bool)
    same = np.rint(second + rng.normal(0, 5, second.shape)).astype("u2")
    assert fit_noise(sample_of(second, same, valid)).registration < 0.01
    assert fit_noise(sample_of(first, second, valid)).registration == pytest.approx(0.125, rel=0.4)
