"""Expected is what the modules that define the statistics give one after the other; their own tests compare them with NumPy."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imperv.layers import yearly
from imperv.layers.harmonics import fit_harmonics
from imperv.layers.quantiles import weighted_quantile
from imperv.layers.reflectance import ndvi
from imperv.layers.yearly import yearly_ndvi, yearly_quantile

SCL = np.array([0, 1, 5, 10, 50], np.uint8)


def case(seed, dates, columns, rows=3, weights=SCL):
    """Bands with zeros, weights with clouds, a pixel with no weight, one with one date, one with no red, and bright ones."""
    rng = np.random.default_rng(seed)
    shape = (rows, dates, columns)
    red, nir = rng.integers(0, 4000, shape).astype(np.uint16), rng.integers(0, 6000, shape).astype(np.uint16)
    for band in (red, nir):
        band[rng.random(shape) < 0.1] = 0
        band[rng.random(shape) < 0.02] = 65535
    red_weights, nir_weights = rng.choice(weights, shape), rng.choice(weights, shape)
    red_weights[0, :, columns // 2] = 0
    nir_weights[-1, 1:, columns - 1] = 0
    red[1, :, 0] = 0
    return red, nir, red_weights, nir_weights, rng.permutation(rng.random(dates))


def one_after_the_other(red, nir, red_weights, nir_weights, time, q_band=0.2, q_ndvi=0.9, clear=50, degree=3):
    red, nir, red_weights, nir_weights = (a.swapaxes(0, 1) for a in (red, nir, red_weights, nir_weights))
    index = ndvi(nir, red)
    weights = np.minimum(np.where(red > 0, red_weights, 0), np.where(nir > 0, nir_weights, 0))
    return {
        "red": weighted_quantile(red, red_weights, q_band),
        "nir": weighted_quantile(nir, nir_weights, q_band),
        "ndvi": weighted_quantile(index, weights, q_ndvi, nodata=np.nan),
        "harmonics": fit_harmonics(index, weights, time, degree),
        "observations": np.count_nonzero(weights >= clear, axis=0).astype(np.uint16),
    }


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize("dates", [1, 3, 60, 400])
@pytest.mark.parametrize("columns", [1, 63, 64, 65, 200])
def test_equals_one_after_the_other(dates, columns):
    block = case(dates + columns, dates, columns)
    expected = one_after_the_other(*block)
    assert_same(asdict(yearly_ndvi(*block)), expected)
    np.testing.assert_array_equal(yearly_quantile(block[0], block[2], 0.2), expected["red"])
    np.testing.assert_array_equal(yearly_quantile(block[1], block[3], 0.2), expected["nir"])


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 70),
    st.floats(0, 1), st.floats(0, 1), st.integers(0, 255), st.integers(0, 5),
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_equals_one_after_the_other_whatever_is_asked(seed, dates, columns, q_band, q_ndvi, clear, degree):
    block = case(seed, dates, columns, rows=2)
    asked = {"reflectance_quantile": q_band, "ndvi_quantile": q_ndvi, "clear_weight": clear, "degree": degree}
    assert_same(asdict(yearly_ndvi(*block, **asked)), one_after_the_other(*block, q_band, q_ndvi, clear, degree))
    np.testing.assert_array_equal(
        yearly_quantile(block[0], block[2], q_ndvi), weighted_quantile(block[0].swapaxes(0, 1), block[2].swapaxes(0, 1), q_ndvi)
    )


@pytest.mark.slow
@pytest.mark.parametrize(("dates", "heaviest"), [(257, 255), (258, 254), (258, 255), (400, 255)])
def test_sums_of_heavy_weights_do_not_overflow(dates, heaviest):
    """65 535 is the largest sum of 16 bits: 257 times 255."""
    block = case(7, dates, 65, weights=np.array([heaviest], np.uint8))
    for band in block[:2]:
        np.maximum(band[..., 1:], 1, out=band[..., 1:])  # data on every date
    expected = one_after_the_other(*block)
    assert_same(asdict(yearly_ndvi(*block)), expected)
    np.testing.assert_array_equal(yearly_quantile(block[0], block[2], 0.2), expected["red"])


def test_by_hand():
    red = np.array([100, 300, 0, 200], np.uint16).reshape(1, 4, 1)
    nir = np.array([300, 300, 900, 0], np.uint16).reshape(1, 4, 1)
    red_weights = np.array([1, 50, 50, 50], np.uint8).reshape(1, 4, 1)
    nir_weights = np.array([10, 49, 50, 50], np.uint8).reshape(1, 4, 1)
    # Red 100, 200 and 300 weigh 1, 50 and 50; nir 300 twice and 900 weigh 10 and 49 and 50; NDVI 0.5 and 0 weigh 1 and 49.
    found = yearly_ndvi(red, nir, red_weights, nir_weights, np.array([0.1, 0.2, 0.3, 0.4]), clear_weight=49)
    assert (found.red, found.nir, found.ndvi, found.observations) == (200, 300, 0, 1)
    np.testing.assert_allclose(found.harmonics.ravel(), [0.01, 0, 0, 0, 0, 0, 0], atol=1e-8)
    assert yearly_quantile(red, red_weights, 0)[0, 0] == 100
    assert yearly_quantile(red, red_weights, 1)[0, 0] == 300
    assert yearly_quantile(red, red_weights * 0, 1)[0, 0] == 0


def test_both_bands_may_share_their_weights():
    red, nir, weights, _, time = case(8, 20, 70)
    assert_same(asdict(yearly_ndvi(red, nir, weights, weights, time)), one_after_the_other(red, nir, weights, weights, time))


def test_threads_on_rows_give_the_whole():
    *stacks, time = case(9, 30, 130, rows=40)
    whole = asdict(yearly_ndvi(*stacks, time))
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda first: asdict(yearly_ndvi(*(a[first : first + 7] for a in stacks), time)), range(0, 40, 7)))
    for name, array in whole.items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts], axis=-2), array)


@pytest.mark.parametrize("name", ["_reduce", "_reduce_and_fit"])
def test_the_gil_is_released(name):
    assert getattr(yearly, name).targetoptions["nogil"]


def test_input_of_any_layout_is_read_and_not_changed():
    *stacks, time = case(10, 9, 70)
    before = [a.copy() for a in stacks]
    expected = yearly_ndvi(*stacks, time)
    for odd in ([np.asfortranarray(a) for a in stacks], [np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape) for a in stacks]):
        assert_same(asdict(yearly_ndvi(*odd, time)), asdict(expected))
        np.testing.assert_array_equal(yearly_quantile(odd[0], odd[2], 0.2), expected.red)
    turned = yearly_ndvi(*(a[::-1, :, ::2] for a in stacks), time)
    np.testing.assert_array_equal(turned.harmonics, expected.harmonics[:, ::-1, ::2])
    for a, b in zip(stacks, before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0), (2, 0, 70)])
def test_nothing_gives_no_data(shape):
    bands, weights = np.ones(shape, np.uint16), np.ones(shape, np.uint8)
    found = yearly_ndvi(bands, bands, weights, weights, np.zeros(shape[1]), degree=2)
    plane = (shape[0], shape[2])
    assert found.harmonics.shape == (5, *plane)
    assert found.red.shape == found.nir.shape == found.ndvi.shape == found.observations.shape == plane
    assert not (found.red.any() or found.nir.any() or found.observations.any())
    assert np.isnan(found.ndvi).all()
    assert np.isnan(found.harmonics).all()
    np.testing.assert_array_equal(yearly_quantile(bands, weights, 0.5), np.zeros(plane, np.uint16))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"red": np.ones((2, 3), np.uint16)}, "red and nir must have one shape"),
        ({"nir": np.ones((2, 3, 5), np.uint16)}, "one shape"),
        ({"red": np.ones((2, 3, 4), np.int16)}, "red must be uint16"),
        ({"nir": np.ones((2, 3, 4), np.float32)}, "nir must be uint16"),
        ({"red_weights": np.ones((2, 4, 3), np.uint8)}, "red_weights .* must have the shape"),
        ({"nir_weights": np.ones((2, 3, 4), np.int16)}, "nir_weights must be uint8"),
        ({"time": np.zeros(2)}, "one date"),
        ({"time": np.array([0, np.nan, 0])}, "finite"),
        ({"reflectance_quantile": 1.1}, "q must be"),
        ({"ndvi_quantile": np.nan}, "q must be"),
        ({"clear_weight": 256}, "clear_weight"),
        ({"clear_weight": -1}, "clear_weight"),
        ({"degree": 6}, "degree"),
    ],
)
def test_wrong_input_is_refused(change, message):
    bands, weights = np.ones((2, 3, 4), np.uint16), np.ones((2, 3, 4), np.uint8)
    call = {"red": bands, "nir": bands, "red_weights": weights, "nir_weights": weights, "time": np.zeros(3)}
    with pytest.raises(ValueError, match=message):
        yearly_ndvi(**{**call, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": np.ones((2, 3), np.uint16)}, "values must have one shape"),
        ({"values": np.ones((2, 3, 4), np.int16)}, "values must be uint16"),
        ({"weights": np.ones((2, 3, 5), np.uint8)}, "weights .* must have the shape"),
        ({"weights": np.ones((2, 3, 4), np.int16)}, "weights must be uint8"),
        ({"q": -0.1}, "q must be"),
        ({"q": [0.2, 0.9]}, "one number"),
    ],
)
def test_wrong_input_of_a_quantile_is_refused(change, message):
    call = {"values": np.ones((2, 3, 4), np.uint16), "weights": np.ones((2, 3, 4), np.uint8), "q": 0.5}
    with pytest.raises(ValueError, match=message):
        yearly_quantile(**{**call, **change})


@pytest.mark.slow
def test_processors_without_wide_registers_compute_the_same_bits(tmp_path):
    """And a second process finds the code of the first."""
    block = case(11, 40, 130)
    np.savez(tmp_path / "block.npz", *block)
    code = (
        "import sys, numpy as np\n"
        "from dataclasses import asdict\n"
        "from imperv.layers import yearly\n"
        "block = np.load(sys.argv[1])\n"
        "found = yearly.yearly_ndvi(*(block[name] for name in block.files))\n"
        "np.savez(sys.argv[2], **asdict(found))\n"
        "print(len(yearly._reduce_and_fit.stats.cache_hits), len(yearly._reduce_and_fit.stats.cache_misses))\n"
    )
    narrow = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path / "compiled")}
    for hits_and_misses in ("0 1", "1 0"):
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "block.npz", tmp_path / "found.npz"],
            cwd=Path(__file__).parents[2], env={**os.environ, **narrow}, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == hits_and_misses
        assert_same(dict(np.load(tmp_path / "found.npz")), asdict(yearly_ndvi(*block)))
