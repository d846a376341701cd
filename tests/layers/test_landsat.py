"""Numbers and bits of Landsat Collection 2 Level 2, against arithmetic by hand and SciPy's morphology."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from imperv.layers.landsat import COVERED, QaParameters, quality_weights, reflectance, saturated

CLEAR_OLI, CLEAR_TM = 21824, 5440
"""QA_PIXEL of clear land as the format documents list it."""


def test_numbers_become_reflectance():
    dn = np.array([0, 7273, 7309, 10909, 43636, 65535, 1], "u2")
    assert reflectance(dn).tolist() == [0, 1, 10, 1000, 10000, 16022, 1]
    assert reflectance(dn, nodata=65535).tolist()[5] == 0
    assert reflectance(np.array([0, 1234], "u2"), scale=1e-4, offset=0).tolist() == [0, 1234]
    with pytest.raises(ValueError, match="uint16"):
        reflectance(dn.astype("i4"))


def test_every_number_rounds_as_decimal_arithmetic_does():
    dn = np.arange(1, 65536, dtype="u2")
    exact = np.array([max((275 * int(d) - 2_000_000 + 500) // 1000, 1) for d in dn])
    ties = (275 * dn.astype(int)) % 1000 == 500
    found = reflectance(dn).astype(int)
    assert (found == exact)[~ties].all()
    assert (abs(found - exact) <= 1).all()


@pytest.mark.parametrize(
    ("qa", "weight"),
    [
        (1, 0), (CLEAR_OLI, 8), (CLEAR_TM, 8), (CLEAR_OLI | 1 << 7, 8),
        (22280, COVERED), (23888, COVERED), (CLEAR_OLI | 1 << 1, COVERED), (54596, COVERED), (30048, COVERED),
        (CLEAR_OLI ^ (1 << 8 | 1 << 9), 2),
    ],
)  # fmt: skip
def test_values_of_the_format_document(qa, weight):
    """Fill, clear land and water, cloud with high confidence, shadow, dilated cloud, cirrus, snow, medium confidence."""
    assert quality_weights(np.full((1, 1), qa, "u2"), QaParameters(shadow_dilation=0)).tolist() == [[weight]]


def test_snow_may_count():
    qa = np.full((2, 2), 30048, "u2")
    assert quality_weights(qa, QaParameters(snow=True)).tolist() == [[8, 8], [8, 8]]


@pytest.mark.parametrize(("cloud", "shadow"), [(0, 0), (1, 2), (3, 1)])
def test_dilation_is_by_discs(cloud, shadow):
    rng = np.random.default_rng(3)
    qa = np.full((60, 70), CLEAR_OLI, "u2")
    is_cloud, is_shadow, fill = rng.random(qa.shape) < 0.01, rng.random(qa.shape) < 0.01, rng.random(qa.shape) < 0.02
    qa[is_cloud] |= 1 << 3
    qa[is_shadow] |= 1 << 4
    qa[fill] = 1
    expected = np.zeros(qa.shape, bool)
    for mask, radius in ((is_cloud & ~fill, cloud), (is_shadow & ~fill, shadow)):
        if mask.any():
            expected |= ndimage.distance_transform_edt(~mask) <= radius
    found = quality_weights(qa, QaParameters(cloud, shadow))
    assert ((found == COVERED) == (expected & ~fill)).all() and ((found == 0) == fill).all()


def test_fill_spreads_nothing():
    qa = np.full((9, 9), CLEAR_OLI, "u2")
    qa[4, 4] = 0b11001  # fill, with bits of cloud and shadow that mean nothing
    found = quality_weights(qa, QaParameters(2, 2))
    assert found[4, 4] == 0 and np.count_nonzero(found == 8) == 80


@pytest.mark.parametrize(
    ("sensor", "band", "bit"),
    [("tm", "blue", 0), ("etm+", "nir08", 3), ("tm", "swir22", 6), ("oli", "blue", 1), ("oli", "nir08", 4), ("oli", "swir22", 6)],
)
def test_bits_of_saturation(sensor, band, bit):
    words = np.array([1 << k for k in range(16)], "u2")
    everywhere = 11 if sensor == "oli" else 9
    assert np.flatnonzero(saturated(words, band, sensor)).tolist() == sorted([bit, everywhere])


def test_other_arrays_are_refused():
    with pytest.raises(ValueError, match="uint16"):
        quality_weights(np.zeros((3, 3), "u1"))
