import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imperv.layers.harmonics import amplitude_phase, evaluate, fit_harmonics
from imperv.layers.reflectance import ndvi
from imperv.layers.scl import scl_weights


def design(time, degree):
    """Columns 1, cos 2 pi t, sin 2 pi t, cos 4 pi t, ..."""
    columns = [np.ones_like(time)]
    for k in range(1, degree + 1):
        columns += [np.cos(2 * np.pi * k * time), np.sin(2 * np.pi * k * time)]
    return np.stack(columns, axis=1)


def least_squares(values, weights, time, degree):
    """numpy.linalg.lstsq, one pixel after the other."""
    result = np.full((2 * degree + 1, *values.shape[1:]), np.nan)
    for y, x in np.ndindex(values.shape[1:]):
        v, w = values[:, y, x].astype(np.float64), weights[:, y, x].astype(np.float64)
        used = ~np.isnan(v) & (w > 0)
        root = np.sqrt(w[used])
        if used.any():
            matrix = design(time[used], degree) * root[:, None]
            result[:, y, x] = np.linalg.lstsq(matrix, v[used] * root, rcond=None)[0]
    return result


def random_year(seed, dates=40, shape=(7, 9)):
    rng = np.random.default_rng(seed)
    time = rng.permutation(rng.choice(365, dates, replace=False)) / 365
    values = rng.normal(0.4, 0.3, (dates, *shape)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    return values, rng.choice([0, 1, 5, 10, 50], values.shape).astype(np.int16), time


def test_known_coefficients_come_back():
    time = np.arange(24) / 24
    truth = np.array([0.5, 0.2, -0.1, 0.05, 0.03, -0.02, 0.01])
    values = (design(time, 3) @ truth).astype(np.float32).reshape(24, 1, 1)
    fitted = fit_harmonics(values, np.ones(values.shape), time)
    assert fitted.shape == (7, 1, 1)
    assert fitted.dtype == np.float32
    np.testing.assert_allclose(fitted[:, 0, 0], truth, atol=1e-7)


@pytest.mark.parametrize("degree", range(6))
def test_equals_lstsq(degree):
    values, weights, time = random_year(degree)
    fitted = fit_harmonics(values, weights, time, degree)
    np.testing.assert_allclose(fitted, least_squares(values, weights, time, degree), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float32, np.float64, np.float16, np.bool_, ">i2", ">f4"])
def test_weights_of_every_dtype(dtype):
    values, weights, time = random_year(10)
    weights = weights.astype(dtype)
    fitted = fit_harmonics(values, weights, time)
    np.testing.assert_allclose(fitted, least_squares(values, weights, time, 3), rtol=1e-5, atol=2e-6)


@pytest.mark.slow
def test_float64_values_many_pixels_and_strides():
    values, weights, time = random_year(11, shape=(40, 50))
    expected = fit_harmonics(values, weights, time)
    np.testing.assert_array_equal(fit_harmonics(values.astype(np.float64), weights, time), expected)
    np.testing.assert_array_equal(fit_harmonics(values[:, ::3, ::-2], weights[:, ::3, ::-2], time), expected[:, ::3, ::-2])
    one = fit_harmonics(values[:, 39:, 49:], weights[:, 39:, 49:], time)
    np.testing.assert_array_equal(one[:, 0, 0], expected[:, 39, 49])


