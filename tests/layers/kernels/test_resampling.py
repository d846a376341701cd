"""Kernels of resampling against plain NumPy on small arrays; `test_reading` compares whole files with GDAL's warper."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imperv.grids.mapping import CELL
from imperv.layers.kernels.resampling import bilinear, cells_with_weight, nearest_weights, other_weights, take_better
from imperv.layers.reflectance import shift_offset


def nodes(shape, row=0.5, column=0.5, turn=0.0, scale=1.0):
    """Columns and rows of the nodes of a grid of `shape` that starts at (row, column) of the raster and is turned against it."""
    y, x = np.meshgrid(*(CELL * np.arange(-(-n // CELL) + 1.0) for n in shape), indexing="ij")
    return column + scale * (np.cos(turn) * x - np.sin(turn) * y), row + scale * (np.sin(turn) * x + np.cos(turn) * y)


def everywhere(shape):
    return np.ones([-(-n // CELL) for n in shape], bool)


def plain(source, columns, rows):
    """Bilinear among valid pixels, pixel by pixel; 0 where the pixel that holds the centre is not valid."""
    out = np.zeros(columns.shape)
    for place in np.ndindex(columns.shape):
        x, y = columns[place], rows[place]
        i, j = int(np.floor(y)), int(np.floor(x))
        if not (0 <= i < source.shape[0] and 0 <= j < source.shape[1]) or source[i, j] == 0:
            continue
        top, left = int(np.floor(y - 0.5)), int(np.floor(x - 0.5))
        total = weight = 0.0
        for k, m in np.ndindex(2, 2):
            a, b = top + k, left + m
            if 0 <= a < source.shape[0] and 0 <= b < source.shape[1] and source[a, b]:
                share = (1 - abs(y - 0.5 - a)) * (1 - abs(x - 0.5 - b))
                total, weight = total + share * source[a, b], weight + share
        out[place] = total / weight
    return out


def positions(shape, columns, rows):
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    at = (y // CELL, x // CELL)
    step = [(a[at[0], at[1] + 1] - a[at]) / CELL for a in (columns, rows)]
    down = [(a[at[0] + 1, at[1]] - a[at]) / CELL for a in (columns, rows)]
    return [a[at] + s * (x % CELL) + d * (y % CELL) for a, s, d in zip((columns, rows), step, down, strict=True)]


@given(st.integers(0, 10**6), st.floats(-0.4, 0.4), st.floats(-8, 20), st.floats(-8, 20), st.sampled_from([0.0, 0.02, 0.4]))
def test_bilinear_is_that_of_numpy(seed, turn, row, column, gaps):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 60, 2))
    source = rng.integers(1, 10_000, (50, 45)).astype("uint16")
    source[rng.random(source.shape) < gaps] = 0
    at = nodes(shape, row, column, turn)
    out = np.full((shape[0], 3, shape[1]), 7, "uint16")
    bilinear(source, (0, 0), *at, everywhere(shape), 0, out, 1)
    expected = plain(source, *positions(shape, *at))
    # On the very edge between two pixels a rounding decides which of them holds the centre.
    x, y = positions(shape, *at)
    sure = (np.abs(x - np.round(x)) > 1e-6) & (np.abs(y - np.round(y)) > 1e-6)
    assert np.abs(out[:, 1] - expected)[sure].max(initial=0) <= 0.5 + 0.3  # half a digit of rounding, 2^-16 of a pixel
    assert (out[:, ::2] == 7).all()


def test_a_window_of_a_raster_gives_what_the_raster_gives():
    rng = np.random.default_rng(1)
    source = rng.integers(0, 9000, (120, 130)).astype("uint16")
    at = nodes((50, 50), 30.3, 40.8, 0.1)
    whole, part = np.zeros((2, 50, 1, 50), "uint16")
    bilinear(source, (0, 0), *at, everywhere((50, 50)), 0, whole, 0)
    bilinear(np.ascontiguousarray(source[28:95, 30:110]), (28, 30), *at, everywhere((50, 50)), 0, part, 0)
    np.testing.assert_array_equal(part, whole)


def test_extremes_of_sixteen_bits():
    source = np.full((40, 40), 65535, "uint16")
    source[::2] = 1
    out = np.zeros((20, 1, 20), "uint16")
    bilinear(source, (0, 0), *nodes((20, 20), 5.5, 5.5), everywhere((20, 20)), 0, out, 0)
    np.testing.assert_array_equal(out[:, 0], source[5:25, 5:25])
    bilinear(source, (0, 0), *nodes((20, 20), 6.0, 5.5), everywhere((20, 20)), 0, out, 0)
    assert set(np.unique(out)) == {32768}


@pytest.mark.parametrize("subtract", [0, 1000])
def test_the_offset_is_that_of_reflectance(subtract):
    source = np.tile(np.array([0, 1, 500, 999, 1000, 1001, 1002, 5000], "uint16"), (30, 4))
    out = np.zeros((20, 1, 20), "uint16")
    bilinear(source, (0, 0), *nodes((20, 20), 5.5, 5.5), everywhere((20, 20)), subtract, out, 0)
    np.testing.assert_array_equal(out[:, 0], shift_offset(source[5:25, 5:25], subtract))


def test_cells_without_weight_are_left_alone():
    weights = np.zeros((60, 2, 80), "uint8")
    weights[30, 1, 55] = 1
    assert not cells_with_weight(weights, 0).any()
    cells = cells_with_weight(weights, 1)
    assert cells.shape == (3, 4) and np.argwhere(cells).tolist() == [[1, 2]]
    out = np.full((60, 1, 80), 9, "uint16")
    bilinear(np.full((90, 90), 77, "uint16"), (0, 0), *nodes((60, 80)), cells, 0, out, 0)
    expected = np.full((60, 80), 9)
    expected[25:50, 50:75] = 77
    np.testing.assert_array_equal(out[:, 0], expected)


def test_classes_are_the_nearest_and_the_higher_weight_stays():
    classes = np.arange(48, dtype="uint8").reshape(6, 8)
    table = np.arange(256, dtype="uint8")
    out = np.zeros((12, 2, 16), "uint8")
    out[0, 1, 0] = 200
    nearest_weights(classes, (0, 0), *nodes((12, 16), 0.25, 0.25, scale=0.5), everywhere((12, 16)), table, out, 1)
    expected = classes.repeat(2, axis=0).repeat(2, axis=1)
    expected[0, 0] = 200
    np.testing.assert_array_equal(out[:, 1], expected)
    assert not out[:, 0].any()
    nearest_weights(classes, (100, 0), *nodes((12, 16), 0.25, 0.25, scale=0.5), everywhere((12, 16)), table, out, 0)
    assert not out[:, 0].any()  # all of it lies beside the raster


def test_the_better_pixel_is_taken():
    out = np.array([[[5, 6, 7, 8]]], "uint16")
    best = np.array([[[10, 10, 10, 0]]], "uint8")
    values, weights = np.array([[[1, 2, 0, 4]]], "uint16"), np.array([[[50, 10, 50, 0]]], "uint8")
    take_better(values, weights, np.zeros((1, 1), bool), best, out, 0)
    assert out.tolist() == [[[5, 6, 7, 8]]]
    take_better(values, weights, np.ones((1, 1), bool), best, out, 0)
    assert out.tolist() == [[[1, 6, 7, 0]]] and best.tolist() == [[[50, 10, 10, 0]]]


def test_weights_are_those_of_the_granule_that_gave_the_pixel():
    weights = np.full((2, 3, 60), 50, "uint8")
    cells, best = np.array([[True, False, True]]), np.full((2, 1, 60), 50, "uint8")
    assert other_weights(best, cells, weights, 1).size == 0
    best[0, 0, 3], best[0, 0, 5], best[0, 0, 30] = 10, 0, 10
    found = other_weights(best, cells, weights, 1)
    expected = np.full((2, 1, 60), 50)
    expected[0, 0, 3] = 10
    np.testing.assert_array_equal(found, expected)
