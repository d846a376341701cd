import operator
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numba import njit
from numba.core.errors import TypingError

from imperv.layers.kernels import lanes
from imperv.layers.kernels.lanes import (
    bits,
    convert,
    fused,
    interleave,
    largest,
    load,
    pairs,
    prefetch,
    repeat,
    root,
    scratch,
    select,
    smallest,
    spread,
    store,
    widened,
)

NUMBERS = [np.uint8, np.uint16, np.uint32, np.float32, np.float64]
SIGNS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]
LANES = 16


def numbers(dtype, seed):
    """Two vectors with equal and extreme numbers in them; floats with NaN, infinities and zeros of both signs."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "u":
        a, b = (rng.integers(0, np.iinfo(dtype).max + 1, LANES, dtype) for _ in range(2))
        a[:3], b[:3] = [0, np.iinfo(dtype).max, 1], [0, np.iinfo(dtype).max, np.iinfo(dtype).max]
    else:
        a, b = (rng.normal(0, 10, LANES).astype(dtype) for _ in range(2))
        a[:6], b[:6] = [np.nan, np.nan, 1, np.inf, 0.0, 3], [np.nan, 1, np.nan, np.inf, -0.0, 3]
    return a, b


@njit
def calculate(a, b, out):
    x, y = load(a, 0, 16), load(b, 0, 16)
    store(out, 0, x + y)
    store(out, 16, x - y)
    store(out, 32, x * y)


@njit
def divide(a, b, out):
    store(out, 0, load(a, 0, 16) / load(b, 0, 16))


@njit
def combine(a, b, out):
    x, y = load(a, 0, 16), load(b, 0, 16)
    store(out, 0, x & y)
    store(out, 16, x | y)
    store(out, 32, x ^ y)
    store(out, 48, x >> spread(a.dtype.type(3), 16))


@njit
def compare(a, b, out):
    x, y = load(a, 0, 16), load(b, 0, 16)
    one, none = spread(a.dtype.type(1), 16), spread(a.dtype.type(0), 16)
    store(out, 0, select(x < y, one, none))
    store(out, 16, select(x <= y, one, none))
    store(out, 32, select(x > y, one, none))
    store(out, 48, select(x >= y, one, none))
    store(out, 64, select(x == y, one, none))
    store(out, 80, select(x != y, one, none))
    store(out, 96, select((x > y) & (x != none) | (y == one), one, none))


@pytest.mark.parametrize("dtype", NUMBERS)
def test_arithmetic_is_numpys(dtype):
    a, b = numbers(dtype, 1)
    out = np.empty((3, LANES), dtype)
    calculate(a, b, out)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(out, [a + b, a - b, a * b])
        if np.dtype(dtype).kind == "f":
            divide(a, b, out)
            np.testing.assert_array_equal(out[0], a / b)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_bits_combine_as_numpys(dtype):
    a, b = numbers(dtype, 2)
    out = np.empty((4, LANES), dtype)
    combine(a, b, out)
    np.testing.assert_array_equal(out, [a & b, a | b, a ^ b, a >> 3])


@pytest.mark.parametrize("dtype", NUMBERS)
def test_comparisons_are_numpys(dtype):
    a, b = numbers(dtype, 3)
    out = np.empty((7, LANES), dtype)
    compare(a, b, out)
    np.testing.assert_array_equal(out[:6], [sign(a, b) for sign in SIGNS])
    np.testing.assert_array_equal(out[6], (a > b) & (a != 0) | (b == 1))


@njit
def to_floats(a, single, double):
    vector = load(a, 0, 16)
    store(single, 0, convert(vector, np.float32))
    store(double, 0, convert(vector, np.float64))


@njit
def to_integers(a, short, middle, long):
    vector = load(a, 0, 16)
    store(short, 0, convert(vector, np.uint8))
    store(middle, 0, convert(vector, np.uint16))
    store(long, 0, convert(vector, np.uint32))


@pytest.mark.parametrize("dtype", NUMBERS)
def test_conversions_are_numpys(dtype):
    a = numbers(dtype, 4)[0]
    floats, integers = ([np.empty(LANES, t) for t in kinds] for kinds in (NUMBERS[3:], NUMBERS[:3]))
    to_floats(a, *floats)
    if np.dtype(dtype).kind == "f":
        with pytest.raises(TypingError, match="not turned into integers"):
            to_integers(a, *integers)
        integers = []
    else:
        to_integers(a, *integers)
    for found in floats + integers:
        np.testing.assert_array_equal(found, a.astype(found.dtype))


def test_products_and_sums_are_rounded_one_by_one():
    @njit
    def follow(a, b, c, out):
        store(out, 0, load(a, 0, 8) * load(b, 0, 8) + load(c, 0, 8))

    tiny = 2.0**-30
    out = np.empty(8)
    follow(np.full(8, 1 + tiny), np.full(8, 1 - tiny), np.full(8, -1.0), out)
    assert np.all(out == 0)  # contracted to one operation: -2**-60


def test_what_is_fused_is_rounded_once():
    @njit
    def follow(a, b, c, out):
        store(out, 0, fused(load(a, 0, 8), load(b, 0, 8), load(c, 0, 8)))

    rng = np.random.default_rng(1)
    for _ in range(20):
        a, b, out = rng.standard_normal(8), rng.standard_normal(8), np.empty(8)
        c = -a * b * (1 + rng.integers(-3, 4, 8) * 2.0**-50)
        follow(a, b, c, out)
        exact = [float(Fraction(x) * Fraction(y) + Fraction(z)) for x, y, z in zip(a, b, c, strict=True)]
        np.testing.assert_array_equal(out, exact)
        assert not np.array_equal(out, a * b + c)
    with pytest.raises(TypingError, match="are fused"):
        follow(a.astype("f4"), b, c, out)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_roots_are_rounded_as_numpys(dtype):
    @njit
    def take(a, out):
        store(out, 0, root(load(a, 0, 16)))

    a, out = numbers(dtype, 5)[0], np.empty(LANES, dtype)
    take(a, out)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(out, np.sqrt(a))
    assert np.isnan(out).any()
    assert np.isfinite(out).any()


def test_bit_patterns():
    @njit
    def see(a, out):
        store(out, 0, bits(load(a, 0, 16)))

    a, out = numbers(np.float32, 6)[0], np.empty(LANES, np.uint32)
    see(a, out)
    np.testing.assert_array_equal(out, a.view(np.uint32))


def test_neighbours_become_pairs_and_two_vectors_one():
    @njit
    def pair(a, out):
        store(out, 0, pairs(load(a, 0, 16)))

    @njit
    def mix(a, b, out):
        store(out, 0, interleave(load(a, 0, 8), load(b, 0, 8)))

    a, out = np.arange(240, 256, dtype=np.uint8), np.empty(8, np.uint16)
    pair(a, out)
    np.testing.assert_array_equal(out, a[::2] + 256 * a[1::2].astype(np.uint16))
    mixed = np.empty(16, np.uint16)
    mix(out, out + np.uint16(1), mixed)
    np.testing.assert_array_equal(mixed, np.stack([out, out + 1], axis=1).ravel())


def test_what_is_prefetched_may_lie_outside():
    @njit
    def ask(a, at):
        prefetch(a, at, 64)

    a = np.arange(10, dtype=np.float64)
    for at in (0, 5, 10**12, -(10**12)):
        ask(a, at)
    np.testing.assert_array_equal(a, np.arange(10))


@njit
def extremes(a):
    vector = load(a, 0, 16)
    return smallest(vector), largest(vector), largest(vector > spread(a.dtype.type(7), 16))


@given(arrays(np.uint16, LANES), st.integers(0, LANES - 1))
def test_smallest_and_largest(a, place):
    assert extremes(a) == (a.min(), a.max(), (a > 7).any())
    a = a.astype(np.uint8) % 8
    assert extremes(a) == (a.min(), a.max(), False)
    a[place] = 8 + place
    assert extremes(a) == (a.min(), 8 + place, True)


def test_loads_and_stores_anywhere_touch_nothing_else():
    @njit
    def move(a, start, b, to):
        store(b, to, load(a, start, 8))

    a = np.arange(40, dtype=np.uint16)
    for start, to in ((0, 0), (3, 1), (32, 24), (31, 23)):
        b = np.zeros((4, 8), np.uint16)
        move(a, start, b, to)
        expected = np.zeros(32, np.uint16)
        expected[to : to + 8] = a[start : start + 8]
        np.testing.assert_array_equal(b.ravel(), expected)


def test_one_number_in_every_lane():
    @njit
    def fill(a, out):
        store(out, 0, spread(np.float32(1.5), 8))
        store(out, 8, repeat(a, 2, 8))

    out = np.empty(16, np.float32)
    fill(np.array([3, 4, 5], np.float32), out)
    assert out.tolist() == [1.5] * 8 + [5] * 8


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64])
def test_scratch_begins_with_a_cache_line(dtype):
    @njit
    def make(count, like):
        found = scratch(count, like.dtype)
        found[:] = 1
        return found

    for count in (0, 1, 63, 1000):
        found = make(count, np.empty(0, dtype))
        assert found.ctypes.data % lanes.LINE == 0
        assert (found.shape, found.dtype) == ((count,), dtype)
        assert np.all(found == 1)


def test_what_kernels_take_is_copied_only_where_needed():
    wide = np.arange(3 * 70, dtype=np.uint16).reshape(3, 70)
    assert widened(wide) is wide
    for odd in (wide[:, ::-1], wide[:, :64], np.asfortranarray(wide), np.frombuffer(wide.tobytes(), np.uint16).reshape(3, 70)):
        found = widened(odd)
        assert found.flags.c_contiguous
        assert found.flags.writeable
        np.testing.assert_array_equal(found, odd)
    narrow = widened(wide[:, :5])
    assert narrow.shape == (3, lanes.STRIP)
    np.testing.assert_array_equal(narrow[:, :5], wide[:, :5])
    assert not narrow[:, 5:].any()


def test_what_is_not_the_same_is_not_mixed():
    @njit
    def add(a, b):
        return smallest(load(a, 0, 8) + load(b, 0, 8))

    @njit
    def write(a, b):
        store(b, 0, load(a, 0, 8))

    @njit
    def count(a, n):
        return smallest(load(a, 0, n))

    eight, sixteen = np.ones(8, np.uint8), np.ones(8, np.uint16)
    assert add(eight, eight) == 2
    with pytest.raises(TypingError):
        add(eight, sixteen)
    with pytest.raises(TypingError, match="cannot store"):
        write(eight, sixteen)
    with pytest.raises(TypingError, match="contiguous"):
        write(np.ones(16, np.uint8)[::2], eight)
    with pytest.raises(TypingError, match="contiguous"):
        write(eight, np.frombuffer(b"12345678", np.uint8))
    with pytest.raises(TypingError, match="constant"):
        count(eight, 8)
    with pytest.raises(TypingError, match="not int64"):
        write(np.ones(8, np.int64), np.ones(8, np.int64))


@pytest.mark.slow
def test_compiled_code_is_kept_until_a_module_with_kernels_changes(tmp_path):
    """Also another module than the kernel's own: its code is in there too."""
    room = tmp_path / "layers"
    (room / "kernels").mkdir(parents=True)
    (room / "__init__.py").touch()
    (room / "kernels" / "__init__.py").touch()
    source = Path(lanes.__file__).read_text(encoding="utf-8")
    (room / "kernels" / "lanes.py").write_text(source, encoding="utf-8")
    (room / "copying.py").write_text(
        "import numpy as np\n"
        "from layers.kernels.lanes import kernel, load, store\n\n\n"
        "@kernel\n"
        "def copy(a, b):\n"
        "    store(b, 0, load(a, 0, 8))\n\n\n"
        "a, b = np.arange(8.0), np.empty(8)\n"
        "copy(a, b)\n"
        "assert (a == b).all()\n"
        "print(sum(copy.stats.cache_hits.values()), sum(copy.stats.cache_misses.values()))\n",
        encoding="utf-8",
    )

    def hits_and_misses():
        command = [sys.executable, "-c", "import layers.copying"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        return [int(n) for n in done.stdout.split()]

    assert hits_and_misses() == [0, 1]
    assert hits_and_misses() == [1, 0]
    (room / "kernels" / "lanes.py").write_text(source + "# Changed.\n", encoding="utf-8")
    assert hits_and_misses() == [0, 1]


@pytest.mark.slow
def test_compiled_code_that_names_a_module_which_has_moved_is_forgotten(tmp_path):
    """Types of arguments are kept by the name of their module: after an update in place that ended every run."""
    room = tmp_path / "layers"
    (room / "kernels").mkdir(parents=True)
    (room / "__init__.py").touch()
    (room / "kernels" / "__init__.py").touch()
    shutil.copy(lanes.__file__, room / "kernels" / "lanes.py")
    text = (
        "from layers.{} import Plan\n"
        "from layers.kernels.lanes import kernel\n\n\n"
        "@kernel\n"
        "def first(plan):\n"
        "    return plan.number\n\n\n"
        "assert first(Plan(7)) == 7\n"
        "print(sum(first.stats.cache_hits.values()), sum(first.stats.cache_misses.values()))\n"
    )

    def hits_and_misses(place):
        (room / "using.py").write_text(text.format(place), encoding="utf-8")
        command = [sys.executable, "-c", "import layers.using"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        return [int(n) for n in done.stdout.split()]

    (room / "plans.py").write_text("from typing import NamedTuple\n\n\nclass Plan(NamedTuple):\n    number: int\n")
    assert [hits_and_misses("plans"), hits_and_misses("plans")] == [[0, 1], [1, 0]]
    (room / "plans.py").rename(room / "elsewhere.py")
    assert [hits_and_misses("elsewhere"), hits_and_misses("elsewhere")] == [[0, 1], [1, 0]]
