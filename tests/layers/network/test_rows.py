"""Rows of windows give what the whole area at once gives, however it is cut, and see every window once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imperv.layers.network.ensemble import ensemble
from imperv.layers.network.rows import predict_area, predict_channels, predict_rows
from imperv.layers.network.windows import Windows, reach

DEPTH, MOST = 1, 16
AROUND = reach(DEPTH)
ORIGIN = (-137, 4_211)


def neighbourhood(scale):
    """Two members, between 0 and 1, that see all of the context: values hang on the mean around a pixel, and on its column."""

    def predict(windows):
        x = np.nan_to_num(windows) * scale
        sums = np.cumsum(np.cumsum(np.pad(x.mean(axis=3), ((0, 0), (1, 0), (1, 0))), axis=1, dtype="f8"), axis=2)
        n = 2 * AROUND + 1
        mean = (sums[:, n:, n:] - sums[:, :-n, n:] - sums[:, n:, :-n] + sums[:, :-n, :-n]) / n**2
        inner = x[:, AROUND:-AROUND, AROUND:-AROUND]
        # Where a pooled pixel begins, another value: windows that begin elsewhere would show.
        first = inner[..., 0] * mean + 0.2 * (np.arange(inner.shape[2]) % 2**DEPTH)
        return np.stack([first, 0.9 * inner[..., -1] - 0.2 * first], axis=-1).clip(0, 1).astype("f4")

    return predict


MODELS = [neighbourhood(scale) for scale in (1, 0.7, 0.2)]
MARGIN = AROUND + MOST
"""Pixels around a scene: windows may stand out of an area."""


def scene(rows, cols, seed=5):
    """Features with as much context as windows see, some of it missing."""
    h = MARGIN
    features = np.random.default_rng(seed).random((3, rows + 2 * h, cols + 2 * h)).astype("f4")
    features[:, h + 3 : h + rows // 2, h + 5 : h + cols // 3] = np.nan
    features[1, h + 1, h + 2] = np.nan
    features[:, :h, : h + 4] = np.nan
    return features


def reader(features, windows, asked=None):
    """Rows as `FeatureRows` gives them, from an array with context."""
    first, end = windows.columns

    def read(y0, y1):
        if asked is not None:
            asked.append((y0, y1))
        rows = features[:, MARGIN + y0 : MARGIN + y1, MARGIN + first : MARGIN + end]
        return np.ascontiguousarray(np.moveaxis(rows, 0, -1))

    return read


def by_rows(features, windows, models=MODELS, at_once=3):
    mean, deviation, next_row = np.zeros(windows.shape, "u1"), np.zeros(windows.shape, "f4"), 0
    for y, part, spread in predict_rows(reader(features, windows), models, windows, at_once):
        assert y == next_row
        mean[y : y + len(part)], deviation[y : y + len(part)] = part, spread
        next_row = y + len(part)
    assert next_row == windows.shape[0]
    return mean, deviation


def whole(features, origin, models=MODELS):
    """The other implementation: every member of the whole area in one window, NaN where a feature is missing."""
    h = MARGIN
    _, rows, cols = features.shape
    even = tuple(first % 2**DEPTH for first in origin)
    x = features[:, h - AROUND - even[0] : rows - h + AROUND, h - AROUND - even[1] : cols - h + AROUND]
    found = np.concatenate([model(np.moveaxis(x, 0, -1)[None])[0] for model in models], axis=-1)[even[0] :, even[1] :]
    valid = np.isfinite(features[:, h : rows - h, h : cols - h]).all(axis=0)
    return np.where(valid, np.moveaxis(found, -1, 0), np.float32(np.nan))


@given(st.integers(1, 70), st.integers(1, 50), st.integers(-40, 40), st.integers(-40, 40))
@settings(max_examples=25)
def test_equals_the_whole_area_at_once(rows, cols, y, x):
    features, windows = scene(rows, cols), Windows((rows, cols), (y, x), DEPTH, MOST)
    mean, deviation = by_rows(features, windows)
    expected, spread = ensemble(whole(features, (y, x)))
    np.testing.assert_allclose(deviation, spread, atol=2e-6)
    # A mean within 1e-6 of half a percent may fall to either side.
    assert (np.abs(mean.astype(int) - expected) <= 1).all() and (mean != expected).mean() < 0.01
    assert (mean != 255).any() == np.isfinite(spread).any()


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_channels_and_areas_are_the_members(at_once):
    features, windows = scene(45, 33), Windows((45, 33), ORIGIN, DEPTH, MOST)
    expected = whole(features, ORIGIN)
    for y, found, valid in predict_channels(reader(features, windows), MODELS, windows, at_once):
        rows = slice(y, y + len(valid))
        np.testing.assert_array_equal(valid, np.isfinite(expected[0, rows]))
        np.testing.assert_allclose(np.where(valid, found, np.nan), expected[:, rows], atol=1e-6)
    inner = np.s_[MARGIN : MARGIN + 45, MARGIN : MARGIN + 33]
    np.testing.assert_allclose(predict_area(features, MODELS[0], windows, inner, at_once), expected[:2], atol=1e-6)


def test_beyond_an_area_there_is_no_data():
    features = np.random.default_rng(2).random((3, 30, 26)).astype("f4")
    windows = Windows((30, 26), ORIGIN, DEPTH, MOST)
    padded = np.pad(features, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)), constant_values=np.nan)
    np.testing.assert_allclose(predict_area(features, MODELS[0], windows), whole(padded, ORIGIN, MODELS[:1]), atol=1e-6)
    nothing = predict_area(np.full_like(features, np.nan), MODELS[0], windows)
    assert nothing.shape == (2, 30, 26) and np.isnan(nothing).all()
    with pytest.raises(ValueError, match=r"do not cover \(10, 26\)"):
        predict_area(features, MODELS[0], windows, np.s_[:10, :])


@pytest.mark.parametrize("width", [7, 20, 33])
@pytest.mark.parametrize("most", [8, 16])
def test_strips_and_windows_leave_no_trace(width, most):
    features = scene(60, 47)
    mean, deviation = by_rows(features, Windows((60, 47), ORIGIN, DEPTH, MOST))
    for x in range(0, 47, width):
        end = min(x + width, 47)
        strip = Windows((60, end - x), (ORIGIN[0], ORIGIN[1] + x), DEPTH, most)
        found = by_rows(features[:, :, x : end + 2 * MARGIN], strip)
        np.testing.assert_array_equal(found[0], mean[:, x:end])
        np.testing.assert_allclose(found[1], deviation[:, x:end], atol=1e-6)


def test_every_window_is_predicted_once_and_rows_never_go_back():
    seen, asked = [], []

    def counting(windows):
        seen.extend(windows[:, 0, 0, 0].tolist())
        n, rows, cols, _ = windows.shape
        return np.zeros((n, rows - 2 * AROUND, cols - 2 * AROUND, 1), "f4")

    windows = Windows((64, 48), (0, 0), DEPTH, MOST)
    features = np.arange((64 + 2 * MARGIN) * (48 + 2 * MARGIN), dtype="f4").reshape(1, 64 + 2 * MARGIN, 48 + 2 * MARGIN)
    for _ in predict_rows(reader(features, windows, asked), [counting], windows, 4):
        pass
    assert len(seen) == len(set(seen)) == len(windows.tops) * len(windows.lefts) == 4 * 4
    assert asked == [(top - AROUND, top + 16 + AROUND) for top in windows.tops] and asked == sorted(asked)


def test_windows_without_data_are_not_predicted_and_batches_are_limited():
    sizes = []

    def counting(windows):
        sizes.append(len(windows))
        assert np.isfinite(windows).any(axis=(1, 2, 3)).all()
        n, rows, cols, _ = windows.shape
        return np.ones((n, rows - 2 * AROUND, cols - 2 * AROUND, 1), "f4")

    windows = Windows((64, 64), (0, 0), DEPTH, 8)
    features = np.full((2, 64 + 2 * MARGIN, 64 + 2 * MARGIN), np.nan, "f4")
    features[:, MARGIN : MARGIN + 16, MARGIN : MARGIN + 24] = 0
    mean, deviation = by_rows(features, windows, [counting], at_once=2)
    assert sizes == [2, 1, 2, 1]
    assert (mean[:16, :24] == 100).all() and (mean[16:] == 255).all() and (mean[:, 24:] == 255).all()
    assert np.array_equal(np.isfinite(deviation), mean != 255)


def test_no_model():
    with pytest.raises(ValueError, match="no model"):
        next(predict_rows(lambda y0, y1: np.zeros((8, 8, 1), "f4"), [], Windows((8, 8), (0, 0), DEPTH, 8)))
