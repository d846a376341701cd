"""Series of crops: steps of a calendar, gaps, indices, variants."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imperv.layers.crops.series import FEWEST_LOOKS, Calendar, Variation, features_of, fill_gaps, index_bands, to_steps
from tests.support.crops import BANDS


def test_decades_and_months_of_a_season():
    decades = Calendar("decades", 51)
    days = decades.days(dt.date(2022, 9, 1))
    assert [str(d) for d in (days[0], days[1], days[3], days[50], days[51])] == [
        "2022-09-01", "2022-09-11", "2022-10-01", "2024-01-21", "2024-02-01",
    ]  # fmt: skip
    assert decades.names[:4] == ("09-01", "09-11", "09-21", "10-01") and len(decades.names) == 51
    assert Calendar("months", 12, 1).names == tuple(f"{m:02d}-01" for m in range(1, 13))
    assert str(Calendar("months", 12)) == "12 months from September"


@pytest.mark.parametrize(
    ("day", "start"), [("2022-09-01", "2022-09-01"), ("2022-08-31", "2021-09-01"), ("2023-01-15", "2022-09-01")]
)
def test_the_season_of_a_day(day, start):
    assert str(Calendar("months", 12).start_before(dt.date.fromisoformat(day))) == start


def test_steps_are_the_medians_of_their_clear_looks_as_pandas_computes_them():
    rng = np.random.default_rng(1)
    days = np.sort(rng.choice(np.arange("2017-08-20", "2018-10-01", dtype="M8[D]"), 90, replace=False))
    looks = rng.random((90, 3)).astype("f4")
    looks[rng.random(90) < 0.4, 1] = np.nan
    edges = np.array(Calendar("months", 12).days(dt.date(2017, 9, 1)), "M8[D]")
    frame = pd.DataFrame(looks, index=pd.to_datetime(days)).dropna()
    expected = frame.loc["2017-09-01":"2018-08-31"].resample("MS").median()
    expected = expected.reindex(pd.date_range("2017-09-01", "2018-08-01", freq="MS"))
    assert np.allclose(to_steps(looks, days, edges), expected.to_numpy(), equal_nan=True)
    several = np.stack([looks, np.roll(looks, 7, axis=0), np.full_like(looks, np.nan)])
    alone = np.stack([to_steps(one, days, edges) for one in several])
    assert np.array_equal(to_steps(several, days, edges), alone, equal_nan=True) and np.isnan(alone[2]).all()


@given(st.lists(st.booleans(), min_size=2, max_size=20).filter(any), st.integers(0, 99))
def test_gaps_are_straight_lines_as_numpy_draws_them(seen, seed):
    seen, axis = np.array(seen), np.arange(len(seen))
    values = np.random.default_rng(seed).random((1, len(seen), 2)).astype("f4")
    filled = fill_gaps(values, seen[None])
    for band in range(2):
        assert np.allclose(filled[0, :, band], np.interp(axis, axis[seen], values[0, seen, band]), atol=1e-6)


def test_indices_of_the_bands_that_are_there():
    values = np.array([[[0.04, 0.08, 0.06, 0.12, 0.3, 0.38, 0.4, 0.2, 0.1]]], "f4")
    assert list(index_bands(BANDS)) == ["NDVI", "NDRE", "NDMI", "NDWI"]  # B8A stands for B08
    features = features_of(values, BANDS)[0, 0]
    assert np.allclose(features[:9], values[0, 0])
    assert np.allclose(features[9:], [0.34 / 0.461, 0.26 / 0.501, 0.2 / 0.601, -0.32 / 0.481], atol=1e-6)
    assert list(index_bands(("B04", "B08"))) == ["NDVI"] and index_bands(("band 1", "band 2")) == {}


def test_variants_keep_looks_and_move_in_time():
    rng = np.random.default_rng(2)
    values = (0.1 + 0.01 * np.arange(30)[None, :, None] + np.zeros((500, 1, 2))).astype("f4")
    seen = rng.random((500, 30)) < 0.6
    varied, kept = Variation(brightness=0, noise=0)(values, seen, np.random.default_rng(3))
    assert (kept.sum(axis=1) >= FEWEST_LOOKS - 1).all() and 0.7 < kept.sum() / seen.sum() < 0.95
    moved = np.rint((varied[:, 15, 0] - values[:, 15, 0]) / 0.01)
    assert set(moved) == {-1, 0, 1} and varied.dtype == np.float32
    same, kept = Variation(lost=0, shift=0, brightness=0, noise=0)(values, seen, rng)
    assert np.array_equal(same, values) and np.array_equal(kept, seen)
