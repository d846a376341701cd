"""Several dates at half the pixel size: sampling against Fourier transforms and its transpose, masks, no data, halo."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from imperv.layers.sharpening.back_projection import back_project, residual
from imperv.layers.sharpening.dates import MARGIN, Sampling, fuse, halo, harmonised, noise_of
from imperv.layers.sharpening.degradation import degrade
from imperv.layers.sharpening.enlarging import enlarge

SIGMA = 0.88


def framed(image: np.ndarray) -> np.ndarray:
    return np.pad(image, [(0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)], mode="symmetric")


def fields(seed: int, size: int = 96) -> np.ndarray:
    """Two bands of roofs and fields with straight edges, on fine pixels."""
    random = np.random.default_rng(seed)
    image = np.full((2, size, size), 1000, "f4")
    for _ in range(60):
        y, x = random.integers(0, size, 2)
        height, width = random.integers(3, 20, 2)
        image[:, y : y + height, x : x + width] = random.uniform(300, 4000, (2, 1, 1))
    return ndimage.gaussian_filter(image, (0, 0.5, 0.5))


def moved(image: np.ndarray, rows: float, columns: float) -> np.ndarray:
    """Everything by fine pixels, by Fourier transform of the mirrored image."""
    frame = 24
    wide = np.pad(image, [(0, 0), (frame, frame), (frame, frame)], mode="symmetric")
    shifted = np.fft.ifft2(ndimage.fourier_shift(np.fft.fft2(wide), (0, rows, columns))).real
    return shifted[:, frame:-frame, frame:-frame].astype("f4")


SHIFTS = [(0.25, 0.0), (0.0, -0.27), (-0.23, 0.26), (0.5, 0.5), (0.22, 0.24), (-0.4, 0.1), (0.1, -0.45)]


def looks(truth: np.ndarray, seed: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """A reference and seven dates of other seasons, with noise."""
    random = np.random.default_rng(seed)

    def noisy(image: np.ndarray) -> np.ndarray:
        return (image + 10 * random.standard_normal(image.shape)).astype("f4")

    others = [
        noisy(degrade(moved(truth, 2 * y, 2 * x), 2, SIGMA) * random.uniform(0.7, 1.3) + random.uniform(0, 300))
        for y, x in SHIFTS
    ]
    return noisy(degrade(truth, 2, SIGMA)), others


def rmse(image: np.ndarray, truth: np.ndarray, edge: int = 8) -> float:
    inner = np.s_[:, edge:-edge, edge:-edge]
    return float(np.sqrt(((image - truth)[inner] ** 2).mean()))


def test_sampling_without_shift_is_degrade():
    image = np.random.default_rng(1).random((3, 40, 52)).astype("f4")
    np.testing.assert_allclose(Sampling(2, SIGMA, (0, 0)).apply(framed(image)), degrade(image, 2, SIGMA), atol=1e-6)


@pytest.mark.parametrize("shift", [(0.31, -0.12), (-0.6, 0.45)])
def test_sampling_moves_the_ground(shift):
    image = fields(2)
    expected = degrade(moved(image, 2 * shift[0], 2 * shift[1]), 2, SIGMA)
    seen = Sampling(2, SIGMA, shift).apply(framed(image))
    inner = np.s_[:, 6:-6, 6:-6]
    np.testing.assert_allclose(seen[inner], expected[inner], atol=25)
    assert rmse(seen, expected, 6) < 4


def test_the_adjoint_is_the_transpose():
    random = np.random.default_rng(3)
    sampling = Sampling(2, SIGMA, (0.3, -0.2))
    image = random.random((2, 40 + 2 * MARGIN, 36 + 2 * MARGIN)).astype("f4")
    seen = random.random((2, 20, 18)).astype("f4")
    one = float((sampling.apply(image).astype("f8") * seen).sum())
    assert float((image.astype("f8") * sampling.adjoint(seen)).sum()) == pytest.approx(one, rel=1e-5)


def test_eight_dates_are_sharper_than_one_and_agree_with_the_reference():
    truth = fields(4)
    reference, others = looks(truth, 5)
    bicubic = back_project(enlarge(reference, 2), reference, 2, SIGMA, 20)
    one, _ = fuse(reference, [], [], 2, SIGMA)
    eight, deviation = fuse(reference, others, SHIFTS, 2, SIGMA)
    assert rmse(eight, truth) < 0.8 * rmse(bicubic, truth)
    assert rmse(eight, truth) < 0.85 * rmse(one, truth)
    assert residual(eight, reference, 2, SIGMA).max() < 2
    assert (deviation > 0).all()


@pytest.mark.slow
def test_clouds_and_pixels_without_data_weigh_nothing_and_never_spread():
    truth = fields(6)
    reference, others = looks(truth, 7)
    cloudy = [o.copy() for o in others]
    masks = [np.ones(reference.shape[1:], bool) for _ in range(len(others) + 1)]
    cloudy[0][:, 10:30, 10:30] = 9000
    masks[1][10:30, 10:30] = False
    cloudy[1][:, :, 40:] = np.nan
    other_cloud = [o.copy() for o in cloudy]
    other_cloud[0][:, 10:30, 10:30] = 3
    one, _ = fuse(reference, cloudy, SHIFTS, 2, SIGMA, masks)
    two, _ = fuse(reference, other_cloud, SHIFTS, 2, SIGMA, masks)
    np.testing.assert_array_equal(one, two)
    assert rmse(one, truth) < 1.2 * rmse(fuse(reference, others, SHIFTS, 2, SIGMA)[0], truth)
    reference[:, 20:24, 30:33] = np.nan
    sharp, deviation = fuse(reference, others, SHIFTS, 2, SIGMA)
    expected = np.zeros(truth.shape, bool)
    expected[:, 40:48, 60:66] = True
    np.testing.assert_array_equal(np.isnan(sharp), expected)
    np.testing.assert_array_equal(np.isnan(deviation), expected)


@pytest.mark.slow
def test_a_window_with_its_halo_gives_what_the_whole_gives():
    truth = fields(8, 256)
    reference, others = looks(truth, 9)
    noise = noise_of(reference)
    whole, _ = fuse(reference, others, SHIFTS, 2, SIGMA, noise=noise)
    reach = halo(2, SIGMA) // 2
    cut = np.s_[:, 64 - reach : 96 + reach, 64 - reach : 96 + reach]
    part, _ = fuse(reference[cut], [o[cut] for o in others], SHIFTS, 2, SIGMA, noise=noise)
    inner = np.s_[:, 2 * reach : -2 * reach, 2 * reach : -2 * reach]
    np.testing.assert_allclose(part[inner], whole[:, 128:192, 128:192], atol=1)


def test_a_date_of_another_season_is_brought_to_the_reference():
    random = np.random.default_rng(10)
    expected = degrade(fields(11), 2, SIGMA)
    mixed = np.stack([0.4 * expected[0] + 0.1 * expected[1] + 200, 0.2 * expected[0] + 1.3 * expected[1] - 100])
    weight = np.ones(expected.shape[1:], "f4")
    weight[random.random(weight.shape) < 0.1] = 0
    alike = harmonised(mixed.astype("f4"), expected, weight)
    known = np.broadcast_to(weight > 0, expected.shape)
    assert np.abs(alike - expected)[known].mean() < 0.05 * np.abs(mixed - expected)[known].mean()
    np.testing.assert_array_equal(alike[~known], expected[~known])


def test_what_does_not_fit_is_refused():
    image = np.zeros((2, 8, 8), "f4")
    with pytest.raises(ValueError, match="reference's shape"):
        fuse(image, [image[:1]], [(0, 0)], 2, SIGMA)
    with pytest.raises(ValueError, match="1 shifts and 2 dates"):
        fuse(image, [image, image], [(0, 0)], 2, SIGMA)
    with pytest.raises(ValueError, match="masks"):
        fuse(image, [image], [(0, 0)], 2, SIGMA, [np.ones((8, 8), bool)])
