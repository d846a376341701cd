"""Overviews against NumPy on the pixels that each of theirs covers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imperv.layers.kernels.overviews import overview, overview_factors
from imperv.layers.palette import BUILT_UP, CHANGE, CLASSES, CONFIDENCE, DENSITY, SHARE


def covered(pixels, factor):
    """The pixels of each overview pixel, in a nested list; cut blocks at the edges."""
    rows, columns = pixels.shape
    return [[pixels[y : y + factor, x : x + factor].ravel() for x in range(0, columns, factor)] for y in range(0, rows, factor)]


def each(pixels, factor, function):
    return np.array([[function(block) for block in row] for row in covered(pixels, factor)], np.uint8)


def mean(block):
    valid = block[block != 255].astype(int)
    return np.floor(valid.mean() + 0.5) if valid.size else 255


def mean_of_changes(block):
    valid = block[block != 255].astype(int)
    if valid.size and (valid == 201).all():
        return 201
    return np.floor(np.where(valid == 201, 100, valid).mean() + 0.5) if valid.size else 255


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((10000, 10000), (2, 4, 8, 16, 32)), ((5000, 5000), (2, 4, 8, 16)), ((1000, 1000), (2,)), ((512, 200), ())],
)  # fmt: skip
def test_factors(shape, expected):
    assert overview_factors(shape) == expected


@pytest.mark.parametrize(("palette", "rule"), [(DENSITY, mean), (SHARE, mean), (CONFIDENCE, mean), (CHANGE, mean_of_changes)])
@pytest.mark.parametrize("factor", [2, 8])
def test_quantities_are_means_of_what_is_a_quantity(palette, rule, factor):
    pixels = np.random.default_rng(factor).choice(np.array(palette.codes, np.uint8), (37, 50))
    pixels[:16, :16] = 255
    pixels[16:32, :16] = palette.codes[-2]
    np.testing.assert_array_equal(overview(pixels, factor, palette), each(pixels, factor, rule))


def test_classes_are_the_pixel_in_the_middle():
    pixels = np.arange(35, dtype=np.uint8).reshape(5, 7)
    np.testing.assert_array_equal(overview(pixels, 4, CLASSES), [[16, 20], [30, 34]])
    np.testing.assert_array_equal(overview(pixels[:2], 2, BUILT_UP), [[8, 10, 12, 13]])


@given(
    st.sampled_from([DENSITY, SHARE, CONFIDENCE, CHANGE, BUILT_UP, CLASSES]),
    arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 255)),
    st.sampled_from([2, 4]),
)
def test_no_code_is_invented(palette, picks, factor):
    """Neither a code that the layer does not have, nor a value beyond those below it, nor a hole that is not there."""
    pixels = np.array(palette.codes, np.uint8)[picks % len(palette.codes)]
    found = overview(pixels, factor, palette)
    assert set(np.unique(found).tolist()) <= set(palette.codes)
    for row, blocks in zip(found, covered(pixels, factor), strict=True):
        for value, block in zip(row, blocks, strict=True):
            valid = block[block != 255]
            if palette.overview == "nearest":
                assert value in block
            elif not valid.size:
                assert value == 255
            elif palette.overview == "mean" or not (valid == 201).any():
                assert valid.min() <= value <= valid.max()


def test_a_change_of_an_unknown_code_is_refused():
    with pytest.raises(ValueError, match="codes above 201"):
        overview(np.full((4, 4), 230, np.uint8), 2, CHANGE)
