"""Classes in the polar plane: stable, ordered, and the nearest centre for every pixel."""

from __future__ import annotations

import numpy as np

from imperv.layers.cva.classes import MOST_PIXELS, Centre, assign, fit_classes, polar


def clouds(seed: int = 1, pixels: int = 400):
    rng = np.random.default_rng(seed)
    angles, amplitudes = (30, 90, 150), (20, 60, 25)
    angle = np.concatenate([rng.normal(a, 4, pixels) for a in angles])
    amplitude = np.concatenate([rng.normal(a, 1, pixels) for a in amplitudes])
    return amplitude, angle


def test_clouds_are_found_in_the_order_of_their_angles():
    found = fit_classes(*clouds(), 10.0, 3)
    assert np.allclose([c.angle for c in found], (30, 90, 150), atol=1)
    assert np.allclose([c.amplitude for c in found], (20, 60, 25), rtol=0.03)


def test_the_order_of_the_pixels_does_not_matter():
    amplitude, angle = clouds()
    mixed = np.random.default_rng(2).permutation(len(angle))
    first, second = fit_classes(amplitude, angle, 10.0, 4), fit_classes(amplitude[mixed], angle[mixed], 10.0, 4)
    assert np.allclose([(c.amplitude, c.angle) for c in first], [(c.amplitude, c.angle) for c in second])


def test_few_pixels_make_few_classes():
    assert fit_classes(np.zeros(0), np.zeros(0), 10.0, 4) == ()
    assert len(fit_classes(np.full(9, 20.0), np.full(9, 40.0), 10.0, 4)) == 1
    assert len(fit_classes(np.array([20.0, 30.0]), np.array([40.0, 90.0]), 10.0, 4)) == 2


def test_every_pixel_gets_its_code():
    amplitude = np.array([[np.nan, 5.0, 10.0], [20.0, 60.0, 9.999]], "f4")
    angle = np.array([[np.nan, 30.0, 30.0], [150.0, 90.0, 30.0]], "f4")
    centres = (Centre(20.0, 30.0), Centre(60.0, 90.0), Centre(25.0, 150.0))
    assert assign(amplitude, angle, 10.0, centres).tolist() == [[255, 0, 1], [3, 2, 0]]


def test_the_threshold_lies_on_the_unit_circle():
    assert np.allclose(np.hypot(*polar(np.array([10.0, 27.18281828]), np.array([0.0, 77.0]), 10.0).T), (1, 2))
    assert MOST_PIXELS < 1e6
