import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pydantic import ValidationError
from scipy import ndimage

from imperv.layers import change_mask as change_mask_module
from imperv.layers.change_mask import ChangeMaskParameters, change_mask, sieve_mask, threshold_mask, thresholds
from imperv.layers.harmonics import fit_harmonics
from imperv.layers.reflectance import ndvi
from imperv.layers.rmsd import rmsd
from imperv.layers.scl import scl_weights


def reference(values, lower, upper, sieve):
    """The definition with NumPy and SciPy's labels."""
    valid = ~np.isnan(values)
    low, high = np.percentile(values[valid].astype(np.float64), [lower, upper])
    candidate = np.where(valid, values, -1) >= low
    labels, count = ndimage.label(candidate, structure=np.ones((3, 3)))
    mask = np.where(valid, 0, 255).astype(np.uint8)
    for label in range(1, count + 1):
        patch = labels == label
        if patch.sum() >= sieve and values[patch].max() >= high:
            mask[patch] = 1
    return mask


def smooth_noise(seed, shape=(120, 150)):
    rng = np.random.default_rng(seed)
    values = np.abs(ndimage.gaussian_filter(rng.normal(size=shape), 1.2)).astype(np.float32)
    values[rng.random(shape) < 0.05] = np.nan
    return values


def test_thresholds_are_linear_percentiles_of_the_valid_pixels():
    values = np.array([[0, 1, 2, np.nan], [3, 4, np.nan, 5]], dtype=np.float64)
    assert thresholds(values, 50, 90) == (2.5, 4.5)
    assert thresholds(values, 0, 100) == (0, 5)
    assert thresholds(values, 97.5, 99) == pytest.approx((4.875, 4.95))


def test_thresholds_that_fall_on_a_pixel_equal_it():
    values = (np.arange(4001, dtype=np.float32) * np.float32(0.1)).reshape(1, -1)
    low, _ = thresholds(values, 97.5, 99)
    assert low == values[0, 3900]


def test_threshold_mask_codes():
    values = np.array([[0.0, 0.1, 0.2, 0.3, 0.4, np.nan]], dtype=np.float32)
    low, high = float(values[0, 2]), float(values[0, 4])
    assert threshold_mask(values, low, high).tolist() == [[0, 0, 1, 1, 2, 255]]
    assert threshold_mask(values, 0.0, 0.0).tolist() == [[0, 2, 2, 2, 2, 255]], "equal curves are no change"


def test_sieve_by_hand():
    raw = np.array(
        [
            [2, 0, 0, 1, 1, 0, 2, 1],
            [0, 1, 0, 1, 1, 0, 0, 0],
            [0, 0, 1, 0, 0, 0, 0, 255],
            [0, 0, 0, 0, 0, 0, 255, 2],
        ],
        dtype=np.uint8,
    )
    # Diagonals connect: the first two patches are one of 7 pixels. 2 pixels are too few for a sieve of 3, and no data
    # neither connects nor counts.
    expected = np.array(
        [
            [1, 0, 0, 1, 1, 0, 0, 0],
            [0, 1, 0, 1, 1, 0, 0, 0],
            [0, 0, 1, 0, 0, 0, 0, 255],
            [0, 0, 0, 0, 0, 0, 255, 0],
        ],
        dtype=np.uint8,
    )
    before = raw.copy()
    assert np.array_equal(sieve_mask(raw, 3), expected)
    assert np.array_equal(raw, before)


@pytest.mark.parametrize(("sieve", "kept"), [(7, True), (8, True), (9, False)])
def test_a_patch_of_exactly_the_sieve_is_kept(sieve, kept):
    raw = np.ones((2, 4), dtype=np.uint8)
    raw[1, 3] = 2
    assert sieve_mask(raw, sieve).tolist() == [[int(kept)] * 4] * 2


def test_a_large_patch_without_a_strong_pixel_is_dropped():
    assert not sieve_mask(np.ones((5, 5), dtype=np.uint8), 8).any()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("lower", "upper", "sieve"), [(97.5, 99.0, 8), (80, 95, 8), (60, 99.9, 30), (90, 90, 1)])
