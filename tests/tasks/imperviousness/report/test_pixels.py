"""Pixels of a report: blocks put together, windows, and where the largest changes are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imperv.tasks.imperviousness.report.pixels import best_windows, thinned, thinning_factor, window_block
from imperv.tasks.imperviousness.report.thinning import mean_share
from tests.support.report_store import LEFT, TOP, new_job


@given(st.integers(1, 100), st.sampled_from([10, 20, 100]), st.integers(50, 2000))
def test_factors_divide_a_kilometre_and_are_the_smallest_that_do(kilometres, resolution, longest):
    pixels = kilometres * 1000 // resolution
    factor = thinning_factor((pixels, pixels), resolution, longest)
    unit = 1000 // resolution
    assert unit % factor == 0 and pixels % factor == 0
    smaller = [f for f in range(1, factor) if unit % f == 0]
    assert all(pixels / f > longest for f in smaller)
    assert pixels / factor <= longest or factor == unit


def test_blocks_are_put_where_they_belong(tmp_path):
    """12 km are two blocks each way, the second ones short."""
    job = new_job(tmp_path, 12)
    a = np.random.default_rng(1).integers(0, 101, job.grid(10).shape).astype("u1")
    picture = thinned(job, a, 10, 300, mean_share)
    assert picture.thinned == 4 and picture.metres == 40
    assert (picture.codes == mean_share(a, 4)).all()


def test_windows_are_cut_at_the_edge_of_the_area(tmp_path):
    job = new_job(tmp_path, 3)
    block = window_block(job, (LEFT - 500, TOP - 1000, LEFT + 1000, TOP + 200), 20)
    assert (block.y0, block.x0, block.y1, block.x1) == (0, 0, 50, 50)


def test_the_largest_windows_hold_the_largest_sums_and_do_not_overlap(tmp_path):
    job = new_job(tmp_path, 6)
    amount = np.zeros((12, 12))
    amount[2:4, 2:4], amount[8, 9], amount[3, 4] = 10, 25, 5
    found = best_windows(job, amount, 1000, 5)
    assert found[0] == (LEFT + 1000, TOP - 2000, LEFT + 2000, TOP - 1000)  # 40, the cells 2 and 3
    assert len(found) == 3  # 25, then what is left of 5
    for k, a in enumerate(found):
        for b in found[k + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    assert best_windows(job, np.zeros((12, 12)), 1000, 3) == []
    taken = best_windows(job, amount, 1000, 1, found[:1])
    assert taken[0] != found[0] and taken[0][2] > LEFT + 4000


@pytest.mark.parametrize("kilometres", [1])
def test_a_window_of_a_kilometre_is_one_window(tmp_path, kilometres):
    job = new_job(tmp_path, kilometres)
    assert best_windows(job, np.ones((2, 2)), 2000, 3) == [(LEFT, TOP - 1000, LEFT + 1000, TOP)]
