"""The minimum mapping unit, by hand and against SciPy's components."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from imperv.layers.landcover.sieve import sieve

MAPS = arrays("u1", st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.sampled_from([1, 2, 3, 255]))


def test_a_small_patch_takes_the_class_around_it():
    codes = np.full((5, 5), 4, "u1")
    codes[2, 1:3] = 2
    assert (sieve(codes, 3) == 4).all() and np.array_equal(sieve(codes, 2), codes) and np.array_equal(sieve(codes, 0), codes)


def test_most_neighbours_decide_and_then_the_lowest_code():
    assert sieve(np.array([[1, 3, 2]], "u1"), 2).tolist()[0][1] == 1
    assert sieve(np.array([[1, 3, 2], [2, 2, 2]], "u1"), 2)[0, 1] == 2


def test_no_data_neither_goes_nor_spreads():
    assert sieve(np.array([[255, 1, 255]], "u1"), 5).tolist() == [[255, 1, 255]]


@given(MAPS, st.integers(2, 5))
def test_large_patches_stay_and_small_ones_take_a_neighbours_class(codes, least):
    found = sieve(codes, least)
    assert np.array_equal(found == 255, codes == 255)
    for code in (1, 2, 3):
        labels, count = ndimage.label(codes == code)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        for number in range(1, count + 1):
            patch = labels == number
            if sizes[number] >= least:
                assert (found[patch] == code).all()
                continue
            around = ndimage.binary_dilation(patch, np.ones((3, 3))) & ~patch & (codes != 255)
            assert len(set(found[patch])) == 1
            assert found[patch][0] in (set(codes[around]) or {code})


@given(MAPS, st.integers(2, 4), st.integers(0, 11), st.integers(0, 11))
def test_a_pixel_depends_on_nothing_far_away(codes, least, y, x):
    y, x = min(y, codes.shape[0] - 1), min(x, codes.shape[1] - 1)
    reach = least + 1
    top, left = max(y - reach, 0), max(x - reach, 0)
    part = codes[top : y + reach + 1, left : x + reach + 1]
    assert sieve(part, least)[y - top, x - left] == sieve(codes, least)[y, x]
