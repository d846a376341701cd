"""Two maps held against each other: every figure against plain NumPy on whole arrays, and the memory of a whole tile."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from odc.geo.geobox import GeoBox

from imperv.flows.cli.imperviousness.comparison_picture import thin
from imperv.grids import Block, Tile
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.palette import CHANGE
from imperv.layers.statistics.scores import density_scores, density_sums, mask_scores
from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.assessment.codes import reading_of
from imperv.tasks.imperviousness.assessment.comparing import Pair, Raster, common_ground, compare
from imperv.tasks.imperviousness.assessment.truth import Truth

LEFT, TOP = 4_300_000, 3_300_000
CODED = [s for s, layer in CATALOGUE.items() if layer.resolution and layer.dtype == "uint8"]


def raster(array, symbol=None, left=LEFT, top=TOP, metres=10, nodata=None, crs="EPSG:3035", name="x.tif"):
    layer = CATALOGUE[symbol] if symbol else None
    grid = GeoBox(array.shape, Affine(metres, 0, left, 0, -metres, top), crs)
    return Raster(name, grid, array.dtype, nodata, lambda block: array[block.slices], layer)


def pair(a, b):
    return Pair("E43N32", a.layer.symbol if a.layer else "x", a, b, common_ground(a, b))


def tally(a, b, symbol=None, **how):
    return compare(pair(raster(a, symbol, **how), raster(b, symbol, **how)))


def codes_of(symbol):
    return st.sampled_from(CATALOGUE[symbol].codes)


def values(symbol, codes):
    """Percent of codes, by the tables of the ATBD and in another way than the module: NaN outside."""
    value = np.where(codes == 255, np.nan, codes.astype(float))
    return np.where(codes == 201, 0, value - 100) if CATALOGUE[symbol].codes == CHANGE.codes else value


@given(data=st.data(), symbol=st.sampled_from(["IMD_now", "RIBUD", "SBU", "IMDC", "IBUDCS", "IMDCL"]))
def test_numbers(data, symbol):
    shape = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    a, b = (data.draw(arrays(np.uint8, shape, elements=codes_of(symbol))) for _ in range(2))
    found = tally(a, b, symbol)
    one, two = values(symbol, a), values(symbol, b)
    one, two = np.where(a == 255, np.nan, one), np.where(b == 255, np.nan, two)
    both = np.isfinite(one) & np.isfinite(two)
    assert (found.pixels, found.both) == (a.size, both.sum())
    assert (found.only_a, found.only_b) == ((np.isfinite(one) & ~both).sum(), (np.isfinite(two) & ~both).sum())
    assert found.differing == (a != b)[both].sum()
    if both.any():
        difference = (two - one)[both]
        assert found.mean == pytest.approx(difference.mean())
        assert found.mean_absolute == pytest.approx(np.abs(difference).mean())
        assert found.rms == pytest.approx(np.sqrt((difference**2).mean()))
        assert found.largest == np.abs(difference).max()
    if symbol != "IMDCL":
        for which, value in ((0, one), (1, two)):
            assert found.area(which) == pytest.approx(value[both].sum() / 100 * 1e-4, abs=1e-12)


@pytest.mark.parametrize("symbol", CODED)
def test_every_code_of_every_layer_is_either_compared_or_outside(symbol):
    reading = reading_of(CATALOGUE[symbol])
    codes = CATALOGUE[symbol].codes
    inside = [c for c in codes if c < 253]
    assert reading.valid[inside].all()
    assert not reading.valid[253:].any()
    if reading.names:
        assert set(reading.class_of[inside]) == set(range(len(reading.names)))
        assert (reading.class_of[~reading.valid] == -1).all()
    assert len(set(reading.names)) == len(reading.names)


def test_classes_and_what_became_of_them():
    a = np.array([[0, 1, 2], [10, 11, 255]], "u1")
    b = np.array([[0, 2, 2], [11, 255, 1]], "u1")
    found = tally(a, b, "IMCC", metres=20)
    expected = np.zeros((6, 6), int)
    expected[0, 0] = expected[1, 2] = expected[2, 2] = expected[3, 4] = 1
    assert found.transitions().tolist() == expected.tolist()
    assert found.reading.names[3] == "10 Unchanged cover, impervious at both dates"
    assert (found.differing, found.both, found.only_a, found.only_b, found.km2) == (2, 4, 1, 1, 4e-4)
    assert not found.numbers
    assert np.isnan([found.mean, found.rms, found.area(0)]).all()


def test_masks_have_an_area():
    a, b = np.array([[0, 1, 1, 255]], "u1"), np.array([[1, 1, 0, 1]], "u1")
    found = tally(a, b, "IBU_now")
    assert (found.area(0), found.area(1)) == pytest.approx((2e-4, 2e-4))
    assert found.transitions().tolist() == [[0, 1], [1, 1]]


def test_never_sealed_and_unchanged_differ_though_their_change_is_0():
    found = tally(np.array([[100, 201]], "u1"), np.array([[201, 201]], "u1"), "IMDC")
    assert (found.differing, found.mean, found.rms) == (1, 0, 0)
    assert found.transitions()[1, 2] == 1


def test_the_sea_of_clcplus_is_outside():
    found = tally(np.array([[1, 253, 254]], "u1"), np.array([[2, 253, 3]], "u1"), "CLCP_now")
    assert (found.both, found.differing, found.only_a, found.only_b) == (1, 1, 0, 1)


@pytest.mark.parametrize("nodata", [None, np.nan, -1.0])
def test_other_numbers(nodata):
    rng = np.random.default_rng(1)
    a = rng.normal(size=(30, 40)).astype("f4")
    b = np.where(rng.random(a.shape) < 0.5, a, a + rng.normal(size=a.shape)).astype("f4")
    a[:3], b[:, :2] = (np.nan if nodata is None else nodata), np.nan
    found = tally(a, b, "RMSD", nodata=nodata)
    both = np.zeros(a.shape, bool)
    both[3:, 2:] = True
    difference = (b.astype("f8") - a)[both]
    assert (found.both, found.only_a, found.only_b) == (27 * 38, 27 * 2, 3 * 38)
    assert found.differing == np.count_nonzero(difference)
    assert (found.mean, found.rms) == pytest.approx((difference.mean(), np.sqrt((difference**2).mean())))
    assert not found.coded


def test_bytes_of_which_nothing_is_known():
    found = compare(pair(raster(np.array([[0, 7, 9]], "u1"), nodata=0), raster(np.array([[1, 7, 5]], "u1"), nodata=255)))
    assert (found.both, found.only_b, found.differing, found.mean) == (2, 1, 1, -2)


def test_tallies_of_tiles_add_up():
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 101, (2, 20, 30)).astype("u1")
    whole = tally(a, b, "IMD_now")
    parts = tally(a[:7], b[:7], "IMD_now") + tally(a[7:], b[7:], "IMD_now")
    for name in ("pixels", "both", "differing", "mean", "rms", "largest", "mean_absolute"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name))
    assert np.array_equal(parts.pairs, whole.pairs)


def test_the_common_ground_of_two_windows():
    rng = np.random.default_rng(4)
    whole = rng.integers(0, 101, (50, 60)).astype("u1")
    other = rng.integers(0, 101, (50, 60)).astype("u1")
    a = raster(whole[:40, :45], "IMD_now")
    b = raster(other[10:, 20:], "IMD_now", left=LEFT + 200, top=TOP - 100)
    found = pair(a, b)
    assert found.ground.grid.shape == (30, 25)
    assert tuple(found.ground.grid.boundingbox) == (LEFT + 200, TOP - 400, LEFT + 450, TOP - 100)
    assert "compared is what both cover" in found.ground.note
    expected = tally(whole[10:40, 20:45], other[10:40, 20:45], "IMD_now")
    assert np.array_equal(compare(found).pairs, expected.pairs)
    back = compare(pair(b, a))
    assert np.array_equal(back.pairs, expected.pairs.T)
    assert back.mean == pytest.approx(-expected.mean)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"metres": 20}, "have different pixels"),
        ({"crs": "EPSG:32632"}, "have different pixels"),
        ({"left": LEFT + 5}, "are not aligned"),
        ({"left": LEFT + 10_000}, "share no ground"),
    ],
)
def test_maps_that_cannot_be_compared(how, words):
    array = np.zeros((4, 4), "u1")
    with pytest.raises(InputError, match=words):
        common_ground(raster(array, name="one.tif"), raster(array, **how, name="two.tif"))


def test_a_truth_judges_both(tmp_path):
    """Against `layers.statistics.scores`, on the pixels that all three have."""
    rng = np.random.default_rng(5)
    real, a, b = rng.integers(0, 101, (3, 30, 20)).astype("u1")
    real[0], a[1], b[2] = 255, 255, 255
    profile = {"driver": "GTiff", "width": 20, "height": 30, "count": 1, "dtype": "uint8", "crs": "EPSG:3035", "nodata": 255}
    with rasterio.open(tmp_path / "truth_imd_now.tif", "w", **profile, transform=Affine(10, 0, LEFT, 0, -10, TOP)) as out:
        out.write(real, 1)
    found = compare(pair(raster(a, "IMD_now"), raster(b, "IMD_now")), Truth.find(tmp_path))
    known = (real < 255) & (a < 255) & (b < 255)
    for score, array in zip(found.scores(), (a, b), strict=True):
        predicted, truth = array[known].astype("f8"), real[known].astype("f8")
        expected = density_scores(density_sums(predicted, truth, np.zeros(known.sum(), int), 1)[0])
        assert score["pixels"] == known.sum()
        assert (score["mae"], score["rmse"], score["bias"]) == pytest.approx(
            tuple(float(expected[k]) for k in ("mae", "rmse", "bias"))
        )
        cases = [(1, 1), (1, 0), (0, 1), (0, 0)]  # predicted, true
        matrix = np.array([(((predicted >= 1) == p) & ((truth >= 1) == t)).sum() for p, t in cases])
        assert score["f1"] == pytest.approx(float(mask_scores(matrix)["f1"]))
        assert score["accuracy"] == pytest.approx(((truth >= 1) == (predicted >= 1)).mean())
    assert compare(pair(raster(a, "IMCC"), raster(b, "IMCC")), Truth.find(tmp_path)).scores() is None


# the picture's pixels -------------------------------------------------------------------------------------------


def test_small_maps_are_drawn_pixel_by_pixel():
    a, b = np.array([[0, 10, 255], [90, 3, 4]], "u1"), np.array([[5, 10, 9], [0, 255, 4]], "u1")
    drawn = thin(pair(raster(a, "IMD_now"), raster(b, "IMD_now")))
    assert drawn.factor == 1
    assert np.array_equal(drawn.a, a)
    assert np.array_equal(drawn.b, b)
    assert drawn.difference.tolist() == [[105, 100, 255], [10, 255, 100]]


@pytest.mark.parametrize("longest", [700, 50, 13])
def test_the_largest_difference_of_a_cell_stays_visible(longest):
    """Against loops over cells, in a map that the factor does not divide, read in several blocks."""
    rng = np.random.default_rng(6)
    a = rng.integers(0, 101, (131, 97)).astype("u1")
    b = np.where(rng.random(a.shape) < 0.02, rng.integers(0, 101, a.shape), a).astype("u1")
    a[rng.random(a.shape) < 0.1] = 255
    drawn = thin(pair(raster(a, "IMD_now"), raster(b, "IMD_now")), longest)
    f = drawn.factor
    assert f == -(-131 // longest)
    assert drawn.difference.shape == (-(-131 // f), -(-97 // f))
    for y, x in np.ndindex(drawn.difference.shape):
        one, two = (m[y * f : (y + 1) * f, x * f : (x + 1) * f].astype(int) for m in (a, b))
        known = (one < 255) & (two < 255)
        change = (two - one)[known]
        if not change.size:
            assert drawn.difference[y, x] == 255
            continue
        assert abs(int(drawn.difference[y, x]) - 100) == np.abs(change).max()
        assert int(drawn.difference[y, x]) - 100 in change


def test_classes_are_the_same_or_not():
    a, b = np.array([[0, 1], [10, 255]], "u1"), np.array([[0, 2], [12, 0]], "u1")
    drawn = thin(pair(raster(a, "IMCC"), raster(b, "IMCC")))
    assert drawn.difference.tolist() == [[100, 200], [200, 255]]
    mask = thin(pair(raster(np.array([[0, 1, 1]], "u1"), "IBU_now"), raster(np.array([[1, 0, 1]], "u1"), "IBU_now")))
    assert mask.difference.tolist() == [[200, 0, 100]]


def test_other_numbers_are_thinned_to_means():
    a = np.arange(24, dtype="f4").reshape(4, 6)
    b = a + 2
    b[0, 0] = np.nan
    drawn = thin(pair(raster(a, "RMSD"), raster(b, "RMSD")), 3)
    assert drawn.a.tolist() == [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]
    assert drawn.difference.tolist() == [[2, 2, 2], [2, 2, 2]]


@pytest.mark.slow
def test_a_whole_tile_takes_the_memory_of_a_block():
    """10 000 x 10 000 pixels, which would be 200 MB of codes alone: counted and drawn within 60 MB."""
    size = 10_000

    def read(shift):
        def pixels(block: Block):
            return ((np.arange(block.y0, block.y1)[:, None] + np.arange(block.x0, block.x1) + shift) % 101).astype("u1")

        return pixels

    grid = Tile("E43N32").geobox(10)
    a, b = (Raster("x", grid, np.dtype("u1"), 255, read(shift), CATALOGUE["IMD_now"]) for shift in (0, 1))
    both = pair(a, b)
    tracemalloc.start()
    found, drawn = compare(both), thin(both)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.both == found.differing == size**2
    last = found.pairs[100, 0]
    assert found.mean == pytest.approx(((size**2 - last) - 100 * last) / size**2)
    assert max(drawn.difference.shape) <= 700
    assert peak < 60e6
