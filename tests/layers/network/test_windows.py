"""Prediction windows: the lattice is global, the blend has no seams, blocks equal the whole."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imperv.layers.network.rows import predict_area
from imperv.layers.network.windows import blend_weights, halo, starts

PATCH, OVERLAP = 16, 6
ORIGIN = (-137, 4_211)


def neighbourhood(windows):
    """Two members that see the whole window: values depend on the position in it and on its mean."""
    x = np.moveaxis(np.nan_to_num(windows), -1, 1)
    position = np.arange(PATCH * PATCH, dtype="f4").reshape(PATCH, PATCH) / PATCH**2
    first = x[:, 0] * (1 + x.mean(axis=(1, 2, 3))[:, None, None]) + position
    return np.stack([first, x[:, -1] - x.std(axis=(1, 2, 3))[:, None, None] * position], axis=-1).astype("f4")


def scene(rows=75, cols=61, holes=True):
    features = np.random.default_rng(5).random((3, rows, cols)).astype("f4")
    if holes:
        features[:, 20:45, 30:50] = np.nan
        features[1, 3, 7] = np.nan
    return features


@given(st.integers(2, 40).flatmap(lambda patch: st.tuples(st.just(patch), st.integers(0, patch // 2))))
def test_weights_are_positive_and_add_up_to_one(sizes):
    patch, overlap = sizes
    weights = blend_weights(patch, overlap)
    assert weights.min() > 0
    total = np.zeros((3 * patch, 3 * patch))
    for row, col in product(starts(0, 3 * patch, patch, overlap).tolist(), repeat=2):
        ya, yb, xa, xb = max(row, 0), min(row + patch, 3 * patch), max(col, 0), min(col + patch, 3 * patch)
        total[ya:yb, xa:xb] += weights[ya - row : yb - row, xa - col : xb - col]
    np.testing.assert_allclose(total, 1, rtol=1e-12)


@given(st.integers(-10_000, 10_000), st.integers(1, 60))
def test_windows_are_those_of_the_lattice_that_touch(first, count):
    lattice = np.arange(-2_000, 2_000) * (PATCH - OVERLAP)
    touching = lattice[(lattice + PATCH > first) & (lattice < first + count)]
    np.testing.assert_array_equal(starts(first, count, PATCH, OVERLAP), touching)


def test_halo_makes_every_touching_window_complete():
    reach = max(0 - int(starts(first, 1, PATCH, OVERLAP)[0] - first) for first in range(PATCH))
    assert reach <= halo(PATCH, OVERLAP)
    ends = max(int(starts(first, 1, PATCH, OVERLAP)[-1] - first) + PATCH - 1 for first in range(PATCH))
    assert ends <= halo(PATCH, OVERLAP)


@pytest.mark.parametrize("block", [7, 16, 23])
def test_blocks_with_halo_equal_the_whole(block):
    features = scene()
    whole = predict_area(features, neighbourhood, ORIGIN, PATCH, OVERLAP)
    pieces = np.full_like(whole, -1)
    h = halo(PATCH, OVERLAP)
    _, rows, cols = features.shape
    for y in range(0, rows, block):
        for x in range(0, cols, block):
            ya, xa, yb, xb = max(y - h, 0), max(x - h, 0), min(y + block + h, rows), min(x + block + h, cols)
            y1, x1 = min(y + block, rows), min(x + block, cols)
            inner = np.s_[y - ya : y1 - ya, x - xa : x1 - xa]
            origin = (ORIGIN[0] + ya, ORIGIN[1] + xa)
            part = predict_area(features[:, ya:yb, xa:xb], neighbourhood, origin, PATCH, OVERLAP, inner)
            pieces[:, y:y1, x:x1] = part
    np.testing.assert_allclose(pieces, whole, atol=1e-6)


def test_with_less_than_the_halo_blocks_differ():
    """The predictor of this test really looks around: without context the equality above would not hold."""
    features = scene(holes=False)
    whole = predict_area(features, neighbourhood, ORIGIN, PATCH, OVERLAP)
    alone = predict_area(features[:, :30], neighbourhood, ORIGIN, PATCH, OVERLAP)
    assert np.abs(alone - whole[:, :30]).max() > 0.01


def test_value_follows_the_global_position_not_the_array():
    """The same ground read into a larger array gives the same value where the context is the same."""
    features = scene()
    whole = predict_area(features, neighbourhood, ORIGIN, PATCH, OVERLAP)
    padded = np.pad(features, ((0, 0), (11, 3), (5, 9)), constant_values=np.nan)
    again = predict_area(padded, neighbourhood, (ORIGIN[0] - 11, ORIGIN[1] - 5), PATCH, OVERLAP)
    np.testing.assert_allclose(again[:, 11:-3, 5:-9], whole, atol=1e-6)
    moved = predict_area(features, neighbourhood, (ORIGIN[0] + 3, ORIGIN[1]), PATCH, OVERLAP)
    assert np.nanmax(np.abs(moved - whole)) > 0.01


def test_no_seam_where_windows_disagree():
    """Windows that answer 0 and 1 by turns: the blend passes from one to the other in steps, never with a jump."""
    calls = iter(range(1000))

    def alternating(windows):
        return np.stack([np.full((64, 64, 1), next(calls) % 2, "f4") for _ in windows])

    features = np.zeros((1, 64, 240), "f4")
    out = predict_area(features, alternating, (0, 0), 64, 24, np.s_[30:31, :])[0, 0]
    assert out.min() == 0
    assert out.max() == 1
    # A raised cosine over 24 pixels climbs at most pi / 2 / 24 a pixel.
    assert np.abs(np.diff(out)).max() <= np.pi / 2 / 24 + 1e-6


def test_no_data_is_exactly_where_a_feature_is_missing():
    features = scene()
    out = predict_area(features, neighbourhood, ORIGIN, PATCH, OVERLAP)
    missing = np.isnan(features).any(axis=0)
    assert missing.any()
    for member in out:
        np.testing.assert_array_equal(np.isnan(member), missing)


def test_windows_without_data_are_not_predicted_and_batches_are_limited():
    sizes = []

    def counting(windows):
        sizes.append(len(windows))
        assert np.isfinite(windows).any(axis=(1, 2, 3)).all()
        return np.zeros((len(windows), 8, 8, 1), "f4")

    features = np.full((2, 64, 64), np.nan, "f4")
    features[:, :16, :16] = 0
    predict_area(features, counting, (0, 0), 8, 0, at_once=1)
    assert sizes == [1] * 4


def test_an_area_without_data():
    out = predict_area(np.full((3, 20, 20), np.nan, "f4"), neighbourhood, ORIGIN, PATCH, OVERLAP)
    assert out.shape == (2, 20, 20)
    assert np.isnan(out).all()


@pytest.mark.parametrize("overlap", [-1, 9])
def test_overlap_must_fit(overlap):
    with pytest.raises(ValueError, match="overlap"):
        blend_weights(PATCH, overlap)
