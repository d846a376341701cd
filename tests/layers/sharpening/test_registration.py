"""Shifts between dates: against shifts made by Fourier transform, scikit-image, and clouds that must not matter."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from imperv.layers.sharpening.registration import shift_between


def scene(seed: int, size: int = 160) -> np.ndarray:
    """Fields and roofs at four times the resolution, (band, 4 size, 4 size)."""
    random = np.random.default_rng(seed)
    seeds = random.random((2, 500)) * 4 * size
    place = np.indices((4 * size, 4 * size)).reshape(2, -1).T
    from scipy.spatial import cKDTree

    parcel = cKDTree(seeds.T).query(place)[1].reshape(4 * size, 4 * size)
    return (400 + 2500 * random.random((3, 500))).astype("f4")[:, parcel]


def seen(fine: np.ndarray, rows: float, columns: float) -> np.ndarray:
    """A date that sees everything `rows` down and `columns` right of its place, in its own pixels; periodic, no border."""
    blurred = ndimage.fourier_gaussian(np.fft.fft2(fine), (0, 2, 2))
    moved = np.fft.ifft2(ndimage.fourier_shift(blurred, (0, 4 * rows, 4 * columns))).real
    bands, y, x = moved.shape
    return moved.reshape(bands, y // 4, 4, x // 4, 4).mean((2, 4)).astype("f4")


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.31, -0.17), (-0.45, 0.08), (1.2, -0.7)])
def test_a_known_shift_is_found_to_a_fiftieth_of_a_pixel(shift):
    fine = scene(1)
    found = shift_between(seen(fine, 0, 0), seen(fine, *shift))
    assert found.shift == pytest.approx(shift, abs=0.02)
    assert found.error < 0.02
    assert found.blocks >= 9


def test_seasons_clouds_and_pixels_without_data_do_not_matter():
    fine = scene(2)
    random = np.random.default_rng(3)
    reference, other = seen(fine, 0, 0), seen(fine, 0.24, 0.33)
    other = other * np.array([0.6, 1.2, 1.5], "f4")[:, None, None] + 300 + 20 * random.standard_normal(other.shape).astype("f4")
    clear = np.ones(other.shape[1:], bool)
    clear[:60, :90] = False
    other[:, :60, :90] = 6000
    reference[:, 100:110, 130:] = np.nan
    found = shift_between(reference, other, clear)
    assert found.shift == pytest.approx((0.24, 0.33), abs=0.02)
    cloudy = shift_between(reference, other, np.zeros_like(clear))
    assert (cloudy.shift, cloudy.blocks, cloudy.error) == ((0.0, 0.0), 0, float("inf"))


def test_it_agrees_with_an_independent_implementation():
    fine = scene(4)
    reference, other = seen(fine, 0, 0), seen(fine, -0.3, 0.2)
    theirs, *_ = phase_cross_correlation(reference.mean(0), other.mean(0), upsample_factor=100)
    found = shift_between(reference, other)
    assert found.shift == pytest.approx(tuple(-theirs), abs=0.08)


def test_dates_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="cannot be compared"):
        shift_between(np.zeros((1, 64, 64), "f4"), np.zeros((1, 64, 60), "f4"))


@pytest.mark.slow
def test_real_dates_close_a_triangle(flanders):
    """Shifts of real dates have no truth, but those of a to b and of b to c must add up to that of a to c."""
    clear = [np.isin(s, (4, 5, 6, 7)) for s in flanders.scl]
    best = [k for k in np.argsort([-c.mean() for c in clear]) if 5 <= (flanders.month[k] - 1) % 12 + 1 <= 9][:8]
    images = [np.stack([flanders.red[k], flanders.nir[k]]).astype("f4") for k in best]

    def between(i: int, j: int) -> np.ndarray:
        return np.array(shift_between(images[i], images[j], clear[best[i]] & clear[best[j]], block=32).shift)

    gaps = [between(i, j) + between(j, k) - between(i, k) for i in range(8) for j in range(i) for k in range(j)]
    assert np.median(np.abs(gaps)) < 0.05


@pytest.mark.slow
def test_shifts_of_the_fine_kit(tmp_path, shared_data):
    """All clear dates of a simulated site, whose shifts are known: 0.02 pixels, whatever grew meanwhile."""
    from tests.support.fine import dates_of, fine_kit

    folder = fine_kit(shared_data, tmp_path, size=320, scenes=8)
    truth = {s["date"]: s for s in json.loads((folder / "truth" / "shifts.json").read_text())["scenes"]}
    dates = dates_of(folder)
    first = max(dates, key=lambda d: d.clear.mean())
    for other in dates:
        both = first.clear & other.clear
        if other is not first and both.mean() > 0.5:
            expected = [
                (truth[first.day]["dy_m"] - truth[other.day]["dy_m"]) / 10,
                (truth[other.day]["dx_m"] - truth[first.day]["dx_m"]) / 10,
            ]
            assert shift_between(first.bands, other.bands, both).shift == pytest.approx(expected, abs=0.03), other.day
