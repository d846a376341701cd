"""Composites on Sentinel-2's pixels: geometry against exact integrals, detail of dates on ground that is known."""

from __future__ import annotations

import numpy as np
import pytest

from imperv.layers.sharpening.composites import half_pixel, plain, sharpen, spread_of_sensor
from imperv.layers.sharpening.degradation import degrade


def wave(rows: int, columns: int, pixel: float, left: float, top: float, period: float) -> np.ndarray:
    """Means over pixels of a product of waves of the ground, in metres: exact."""

    def line(first, count):
        edges = first + pixel * np.arange(count + 1)
        return period / (2 * np.pi * pixel) * np.diff(-np.cos(2 * np.pi * edges / period))

    return (1500 + 400 * np.outer(line(top, rows), line(left, columns)))[None].astype("f4")


@pytest.mark.parametrize("period", [150, 400])
def test_fine_pixels_begin_five_metres_right_of_and_below_the_corner(period):
    """Landsat's pixels from -15 m, the fine ones from -10 m: waves that 30 m pixels resolve come out in their place."""
    coarse = wave(60, 50, 30, -15, -15, period)
    fine = wave(180, 150, 10, -10, -10, period)
    inside = np.s_[:, 20:-20, 20:-20]
    error = abs(plain(coarse, 0.1, 8) - fine)[inside]
    assert error.max() < (25 if period == 150 else 8)
    moved = abs(plain(coarse, 0.1, 8) - wave(180, 150, 10, -15, -15, period))[inside]
    assert moved.max() > 3 * error.max() and moved.max() > 20


def test_half_pixels_are_exact_for_polynomials_and_keep_holes():
    x = np.arange(40, dtype="f8")
    line = 3 + 2 * x - 0.1 * x**2 + 0.002 * x**3
    image = np.add.outer(line, line)[None].astype("f4")
    middle = 3 + 2 * (x + 0.5) - 0.1 * (x + 0.5) ** 2 + 0.002 * (x + 0.5) ** 3
    found = half_pixel(image)
    assert found.dtype == np.float32
    assert np.allclose(found[0, 3:-4, 3:-4], np.add.outer(middle, middle)[3:-4, 3:-4], atol=0.01)
    image[0, 10, 20] = np.nan
    assert np.argwhere(np.isnan(half_pixel(image)[0])).tolist() == [[9, 19], [9, 20], [10, 19], [10, 20]]


def test_spreads_are_those_of_the_sensors():
    assert 0.95 < spread_of_sensor("oli") < 1.05 < spread_of_sensor("etm+") == spread_of_sensor("tm") < 1.2


def ground(rng, size: int) -> np.ndarray:
    """Six bands of fields and roofs on fine pixels."""
    level = np.zeros((6, size, size), "f4")
    for _ in range(250):
        y, x = rng.integers(0, size, 2)
        h, w = rng.integers(3, 25, 2)
        level[:, y : y + h, x : x + w] = rng.uniform(400, 3500, (6, 1, 1))
    return level + 800


@pytest.mark.slow
def test_shifted_dates_show_more_than_one_composite():
    """Dates shifted as Landsat's are, at levels of their own, partly covered, with noise: they bring the truth nearer."""
    rng, sigma = np.random.default_rng(8), 1.0
    truth = ground(rng, 108)
    dates, shifts, clear = [], [], []
    for _ in range(8):
        down, right = rng.integers(-1, 2, 2)
        seen = degrade(np.roll(truth, (down, right), (1, 2)), 3, sigma)
        level = rng.uniform(0.8, 1.25, (6, 1, 1)).astype("f4")
        dates.append(level * seen + rng.uniform(-50, 50, (6, 1, 1)).astype("f4") + 8 * rng.standard_normal(seen.shape, "f4"))
        shifts.append((down / 3, right / 3))
        clear.append(np.roll(np.indices(seen.shape[1:])[0], int(rng.integers(36)), 0) > 6)
    composite = degrade(truth, 3, sigma) + 4 * rng.standard_normal((6, 36, 36), "f4")
    target, inside = half_pixel(truth), np.s_[:, 12:-12, 12:-12]

    def error(image):
        return np.sqrt(((image - target)[inside] ** 2).mean())

    before = error(plain(composite, sigma, 5))
    found, deviation = sharpen(composite, dates, shifts, clear, sigma)
    assert error(found) < 0.8 * before
    assert error(sharpen(composite, dates, [(-a, -b) for a, b in shifts], clear, sigma)[0]) > before  # shifts the wrong way
    assert found.shape == deviation.shape == truth.shape and (deviation >= 0).all() and np.isfinite(found).all()


def test_without_dates_it_is_interpolation_and_no_data_stays_where_it_is():
    rng = np.random.default_rng(2)
    composite = rng.uniform(200, 4000, (6, 30, 40)).astype("f4")
    whole = plain(composite, 1.0)
    composite[:, 12, 17] = np.nan
    image, deviation = sharpen(composite, [], [], [], 1.0)
    hole = np.isnan(image)
    assert np.array_equal(hole, np.isnan(deviation)) and hole.any(0).sum() == 16  # 4 x 4: half of a pixel more
    assert hole[:, 35:39, 50:54].all()
    far = np.ones(whole.shape, bool)
    far[:, 15:60, 30:75] = False
    assert abs(image - whole)[far].max() < 2
    again, _ = sharpen(composite, [composite + 10, composite], [(0.1, 0.2), (0, -0.3)], [np.ones((30, 40), bool)] * 2, 1.0)
    assert np.array_equal(np.isnan(again), hole)
