"""Widths of edges: of steps whose width is known, in all directions, and of the same places in blurred images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.special import ndtr

from imperv.layers.sharpening.edges import edge_widths, find_edges

PER_SIGMA = 2 * 1.2815515655446004
"""From 10 to 90 % of a Gaussian's integral, in its standard deviations."""


def step(turn: float, sigma: float, size: int = 96) -> np.ndarray:
    """A straight edge through the middle, of two levels, whose response is the integral of a Gaussian."""
    rows, columns = np.indices((size, size)) - (size - 1) / 2
    distance = np.sin(turn) * rows + np.cos(turn) * columns
    return (800 + 1500 * ndtr(distance / sigma)).astype("f4")[None]


@pytest.mark.parametrize("turn", [0.0, 0.4, np.pi / 2, 2.3, -2.0])
@pytest.mark.parametrize("sigma", [0.8, 1.6])
def test_the_width_of_a_step_is_known(turn, sigma):
    image = step(turn, sigma)
    edges = find_edges(image)
    assert len(edges) >= 8
    np.testing.assert_allclose(edge_widths(image, edges), PER_SIGMA * sigma, rtol=0.05)
    expected = np.array([np.sin(turn), np.cos(turn)])
    np.testing.assert_allclose(edges.normal, np.broadcast_to(expected, edges.normal.shape), atol=0.03)
    np.testing.assert_allclose(edges.high - edges.low, 1500, rtol=0.02)


def test_the_same_places_are_measured_in_every_image():
    image = step(0.7, 0.8)
    edges = find_edges(image)
    for sigma in (1.2, 2.0):
        np.testing.assert_allclose(edge_widths(step(0.7, sigma), edges), PER_SIGMA * sigma, rtol=0.05)


def test_only_straight_and_clear_edges_count():
    random = np.random.default_rng(1)
    assert len(find_edges(np.full((2, 64, 64), 500, "f4"))) == 0
    assert len(find_edges((1000 + 300 * random.standard_normal((2, 64, 64))).astype("f4"))) == 0
    rows, columns = np.indices((64, 64)) - 31.5
    disc = (1000 + 1000 * (np.hypot(rows, columns) < 4)).astype("f4")[None]
    assert len(find_edges(ndimage.gaussian_filter(disc, (0, 0.7, 0.7)))) == 0
    assert len(find_edges(np.full((1, 64, 64), np.nan, "f4"))) == 0


def test_the_clearest_band_is_measured_and_no_data_is_kept_off():
    image = np.concatenate([np.full((1, 96, 96), 700, "f4") + np.random.default_rng(2).random((1, 96, 96), "f4"), step(0.0, 0.9)])
    edges = find_edges(image)
    assert set(edges.band) == {1}
    holes = image.copy()
    holes[:, :40] = np.nan
    assert find_edges(holes).place[:, 0].min() >= 40 + 7
    widths = edge_widths(holes, edges)
    assert np.isnan(widths[edges.place[:, 0] < 43]).all()
    np.testing.assert_allclose(widths[edges.place[:, 0] > 48], PER_SIGMA * 0.9, rtol=0.05)
