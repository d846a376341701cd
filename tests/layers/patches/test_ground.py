"""Held-out patches lie on ground apart, whatever date or image shows it."""

import numpy as np
import pytest
import shapely

from imperv.layers.patches.ground import Ground, overlaps, split

EDGE = 640.0


def grid(rows: int, columns: int, space: str = "EPSG:32632", shift: float = 0.0) -> list[Ground]:
    return [
        Ground(space, (c * EDGE + shift, r * EDGE + shift, (c + 1) * EDGE + shift, (r + 1) * EDGE + shift))
        for r in range(rows)
        for c in range(columns)
    ]


def test_no_ground_is_on_both_sides_and_no_class_is_missing():
    grounds = grid(8, 8) * 3 + grid(8, 8, shift=200.0)  # three dates of one grid, and another grid across it
    counts = np.random.default_rng(1).integers(0, 50, (len(grounds), 4)) * (np.arange(4) < 3)
    counts[7, 3], counts[70, 3] = 5, 5  # a rare class, in two places
    learning, judging = split(grounds, counts, 0.2, 1)
    assert not set(learning) & set(judging)
    boxes = [shapely.box(*g.bounds) for g in grounds]
    shared = max(boxes[a].intersection(boxes[b]).area for a in learning for b in judging)
    assert shared < 1e-3 * EDGE**2
    for part in (learning, judging):
        assert (counts[part].sum(0)[:3] > 0).all()
    assert 0.1 < counts[judging].sum() / counts.sum() < 0.3


def test_patches_side_by_side_and_of_other_zones_do_not_overlap():
    first = [Ground("a", (0, 0, 10, 10)), Ground("a", (10, 0, 20, 10)), Ground("a", (9, 9, 19, 19)), Ground("b", (0, 0, 10, 10))]
    assert overlaps(first, [Ground("a", (0, 0, 10, 10))]).tolist() == [True, False, True, False]


def test_one_ground_cannot_be_split():
    with pytest.raises(ValueError, match="one ground"):
        split(grid(1, 1) * 4, np.ones((4, 2)), 0.2, 1)


def test_labels_in_one_place_cannot_be_split():
    counts = np.zeros((16, 2))
    counts[0] = 9
    with pytest.raises(ValueError, match="one block"):
        split(grid(4, 4), counts, 0.2, 1)
