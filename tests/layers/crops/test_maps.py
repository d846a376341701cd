"""Maps of crops: how probabilities are stored, the majority filter."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from imperv.layers.crops.classes import TIMESEN2CROP, classes_named, palette_of
from imperv.layers.crops.maps import classes_of, confidence_of, majority, shares_of


def most(window: np.ndarray) -> float:
    """The class of a square as the filter's rule says it."""
    own = window[len(window) // 2]
    codes, counts = np.unique(window[window != 255], return_counts=True)
    if own == 255 or counts[codes == own][0] == counts.max():
        return own
    return codes[counts.argmax()]


def test_the_majority_filter_as_scipy_applies_its_rule():
    rng = np.random.default_rng(1)
    codes = rng.choice([0, 1, 2, 15, 255], (40, 50), p=[0.4, 0.2, 0.2, 0.1, 0.1]).astype("u1")
    for size in (3, 5):
        expected = ndimage.generic_filter(codes.astype("f8"), most, size=size, mode="constant", cval=255)
        assert np.array_equal(majority(codes, size), expected.astype("u1")), size
    assert majority(codes, 0) is codes


def test_probabilities_codes_and_confidence():
    probabilities = np.array([[0.2, 0.8], [np.nan, np.nan], [0.5, 0.5]], "f4")
    shares = shares_of(probabilities).T.reshape(2, 1, 3)
    assert shares.tolist() == [[[51, 255, 127]], [[203, 255, 127]]]
    codes = classes_of(shares)
    assert codes.tolist() == [[1, 255, 0]]  # the first of two that are alike
    assert confidence_of(shares, codes).tolist() == [[80, 255, 50]]
    assert confidence_of(shares, np.array([[0, 255, 1]], "u1")).tolist() == [[20, 255, 50]]


def test_classes_have_colours_of_their_own():
    assert len(TIMESEN2CROP) == 16 and palette_of(TIMESEN2CROP).codes == (*range(16), 255)
    many = classes_named([f"crop {k}" for k in range(40)] + ["maize"])
    assert len({one.colour for one in many[:20]}) == 20 and many[-1].colour == TIMESEN2CROP[2].colour
