"""Mean and spread of ensemble members, against NumPy and by hand."""

import numpy as np
import pytest

from imperv.layers.network.ensemble import ensemble


def test_against_numpy():
    members = np.random.default_rng(3).random((7, 20, 30)).astype("f4")
    mean, sd = ensemble(members)
    assert mean.dtype == np.uint8
    assert sd.dtype == np.float32
    exact = members.astype("f8")
    np.testing.assert_array_equal(mean, np.floor(100 * exact.mean(axis=0) + 0.5))
    np.testing.assert_allclose(sd, np.std(exact, axis=0, ddof=0), atol=1e-6)


def test_halves_round_up():
    # 0.125 and 0.625 are exact in binary: 12.5 and 62.5 percent; NumPy's own rounding would give 12 and 62.
    mean, _ = ensemble(np.array([[[0.125, 0.625, 0.005, 0.995, 0.0, 1.0]]], "f4"))
    np.testing.assert_array_equal(mean, [[13, 63, 1, 100, 0, 100]])


def test_greatest_disagreement_is_one_half():
    mean, sd = ensemble(np.array([0, 0, 1, 1], "f4").reshape(4, 1, 1))
    assert (mean[0, 0], sd[0, 0]) == (50, 0.5)


def test_any_missing_member_is_no_data():
    members = np.full((3, 1, 3), 0.4, "f4")
    members[1, 0, 2] = np.nan
    mean, sd = ensemble(members)
    np.testing.assert_array_equal(mean, [[40, 40, 255]])
    np.testing.assert_array_equal(np.isnan(sd), [[False, False, True]])


def test_one_member_has_no_spread():
    mean, sd = ensemble(np.array([[[0.3, np.nan]]], "f4"))
    np.testing.assert_array_equal(mean, [[30, 255]])
    assert sd[0, 0] == 0
    assert np.isnan(sd[0, 1])


@pytest.mark.parametrize("shape", [(0, 4, 4), (4, 4), (1, 2, 3, 4)])
def test_wrong_shape(shape):
    with pytest.raises(ValueError, match="at least one member"):
        ensemble(np.zeros(shape, "f4"))
