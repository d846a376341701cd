"""Feature stacks: order, scale, no data."""

import numpy as np
import pytest

from imperv.layers.features import ATBD12, FEATURE_SETS, FULL18, QUANTILE_BANDS, stack_features, unsteadiness


@pytest.fixture
def inputs():
    """Each band and coefficient holds its own number, so that a mix-up shows."""
    quantiles = np.stack([np.full((2, 3), 1000 * (k + 1), "u2") for k in range(10)])
    harmonics = np.stack([np.full((2, 3), 0.1 * (k + 1), "f4") for k in range(7)])
    return quantiles, np.full((2, 3), 0.9, "f4"), harmonics


def test_sets_are_those_of_the_atbd():
    assert len(ATBD12) == len(set(ATBD12)) == 12
    assert len(FULL18) == len(set(FULL18)) == 18
    assert FULL18[:12] == ATBD12
    assert (FEATURE_SETS["atbd12"], FEATURE_SETS["full18"]) == (ATBD12, FULL18)


def test_values_and_order_of_atbd12(inputs):
    out = stack_features(*inputs, ATBD12)
    assert out.dtype == np.float32
    # B02 B03 B04 are bands 1 to 3 of the ten, B08 the 7th, B12 the 10th.
    expected = [0.1, 0.2, 0.3, 0.7, 1.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    np.testing.assert_allclose(out[:, 0, 0], expected, rtol=1e-6)


def test_values_of_the_other_six(inputs):
    out = stack_features(*inputs, FULL18)
    np.testing.assert_allclose(out[12:, 1, 2], [0.4, 0.5, 0.6, 0.8, 0.9, 0.9], rtol=1e-6)


def test_no_data_stays_with_its_feature(inputs):
    quantiles, q90, harmonics = inputs
    quantiles[QUANTILE_BANDS.index("B08"), 0, 1] = 0
    harmonics[6, 1, 1] = np.nan
    q90[1, 0] = np.nan
    out = stack_features(quantiles, q90, harmonics, FULL18)
    found = [(FULL18[f], int(y), int(x)) for f, y, x in np.argwhere(np.isnan(out))]
    assert found == [("B08_q20", 0, 1), ("NDVI_b3", 1, 1), ("NDVI_q90", 1, 0)]


def test_inputs_are_left_as_they_were(inputs):
    before = [a.copy() for a in inputs]
    out = stack_features(*inputs, FULL18)
    out[:] = -1
    for a, b in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_q90_is_needed_only_where_asked_for(inputs):
    quantiles, _, harmonics = inputs
    assert stack_features(quantiles, None, harmonics, ATBD12).shape == (12, 2, 3)
    with pytest.raises(ValueError, match="NDVI_q90"):
        stack_features(quantiles, None, harmonics, FULL18)


@pytest.mark.parametrize("name", ["B01_q20", "B02_q90", "NDVI_c1", "NDVI", ""])
def test_unknown_name(inputs, name):
    with pytest.raises(ValueError, match="is not a feature"):
        stack_features(*inputs, [name])


def test_shapes_must_agree(inputs):
    quantiles, q90, harmonics = inputs
    with pytest.raises(ValueError, match="quantiles"):
        stack_features(quantiles[:9], q90, harmonics)
    with pytest.raises(ValueError, match="harmonics"):
        stack_features(quantiles, q90, harmonics[:, :1])
    with pytest.raises(ValueError, match="q90"):
        stack_features(quantiles, q90[:1], harmonics)


def test_only_harmonics_beyond_the_mean_are_unsteady():
    found = dict(zip(FULL18, unsteadiness(FULL18), strict=True))
    assert {name for name, value in found.items() if value != 1} == {f"NDVI_{t}{k}" for t in "ab" for k in (1, 2, 3)}
    assert [found[f"NDVI_a{k}"] for k in (1, 2, 3)] == sorted(found[f"NDVI_b{k}"] for k in (1, 2, 3)) == [1.5, 2, 3]
