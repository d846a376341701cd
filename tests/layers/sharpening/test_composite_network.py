"""The network for composites: where its pixels lie, what it learns, how it is kept."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from imperv.layers.network.unet import configure_threads
from imperv.layers.sharpening.composite_network import (
    CompositeModel,
    NetworkParameters,
    Pair,
    _draw,
    build_generator,
    features,
    train,
)
from imperv.layers.sharpening.composites import half_pixel, plain
from imperv.layers.sharpening.degradation import degrade

BANDS = 2
SMALL = NetworkParameters(width=8, blocks=1, crop=8, batch=4, steps=30, dropout=0.0)


def pair_of(seed: int, size: int = 26) -> Pair:
    """Roofs of one size and brightness on dark ground: what is there to be learned."""
    rng = np.random.default_rng(seed)
    truth = np.full((BANDS, 3 * size, 3 * size), 500, "f4")
    for _ in range(60):
        y, x = rng.integers(0, 3 * size - 6, 2)
        truth[:, y : y + 5, x : x + 5] = 3000
    composite = degrade(truth, 3, 1.0)
    return Pair(composite, plain(composite, 1.0), half_pixel(truth))


def test_turned_and_mirrored_crops_keep_the_place_of_fine_pixels():
    """On a plane the start differs from its coarse pixel by -5, 5 and 15 m times the slope, whichever way the crop lies."""
    y, x = np.mgrid[0:30, 0:30] * 30.0 + 15
    fy, fx = np.mgrid[0:90, 0:90] * 10.0 + 10
    coarse, fine = ((0.7 * a + 0.2 * b)[None].repeat(BANDS, 0).astype("f4") for a, b in ((x, y), (fx, fy)))
    one = np.ones(BANDS, "f4")
    model = CompositeModel(NetworkParameters(crop=8, batch=60), 0 * one, one, one, np.empty(0, "f4"))
    seen, level, correction = _draw([Pair(coarse, fine, fine + 3)], model, np.random.default_rng(1))
    slopes = set()
    for crop, start in zip(seen, level, strict=True):
        down, right = (np.diff(crop[..., 0], axis=k).mean() / 30 for k in (0, 1))
        slopes.add((round(float(down), 3), round(float(right), 3)))
        expected = np.add.outer(down * np.array([-5, 5, 15]), right * np.array([-5, 5, 15]))
        inside = crop[..., BANDS:].reshape(8, 8, BANDS, 3, 3)
        assert np.allclose(inside, expected, atol=1e-2)
        assert np.allclose(start[::3, ::3, 0], crop[..., 0] + inside[..., 0, 0, 0], atol=1e-2)
    assert len(slopes) == 8 and np.allclose(correction, 3, atol=1e-3)


def test_ground_with_holes_is_learned_from_beside_them():
    rng, one = np.random.default_rng(3), np.ones(BANDS, "f4")
    model = CompositeModel(SMALL, 0 * one, one, one, np.empty(0, "f4"))
    pair = pair_of(1)
    pair.start[:, 40, 40] = np.nan
    pair.composite[:, -1] = np.nan
    for _ in range(20):
        assert all(np.isfinite(part).all() for part in _draw([pair], model, rng))
    pair.target[:, ::12, ::12] = np.nan
    with pytest.raises(ValueError, match="without holes"):
        _draw([pair], model, rng)


def test_an_untrained_network_corrects_nothing():
    configure_threads(1)
    pair = pair_of(1, 12)
    one = np.ones(BANDS, "f4")
    weights = np.concatenate([np.ravel(w) for w in build_generator(SMALL, BANDS).get_weights()])
    model = CompositeModel(SMALL, 0 * one, one, one, weights)
    assert np.array_equal(model.correct(pair.composite, pair.start), pair.start)
    assert features(pair.composite, pair.start, 0 * one, one, one).shape == (12, 12, 10 * BANDS)


@pytest.mark.slow
@pytest.mark.parametrize("adversarial", [0.0, 0.01])
def test_what_repeats_is_learned_and_kept(tmp_path, adversarial):
    configure_threads(1)
    parameters = NetworkParameters(width=16, blocks=2, crop=12, batch=8, steps=250, dropout=0.0, adversarial=adversarial)
    errors: list[float] = []
    pairs = [pair_of(seed) for seed in range(3)]
    pairs[0].start[:, -1] = np.nan
    model = train(pairs, parameters, 1.0, lambda _, error: errors.append(error))
    other = pair_of(99)
    before, after = (np.sqrt(((image - other.target)[:, 6:-6, 6:-6] ** 2).mean()) for image in (
        other.start, model.correct(other.composite, other.start)))  # fmt: skip
    assert after < 0.9 * before and np.mean(errors[-20:]) < 0.9 * np.mean(errors[:20])
    model.save(tmp_path / "model.npz")
    again = CompositeModel.load(tmp_path / "model.npz")
    kept = again.correct(other.composite, other.start)
    assert abs(kept - model.correct(other.composite, other.start)).max() < 0.02 * model.unit.max() * 10
    assert np.array_equal(pickle.loads(pickle.dumps(again)).correct(other.composite, other.start), kept)
    start = other.start.copy()
    start[:, 30, 40] = np.nan
    part = again.correct(other.composite, start)
    assert np.isnan(part).sum() == BANDS and np.array_equal(part[:, 31, 39], start[:, 31, 39])
    assert np.array_equal(part[:, :6], kept[:, :6])


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match="crops of 24"):
        train([pair_of(1, 20)], NetworkParameters(), 1.0)
    (tmp_path / "no.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"no\.npz cannot be read"):
        CompositeModel.load(tmp_path / "no.npz")
    one = np.ones(BANDS, "f4")
    with pytest.raises(ValueError, match="3 weights do not fit"):
        _ = CompositeModel(SMALL, one, one, one, np.zeros(3, "f4")).network
