"""The dark end of clear pixels: exact values on small arrays, and which years are called wrong.

The measured values are those of real and made-up series, see `layers.statistics.dark_end.judge`.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imperv.layers.statistics.dark_end import DarkEnd, dark_end, judge


def test_the_dark_end_is_the_first_percentile_of_clear_pixels():
    values = np.arange(1, 401, dtype="uint16").reshape(20, 20) * 10
    scl = np.full((20, 20), 4, "uint8")
    scl[:10] = 9
    assert dark_end((values, values + 500), scl, 0) == pytest.approx(2010 + 0.01 * (4000 - 2010))
    assert dark_end((values + 500, values), scl, 1000) == pytest.approx(1010 + 0.01 * (4000 - 2010))


def test_little_to_see_says_nothing():
    values = np.arange(1, 401, dtype="uint16").reshape(20, 20) * 10
    scl = np.full((20, 20), 8, "uint8")
    assert dark_end((values,), scl, 0) is None
    scl[0] = 5
    assert dark_end((values,), scl, 0) is None
    assert dark_end((np.zeros_like(values),), np.full_like(scl, 4), 0) is None
    assert dark_end((np.full_like(values, 1006),), np.full_like(scl, 4), 0) is None


def year(*values: float, subtract: int = 0, kind: str = "") -> list[DarkEnd]:
    return [DarkEnd(f"s{subtract}{kind}{k}", subtract, v, kind) for k, v in enumerate(values)]


RIGHT = (1, 63, 196, 245, 280, 434, 710, 960)


def shifted(by: float) -> tuple[float, ...]:
    return tuple(v + by for v in RIGHT)


def test_right_decisions_pass():
    for found in (year(*RIGHT), year(*RIGHT, subtract=1000), year(*RIGHT) + year(*RIGHT, subtract=1000)):
        assert judge(found).odd == ()
    assert judge([]).medians == {}
    assert judge(year(*RIGHT, 2484)).odd == ()  # a missed cloud
    assert judge(year(*RIGHT) + year(2484, kind="other")).odd == ()


@pytest.mark.parametrize("others", [[], year(*RIGHT), year(*RIGHT, subtract=1000)])
def test_a_doubled_subtraction_is_found(others):
    wrong = year(*shifted(-1000)[:6], subtract=1000, kind="flag")
    assert set(judge(others + wrong).odd) == {e.scene for e in wrong}


@pytest.mark.parametrize("others", [[], year(*RIGHT, subtract=1000), year(*RIGHT, *RIGHT)])
def test_a_forgotten_subtraction_is_found(others):
    wrong = year(*shifted(1000), kind="flag")
    assert set(judge(others + wrong).odd) == {e.scene for e in wrong}


def test_a_step_between_groups_is_found():
    """Neither group is impossible by itself; together they are."""
    verdict = judge(year(*(v + 650 for v in (150, 200, 250, 280, 290))) + year(120, 160, 200, subtract=1000))
    assert set(verdict.odd) == {"s10000", "s10001", "s10002"} and "without and" in verdict.reason


@given(st.lists(st.floats(1, 700), min_size=3, max_size=20), st.lists(st.floats(1, 700), min_size=3, max_size=20))
def test_seasons_are_no_step(a, b):
    if abs(np.median(a) - np.median(b)) <= 600:
        assert judge(year(*a) + year(*b, subtract=1000)).odd == ()
