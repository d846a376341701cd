from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imperv.layers.aggregation import aggregate_fraction, aggregate_max, aggregate_mean, aggregate_mean_change, aggregate_values

FUNCTIONS = [aggregate_mean, aggregate_mean_change, aggregate_max, aggregate_fraction]


def block(*values):
    return np.array(values, dtype=np.uint8).reshape(2, 2)


@pytest.mark.parametrize(
    ("values", "mean", "highest"),
    [
        ((0, 0, 0, 1), 0, 1),
        ((0, 0, 1, 1), 1, 1),
        ((1, 2, 255, 255), 2, 2),
        ((0, 1, 1, 255), 1, 1),
        ((100, 99, 99, 100), 100, 100),
        ((255, 255, 255, 7), 7, 7),
        ((254, 254, 254, 254), 254, 254),
        ((255, 255, 255, 255), 255, 255),
    ],
)
def test_mean_and_maximum_by_hand(values, mean, highest):
    assert aggregate_mean(block(*values), 2).tolist() == [[mean]]
    assert aggregate_max(block(*values), 2).tolist() == [[highest]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((201, 201, 201, 201), 201),
        ((201, 201, 201, 255), 201),
        ((201, 201, 201, 100), 100),
        ((201, 201, 201, 200), 125),
        ((0, 201, 255, 255), 50),
        ((100, 101, 255, 255), 101),
        ((99, 100, 255, 255), 100),
        ((255, 255, 255, 255), 255),
    ],
)
def test_mean_change_by_hand(values, expected):
    assert aggregate_mean_change(block(*values), 2).tolist() == [[expected]]


def test_codes_that_are_no_change_are_refused():
    with pytest.raises(ValueError, match="1 pixels hold codes above 201"):
        aggregate_mean_change(block(100, 202, 255, 0), 2)
    with pytest.raises(ValueError, match="codes above 201"):
        aggregate_mean_change(block(100, 255, 0, 0), 2, nodata=0)


def test_fraction_by_hand():
    mask = np.array([[1, 0, 255, 255], [1, 255, 255, 255]], dtype=np.uint8)
    fraction = aggregate_fraction(mask, 2)
    assert fraction.dtype == np.float32
    np.testing.assert_array_equal(fraction, np.float32([[2 / 3, np.nan]]))


def test_another_nodata():
    a = block(0, 0, 4, 7)
    assert aggregate_mean(a, 2, nodata=0).tolist() == [[6]]
    assert aggregate_mean(np.zeros((2, 2), np.uint8), 2, nodata=0).tolist() == [[0]]
    assert aggregate_max(block(9, 9, 4, 9), 2, nodata=9).tolist() == [[4]]


