"""Percentiles by counting digits against NumPy's, which holds and partitions all values."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from imperv.layers.kernels.percentiles import count_digits, exact_percentiles

PERCENTILES = [0, 2.5, 33.3, 50, 97.5, 99.0, 100]


def ours(values, percentiles=PERCENTILES):
    return exact_percentiles(partial(count_digits, values), percentiles, values.dtype)


def numpys(values, percentiles=PERCENTILES):
    return np.percentile(values[~np.isnan(values)], np.array(percentiles, "f8"))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@given(data=st.data(), percentiles=st.lists(st.floats(0, 100), min_size=1, max_size=4))
def test_equals_numpy_to_the_last_bit(dtype, data, percentiles):
    width = 8 * np.dtype(dtype).itemsize
    # Not the largest floats: the difference of two would overflow, in NumPy too.
    elements = st.one_of(
        st.floats(-(2.0**100), 2.0**100, width=width),
        st.sampled_from([0.0, -0.0, 0.1, 0.25, 1.0, 1e-40]).map(lambda v: float(np.float32(v))),
    )
    values = data.draw(arrays(dtype, array_shapes(min_dims=1, max_dims=2, max_side=30), elements=elements))
    np.testing.assert_array_equal(ours(values, percentiles), numpys(values, percentiles))


@pytest.mark.parametrize("size", [1, 2, 3, 39, 40, 41, 100_003])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_equals_numpy_on_noise_with_holes(size, dtype):
    rng = np.random.default_rng(size)
    values = rng.gamma(2, 0.03, size).astype(dtype)
    values[1:][rng.random(size - 1) < 0.2] = np.nan
    np.testing.assert_array_equal(ours(values), numpys(values))
    values = np.round(values, 2)  # many ties
    np.testing.assert_array_equal(ours(values), numpys(values))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(1, 7))
@example([0] * 40, 3)
def test_blocks_add_up_to_the_whole(digits, pieces):
    values = np.array(digits, "f4") / np.float32(10)
    parts = np.array_split(values, pieces)

    def count(known, prefixes):
        return sum(count_digits(part, known, prefixes) for part in parts)

    np.testing.assert_array_equal(exact_percentiles(count, PERCENTILES, "f4"), numpys(values))


def test_one_pass_a_digit():
    values, asked = np.linspace(0, 1, 5000, dtype="f4"), []

    def count(known, prefixes):
        asked.append(known)
        return count_digits(values, known, prefixes)

    exact_percentiles(count, [97.5, 99], "f4")
    assert asked == [0, 1]


def test_counts_by_hand():
    values = np.array([[1.0, 1.5, np.nan], [-2.0, 0.0, 1.0]], "f4")
    leading = count_digits(values, 0, [0])
    # 1.0 is 0x3f80 0000 and its key 0xbf80; 1.5 is 0x3fc0; 0 is 0x8000; -2.0 is 0xc000 and its key, all bits turned, 0x3fff.
    assert {hex(k): int(leading[0, k]) for k in np.nonzero(leading[0])[0]} == {"0x3fff": 1, "0x8000": 1, "0xbf80": 2, "0xbfc0": 1}
    trailing = count_digits(values, 1, [0xBF80, 0x1234])
    assert (trailing.sum(axis=1).tolist(), int(trailing[0, 0])) == ([2, 0], 2)


def test_any_strides():
    values = np.random.default_rng(3).random((40, 60)).astype("f4")
    assert np.array_equal(count_digits(values[::3, ::-2], 0, [0]), count_digits(values[::3, ::-2].copy(), 0, [0]))


@pytest.mark.parametrize("values", [np.full((3, 4), np.nan, "f4"), np.empty((0, 4), "f8")])
def test_nothing_valid_has_no_percentile(values):
    assert np.isnan(ours(values)).all()


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="float32 or float64"):
        count_digits(np.zeros(3, "i4"), 0, [0])
    with pytest.raises(ValueError, match="float32 has 2 digits, 2 are known"):
        count_digits(np.zeros(3, "f4"), 2, [0])
    for wrong in ([101], [-1], [np.nan]):
        with pytest.raises(ValueError, match="percentiles must be 0 to 100"):
            ours(np.zeros(3, "f4"), wrong)
