"""Mosaics against NumPy's median of the clear looks, pixel by pixel; strips and blocks change nothing."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imperv.grids import snap_utm
from imperv.layers.reflectance import median_of_data
from imperv.tasks.native.finding import find_scenes
from imperv.tasks.native.looks import looks_of
from imperv.tasks.scenes.bands import PIXEL
from imperv.tasks.superresolution import mosaics
from imperv.tasks.superresolution.mosaics import mosaic_mask, mosaic_of
from tests.support.native_granules import Granule, write_granules

BOX = (677760, 5153040 - 600, 677760 + 720, 5153040)


SHAPES, VALUES = st.tuples(st.integers(1, 7), st.just(3), st.just(4)), st.sampled_from([0, 1, 2, 700, 9001, 65535])


@given(arrays("uint16", SHAPES, elements=VALUES))
def test_the_median_is_that_of_numpy(stack):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.nanmedian(np.where(stack > 0, stack, np.nan), axis=0)
    found = median_of_data(stack.copy())
    np.testing.assert_array_equal(found, np.nan_to_num(np.floor(expected + 0.5)))


@pytest.fixture(scope="module")
def granules() -> list[Granule]:
    rng = np.random.default_rng(5)
    found = []
    for k in range(4):
        shares = np.array([2, 2, 2, 5, 30, 10, 5, 2, 20, 20, 1, 1]) / 100
        scl = rng.choice(np.arange(12, dtype="uint8"), (10, 12), p=shares)
        bands = {"SCL": scl.repeat(3, axis=0).repeat(3, axis=1)}
        bands["SCL"][::7, ::5] = 9  # within a pixel of 60 m
        day = 2 + 10 * k if k < 3 else 29
        name, when = f"S2A_32TPS_202106{day:02d}_0_L2A", f"2021-06-{day:02d}T10:10:30Z"
        found.append(Granule(name, when, seed=k, bands=bands, baseline="02.14" if k == 1 else "05.00"))
    return found


@pytest.fixture(scope="module")
def looks(granules, tmp_path_factory):
    found = looks_of(find_scenes(write_granules(tmp_path_factory.mktemp("mosaic"), *granules)))
    assert len(found) == 4
    return found


def expected(granules: list[Granule], name: str) -> np.ndarray:
    values = []
    for granule in granules:
        clear = np.isin(granule.bands["SCL"], (4, 5, 6))
        if PIXEL[name] == 60:
            clear = np.array([[clear[3 * r : 3 * r + 3, 3 * c : 3 * c + 3].all() for c in range(12)] for r in range(10)])
        else:
            clear = np.kron(clear, np.ones((20 // PIXEL[name],) * 2)) > 0
        raw = granule.pixels(name).astype(float)
        values.append(np.where(clear, np.maximum(raw - (0 if granule.baseline == "02.14" else 1000), 1), np.nan))
    with np.errstate(all="ignore"):
        return np.nan_to_num(np.floor(np.nanmedian(values, axis=0) + 0.5))


@pytest.mark.filterwarnings("ignore:All-NaN")
@pytest.mark.parametrize("strip", [None, 1])
@pytest.mark.parametrize("names", [("B02", "B08"), ("B05", "B12"), ("B01",)])
def test_a_mosaic_is_the_median_of_clear_looks(granules, looks, names, strip, monkeypatch):
    if strip:
        monkeypatch.setattr(mosaics, "STRIP_BYTES", strip)  # one row of 60 m at a time
    grid = snap_utm(BOX, 32632, PIXEL[names[0]])
    found = mosaic_of(looks, names, grid)
    for name, values in zip(names, found, strict=True):
        wanted = expected(granules, name)
        assert (wanted == 0).any() or PIXEL[name] != 60
        np.testing.assert_array_equal(values, wanted)
    step = 60 // PIXEL[names[0]]
    part = slice(2 * step, 5 * step), slice(step, 4 * step)
    np.testing.assert_array_equal(mosaic_of(looks, names, grid[part]), found[:, *part])


@pytest.mark.filterwarnings("ignore:All-NaN")
def test_the_mask_says_where_there_is_a_mosaic(granules, looks):
    mask, count = mosaic_mask(looks, snap_utm(BOX, 32632, 20))
    np.testing.assert_array_equal(count, sum(np.isin(g.bands["SCL"], (4, 5, 6)).astype(int) for g in granules))
    np.testing.assert_array_equal(mask, count > 0)
    np.testing.assert_array_equal(mask > 0, expected(granules, "B11") > 0)
    assert 0 < (count == 0).sum() < count.size / 2


def test_memory_of_a_mosaic_is_bounded():
    """Strips of a whole granule with a year of looks stay within what is said."""
    grid = snap_utm((300000, 5000040 - 109800, 300000 + 109800, 5000040), 32632, 10)
    strips = list(mosaics._strips(grid, 70))
    assert sum(rows.stop - rows.start for rows, _ in strips) == 10980
    assert all((rows.start % 6, part.shape.y) == (0, rows.stop - rows.start) for rows, part in strips)
    assert max(part.shape.y * part.shape.x for _, part in strips) * 70 * mosaics.BYTES <= mosaics.STRIP_BYTES
