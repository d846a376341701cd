import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imperv.layers.reflectance import ndvi, shift_offset


def test_no_data_stays_and_dark_pixels_do_not_become_no_data():
    dn = np.array([0, 1, 999, 1000, 1001, 1002, 65535], dtype=np.uint16)
    shifted = shift_offset(dn, 1000)
    assert shifted.tolist() == [0, 1, 1, 1, 1, 2, 64535]
    assert shifted.dtype == np.uint16
    assert dn.tolist() == [0, 1, 999, 1000, 1001, 1002, 65535], "the input is not changed"


def test_no_offset_changes_nothing():
    dn = np.array([0, 1, 5000, 65535], dtype=np.uint16)
    assert shift_offset(dn, 0).tolist() == dn.tolist()


@given(arrays(np.uint16, 20), st.integers(0, 65534))
def test_shift_equals_wide_arithmetic(dn, subtract):
    wide = dn.astype(np.int64)
    expected = np.where(wide == 0, 0, np.maximum(wide - subtract, 1))
    assert shift_offset(dn, subtract).tolist() == expected.tolist()


@pytest.mark.parametrize("subtract", [-1, 65535])
def test_offsets_out_of_range_are_refused(subtract):
    with pytest.raises(ValueError, match="subtract"):
        shift_offset(np.array([1], dtype=np.uint16), subtract)


def test_shift_refuses_other_dtypes():
    with pytest.raises(ValueError, match="uint16"):
        shift_offset(np.array([1], dtype=np.int16), 1000)


def test_ndvi_by_hand_without_overflow():
    nir = np.array([3000, 1000, 0, 5, 0, 65535, 1], dtype=np.uint16)
    red = np.array([1000, 3000, 5, 0, 0, 65535, 65535], dtype=np.uint16)
    index = ndvi(nir, red)
    assert index.dtype == np.float32
    np.testing.assert_array_equal(index, np.float32([0.5, -0.5, np.nan, np.nan, np.nan, 0, -65534 / 65536]))


def test_ndvi_of_a_zero_denominator_is_nan_without_a_warning():
    with np.errstate(all="raise"):
        assert np.isnan(ndvi(np.array([-100], dtype=np.int16), np.array([100], dtype=np.int16)))[0]


def test_ndvi_refuses_different_shapes():
    with pytest.raises(ValueError, match="shape"):
        ndvi(np.ones(3, np.uint16), np.ones((3, 1), np.uint16))


def test_ndvi_of_real_scenes_equals_float64(flanders):
    nir, red = flanders.nir.astype(np.float64), flanders.red.astype(np.float64)
    valid = (nir > 0) & (red > 0)
    index = ndvi(flanders.nir, flanders.red)
    assert np.array_equal(~np.isnan(index), valid)
    np.testing.assert_allclose(index[valid], ((nir - red) / (nir + red))[valid], rtol=0, atol=1e-7)
    assert index[flanders.scl == 4].mean() > 0.5 > index[flanders.scl == 9].mean(), "vegetation is greener than cloud"
