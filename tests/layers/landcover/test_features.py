"""Features of land cover against NumPy, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from imperv.layers.features import FEATURE_SETS, URBAN15
from imperv.layers.landcover.features import BANDS, local_deviation, local_mean, stack_features


@pytest.fixture
def bands() -> np.ndarray:
    return np.random.default_rng(3).integers(1, 9000, (10, 9, 11)).astype("u2")


def test_features_are_bands_and_their_indices(bands):
    found = dict(zip(URBAN15, stack_features(bands), strict=True))
    by = {name: bands[k] / 1e4 for k, name in enumerate(BANDS)}
    for name in BANDS:
        np.testing.assert_allclose(found[name], by[name], rtol=1e-6)
    pairs = {"NDVI": ("B08", "B04"), "NDWI": ("B03", "B08"), "NDBI": ("B11", "B08")}
    for name, (a, b) in pairs.items():
        np.testing.assert_allclose(found[name], (by[a] - by[b]) / (by[a] + by[b]), atol=1e-5)
    soil, green = by["B11"] + by["B04"], by["B08"] + by["B02"]
    np.testing.assert_allclose(found["BSI"], (soil - green) / (soil + green), atol=1e-5)
    near = by["B08"]
    expected = [[near[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].std() for x in range(11)] for y in range(9)]
    np.testing.assert_allclose(found["B08_sd"], expected, atol=1e-5)


def test_no_data_of_one_band_is_that_of_all_features_and_of_no_neighbour(bands):
    bands[4, 3, 5] = 0
    found = stack_features(bands)
    assert np.isnan(found[:, 3, 5]).all()
    assert np.isfinite(np.delete(found.reshape(15, -1), 3 * 11 + 5, axis=1)).all()


def test_local_statistics_know_only_what_is_known():
    plane, known = np.array([[1.0, 100.0, 3.0]], "f4"), np.array([[True, False, True]])
    np.testing.assert_allclose(local_mean(plane, known, 1), [[1, 2, 3]])
    np.testing.assert_allclose(local_deviation(plane, known, 1), [[0, 1, 0]], atol=1e-6)
    assert np.isnan(local_mean(plane, np.zeros_like(known), 1)).all()


def test_the_sets_are_known_by_name():
    assert FEATURE_SETS["urban24"][:15] == FEATURE_SETS["urban15"] == URBAN15
