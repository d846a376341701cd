"""Days that looks stand for, against a count of every day to its nearest look."""

from __future__ import annotations

import numpy as np
import pytest

from imperv.layers.day_weights import day_weights


def counted(seen: np.ndarray, days: list[int], length: int) -> np.ndarray:
    """Twice the days of each look of one pixel: each day goes to the nearest look, halves to two as near."""
    found = np.zeros(len(days))
    when = [d for d, s in zip(days, seen, strict=True) if s]
    for half in range(2 * length):  # halves of days, their middles at quarters
        t = half / 2 + 0.25 - 0.5
        distance = [min(abs(t - d), length - abs(t - d)) if length >= 350 else abs(t - d) for d in when]
        nearest = when[int(np.argmin(distance))]
        found[days.index(nearest)] += 1
    return found


@pytest.mark.parametrize("length", [365, 366, 120])
def test_each_day_belongs_to_its_nearest_look(length):
    rng = np.random.default_rng(length)
    days = sorted(rng.choice(length, 9, replace=False).tolist())
    weights = (rng.random((9, 5, 4)) < 0.6).astype("u1")
    weights[:, 0, 0] = 0
    weights[:, 0, 1] = 0
    weights[4, 0, 1] = 1
    found = day_weights(weights, days, length)
    assert (found[:, 0, 0] == 0).all() and (found.sum(0)[weights.any(0)] == 2 * length).all()
    for y in range(5):
        for x in range(4):
            if weights[:, y, x].any():
                assert np.array_equal(found[:, y, x], counted(weights[:, y, x], days, length))


def test_weights_multiply_and_a_second_look_of_a_day_counts():
    weights = np.array([2, 8, 0, 1], "u1").reshape(4, 1, 1)
    assert day_weights(weights, [0, 10, 10, 10], 20).ravel().tolist() == [22, 80, 0, 19]


def test_wrong_days_are_refused():
    with pytest.raises(ValueError, match="ascending"):
        day_weights(np.ones((2, 1, 1), "u1"), [5, 3], 365)
    with pytest.raises(ValueError, match="ascending"):
        day_weights(np.ones((2, 1, 1), "u1"), [5, 365], 365)
    assert day_weights(np.zeros((0, 2, 2), "u1"), [], 365).shape == (0, 2, 2)