@pytest.mark.parametrize("degree", range(6))
@pytest.mark.parametrize("pixels", [1, 63, 64, 65, 200])
def test_any_number_of_pixels(degree, pixels):
    values, weights, time = random_year(degree, shape=(1, 200))
    weights[:, 0, 70] = 0
    expected = fit_harmonics(values, weights, time, degree)
    for first in {0, 200 - pixels, 100 - pixels // 2}:
        part = np.s_[..., first : first + pixels]
        np.testing.assert_array_equal(fit_harmonics(values[part], weights[part], time, degree), expected[part])
    np.testing.assert_allclose(
        expected[..., 60:80], least_squares(values[..., 60:80], weights[..., 60:80], time, degree), rtol=1e-5, atol=2e-6
    )


def test_dates_of_a_few_weeks_are_those_of_the_pixel():
    """Also across the turn of the year, and where dates without weight or value lie all over it."""
    rng = np.random.default_rng(22)
    time = rng.permutation(np.arange(73) / 73)
    values = rng.normal(0.5, 0.02, (73, 1, 100)).astype(np.float32)
    weights = rng.integers(1, 50, values.shape)
    start = rng.random(100)
    late = ((time[:, None] - start) % 1 > 0.16)[:, None]
    brief = np.arange(100) % 3 > 0
    weights[:, :, 1::3] *= ~late[:, :, 1::3]
    values[:, :, 2::3][late[:, :, 2::3]] = np.nan
    fitted = fit_harmonics(values, weights, time)[:, 0]
    assert np.array_equal(np.all(fitted[1:] == 0, axis=0), brief)
    used = np.where(np.isnan(values), 0, weights)
    np.testing.assert_allclose(fitted[0, brief], np.average(np.nan_to_num(values), axis=0, weights=used)[0, brief], atol=1e-6)
    np.testing.assert_allclose(fitted[:, ~brief], least_squares(values, weights, time, 3)[:, 0, ~brief], atol=2e-6)


def test_a_pixel_does_not_depend_on_its_neighbours():
    """Here the one is doubtful and gets its mean, and the other one just is not."""
    time = np.array([-0.08, 0, 0.08, 0.03, 0.04])
    values = np.array([0.3, 0.5, 0.4, 0.2, 0.6], dtype=np.float32).repeat(2).reshape(5, 1, 2)
    weights = np.array([[1, 2, 1, 0, 0], [0, 1, 0, 1, 1]]).T.reshape(5, 1, 2)
    together = fit_harmonics(values, weights, time, 1)
    assert np.count_nonzero(together, axis=0).tolist() == [[3, 1]]
    for x in (0, 1):
        alone = np.s_[..., x : x + 1]
        np.testing.assert_array_equal(together[alone], fit_harmonics(values[alone], weights[alone], time, 1))


@pytest.mark.parametrize(("distinct", "degree"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (6, 2), (7, 3)])
def test_too_few_distinct_dates_lower_the_degree(distinct, degree):
    rng = np.random.default_rng(distinct)
    dates = (np.arange(distinct) + rng.uniform(0.1, 0.9, distinct)) / distinct
    time = np.concatenate([dates, rng.choice(dates, 20)])
    values = rng.random((len(time), 2, 3)).astype(np.float32)
    weights = rng.integers(1, 50, values.shape)
    fitted = fit_harmonics(values, weights, time)
    terms = 2 * degree + 1
    scale = np.abs(fitted).max()
    np.testing.assert_allclose(fitted[:terms], least_squares(values, weights, time, degree), atol=1e-5 * scale)
    assert np.all(fitted[terms:] == 0)
    assert np.all(fitted[:terms] != 0)


def test_seven_random_days_are_interpolated():
    rng = np.random.default_rng(20)
    full = 0
    for _ in range(100):
        time = rng.choice(365, 7, replace=False) / 365
        values = rng.random((7, 1, 1)).astype(np.float32)
        fitted = fit_harmonics(values, np.ones(values.shape, np.int16), time)
        if fitted[6, 0, 0] == 0:
            continue
        full += 1
        expected = least_squares(values, np.ones(values.shape), time, 3)
        np.testing.assert_allclose(fitted, expected, atol=1e-5 * np.abs(expected).max())
    assert full >= 97


def test_each_pixel_has_its_own_degree():
    time = np.arange(12) / 12
    values = np.random.default_rng(21).random((12, 1, 4)).astype(np.float32)
    weights = np.ones(values.shape, np.int16)
    weights[5:, 0, 1] = 0  # January to May: 5 dates
    values[4:, 0, 2] = np.nan  # January to April: 4 dates
    weights[:, 0, 3] = 0
    fitted = fit_harmonics(values, weights, time)[:, 0]
    assert [np.count_nonzero(fitted[:, x]) for x in range(3)] == [7, 5, 3]
    assert np.all(np.isnan(fitted[:, 3]))


@pytest.mark.parametrize("weeks", [1, 2, 4, 6, 8])
def test_dates_of_a_few_weeks_give_their_mean_and_no_garbage(weeks):
    rng = np.random.default_rng(weeks)
    days = rng.choice(7 * weeks, min(12, 7 * weeks), replace=False)
    time = ((340 + days) % 365) / 365  # over the turn of the year
    values = (0.5 + 0.02 * rng.normal(size=(len(days), 3, 3))).astype(np.float32)
    weights = rng.integers(1, 50, values.shape)
    fitted = fit_harmonics(values, weights, time)
    np.testing.assert_allclose(fitted[0], np.average(values, axis=0, weights=weights), atol=1e-6)
    assert np.all(fitted[1:] == 0)


def test_sines_that_vanish_on_all_dates_are_left_out():
    time = np.array([0, 0.5, 0, 0.5])  # sin 2 pi t is 1e-16 here, not 0
    values = np.array([0.2, 0.4, 0.3, 0.5], dtype=np.float32).reshape(4, 1, 1)
    fitted = fit_harmonics(values, np.ones(values.shape), time)
    np.testing.assert_allclose(fitted[:, 0, 0], [0.35, 0, 0, 0, 0, 0, 0], atol=1e-7)


@given(st.floats(0.01, 1000), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_scale_of_weights_and_order_of_dates_do_not_matter(scale, seed):
    values, weights, time = random_year(seed, dates=60, shape=(2, 2))
    order = np.random.default_rng(seed).permutation(60)
    expected = fit_harmonics(values, weights, time)
    found = fit_harmonics(values[order], weights[order] * scale, time[order])
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1, np.nanmax(np.abs(expected))))


