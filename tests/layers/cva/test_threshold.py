"""Thresholds keep their rate on what they were not read from, and the rate that is told is that of held-out ground."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from imperv.layers.cva.noise import Noise
from imperv.layers.cva.threshold import (
    BINS,
    at_own,
    beyond,
    chi_squared,
    count,
    edge,
    empirical,
    held_out,
    rate,
    student,
)

NOISE = Noise((1.0,) * 4, (0.0,) * 4, tuple(map(tuple, np.eye(4))), 0.01, 5.0, 2.0, 1000)


def tailed(seed: int, pixels: int, freedom: float = 5.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.sqrt(4 * stats.f.rvs(4, freedom, size=pixels, random_state=rng))


def counted(values: np.ndarray, cells: int = 25) -> np.ndarray:
    return count(values, np.arange(len(values)) % cells, cells)


def test_distributions_have_their_tails():
    assert chi_squared(1e-4, 4) ** 2 == pytest.approx(23.51, abs=0.01)
    values = tailed(1, 400_000)
    assert np.mean(values >= student(1e-3, NOISE)) == pytest.approx(1e-3, rel=0.15)
    assert np.mean(values >= chi_squared(1e-3, 4)) > 0.02


def test_counts_are_those_of_numpy():
    values = tailed(2, 5000)
    found = counted(values)
    assert found.shape == (25, BINS) and found.sum() == 5000
    for threshold in (float(edge(500)), float(edge(620))):
        assert beyond(found, threshold).sum() == (values >= threshold * (1 - 1e-9)).sum()
    assert count(np.array([np.nan, 1.0]), np.zeros(2, int), 1).sum() == 1


@pytest.mark.parametrize("level", [1e-2, 1e-3, 1e-4])
def test_an_empirical_threshold_keeps_its_rate_on_other_pixels(level):
    cut = empirical(counted(tailed(3, 300_000)).sum(0), level, 4)
    assert np.mean(tailed(4, 1_000_000) >= cut) == pytest.approx(level, rel=0.35)


def test_few_pixels_go_on_as_a_tail_does():
    """0.01 % of 2000 pixels are none: the threshold lies beyond all of them."""
    values = tailed(5, 2000)
    assert values.max() < empirical(counted(values).sum(0), 1e-4, 4) < 10 * values.max()
    with pytest.raises(ValueError, match="999 quiet pixels are too few"):
        empirical(counted(tailed(5, 999)).sum(0), 1e-4, 4)


def test_pairs_that_share_a_date_do_not_calibrate_each_other():
    """The third pair is the noisier: alone its noise is not known to the others, and its false alarms are told."""
    quiet, loud = counted(tailed(6, 50_000)), counted(3 * tailed(7, 50_000))
    counts = np.stack([quiet, quiet, loud])
    found, how = held_out(counts, [("a", "b"), ("c", "d"), ("e", "f")], 1e-3, 4)
    assert "share no date" in how and found.value > 5e-3
    _, how = held_out(counts[:2], [("a", "b"), ("b", "c")], 1e-3, 4)
    assert how == "each pair, calibrated by the others"
    found, how = held_out(counts[:1], [("a", "b")], 1e-3, 4)
    assert "half of the ground" in how and found.value == pytest.approx(1e-3, rel=0.5)


def test_intervals_know_that_false_alarms_come_in_clusters():
    pixels = np.full(100, 1000)
    spread, clustered = np.full(100, 1), np.zeros(100, int)
    clustered[7] = 100
    assert rate(spread, pixels).value == rate(clustered, pixels).value == 1e-3
    assert rate(clustered, pixels).high > 2 * rate(spread, pixels).high
    none = rate(np.zeros(100, int), pixels)
    assert (none.value, none.low, none.high) == (0, 0, 3e-5)


def test_every_pair_has_its_own_threshold():
    found = at_own(
        np.stack([counted(tailed(8, 20_000)), counted(2 * tailed(9, 20_000))]), [student(1e-2, NOISE), 2 * student(1e-2, NOISE)]
    )
    assert found.value == pytest.approx(1e-2, rel=0.2) and found.pixels == 40_000
