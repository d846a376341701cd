"""Windows cover an area once, side by side, and begin where the pooling of every network begins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imperv.layers.network.windows import Windows, reach

AREAS = st.builds(
    Windows,
    st.tuples(st.integers(1, 700), st.integers(1, 700)),
    st.tuples(st.integers(-10_000, 10_000), st.integers(-10_000, 10_000)),
    st.integers(1, 4),
    st.sampled_from([128, 256]),
)


@given(AREAS)
def test_windows_cover_an_area_once(windows):
    for size, edge, starts in zip(windows.shape, windows.edges, (windows.tops, windows.lefts), strict=True):
        assert starts[0] <= 0 < starts[0] + edge and starts[-1] < size <= starts[-1] + edge
        assert (np.diff(starts) == edge).all() and edge <= windows.most


@given(AREAS)
def test_they_lie_at_multiples_of_the_pooling_of_all_of_europe(windows):
    unit = 2**windows.depth
    for first, edge, starts in zip(windows.origin, windows.edges, (windows.tops, windows.lefts), strict=True):
        assert edge % unit == 0 and all((first + start) % unit == 0 for start in starts)
    # The first convolutions take two pixels, those of the next level two of theirs, and each is pooled from its first pixel on.
    assert all((reach(windows.depth) - sum(2 << k for k in range(level))) % 2**level == 0 for level in range(windows.depth + 1))


@given(AREAS)
def test_they_are_even_and_no_more_than_needed(windows):
    rows, columns = len(windows.tops), len(windows.lefts)
    unit, most = 2**windows.depth, windows.most
    least = [-(-(size + first % unit) // most) for size, first in zip(windows.shape, windows.origin, strict=True)]
    assert rows <= least[0] and columns <= least[1] + 1


def test_columns_are_those_that_windows_see():
    windows = Windows((100, 1000), (-3, 4_211), 3, 256)
    assert windows.lefts[0] == -3 and windows.columns == (-3 - 46, windows.lefts[-1] + windows.edges[1] + 46)


@pytest.mark.parametrize(("most", "times"), [(1024, 1.07), (512, 1.15), (256, 1.31)])
def test_work_is_that_of_the_products_of_the_network(most, times):
    """Multiplications of the unpadded network on a window, layer by layer, over those of the padded one on its ground."""
    windows = Windows((4 * most, 4 * most), (0, 0), 3, most)
    sizes, products, channels = most + 92, 0.0, 12
    for level in range(4):
        for _ in range(2):
            sizes, products = sizes - 2, products + 9 * channels * (16 << level) * (sizes - 2) ** 2
            channels = 16 << level
        sizes = sizes // 2 if level < 3 else sizes
    for level in (2, 1, 0):
        sizes, filters = 2 * sizes, 16 << level
        products += 2 * filters * filters * sizes**2
        sizes -= 4 if level == 0 else 0
        for channels in (2 * filters, filters):
            sizes, products = sizes - 2, products + 9 * channels * filters * (sizes - 2) ** 2
    assert sizes == most
    whole = 9 * (12 * 16 + 16 * 16) + sum((9 * (c // 2 * c + c * c) / 4**k for k, c in ((1, 32), (2, 64), (3, 128))))
    whole += sum((2 * c * c + 9 * (2 * c * c + c * c)) / 4**k for k, c in ((0, 16), (1, 32), (2, 64)))
    assert products / (whole * most**2) == pytest.approx(times, abs=0.01)
    assert windows.work / (16 * most**2) == pytest.approx(products / (whole * most**2), rel=0.01)
