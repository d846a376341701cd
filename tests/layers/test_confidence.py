import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imperv.layers.confidence import confidence


def test_by_hand():
    sd = np.array([[0, 0.5, 0.25, 0.104], [0.106, 0.6, 0.1, np.nan]], dtype=np.float32)
    valid = np.array([[True, True, True, True], [True, True, False, True]])
    assert confidence(sd, valid).tolist() == [[100, 50, 75, 90], [89, 50, 255, 255]]
    assert confidence(sd, valid).dtype == np.uint8


@pytest.mark.parametrize(("zeros", "ones", "expected"), [(10, 0, 100), (5, 5, 50), (9, 1, 70), (1, 1, 50)])
def test_agreement_of_binary_members(zeros, ones, expected):
    sd = np.array([np.std([0.0] * zeros + [1.0] * ones)])
    assert confidence(sd, np.array([True])).tolist() == [expected]


@given(arrays(np.float32, 8, elements=st.floats(0, 0.5, width=32)))
def test_falls_with_spread_and_stays_in_range(sd):
    level = confidence(np.sort(sd), np.ones(8, bool)).astype(int)
    assert np.all((level >= 50) & (level <= 100))
    assert np.all(np.diff(level) <= 0)
    assert np.all(np.abs(level - (100 - 100 * np.sort(sd).astype(float))) <= 0.5001)


def test_input_is_not_changed():
    sd = np.array([0.1, 0.2])
    confidence(sd, np.array([True, False]))
    assert sd.tolist() == [0.1, 0.2]


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="shape"):
        confidence(np.zeros(2), np.ones(3, bool))
    with pytest.raises(ValueError, match="fractions"):
        confidence(np.array([25], np.uint8), np.array([True]))
