"""Periods: calendar years and any other twelve months, how they are written, named and dated."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from imperv.tasks.settings.periods import (
    OneMonth,
    OneSpan,
    OneYear,
    Period,
    TwelveMonths,
    TwoDates,
    pair_label,
    periods_of,
    year_fraction,
)


@pytest.mark.parametrize("text", ["2018", 2018, " 2018 ", "2018-01-01/2018-12-31"])
def test_a_calendar_year(text):
    period = Period.parse(text)
    assert (period.start, period.end) == (dt.date(2018, 1, 1), dt.date(2018, 12, 31))
    assert period.is_calendar_year
    assert (period.label, str(period), period.year) == ("2018", "2018", 2018)
    assert period == Period.parse("2018")


def test_twelve_months_across_new_year():
    period = Period.parse("2017-08-01/2018-07-31")
    assert (period.start, period.end) == (dt.date(2017, 8, 1), dt.date(2018, 7, 31))
    assert not period.is_calendar_year
    assert (period.label, str(period)) == ("2017-08-01_2018-07-31", "2017-08-01/2018-07-31")
    assert Period.parse(str(period)) == period
    assert Period.parse(period) is period


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("2020", 366),
        ("2019-03-01/2020-02-29", 366),
        ("2019-02-01/2020-01-31", 365),
        ("2020-02-29/2021-02-28", 366),
        ("2020-03-01/2021-02-28", 365),
        ("2023-12-01/2024-11-30", 366),
    ],
)
def test_leap_years(text, days):
    period = Period.parse(text)
    assert (period.end - period.start).days + 1 == days


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("2017-08-01/2018-07-30", "2018-07-31"),
        ("2017-08-01/2018-08-01", "2018-07-31"),
        ("2019-03-01/2020-02-28", "2020-02-29"),
        ("2020-02-29/2021-03-01", "2021-02-28"),
        ("2018-01-01/2019-12-31", "2018-12-31"),
        ("2018-12-31/2018-01-01", "2019-12-30"),
    ],
)
def test_what_is_not_twelve_months(text, last):
    with pytest.raises(ValueError, match=f"is not twelve months: .* the last day is {last}"):
        Period.twelve_months(text)


@pytest.mark.parametrize(
    "text",
    ["", "18", "20180", "2018-01", "2018-01-01", "2018/2019", "2018-02-30/2019-02-28", "a/b", "2017-08-01/2018-07-31/x",
     None, True, 2018.5, "2018-2019"],
)  # fmt: skip
def test_what_is_no_period(text):
    with pytest.raises(ValueError, match="is not a year like 2018 or a period like 2017-08-01/2018-07-31"):
        Period.twelve_months(text)


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("2017-08-01/2018-07-31", 2018),  # 153 days of 2017
        ("2017-07-02/2018-07-01", 2017),  # 183 of 365
        ("2017-07-03/2018-07-02", 2018),  # 182 of 365
        ("2017-12-01/2018-11-30", 2018),
        ("2017-02-01/2018-01-31", 2017),
    ],
)
def test_the_reference_year_holds_most_of_the_days(text, year):
    assert Period.parse(text).year == year


@given(st.dates(dt.date(1990, 1, 1), dt.date(2060, 12, 31)))
def test_any_first_day_has_one_last_day(first):
    accepted = []
    for days in range(363, 368):
        last = first + dt.timedelta(days=days)
        try:
            accepted.append(Period.twelve_months(f"{first}/{last}"))
        except ValueError:
            continue
    (period,) = accepted
    following = period.end + dt.timedelta(days=1)
    same_day = (following.month, following.day) == (first.month, first.day)
    assert same_day or ((first.month, first.day) == (2, 29) and (following.month, following.day) == (3, 1))
    in_first = (dt.date(first.year, 12, 31) - first).days + 1
    length = (period.end - period.start).days + 1
    assert period.year == (first.year if in_first >= length - in_first else first.year + 1)
    assert Period.parse(str(period)) == period


def test_pairs():
    year, other = Period.parse("2018"), Period.parse("2021")
    assert pair_label(year, other) == "2018-2021"
    assert pair_label(Period.parse("2017-08-01/2018-07-31"), other) == "2017-08-01_2018-07-31__2021"
    assert pair_label(year, Period.parse("2020-12-01/2021-11-30")) == "2018__2020-12-01_2021-11-30"


def test_labels_are_names_of_folders():
    labels = [Period.parse(t).label for t in ("2018", "2017-08-01/2018-07-31")]
    assert not any(c in label for label in labels for c in "/ :")


@pytest.mark.parametrize(
    ("day", "fraction"),
    [
        ("2018-01-01", 0),
        ("2018-12-31", 364 / 365),
        ("2020-12-31", 365 / 366),
        ("2020-03-01", 60 / 366),
        ("2021-03-01", 59 / 365),
    ],
)
def test_year_fraction(day, fraction):
    assert year_fraction(dt.date.fromisoformat(day)) == fraction


@given(st.dates(dt.date(1990, 1, 1), dt.date(2060, 12, 31)))
def test_year_fraction_grows_through_the_year_and_stays_below_one(day):
    here = year_fraction(day)
    assert 0 <= here < 1
    following = day + dt.timedelta(days=1)
    assert (year_fraction(following) > here) == (following.year == day.year)


def test_settings_models_hold_periods():
    class Model(BaseModel):
        period: TwelveMonths

    assert Model(period="2017-08-01/2018-07-31").period.end == dt.date(2018, 7, 31)
    assert Model(period=2018).model_dump(mode="json") == {"period": "2018"}
    with pytest.raises(ValidationError, match="twelve months"):
        Model(period="2017-08-01/2018-07-30")


@pytest.mark.parametrize(
    ("text", "start", "end", "label"),
    [
        ("2021-06", "2021-06-01", "2021-06-30", "2021-06"),
        ("2020-02", "2020-02-01", "2020-02-29", "2020-02"),
        ("2021-12", "2021-12-01", "2021-12-31", "2021-12"),
        ("2021-06-15", "2021-06-15", "2021-06-15", "2021-06-15"),
        ("2021-05-15/2021-07-15", "2021-05-15", "2021-07-15", "2021-05-15_2021-07-15"),
        ("2021-06-01/2021-06-30", "2021-06-01", "2021-06-30", "2021-06"),
        ("2021-01-01/2021-12-31", "2021-01-01", "2021-12-31", "2021"),
    ],
)
def test_any_period(text, start, end, label):
    period = Period.parse(text)
    assert (str(period.start), str(period.end), period.label) == (start, end, label)
    assert Period.parse(str(period)) == period and periods_of(label) == (period,)


@pytest.mark.parametrize("text", ["", "2021-13", "21-06", "2021/2022", "2021-06-31", "2021-06-15/2021-06-01", "June 2021"])
def test_what_is_no_period_at_all(text):
    with pytest.raises(ValueError, match="is not a year like 2018, a month like 2021-06|ends before it begins"):
        Period.parse(text)


def test_labels_of_pairs_are_read_back():
    for label in ("2018-2021", "2017-08-01_2018-07-31__2021", "2021-06__2021-07", "2021-06-15__2021-06-18"):
        assert pair_label(*periods_of(label)) == label
    with pytest.raises(ValueError, match="is not"):
        periods_of("models")


@pytest.mark.parametrize(
    ("model", "given", "words"),
    [
        (OneMonth, {"month": "2021"}, "'2021' is not a month like 2021-06"),
        (OneYear, {"year": "2021-06"}, "'2021-06' is not a year like 2018"),
        (TwoDates, {"first": "2021-06-15", "second": "2021-06"}, "'2021-06' is not a date like 2021-06-15"),
        (TwoDates, {"first": "2021-06-15", "second": "2021-06-12"}, r"first \(2021-06-15\) must be before second \(2021-06-12\)"),
        (OneSpan, {"span": "2021-06", "now": "2021"}, "Extra inputs"),
    ],
)
def test_families_refuse_other_periods(model, given, words):
    with pytest.raises(ValidationError, match=words):
        model(**given)


def test_roles():
    dates = TwoDates(first="2021-06-15", second="2021-06-18")
    assert (dates.label("first"), dates.label("pair"), dates.whole) == (
        "2021-06-15",
        "2021-06-15__2021-06-18",
        "2021-06-15__2021-06-18",
    )
    assert dates.of("pair") == (dates.first, dates.second) and dates.last_day == dt.date(2021, 6, 18)
    assert OneSpan(span="2021-06").label("span") == OneMonth(month="2021-06").whole == "2021-06"
    with pytest.raises(ValueError, match=r"\[periods\] has no 'now'; it has first, second, pair"):
        dates.of("now")