@pytest.mark.parametrize("factor", [1, 2, 5, 10])
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1))
def test_equals_masked_arrays(factor, seed, share):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 202, (20, 30)).astype(np.uint8)
    a[rng.random(a.shape) < share] = 255
    blocks = np.ma.masked_equal(a, 255).reshape(20 // factor, factor, 30 // factor, factor).astype(np.int64)
    total, count = blocks.sum(axis=(1, 3)).filled(0), blocks.count(axis=(1, 3))
    mean = np.where(count, np.floor(total / np.maximum(count, 1) + 0.5), 255)
    assert np.array_equal(aggregate_mean(a, factor), mean)
    assert np.array_equal(aggregate_max(a, factor), blocks.max(axis=(1, 3)).filled(255))
    np.testing.assert_allclose(aggregate_fraction(a, factor), np.where(count, total / np.maximum(count, 1), np.nan), rtol=1e-6)


@given(arrays(np.uint8, (4, 6), elements=st.sampled_from([*range(0, 202, 7), 201, 201, 255])))
def test_mean_change_is_the_mean_with_201_as_100(a):
    found = aggregate_mean_change(a, 2)
    plain = aggregate_mean(np.where(a == 201, 100, a).astype(np.uint8), 2)
    blocks = a.reshape(2, 2, 3, 2).transpose(0, 2, 1, 3).reshape(2, 3, 4)
    only_201 = np.all(np.isin(blocks, (201, 255)), axis=2) & np.any(blocks == 201, axis=2)
    assert np.array_equal(found, np.where(only_201, 201, plain))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_wrong_input_is_refused(function):
    a = np.zeros((4, 6), np.uint8)
    with pytest.raises(ValueError, match="blocks of 4 x 4"):
        function(a, 4)
    with pytest.raises(ValueError, match="blocks of 0 x 0"):
        function(a, 0)
    with pytest.raises(ValueError, match="uint8"):
        function(a.astype(np.int16), 2)
    with pytest.raises(ValueError, match="nodata"):
        function(a, 2, nodata=256)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_strides_and_read_only(function):
    a = np.random.default_rng(1).integers(0, 201, (24, 36)).astype(np.uint8)
    view = np.asfortranarray(a)[::-2, ::3]
    view.flags.writeable = False
    assert np.array_equal(function(view, 2), function(np.ascontiguousarray(view), 2))


def gdal_aggregate(gdal, a, factor, algorithm, dtype):
    source = gdal.GetDriverByName("MEM").Create("", a.shape[1], a.shape[0], 1, dtype)
    source.SetGeoTransform((4300000, 10, 0, 3300000, 0, -10))
    source.GetRasterBand(1).WriteArray(a)
    source.GetRasterBand(1).SetNoDataValue(255)
    result = gdal.Warp("", source, format="MEM", xRes=10 * factor, yRes=10 * factor, resampleAlg=algorithm)
    return result.ReadAsArray()


@pytest.mark.parametrize("factor", [2, 10])
def test_equals_gdal(factor, shared_data):
    gdal = pytest.importorskip("osgeo.gdal")
    gdal.UseExceptions()
    rng = np.random.default_rng(2)
    noise = rng.integers(0, 101, (200, 300)).astype(np.uint8)
    noise[rng.random(noise.shape) < 0.3] = 255
    noise[:40, :60] = 255
    real = gdal.Open(str(shared_data / "flanders" / "reference" / "imd_then.tif")).ReadAsArray()[:70, :70]
    for a in (noise, real):
        assert np.array_equal(aggregate_max(a, factor), gdal_aggregate(gdal, a, factor, "max", gdal.GDT_Byte))
        # As float32, because GDAL rounds bytes its own way.
        mean = gdal_aggregate(gdal, a.astype(np.float32), factor, "average", gdal.GDT_Float32)
        np.testing.assert_allclose(np.nan_to_num(aggregate_fraction(a, factor), nan=255), mean, rtol=1e-5)
        assert np.array_equal(aggregate_mean(a, factor), np.floor(mean.astype(np.float64) + 0.5 + 1e-4))


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint16", 0), ("int16", -9999), ("float32", np.nan), ("uint8", 0), ("uint16", 65535)]
)
def test_quantities_of_any_type(dtype, nodata):
    """Against a loop over blocks with fractions, halves rounded up."""
    rng = np.random.default_rng(3)
    a = rng.integers(1, 200, (2, 12, 9)).astype(dtype)
    a[rng.random(a.shape) < 0.4] = nodata
    a[:, :3, :3] = nodata
    found = aggregate_values(a, 3, nodata)
    assert found.dtype == a.dtype and found.shape == (2, 4, 3)
    for band, y, x in np.ndindex(found.shape):
        some = [v for v in a[band, 3 * y : 3 * y + 3, 3 * x : 3 * x + 3].ravel().tolist() if v == v and v != nodata]
        expected = sum(map(Fraction, some)) / len(some) if some else nodata
        if some and a.dtype.kind != "f":
            expected = (2 * expected + 1) // 2
        np.testing.assert_allclose(found[band, y, x], float(expected), rtol=1e-6)
    if a.dtype == "uint8":
        assert np.array_equal(aggregate_values(a[0], 3, 0), aggregate_mean(a[0], 3, 0))
    with pytest.raises(ValueError, match="cannot be cut into blocks of 5 x 5"):
        aggregate_values(a, 5, nodata)
