import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imperv.layers.quantiles import weighted_quantile
from imperv.layers.reflectance import ndvi
from imperv.layers.scl import scl_weights

QS = (0.0, 0.01, 0.2, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)


def reference(values, weights, q, nodata):
    """NumPy, one pixel after the other. q as float64: NumPy compares in float32 if both values and q are."""
    result = np.full(values.shape[1:], nodata, dtype=values.dtype)
    for y, x in np.ndindex(result.shape):
        v, w = values[:, y, x], weights[:, y, x].astype(np.int64)
        w = np.where(np.isnan(v) | (v == nodata), 0, w)
        if w.sum():
            v = np.where(w == 0, v[w > 0][0], v)  # NaN would spread, whatever its weight
            result[y, x] = np.quantile(v, np.asarray(q, np.float64), weights=w, method="inverted_cdf")
    return result


def random_case(dtype, seed, shape=(23, 9, 11)):
    rng = np.random.default_rng(seed)
    if dtype == np.float32:
        values = rng.normal(0.2, 0.5, shape).astype(dtype)
        values[rng.random(shape) < 0.1] = np.nan
        values[rng.random(shape) < 0.1] = -0.0
    else:
        values = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, shape).astype(dtype)
        values[:, ::2] //= 997  # ties, and a strip that shares leading bits
    values[rng.random(shape) < 0.1] = 0
    weights = rng.choice([0, 0, 1, 5, 10, 50], shape).astype(np.int16)
    weights[:, 3:4, 4:5] = 0
    return values, weights


def test_by_hand():
    values = np.array([30, 10, 20, 40], dtype=np.uint16).reshape(4, 1, 1)
    weights = np.array([1, 1, 1, 7], dtype=np.int16).reshape(4, 1, 1)
    # Weights up to 10, 20, 30, 40: 1, 2, 3, 10 of 10.
    for q, expected in {0: 10, 0.1: 10, 0.11: 20, 0.2: 20, 0.3: 30, 0.30001: 40, 1: 40}.items():
        assert weighted_quantile(values, weights, q)[0, 0] == expected, q


@pytest.mark.parametrize(
    ("weights", "q"),
    [
        ([6, 1, 93], 0.07),  # 0.07 x 100 is above 7 in float64, but 7 / 100 is not below 0.07
        ([6, 94], 0.07),
        ([54, 1, 45], 0.55),
        ([1028, 1, 1086], 0.4860520094562648),  # here q x total rounds down to 1028, but 1028 / 2115 is below q
    ],
)
def test_the_share_is_compared_as_numpy_does(weights, q):
    values = np.arange(10, 10 + len(weights), dtype=np.uint16).reshape(-1, 1, 1)
    weights = np.array(weights, dtype=np.int16).reshape(-1, 1, 1)
    assert weighted_quantile(values, weights, q)[0, 0] == 11
    assert np.array_equal(weighted_quantile(values, weights, q), reference(values, weights, q, 0))


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        (np.uint16, 0),
        (np.uint16, 65535),
        (np.int16, 0),
        (np.int16, -7),
        (np.int16, -32768),
        (np.float32, 0),
        (np.float32, -7),
        (np.float32, np.nan),
    ],
)
def test_equals_numpy_inverted_cdf(dtype, nodata):
    values, weights = random_case(dtype, 1)
    for q in QS:
        result = weighted_quantile(values, weights, q, nodata=nodata)
        assert result.dtype == dtype
        np.testing.assert_array_equal(result, reference(values, weights, q, nodata))


def test_a_sequence_gives_each_quantile():
    values, weights = random_case(np.uint16, 2)
    together = weighted_quantile(values, weights, QS)
    assert together.shape == (len(QS), 9, 11)
    for k, q in enumerate(QS):
        assert np.array_equal(together[k], weighted_quantile(values, weights, q))
    assert weighted_quantile(values, weights, [0.5]).shape == (1, 9, 11)
    assert weighted_quantile(values, weights, []).shape == (0, 9, 11)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.int64, np.uint64, ">i2"])
def test_every_integer_dtype_of_weights(dtype):
    values, weights = random_case(np.uint16, 3)
    assert np.array_equal(weighted_quantile(values, weights.astype(dtype), 0.2), weighted_quantile(values, weights, 0.2))


