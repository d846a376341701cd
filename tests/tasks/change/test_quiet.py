"""Which dates count as quiet, what their pairs tell, and that no rate is told which nobody has measured."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from imperv.layers.cva.noise import Noise
from imperv.tasks.change.dates import Windows, read_date
from imperv.tasks.change.quiet import Calibration, calibrate, close_looks, quiet_pairs
from imperv.tasks.errors import InputError
from imperv.tasks.native.finding import find_scenes
from imperv.tasks.native.looks import looks_of
from tests.support.quiet_dates import AROUND, BANDS, FIRST, SECOND
from tests.tasks.change.test_dates import GRID

NOISE = Noise((1.0,) * 4, (0.0,) * 4, tuple(map(tuple, np.eye(4))), 0.01, 5.0, 2.8, 1000)
DAYS = [dt.date.fromisoformat(day) for day in AROUND]


@pytest.fixture(scope="module")
def looks(items):
    return looks_of(find_scenes(items, bands=(*BANDS, "SCL"), optional=()))


def test_between_the_dates_nothing_is_quiet_but_what_is_very_close(looks):
    first, second = dt.date.fromisoformat(FIRST), dt.date.fromisoformat(SECOND)
    assert [look.day for look in close_looks(looks, first, second, 20)] == [DAYS[2], DAYS[1], DAYS[0]]
    assert [look.day for look in close_looks(looks, second, first, 6)] == [DAYS[3], DAYS[4]]
    # Of dates ten days apart: only what lies outside, and one day between them.
    assert [look.day for look in close_looks(looks, DAYS[0], DAYS[2], 20)] == [DAYS[0]]


def pairs_of(looks, gap: int = 12):
    windows = Windows.of(GRID)
    first, second = dt.date.fromisoformat(FIRST), dt.date.fromisoformat(SECOND)
    found = []
    for day, other in ((first, second), (second, first)):
        near = close_looks(looks, day, other, 20)
        found += quiet_pairs(near, windows, lambda look: [read_date(look, BANDS, GRID, 4)], gap, {})[0]
    return found


def test_successive_dates_are_pairs(looks):
    assert [(p.first, p.second) for p, _ in pairs_of(looks)] == [
        (AROUND[0], AROUND[1]), (AROUND[1], FIRST), (SECOND, AROUND[4]), (AROUND[4], AROUND[5]),
    ]  # fmt: skip
    assert pairs_of(looks, gap=4) == []


def test_the_threshold_of_quiet_pairs_has_both_rates(looks):
    """Noise is normal here: the threshold is about that of the chi-squared distribution, and the rate is measured."""
    pairs = pairs_of(looks)
    found = calibrate(NOISE, 1e-3, "auto", pairs)
    assert found.method == "quiet" and "share no date" in found.held_out
    assert found.threshold == pytest.approx(found.thresholds["chi-squared"], rel=0.15)
    assert found.measured["quiet"].value == pytest.approx(1e-3, rel=0.6)
    assert found.measured["quiet"].low <= found.measured["quiet"].value <= found.measured["quiet"].high
    assert Calibration.from_json(found.to_json()) == found


def test_without_quiet_pairs_no_rate_is_told():
    found = calibrate(NOISE, 1e-4, "auto", [])
    assert (found.method, found.measured) == ("student", {})
    with pytest.raises(InputError, match="threshold: no quiet pair of dates"):
        calibrate(NOISE, 1e-4, "quiet", [])
