"""What the kernels leave out or shorten must not change a quantile; what it is, is tested with `layers.quantiles`."""

import numpy as np
import pytest

from imperv.layers.kernels.lanes import STRIP
from imperv.layers.quantiles import weighted_quantile


def by_sorting(values, weights, q):
    """(y, x): the smallest value up to which the weight is at least `q` of all, 0 without weight."""
    order = np.argsort(values, axis=0, kind="stable")
    sums = np.take_along_axis(weights.astype(np.int64), order, 0).cumsum(axis=0)
    first = (sums >= np.maximum(np.ceil(q * sums[-1]), 1)).argmax(axis=0)
    found = np.take_along_axis(np.take_along_axis(values, order, 0), first[None], 0)[0]
    return np.where(sums[-1] > 0, found, 0)


def year(seed, dates, columns, dtype, heaviest):
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 60_000, (dates, 2, columns)).astype(dtype)
    if dtype == np.float32:
        values = values / np.float32(997) - 30
    return values, rng.integers(0, heaviest + 1, values.shape).astype(np.uint8)


@pytest.mark.parametrize("heaviest", [1, 63, 64, 127, 128, 255])
@pytest.mark.parametrize("dates", [1, 4, 5, 103])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_weights_that_fill_8_bits_together_or_alone(heaviest, dates, dtype):
    values, weights = year(heaviest + dates, dates, STRIP, dtype, heaviest)
    weights[:, 0] = heaviest
    for q in (0.25, 0.5, 1.0):
        np.testing.assert_array_equal(weighted_quantile(values, weights, q, nodata=0), by_sorting(values, weights, q))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_dates_without_weight_in_a_strip_are_as_if_absent(dtype):
    """They stay in the strips beside it."""
    values, weights = year(1, 30, 3 * STRIP, dtype, 50)
    weights[::3, :, STRIP : 2 * STRIP] = 0
    weights[:, 1, 2 * STRIP :] = 0
    found = weighted_quantile(values, weights, [0.25, 0.75], nodata=0)
    for k, q in enumerate((0.25, 0.75)):
        np.testing.assert_array_equal(found[k], by_sorting(values, weights, q))
    kept = np.arange(30) % 3 > 0
    part = np.s_[..., STRIP : 2 * STRIP]
    np.testing.assert_array_equal(weighted_quantile(values[kept][part], weights[kept][part], [0.25, 0.75], 0), found[part])
    assert not found[:, 1, 2 * STRIP :].any()


def test_a_pixel_whose_digits_are_the_same_on_all_dates():
    """Beside pixels that differ in one digit only, and without weight."""
    values = np.full((9, 1, 4), 0x1234, np.uint16)
    values[:, 0, 1] = 0x1200 + np.arange(9)
    values[:, 0, 2] = 0x0034 + 0x0100 * np.arange(9)
    weights = np.ones(values.shape, np.uint8)
    weights[:, 0, 3] = 0
    assert weighted_quantile(values, weights, 0.5).tolist() == [[0x1234, 0x1204, 0x0434, 0]]