@pytest.mark.parametrize("heavy", [400, 32767, 2_000_000])
@pytest.mark.parametrize("values_dtype", [np.uint16, np.float32])
def test_sums_of_heavy_weights_do_not_overflow(heavy, values_dtype):
    rng = np.random.default_rng(4)
    values = rng.integers(1, 5000, (300, 4, 5)).astype(values_dtype)
    weights = rng.integers(heavy // 2, heavy + 1, values.shape)
    for q in (0.2, 0.9, 1.0):
        assert np.array_equal(weighted_quantile(values, weights, q), reference(values, weights, q, 0))


@pytest.mark.parametrize(("dates", "heaviest"), [(1, 65535), (257, 255), (258, 255), (65535, 1), (65536, 1)])
@pytest.mark.parametrize("weights_dtype", [np.uint8, np.uint16])
def test_sums_at_the_edge_of_16_bits(dates, heaviest, weights_dtype):
    heaviest = min(heaviest, np.iinfo(weights_dtype).max)
    values = (
        np.random.default_rng(8).permuted(np.tile(np.arange(1, dates + 1) % 65521 + 1, (3, 1)), axis=1).T.reshape(dates, 1, 3)
    )
    weights = np.full(values.shape, heaviest, weights_dtype)
    for q in (0.0, 0.2, 1.0):
        expected = reference(values, weights, q, 0)
        assert np.array_equal(weighted_quantile(values.astype(np.uint16), weights, q), expected)
        assert np.array_equal(weighted_quantile(values.astype(np.float32), weights, q), expected)


def test_weights_that_would_overflow_are_refused():
    weights = np.full((3, 1, 1), 2**31, dtype=np.int64)
    with pytest.raises(ValueError, match="overflow"):
        weighted_quantile(np.ones((3, 1, 1), np.uint16), weights, 0.5)


def test_many_pixels_cross_strips():
    rng = np.random.default_rng(5)
    values = rng.integers(0, 3000, (7, 40, 999)).astype(np.uint16)
    values[:, 20:] += 40000
    weights = rng.choice([1, 10, 50], values.shape).astype(np.int16)
    pixels = rng.integers(0, values[0].size, 300)
    found = weighted_quantile(values, weights, 0.2).ravel()[pixels]
    sampled = [a.reshape(7, 1, -1)[..., pixels] for a in (values, weights)]
    assert np.array_equal(found, reference(*sampled, 0.2, 0).ravel())


@pytest.mark.parametrize("dates", [1, 3, 400])
@pytest.mark.parametrize("pixels", [1, 63, 64, 65, 200])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_any_number_of_pixels_and_dates(dates, pixels, dtype):
    values, weights = random_case(dtype, dates + pixels, (dates, 1, pixels))
    found = weighted_quantile(values, weights, [0.2, 0.9])
    for x in {0, pixels // 2, pixels - 1}:
        for k, q in enumerate((0.2, 0.9)):
            assert np.array_equal(found[k, :, x : x + 1], reference(values[..., x : x + 1], weights[..., x : x + 1], q, 0))


def test_the_largest_number_is_a_value():
    values = np.full((3, 1, 70), 65535, np.uint16)
    weights = np.ones(values.shape, np.uint8)
    values[0], weights[:, 0, 5] = 7, 0
    assert np.all(np.delete(weighted_quantile(values, weights, 0.9), 5, axis=1) == 65535)
    assert np.all(np.delete(weighted_quantile(values, weights, 0.1), 5, axis=1) == 7)
    assert weighted_quantile(values, weights, 0.9)[0, 5] == 0
    assert np.all(np.delete(weighted_quantile(values[1:], weights[1:], 0.5), 5, axis=1) == 65535)


def test_floats_that_differ_in_the_last_bit_only():
    step = np.float32(2**-24)
    values = (np.array([5, 3, -1, 0, 2, 4, 1]) * step + np.float32(0.5)).astype(np.float32)
    values = np.concatenate([values, -values]).reshape(-1, 1, 1)
    assert len(np.unique(values)) == 14
    for k, expected in enumerate(np.sort(values.ravel())):
        assert weighted_quantile(values, np.full(values.shape, 7), (k + 0.5) / 14)[0, 0] == expected


def test_non_contiguous_and_read_only_input():
    values, weights = random_case(np.uint16, 6)
    expected = weighted_quantile(values, weights, 0.2)
    turned = np.asfortranarray(values)
    turned.flags.writeable = False
    assert np.array_equal(weighted_quantile(turned, np.asfortranarray(weights), 0.2), expected)
    assert np.array_equal(weighted_quantile(values[:, ::2, ::-3], weights[:, ::2, ::-3], 0.2), expected[::2, ::-3])


def test_input_is_not_changed():
    values, weights = random_case(np.float32, 7)
    before = values.copy(), weights.copy()
    weighted_quantile(values, weights, QS)
    np.testing.assert_array_equal(values, before[0])
    assert np.array_equal(weights, before[1])


def test_infinities_are_values():
    values = np.array([-np.inf, 1, np.inf], dtype=np.float32).reshape(3, 1, 1)
    ones = np.ones((3, 1, 1), np.int16)
    assert weighted_quantile(values, ones, [0, 0.5, 1]).ravel().tolist() == [-np.inf, 1, np.inf]


def test_no_weight_gives_no_data():
    values = np.full((2, 1, 1), 7, dtype=np.float32)
    none = np.zeros((2, 1, 1), np.int16)
    assert weighted_quantile(values, none, 0.5)[0, 0] == 0
    assert np.isnan(weighted_quantile(values, none, 0.5, nodata=np.nan)[0, 0])
    assert weighted_quantile(values[:0], none[:0], 0.5, nodata=3)[0, 0] == 3


@given(
    arrays(np.uint16, (6, 1, 3), elements=st.integers(0, 40)),
    arrays(np.uint8, (6, 1, 3), elements=st.integers(0, 5)),
    st.floats(0, 1),
    st.permutations(range(6)),
)
def test_order_of_dates_does_not_matter_and_the_definition_holds(values, weights, q, order):
    result = weighted_quantile(values, weights, q)
    assert np.array_equal(weighted_quantile(values[order], weights[order], q), result)
    for x in range(3):
        w = np.where(values[:, 0, x] == 0, 0, weights[:, 0, x]).astype(float)
        found = result[0, x]
        if w.sum() == 0:
            assert found == 0
            continue
        assert found in values[w > 0, 0, x]
        assert w[values[:, 0, x] <= found].sum() / w.sum() >= q
        below = w[values[:, 0, x] < found].sum()
        assert below == 0 or below / w.sum() < q


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": np.ones((2, 2), np.uint16)}, "shape"),
        ({"weights": np.ones((2, 2, 1), np.int16)}, "shape"),
        ({"values": np.ones((2, 2, 2), np.float64)}, "values must be"),
        ({"weights": np.ones((2, 2, 2), np.float32)}, "integers"),
        ({"weights": np.array([1, -1] * 4, np.int16).reshape(2, 2, 2)}, "negative"),
        ({"q": 1.1}, "q must be"),
        ({"q": np.nan}, "q must be"),
        ({"q": [[0.1]]}, "q must be"),
        ({"nodata": -1}, "nodata"),
        ({"nodata": np.nan}, "nodata"),
        ({"nodata": 0.5}, "nodata"),
    ],
)
def test_wrong_input_is_refused(change, message):
    call = {"values": np.ones((2, 2, 2), np.uint16), "weights": np.ones((2, 2, 2), np.int16), "q": 0.5, "nodata": 0}
    with pytest.raises(ValueError, match=message):
        weighted_quantile(**{**call, **change})


def test_real_scenes_equal_numpy(flanders):
    weights = scl_weights(flanders.scl)[:, 20:40, 20:45]
    red, nir = flanders.red[:, 20:40, 20:45], flanders.nir[:, 20:40, 20:45]
    assert np.array_equal(weighted_quantile(red, weights, 0.2), reference(red, weights, 0.2, 0))
    index = ndvi(nir, red)
    found = weighted_quantile(index, weights, 0.9, nodata=np.nan)
    np.testing.assert_array_equal(found, reference(index, weights, 0.9, np.nan))
    assert np.nanmin(found) > 0.1