def test_dates_without_weight_are_as_if_absent():
    """Whatever value they have, and whether all neighbours lack them or some."""
    values, weights, time = random_year(23, shape=(2, 128))
    absent = np.arange(40) % 4 == 0
    weights[absent, :, :64] = 0
    weights[absent, :, 64::2] = 0
    expected = fit_harmonics(values[~absent], weights[~absent], time[~absent])
    values[0] = np.inf
    weights[0] = 0
    found = fit_harmonics(values, weights, time)
    np.testing.assert_array_equal(found[..., :64], expected[..., :64])
    np.testing.assert_array_equal(found[..., 64::2], expected[..., 64::2])
    assert np.any(found[..., 65::2] != expected[..., 65::2])


def test_dates_of_a_few_weeks_among_such_as_no_pixel_has():
    rng = np.random.default_rng(24)
    time = rng.permutation(np.arange(73) / 73)
    values = rng.normal(0.5, 0.02, (73, 1, 64)).astype(np.float32)
    weights = np.where(((time - 0.93) % 1 > 0.16)[:, None, None], 0, rng.integers(1, 50, values.shape))
    fitted = fit_harmonics(values, weights, time)
    assert np.all(fitted[1:] == 0)
    np.testing.assert_allclose(fitted[0], np.average(values, axis=0, weights=weights), atol=1e-6)


def test_no_dates_give_no_data():
    fitted = fit_harmonics(np.empty((0, 2, 2), np.float32), np.empty((0, 2, 2), np.int16), np.empty(0))
    assert fitted.shape == (7, 2, 2)
    assert np.all(np.isnan(fitted))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": np.ones((3, 2), np.float32)}, "shape"),
        ({"weights": np.ones((3, 2, 1))}, "shape"),
        ({"time": np.zeros(2)}, "one date"),
        ({"time": np.array([0, 0.5, np.nan])}, "finite"),
        ({"degree": 6}, "degree"),
        ({"degree": -1}, "degree"),
        ({"values": np.ones((3, 2, 2), np.int16)}, "float32"),
        ({"weights": np.full((3, 2, 2), -1)}, "negative"),
        ({"weights": np.full((3, 2, 2), np.nan)}, "finite"),
        ({"weights": np.full((3, 2, 2), np.inf)}, "finite"),
        ({"weights": np.full((3, 2, 2), "1")}, "numbers"),
    ],
)
def test_wrong_input_is_refused(change, message):
    call = {"values": np.ones((3, 2, 2), np.float32), "weights": np.ones((3, 2, 2)), "time": np.zeros(3), "degree": 3}
    with pytest.raises(ValueError, match=message):
        fit_harmonics(**{**call, **change})


def test_evaluate_equals_the_formula():
    coefficients = np.random.default_rng(30).normal(size=(7, 3, 2)).astype(np.float32)
    coefficients[:, 0, 0] = np.nan
    time = np.linspace(0, 1, 13)
    curve = evaluate(coefficients, time)
    assert curve.shape == (13, 3, 2)
    assert curve.dtype == np.float32
    expected = np.einsum("tk,kyx->tyx", design(time, 3), coefficients.astype(np.float64))
    np.testing.assert_allclose(curve, expected, atol=2e-6)
    assert np.all(np.isnan(curve[:, 0, 0]))


def test_amplitude_and_phase_describe_the_same_curve():
    coefficients = np.random.default_rng(31).normal(size=(7, 4, 5)).astype(np.float32)
    time = np.linspace(0, 1, 50)
    form = amplitude_phase(coefficients)
    curve = form[0] + sum(form[2 * k - 1] * np.sin(2 * np.pi * k * time[:, None, None] + form[2 * k]) for k in (1, 2, 3))
    np.testing.assert_allclose(curve, evaluate(coefficients, time), atol=1e-5)
    assert np.all(form[1::2] >= 0)


def test_amplitude_and_phase_by_hand():
    coefficients = np.array([0.5, 3.0, 4.0, 0.0, -2.0]).reshape(5, 1, 1)
    np.testing.assert_allclose(amplitude_phase(coefficients).ravel(), [0.5, 5, np.arctan2(3, 4), 2, np.pi], atol=1e-12)


@pytest.mark.parametrize("function", [amplitude_phase, lambda c: evaluate(c, np.zeros(1))])
def test_even_numbers_of_coefficients_are_refused(function):
    with pytest.raises(ValueError, match="coefficients"):
        function(np.zeros((6, 1, 1)))


def test_real_year_equals_lstsq(flanders):
    year = (flanders.month >= 8) & (flanders.month < 20)
    index = ndvi(flanders.nir[year], flanders.red[year])[:, 10:30, 10:40]
    weights = scl_weights(flanders.scl[year])[:, 10:30, 10:40]
    fitted = fit_harmonics(index, weights, flanders.time[year])
    np.testing.assert_allclose(fitted, least_squares(index, weights, flanders.time[year], 3), atol=1e-5)
    assert 0 < fitted[0].min() < fitted[0].max() < 1
