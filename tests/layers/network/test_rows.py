"""Rows of windows give what the whole area at once gives, however it is cut, and see every window once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imperv.layers.network.ensemble import ensemble
from imperv.layers.network.rows import Lattice, predict_rows
from imperv.layers.network.windows import halo
from tests.support.blending import predict_blended

PATCH, OVERLAP = 16, 6
ORIGIN = (-137, 4_211)


def neighbourhood(scale):
    """Two members, between 0 and 1, that see the whole window: values depend on the position in it and on its content."""

    def predict(windows):
        x = np.nan_to_num(windows) * scale
        position = np.arange(windows.shape[1] ** 2, dtype="f4").reshape(1, *windows.shape[1:3]) / windows.shape[1] ** 2
        first = 0.5 * x[..., 0] * x.mean(axis=(1, 2, 3))[:, None, None] + 0.5 * position
        return np.stack([first, 0.9 * x[..., -1] - 0.2 * first], axis=-1).clip(0, 1).astype("f4")

    return predict


MODELS = [neighbourhood(scale) for scale in (1, 0.7, 0.2)]


def scene(rows, cols, seed=5):
    """Features with as much context as windows reach, some of it missing."""
    h = halo(PATCH, OVERLAP)
    features = np.random.default_rng(seed).random((3, rows + 2 * h, cols + 2 * h)).astype("f4")
    features[:, h + 3 : h + rows // 2, h + 5 : h + cols // 3] = np.nan
    features[1, h + 1, h + 2] = np.nan
    features[:, :h, : h + 4] = np.nan
    return features


def reader(features, lattice, asked=None):
    """Rows as `FeatureRows` gives them, from an array with context."""
    h = halo(lattice.patch, lattice.overlap)
    first, end = lattice.columns

    def read(y0, y1):
        if asked is not None:
            asked.append((y0, y1))
        rows = features[:, h + y0 : h + y1, h + first : h + end]
        return np.ascontiguousarray(np.moveaxis(rows, 0, -1))

    return read


def by_rows(features, lattice, models=MODELS, at_once=3):
    mean, deviation, next_row = np.zeros(lattice.shape, "u1"), np.zeros(lattice.shape, "f4"), 0
    for y, part, spread in predict_rows(reader(features, lattice), models, lattice, at_once):
        assert y == next_row
        mean[y : y + len(part)], deviation[y : y + len(part)] = part, spread
        next_row = y + len(part)
    assert next_row == lattice.shape[0]
    return mean, deviation


def at_once(features, origin, patch, overlap, models=MODELS):
    """The other implementation: every member of the whole area, then mean and spread."""
    h = halo(patch, overlap)
    _, rows, cols = features.shape
    members = [
        predict_blended(
            features, lambda w, m=model: np.moveaxis(m(np.moveaxis(w, 1, -1)), -1, 1), (origin[0] - h, origin[1] - h), patch,
            overlap, np.s_[h : rows - h, h : cols - h],
        )
        for model in models
    ]  # fmt: skip
    return ensemble(np.concatenate(members))


@given(st.integers(1, 70), st.integers(1, 50), st.integers(-40, 40), st.integers(-40, 40))
@settings(max_examples=25)
def test_equals_the_whole_area_at_once(rows, cols, y, x):
    features, lattice = scene(rows, cols), Lattice((rows, cols), (y, x), PATCH, OVERLAP)
    mean, deviation = by_rows(features, lattice)
    expected, spread = at_once(features, (y, x), PATCH, OVERLAP)
    np.testing.assert_allclose(deviation, spread, atol=2e-6)
    # A mean within 1e-6 of half a percent may fall to either side.
    assert (np.abs(mean.astype(int) - expected) <= 1).all() and (mean != expected).mean() < 0.01
    assert (mean != 255).any() == np.isfinite(spread).any()


@pytest.mark.parametrize("overlap", [0, 8])
def test_without_overlap_and_with_half(overlap):
    h = halo(PATCH, overlap)
    features = np.random.default_rng(1).random((3, 45 + 2 * h, 33 + 2 * h)).astype("f4")
    mean, deviation = by_rows(features, Lattice((45, 33), ORIGIN, PATCH, overlap))
    expected, spread = at_once(features, ORIGIN, PATCH, overlap)
    np.testing.assert_allclose(deviation, spread, atol=2e-6)
    assert (mean == expected).mean() > 0.99


@pytest.mark.parametrize("width", [7, 20, 33])
def test_strips_equal_the_whole(width):
    """Where the area is cut leaves no trace."""
    features = scene(60, 47)
    whole = by_rows(features, Lattice((60, 47), ORIGIN, PATCH, OVERLAP))
    h = halo(PATCH, OVERLAP)
    for x in range(0, 47, width):
        end = min(x + width, 47)
        lattice = Lattice((60, end - x), (ORIGIN[0], ORIGIN[1] + x), PATCH, OVERLAP)
        mean, deviation = by_rows(features[:, :, x : end + 2 * h], lattice)
        np.testing.assert_array_equal(mean, whole[0][:, x:end])
        np.testing.assert_allclose(deviation, whole[1][:, x:end], atol=1e-6)


def test_every_window_is_predicted_once_and_rows_never_go_back():
    seen, asked = [], []

    def counting(windows):
        seen.extend(windows[:, 0, 0, 0].tolist())
        return np.zeros((*windows.shape[:3], 1), "f4")

    lattice = Lattice((64, 48), (0, 0), PATCH, OVERLAP)
    h = halo(PATCH, OVERLAP)
    features = np.arange((64 + 2 * h) * (48 + 2 * h), dtype="f4").reshape(1, 64 + 2 * h, 48 + 2 * h)
    for _ in predict_rows(reader(features, lattice, asked), [counting], lattice, 4):
        pass
    assert len(seen) == len(set(seen)) == len(lattice.tops) * len(lattice.lefts)
    assert asked == [(top, top + PATCH) for top in lattice.tops] and asked == sorted(asked)


def test_windows_without_data_are_not_predicted_and_batches_are_limited():
    sizes = []

    def counting(windows):
        sizes.append(len(windows))
        assert np.isfinite(windows).any(axis=(1, 2, 3)).all()
        return np.ones((*windows.shape[:3], 1), "f4")

    lattice = Lattice((64, 64), (0, 0), 8, 0)
    features = np.full((2, 64 + 14, 64 + 14), np.nan, "f4")
    features[:, 7:23, 7:31] = 0
    mean, deviation = by_rows(features, lattice, [counting], at_once=2)
    assert sizes == [2, 1, 2, 1]
    assert (mean[:16, :24] == 100).all() and (mean[16:] == 255).all() and (mean[:, 24:] == 255).all()
    assert np.array_equal(np.isfinite(deviation), mean != 255)


def test_no_model():
    lattice = Lattice((8, 8), (0, 0), 8, 0)
    with pytest.raises(ValueError, match="no model"):
        next(predict_rows(lambda y0, y1: np.zeros((8, 8, 1), "f4"), [], lattice))