def test_equals_scipy_labels(seed, lower, upper, sieve):
    values = smooth_noise(seed)
    expected = reference(values, lower, upper, sieve)
    assert 0 < np.count_nonzero(expected == 1) < np.count_nonzero(values >= np.nanpercentile(values, lower)) + 1
    assert np.array_equal(change_mask(values, lower, upper, sieve), expected)


@pytest.mark.parametrize("rows", [1, 2, 7, 64])
def test_strips_leave_no_trace(monkeypatch, rows):
    """Patches that wind through many strips, and meet in a later one, are what they are on the whole array."""
    values = smooth_noise(5)
    values[:, ::40] = 0
    raw = threshold_mask(values, *thresholds(values, 60, 99.5))
    whole = sieve_mask(raw, 30)
    assert np.array_equal(whole, reference(values, 60, 99.5, 30))
    monkeypatch.setattr(change_mask_module, "STRIP", rows)
    assert np.array_equal(sieve_mask(raw, 30), whole)


@given(
    arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.sampled_from([0, 0, 1, 2, 255])),
    st.integers(1, 4),
)
def test_strips_are_those_of_scipy_labels(raw, rows):
    labels, count = ndimage.label((raw == 1) | (raw == 2), structure=np.ones((3, 3)))
    expected = np.where(raw == 255, 255, 0).astype(np.uint8)
    for label in range(1, count + 1):
        patch = labels == label
        expected[patch] = patch.sum() >= 4 and (raw[patch] == 2).any()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(change_mask_module, "STRIP", rows)
        assert np.array_equal(sieve_mask(raw, 4), expected)


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.sampled_from([0, 0, 1, 2, 255])))
def test_sieving_is_idempotent_and_symmetric(raw):
    mask = sieve_mask(raw, 4)
    assert set(np.unique(mask)) <= {0, 1, 255}
    assert np.array_equal(mask == 255, raw == 255)
    assert np.all(np.isin(raw[mask == 1], (1, 2)))
    assert np.array_equal(sieve_mask(np.where(mask == 1, raw, np.where(raw == 255, 255, 0)).astype(np.uint8), 4), mask)
    assert np.array_equal(sieve_mask(np.ascontiguousarray(raw.T), 4), mask.T)
    assert np.array_equal(sieve_mask(raw[::-1, ::-1], 4), mask[::-1, ::-1])


@pytest.mark.parametrize("shape", [(4, 5), (0, 3)])
def test_nothing_valid_is_outside(shape):
    mask = change_mask(np.full(shape, np.nan, dtype=np.float32))
    assert mask.shape == shape
    assert mask.dtype == np.uint8
    assert np.all(mask == 255)


def test_equal_years_have_no_change():
    assert not change_mask(np.zeros((20, 20), dtype=np.float32)).any()


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="float32"):
        change_mask(np.zeros((3, 3), dtype=np.int16))
    with pytest.raises(ValueError, match="lower <= upper"):
        change_mask(np.zeros((3, 3), dtype=np.float32), 99, 97)
    with pytest.raises(ValueError, match="uint8"):
        sieve_mask(np.zeros((3, 3), dtype=np.int16))


def test_parameters():
    parameters = ChangeMaskParameters()
    assert parameters.model_dump() == {"lower": 97.5, "upper": 99.0, "sieve": 8}
    for wrong in ({"lower": 99.5}, {"upper": 101}, {"sieve": 0}, {"seive": 8}):
        with pytest.raises(ValidationError):
            ChangeMaskParameters(**wrong)
    with pytest.raises(ValidationError):
        parameters.sieve = 3


def test_real_rmsd_equals_scipy_labels(flanders):
    index, weights = ndvi(flanders.nir, flanders.red), scl_weights(flanders.scl)
    fits = []
    for first in (8, 12):
        year = (flanders.month >= first) & (flanders.month < first + 12)
        fits.append(fit_harmonics(index[year], weights[year], flanders.time[year]))
    distance = rmsd(*fits)
    distance[:5] = np.nan
    mask = change_mask(distance, 90, 97, 8)
    assert np.array_equal(mask, reference(distance, 90, 97, 8))
    assert (mask == 1).any()
