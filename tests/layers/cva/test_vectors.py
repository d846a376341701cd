"""Amplitude and angle by hand and by linear algebra; gradients beside what is not seen."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from imperv.layers.cva.noise import Noise
from imperv.layers.cva.vectors import change_vectors, gradients, sample_of

COVARIANCE = ((400.0, 100.0), (100.0, 900.0))


def noise(registration: float = 1e-6, gain=(1.0, 1.0), offset=(0.0, 0.0)) -> Noise:
    return Noise(gain, offset, COVARIANCE, registration, 6.0, 2.0, 1000)


def dates(seed: int = 1):
    rng = np.random.default_rng(seed)
    return rng.integers(500, 4000, (2, 2, 12, 15)).astype("u2")


def test_on_even_ground_it_is_the_mahalanobis_distance():
    first, second = np.full((2, 5, 5), 1000, "u2"), np.full((2, 5, 5), 1000, "u2")
    second[:, 2, 2] = 1060, 1030
    amplitude, angle = change_vectors(first, second, np.ones((5, 5), bool), noise(), (1, 0))
    by_hand = np.sqrt(np.array([60, 30]) @ np.linalg.inv(COVARIANCE) @ [60, 30])
    assert amplitude[2, 2] == pytest.approx(by_hand, rel=1e-5)
    # In deviations the difference is (3, 1).
    assert angle[2, 2] == pytest.approx(np.degrees(np.arctan2(1, 3)), abs=1e-3)
    assert (amplitude[:2] == 0).all()


def test_steep_ground_explains_differences():
    """Against the covariance of each pixel written out."""
    first, second = dates()
    valid = np.ones(first.shape[1:], bool)
    model = noise(0.09, (1.1, 0.95), (-20.0, 35.0))
    amplitude, _ = change_vectors(first, second, valid, model, (1, 0))
    normalised = np.asarray(model.gain)[:, None, None] * first + np.asarray(model.offset)[:, None, None]
    mean = ((normalised + second) / 2).astype("f4")
    steep = np.stack([[cv2.Sobel(band, -1, *axis, scale=1 / 8) for band in mean] for axis in ((1, 0), (0, 1))])
    for y, x in ((1, 1), (5, 9), (10, 13)):
        g = steep[:, :, y, x].T
        own = np.asarray(COVARIANCE) + 0.09 * g @ g.T
        d = second[:, y, x] - normalised[:, y, x]
        assert amplitude[y, x] == pytest.approx(np.sqrt(d @ np.linalg.inv(own) @ d), rel=1e-4)


def test_angles_of_opposite_changes():
    first, second = np.full((2, 3, 4), 1000, "u2"), np.full((2, 3, 4), 1000, "u2")
    second[0, 1, 0], second[0, 1, 1], second[1, 1, 2] = 1200, 800, 1200
    _, angle = change_vectors(first, second, np.ones((3, 4), bool), noise(), (2, 0))
    assert angle[1, :3].tolist() == pytest.approx([0, 180, 90], abs=1e-3)


def test_what_is_not_seen_is_nan_and_makes_no_edge():
    first, second = np.full((2, 6, 6), 1000, "u2"), np.full((2, 6, 6), 1060, "u2")
    valid = np.ones((6, 6), bool)
    valid[2, 2], first[:, 2, 2] = False, 0
    amplitude, angle = change_vectors(first, second, valid, noise(0.3), (1, 0))
    assert np.isnan(amplitude[2, 2]) and np.isnan(angle[2, 2])
    assert np.unique(amplitude[valid]).size == 1


def test_a_sample_leaves_out_the_edge_and_what_is_not_seen():
    first, second = dates(2)
    valid = np.ones(first.shape[1:], bool)
    valid[4, 4] = False
    found = sample_of(first, second, valid)
    assert len(found.first) == 10 * 13 - 1
    steep = np.empty((2, 2, 12, 15), "f4")
    gradients(second.astype("f4"), valid, steep)
    assert found.steepness[0].tolist() == steep[:, :, 1, 1].tolist()
