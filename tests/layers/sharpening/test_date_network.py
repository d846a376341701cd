"""The network of several dates: what it starts from, windows, gaps, files, and the model that comes with the package."""

from __future__ import annotations

import numpy as np
import pytest

from imperv.layers.network.weights import flat_weights
from imperv.layers.sharpening.back_projection import back_project, residual
from imperv.layers.sharpening.date_network import (
    HALO,
    STEP,
    DateModel,
    build,
    feature_count,
    load,
    noise_from,
    save,
    shipped,
    start_and_features,
)
from imperv.layers.sharpening.dates import MARGIN, Sampling, fuse, noise_of
from imperv.layers.sharpening.degradation import degrade
from imperv.layers.sharpening.enlarging import enlarge
from imperv.layers.sharpening.registration import shift_between
from imperv.layers.sharpening.statistics import statistics_of

SIGMA = 0.85
SHIFTS = [(0.25, 0.1), (-0.3, 0.2), (0.1, -0.4)]


def looks(seed: int, size: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """A reference and three dates of fields with straight edges."""
    random = np.random.default_rng(seed)
    ground = np.full((4, 2 * size, 2 * size), 1000, "f4")
    for _ in range(size * size // 40):
        y, x = random.integers(0, 2 * size, 2)
        height, width = random.integers(3, 24, 2)
        ground[:, y : y + height, x : x + width] = random.uniform(300, 4000, (4, 1, 1))
    wide = np.pad(ground, [(0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)], mode="symmetric")

    def noisy(image: np.ndarray) -> np.ndarray:
        return image + 10 * random.standard_normal(image.shape).astype("f4")

    return noisy(degrade(ground, 2, SIGMA)), [noisy(Sampling(2, SIGMA, s).apply(wide)) for s in SHIFTS]


def model(width: int = 8, blocks: int = 1) -> DateModel:
    """With random weights, also in the last layer."""
    weights = flat_weights(build(width, blocks))
    return DateModel(width, blocks, weights + 0.05 * np.random.default_rng(1).standard_normal(weights.size).astype("f4"))


def test_an_untrained_network_corrects_nothing():
    reference, others = looks(1, 40)
    start, features, _ = start_and_features(reference, others, SHIFTS, SIGMA)
    np.testing.assert_array_equal(start, back_project(enlarge(reference, 2), reference, 2, SIGMA, 20))
    assert features.shape == (40, 40, feature_count())
    sharp, deviation = DateModel(8, 1, flat_weights(build(8, 1))).predict(reference, others, SHIFTS, SIGMA)
    np.testing.assert_allclose(sharp, start, rtol=1e-6)
    assert (deviation > 0).all()


def test_noise_of_a_scene_follows_from_its_statistics():
    reference, _ = looks(2, 40)
    scene = statistics_of(STEP, np.empty((0, 80, 80), "f4"), reference, SIGMA)
    np.testing.assert_allclose(noise_from(scene), noise_of(reference), rtol=1e-4)


def test_no_data_stays_where_it_is():
    reference, others = looks(3, 40)
    reference[1, 10:14, 20:30] = np.nan
    others[0][:, :, :5] = np.nan
    sharp, deviation = model().predict(reference, others, SHIFTS, SIGMA)
    expected = np.zeros(sharp.shape, bool)
    expected[1, 20:28, 40:60] = True
    np.testing.assert_array_equal(np.isnan(sharp), expected)
    np.testing.assert_array_equal(np.isnan(deviation), expected)


@pytest.mark.slow
def test_a_window_with_its_halo_gives_what_the_whole_gives():
    reference, others = looks(4, 160)
    scene = statistics_of(STEP, np.empty((0, 320, 320), "f4"), reference, SIGMA)
    whole, _ = model().predict(reference, others, SHIFTS, SIGMA, scene=scene)
    cut = np.s_[:, 64 - HALO // 2 : 96 + HALO // 2, 64 - HALO // 2 : 96 + HALO // 2]
    part, _ = model().predict(reference[cut], [o[cut] for o in others], SHIFTS, SIGMA, scene=scene)
    np.testing.assert_allclose(part[:, HALO:-HALO, HALO:-HALO], whole[:, 128:192, 128:192], atol=0.5)


def test_a_model_is_read_as_it_was_written(tmp_path):
    written = DateModel(8, 1, model().weights.astype("f2").astype("f4"), {"steps": 3})
    save(written, tmp_path / "m.npz")
    read = load(tmp_path / "m.npz")
    assert (read.width, read.blocks, read.record) == (8, 1, {"steps": 3})
    np.testing.assert_array_equal(read.weights, written.weights)
    (tmp_path / "n.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"n\.npz cannot be read"):
        load(tmp_path / "n.npz")
    reference, others = looks(5, 40)
    with pytest.raises(ValueError, match="do not fit a network of 9 filters"):
        DateModel(9, 1, written.weights).predict(reference, others, SHIFTS, SIGMA)


@pytest.mark.slow
def test_the_shipped_model_on_ground_that_it_never_saw(tmp_path, shared_data):
    """Ahead of bicubic with back-projection, and of dates fused without a network, and consistent with what was measured."""
    from tests.support.fine import SIGMA as KIT
    from tests.support.fine import dates_of, fine_kit

    network = shipped()
    assert network is not None
    dates = dates_of(fine_kit(shared_data, tmp_path, size=320, scenes=10, origin=(560, 330), seed=31))
    reference = max((d for d in dates if d.truth is not None), key=lambda d: d.clear.mean())
    found = [(d, shift_between(reference.bands, d.bands, reference.clear & d.clear)) for d in dates if d is not reference]
    found = [(d, r) for d, r in found if np.isfinite(r.error)]
    others, shifts = [d.bands for d, _ in found], [r.shift for _, r in found]
    masks = [reference.clear, *(d.clear for d, _ in found)]
    sharp, _ = network.predict(reference.bands, others, shifts, KIT, masks)
    sharp = back_project(sharp, reference.bands, 2, KIT, 14)
    fused, _ = fuse(reference.bands, others, shifts, 2, KIT, masks)
    bicubic = back_project(enlarge(reference.bands, 2), reference.bands, 2, KIT, 14)
    # The truth lies where the ground is, not where the reference date saw it.
    y, x = (2 * s for s in reference.shift)
    grid = np.fft.fftfreq(320)
    phase = np.exp(-2j * np.pi * (grid[:, None] * y + grid * x))
    truth = np.fft.ifft2(np.fft.fft2(reference.truth) * phase).real
    clear = np.kron(reference.clear, np.ones((2, 2), bool))
    clear[:16], clear[-16:], clear[:, :16], clear[:, -16:] = False, False, False, False

    def error(image: np.ndarray) -> float:
        return float(np.sqrt(((image - truth)[:, clear] ** 2).mean(1)).mean())

    assert error(sharp) < 0.9 * error(bicubic)
    assert error(sharp) < error(fused)
    assert residual(sharp, reference.bands, 2, KIT).max() < 3
