import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imperv.layers.harmonics import evaluate, fit_harmonics
from imperv.layers.reflectance import ndvi
from imperv.layers.rmsd import rmsd
from imperv.layers.scl import scl_weights

COEFFICIENTS = arrays(np.float32, (7, 2, 2), elements=st.floats(-2, 2, width=32))


def test_by_hand():
    then = np.zeros((3, 1, 2), np.float32)
    now = np.array([[3, 0], [4, 1], [4, 1]], np.float32).reshape(3, 1, 2)
    np.testing.assert_allclose(rmsd(then, now), [[5, 1]], rtol=1e-6)
    assert rmsd(then, now).dtype == np.float32


@given(COEFFICIENTS, COEFFICIENTS)
def test_equals_the_quadrature_of_the_curves(then, now):
    # The midpoint rule is exact for trigonometric polynomials below its number of points.
    time = (np.arange(64) + 0.5) / 64
    curves = [evaluate(c.astype(np.float64), time) for c in (then, now)]
    expected = np.sqrt(np.mean((curves[0] - curves[1]) ** 2, axis=0))
    np.testing.assert_allclose(rmsd(then, now), expected, rtol=1e-5, atol=1e-6)


@given(COEFFICIENTS, COEFFICIENTS, COEFFICIENTS)
def test_is_a_distance(a, b, c):
    assert np.array_equal(rmsd(a, b), rmsd(b, a))
    assert np.all(rmsd(a, a) == 0)
    assert np.all(rmsd(a, c) <= rmsd(a, b) + rmsd(b, c) + 1e-5)


@pytest.mark.parametrize("k", range(7))
def test_nan_in_any_coefficient_gives_nan(k):
    then = np.ones((7, 1, 2), np.float32)
    now = then.copy()
    now[k, 0, 1] = np.nan
    assert np.isnan(rmsd(then, now)).tolist() == [[False, True]]
    assert np.isnan(rmsd(now, then)).tolist() == [[False, True]]


@pytest.mark.parametrize(("then", "now"), [((7, 1, 1), (5, 1, 1)), ((6, 1, 1), (6, 1, 1)), ((7, 1), (7, 1))])
def test_wrong_shapes_are_refused(then, now):
    with pytest.raises(ValueError, match="shape"):
        rmsd(np.zeros(then), np.zeros(now))


def test_real_years_equal_the_quadrature(flanders):
    index, weights = ndvi(flanders.nir, flanders.red), scl_weights(flanders.scl)
    fits = []
    for first in (8, 12):
        year = (flanders.month >= first) & (flanders.month < first + 12)
        fits.append(fit_harmonics(index[year], weights[year], flanders.time[year]))
    time = (np.arange(400) + 0.5) / 400
    difference = evaluate(fits[0], time) - evaluate(fits[1], time)
    found = rmsd(*fits)
    np.testing.assert_allclose(found, np.sqrt(np.mean(difference.astype(np.float64) ** 2, axis=0)), atol=1e-5)
    assert 0 < np.median(found) < 0.3
