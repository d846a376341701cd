from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from imperv.layers.aggregation import aggregate_fraction, aggregate_mean, aggregate_mean_change
from imperv.layers.change import (
    ChangeParameters,
    classify_change,
    continuous_change,
    encode_change,
    mean_difference,
    split_change,
)

STATUS = arrays(np.uint8, (6, 8), elements=st.one_of(st.integers(0, 100), st.sampled_from([0, 0, 254, 255])))
MASK = arrays(np.uint8, (6, 8), elements=st.sampled_from([0, 0, 1, 255]))


def change_of(then, now, mask):
    """Codes of one 20 m pixel from four 10 m pixels each."""
    arrays_10m = (np.array(a, dtype=np.uint8).reshape(2, 2) for a in (then, now, mask))
    change, support = continuous_change(*arrays_10m)
    return int(change[0, 0]), int(support[0, 0])


@pytest.mark.parametrize(
    ("then", "now", "mask", "expected"),
    [
        # A gain inside and outside of the mask; one pixel of the mask opens the whole 20 m pixel.
        ((0, 0, 0, 0), (40, 40, 40, 40), (0, 0, 0, 1), (140, 100)),
        ((0, 0, 0, 0), (40, 40, 40, 40), (0, 0, 0, 0), (100, 140)),
        ((0, 0, 0, 0), (40, 40, 40, 40), (255, 255, 255, 255), (100, 140)),
        ((0, 0, 0, 0), (40, 40, 40, 40), (255, 255, 255, 1), (140, 100)),
        # Losses count from 10 percent.
        ((50, 50, 50, 50), (41, 41, 41, 41), (1, 1, 1, 1), (100, 91)),
        ((50, 50, 50, 50), (40, 40, 40, 40), (1, 1, 1, 1), (90, 100)),
        ((50, 50, 50, 50), (40, 40, 40, 41), (1, 1, 1, 1), (90, 100)),  # -9.75
        ((50, 50, 50, 50), (40, 41, 40, 41), (1, 1, 1, 1), (90, 100)),  # -9.5, away from zero
        ((50, 50, 50, 50), (41, 41, 40, 41), (1, 1, 1, 1), (100, 91)),  # -9.25
        ((100, 100, 100, 100), (0, 0, 0, 0), (1, 0, 0, 0), (0, 100)),
        ((0, 0, 0, 0), (100, 100, 100, 100), (1, 0, 0, 0), (200, 100)),
        # Gains count from 1 percent after rounding.
        ((50, 50, 50, 50), (51, 51, 50, 50), (1, 1, 1, 1), (101, 100)),
        ((50, 50, 50, 50), (51, 50, 50, 50), (1, 1, 1, 1), (100, 100)),
        # 0 in both years; also where both means round to 0.
        ((0, 0, 0, 0), (0, 0, 0, 0), (1, 1, 1, 1), (201, 201)),
        ((0, 0, 0, 1), (1, 0, 0, 0), (1, 1, 1, 1), (201, 201)),
        # Only pixels valid in both years count.
        ((255, 0, 0, 255), (90, 255, 30, 30), (1, 1, 1, 1), (130, 100)),
        ((255, 0, 254, 255), (90, 255, 0, 0), (1, 1, 1, 1), (255, 255)),
    ],
)
def test_continuous_change_by_hand(then, now, mask, expected):
    assert change_of(then, now, mask) == expected


@given(STATUS, STATUS, MASK)
def test_real_and_technical_change_add_up_to_the_total(then, now, mask):
    change, support = continuous_change(then, now, mask)
    d, s0, s1, valid = mean_difference(then, now, 2)
    assert change.shape == support.shape == (3, 4)
    assert change.dtype == support.dtype == np.uint8
    assert np.array_equal(change == 255, ~valid)
    assert np.array_equal(support == 255, ~valid)
    never = valid & (s0 == 0) & (s1 == 0)
    assert np.array_equal(change == 201, never)
    assert np.array_equal(support == 201, never)
    assert np.all(d[never] == 0)
    rest = valid & ~never
    real, technical = change[rest].astype(int) - 100, support[rest].astype(int) - 100
    assert np.array_equal(real + technical, d[rest])
    assert np.all((real == 0) | (technical == 0))
    in_mask = aggregate_fraction(mask, 2) > 0
    assert np.all(real[~in_mask[rest]] == 0)
    assert np.all((real >= 0) | (real <= -10))


