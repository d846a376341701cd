"""Thinned maps of a report: hand-made cells, and NumPy cell by cell as the other implementation."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imperv.tasks.imperviousness.report.thinning import (
    mean_share,
    mean_values,
    prevailing_class,
    share_of_ones,
    strongest_change,
    sums,
)


def cells(a: np.ndarray, factor: int):
    for y in range(0, a.shape[0], factor):
        for x in range(0, a.shape[1], factor):
            yield (y // factor, x // factor), a[y : y + factor, x : x + factor].ravel().tolist()


def test_a_single_house_stays_on_the_map_of_change():
    a = np.full((4, 4), 201, "u1")
    a[0, 1], a[2, 2], a[3, 3], a[2, 0] = 180, 100, 255, 60
    assert strongest_change(a, 2).tolist() == [[180, 201], [60, 100]]


def test_change_beats_what_is_unchanged_and_the_most_frequent_change_wins():
    a = np.array([[0, 0, 10, 10], [0, 2, 10, 0], [1, 1, 255, 255], [11, 0, 255, 255]], "u1")
    assert prevailing_class(a, 2).tolist() == [[2, 10], [1, 255]]


def test_shares_of_built_up_and_means_leave_out_what_has_no_data():
    assert share_of_ones(np.array([[1, 0], [255, 1]], "u1"), 2).tolist() == [[67]]
    assert mean_share(np.array([[100, 255], [255, 50]], "u1"), 2).tolist() == [[75]]
    assert mean_share(np.full((2, 2), 255, "u1"), 2).tolist() == [[255]]
    values = mean_values(np.array([[np.nan, 10, 7], [20, np.nan, 5], [np.nan, np.nan, 1]]), 2)
    assert values.dtype == np.float32 and values[0].tolist() == [15, 6] and np.isnan(values[1, 0]) and values[1, 1] == 1


@pytest.mark.parametrize("thin", [mean_share, share_of_ones, strongest_change, prevailing_class])
def test_a_factor_of_one_keeps_codes(thin):
    a = np.array([[0, 10], [1, 255]], "u1")
    expected = a.tolist()
    assert thin(a, 1).tolist() == expected


@given(arrays("u1", (6, 9), elements=st.sampled_from([0, 40, 99, 100, 101, 160, 200, 201, 255])))
def test_strongest_change_cell_by_cell(a):
    found = strongest_change(a, 3)
    for place, pixels in cells(a, 3):
        moves = [abs(p - 100) for p in pixels if p <= 200]
        if any(moves):
            assert abs(int(found[place]) - 100) == max(moves) and found[place] in pixels
        else:
            assert found[place] == (100 if 100 in pixels else 201 if 201 in pixels else 255)


@given(arrays("u1", (4, 6), elements=st.sampled_from([0, 1, 2, 10, 11, 12, 255])))
def test_prevailing_class_cell_by_cell(a):
    found = prevailing_class(a, 2)
    for place, pixels in cells(a, 2):
        counted = Counter(p for p in pixels if p != 255)
        changed = Counter({c: n for c, n in counted.items() if c in (1, 2, 11, 12)})
        best = changed or counted
        assert found[place] == 255 if not best else best[found[place]] == max(best.values())


@given(arrays("u2", (6, 6), elements=st.integers(0, 9000)))
def test_sums_keep_the_total(a):
    assert sums(a, 3).sum() == a.astype("i8").sum()