@given(STATUS, STATUS, st.sampled_from([1, 2]))
def test_mean_difference_equals_exact_fractions(then, now, factor):
    d, s0, s1, valid = mean_difference(then, now, factor)
    assert (d.dtype, s0.dtype, s1.dtype, valid.dtype) == (np.int16, np.uint8, np.uint8, np.bool_)
    for y, x in np.ndindex(d.shape):
        window = np.s_[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
        pairs = [(int(a), int(b)) for a, b in zip(then[window].flat, now[window].flat, strict=True) if a <= 100 and b <= 100]
        assert valid[y, x] == bool(pairs)
        if not pairs:
            assert (d[y, x], s0[y, x], s1[y, x]) == (0, 255, 255)
            continue
        first, second = (Fraction(sum(side), len(pairs)) for side in zip(*pairs, strict=True))
        half = Fraction(1, 2)
        gain = second - first
        assert d[y, x] == (1 if gain > 0 else -1) * int(abs(gain) + half)
        assert (s0[y, x], s1[y, x]) == (int(first + half), int(second + half))


def test_status_means_equal_the_aggregation_where_all_is_valid():
    rng = np.random.default_rng(1)
    then, now = rng.integers(0, 101, (2, 20, 30)).astype(np.uint8)
    _, s0, s1, _ = mean_difference(then, now, 10)
    assert np.array_equal(s0, aggregate_mean(then, 10))
    assert np.array_equal(s1, aggregate_mean(now, 10))


def test_split_by_hand():
    d = np.array([-100, -10, -9, -1, 0, 1, 100, 50], dtype=np.int16)
    changed = np.array([True] * 7 + [False])
    assert split_change(d, changed, ChangeParameters()).tolist() == [-100, -10, 0, 0, 0, 1, 100, 0]
    strict = ChangeParameters(loss_sensitivity=0.5, minimum=5)
    assert split_change(d, changed, strict).tolist() == [-100, -10, 0, 0, 0, 0, 100, 0]
    assert split_change(d, changed, ChangeParameters()).dtype == np.int16


@pytest.mark.parametrize(
    ("sensitivity", "minimum", "loss"), [(0.1, 1, 10), (1, 1, 1), (0.29, 29, 100), (0.3, 1, 4), (0.35, 21, 60)]
)
def test_smallest_loss_is_exact_in_decimals(sensitivity, minimum, loss):
    assert ChangeParameters(loss_sensitivity=sensitivity, minimum=minimum).smallest_loss == loss


def test_parameters_reach_the_split():
    then, now = np.full((2, 2), 50, np.uint8), np.full((2, 2), 45, np.uint8)
    mask = np.ones((2, 2), np.uint8)
    change, support = continuous_change(then, now, mask, 2, ChangeParameters(loss_sensitivity=0.2))
    assert (change.tolist(), support.tolist()) == ([[95]], [[100]])


@pytest.mark.parametrize("wrong", [{"loss_sensitivity": 0}, {"loss_sensitivity": 2}, {"minimum": 0}, {"minimun": 1}])
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        ChangeParameters(**wrong)


def test_encode_by_hand():
    delta = np.array([-100, 0, 0, 7, 100], dtype=np.int16)
    s0 = np.array([100, 0, 3, 255, 0], dtype=np.uint8)
    s1 = np.array([0, 0, 3, 255, 100], dtype=np.uint8)
    valid = np.array([True, True, True, False, True])
    assert encode_change(delta, s0, s1, valid).tolist() == [0, 201, 100, 255, 200]


@pytest.mark.parametrize(
    ("s0", "change", "expected"),
    [
        (0, 201, 0),
        (0, 100, 0),
        (0, 101, 1),
        (0, 90, 0),  # below 0 counts as 0
        (40, 60, 2),
        (40, 59, 2),  # below 0 counts as 0
        (40, 61, 12),
        (40, 100, 10),
        (40, 201, 10),
        (40, 101, 11),
        (100, 0, 2),
        (100, 100, 10),
        (255, 100, 255),
        (254, 100, 255),
        (40, 255, 255),
        (0, 255, 255),
    ],
)
def test_classes_of_table_5(s0, change, expected):
    assert classify_change(np.array([s0], np.uint8), np.array([change], np.uint8)).tolist() == [expected]


@given(STATUS, STATUS, MASK)
def test_classes_follow_the_signs(then, now, mask):
    change, support = continuous_change(then, now, mask)
    _, s0, _, valid = mean_difference(then, now, 2)
    for codes in (change, support):
        classes = classify_change(s0, codes)
        assert np.array_equal(classes == 255, ~valid)
        delta = np.where(codes == 201, 0, codes.astype(int) - 100)
        s1 = np.maximum(s0 + delta, 0)
        assert np.array_equal(np.isin(classes, (1, 11)), valid & (s1 > s0))
        assert np.array_equal(np.isin(classes, (2, 12)), valid & (s1 < s0))
        assert np.array_equal(np.isin(classes, (10, 11, 12)), valid & (s0 > 0) & (s1 > 0))


def test_classes_of_100_m_layers():
    # All four 20 m pixels without sealing but one that gained 4 percent: 1 percent of the 100 m pixel is new.
    change = np.full((2, 2), 201, np.uint8)
    change[0, 0] = 104
    s0 = np.zeros((1, 1), np.uint8)
    assert classify_change(s0, aggregate_mean_change(change, 2)).tolist() == [[1]]


def test_wrong_input_is_refused():
    a = np.zeros((4, 4), np.uint8)
    with pytest.raises(ValueError, match="blocks of 3 x 3"):
        continuous_change(a, a, a, 3)
    with pytest.raises(ValueError, match="shape"):
        continuous_change(a, a, a[:2])
    with pytest.raises(ValueError, match="uint8"):
        mean_difference(a, a.astype(float), 2)
    with pytest.raises(ValueError, match="bool"):
        split_change(np.zeros(2, np.int16), np.array([255, 0], np.uint8), ChangeParameters())
    with pytest.raises(ValueError, match="uint8"):
        classify_change(a, a.astype(np.int16))


def test_real_status_layers(shared_data):
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(shared_data / "flanders" / "reference" / "imd_then.tif") as source:
        then = source.read(1)[:72, :74]
    now = np.where(then == 255, 255, np.minimum(then + (then > 20), 100)).astype(np.uint8)
    mask = np.zeros_like(then)
    mask[:36] = 1
    change, support = continuous_change(then, now, mask)
    outside = np.all(then.reshape(36, 2, 37, 2) == 255, axis=(1, 3))
    assert np.array_equal(change == 255, outside)
    assert set(np.unique(change)) == {100, 101, 201, 255}
    assert np.all(np.isin(support[:18], (100, 201, 255))), "inside the mask the gain is real"
    assert np.all(np.isin(change[18:], (100, 201, 255))), "outside of it, technical"
