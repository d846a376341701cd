"""The periods of a production: how they are written, named and dated, and which of them a family has."""

from __future__ import annotations

import calendar
import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from imperv.layers.composites import MONTHS
from imperv.tasks.settings.frozen import Frozen


def _next_year(day: dt.date) -> dt.date:
    """The same day a year later; 1 March for 29 February."""
    try:
        return day.replace(year=day.year + 1)
    except ValueError:
        return dt.date(day.year + 1, 3, 1)


def _next_month(day: dt.date) -> dt.date:
    """First day of the next month."""
    return (day.replace(day=1) + dt.timedelta(days=31)).replace(day=1)


def _months_later(day: dt.date, months: int) -> dt.date:
    """The same day of another month, or its last day where it has none."""
    year, month = divmod(12 * day.year + day.month - 1 + months, 12)
    return dt.date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def _longer(period: Period) -> Period:
    """A month more at either end."""
    day = dt.timedelta(days=1)
    return Period(_months_later(period.start, -1), _months_later(period.end + day, 1) - day)


@dataclass(frozen=True)
class Period:
    """A span of days, both included: a year, twelve months, a month, a date, or any other."""

    start: dt.date
    """First day."""
    end: dt.date
    """Last day."""

    @classmethod
    def parse(cls, text: object) -> Period:
        """Read ``"2018"``, ``2018``, ``"2021-06"``, ``"2021-06-15"`` or ``"2017-08-01/2018-07-31"``.

        Raises
        ------
        ValueError
            If it is none of these, or ends before it begins.
        """
        if isinstance(text, Period):
            return text
        words = str(text).strip()
        try:
            if re.fullmatch(r"\d{4}", words):
                return cls(dt.date(int(words), 1, 1), dt.date(int(words), 12, 31))
            if re.fullmatch(r"\d{4}-\d\d", words):
                first = dt.date.fromisoformat(f"{words}-01")
                return cls(first, _next_month(first) - dt.timedelta(days=1))
            first, last = (dt.date.fromisoformat(part) for part in (words.split("/") if "/" in words else (words, words)))
        except ValueError:
            raise ValueError(
                f"{words!r} is not a year like 2018, a month like 2021-06, a date like 2021-06-15 "
                "or a span like 2017-08-01/2018-07-31"
            ) from None
        if last < first:
            raise ValueError(f"{words} ends before it begins")
        return cls(first, last)

    @classmethod
    def twelve_months(cls, text: object) -> Period:
        """Read a calendar year or any twelve months; ValueError for another period."""
        if isinstance(text, Period):
            return text
        words = str(text).strip()
        try:
            first, last = (dt.date.fromisoformat(part) for part in words.split("/"))
        except ValueError:
            if re.fullmatch(r"\d{4}", words):
                return cls.parse(words)
            raise ValueError(f"{words!r} is not a year like 2018 or a period like 2017-08-01/2018-07-31") from None
        expected = _next_year(first) - dt.timedelta(days=1)
        if last != expected:
            raise ValueError(f"{words} is not twelve months: from {first} on, the last day is {expected}")
        return cls(first, last)

    @property
    def is_calendar_year(self) -> bool:
        """True from 1 January to 31 December."""
        return (self.start.month, self.start.day) == (1, 1) and self.end == dt.date(self.start.year, 12, 31)

    def __str__(self) -> str:
        if self.is_calendar_year:
            return str(self.start.year)
        if self.start == self.end:
            return str(self.start)
        if self.start.day == 1 and self.end == _next_month(self.start) - dt.timedelta(days=1):
            return f"{self.start:%Y-%m}"
        return f"{self.start}/{self.end}"

    @property
    def label(self) -> str:
        """Name of the period's folder in the store."""
        return str(self).replace("/", "_")

    @property
    def year(self) -> int:
        """Reference year in file names: the calendar year that holds most of the days."""
        return (self.start + (self.end - self.start) / 2).year

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let settings models hold a period, written as text."""
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )


def pair_label(then: Period, now: Period) -> str:
    """Name of the folder of layers that belong to a pair of periods."""
    if then.is_calendar_year and now.is_calendar_year:
        return f"{then.label}-{now.label}"
    return f"{then.label}__{now.label}"


def _month(text: object) -> Period:
    period = Period.parse(text)
    if period.start.day != 1 or period.end != _next_month(period.start) - dt.timedelta(days=1):
        raise ValueError(f"{str(text).strip()!r} is not a month like 2021-06")
    return period


def _date(text: object) -> Period:
    period = Period.parse(text)
    if period.start != period.end:
        raise ValueError(f"{str(text).strip()!r} is not a date like 2021-06-15")
    return period


TwelveMonths = Annotated[Period, BeforeValidator(Period.twelve_months)]
Month = Annotated[Period, BeforeValidator(_month)]
Date = Annotated[Period, BeforeValidator(_date)]


class Periods(Frozen):
    """`[periods]` of a family: its keys are the roles that layers may have."""

    roles: ClassVar[dict[str, tuple[str, str]]] = {}
    """Roles beside the keys: (first key, last key). A pair of keys, such as ``pair``; or one key twice, under the name that
    another family has for such a period: its layers are read by it."""

    @classmethod
    def known(cls) -> tuple[str, ...]:
        """All roles that layers may have."""
        return *cls.model_fields, *cls.roles

    @classmethod
    def assumed(cls, tiles: Sequence[str]) -> dict[str, str]:
        """Periods to plan with where a file names none; nothing where they cannot be guessed."""
        return {}

    def of(self, role: str) -> tuple[Period, Period]:
        """First and last period of a role; ValueError if there is none."""
        first, last = self.roles.get(role, (role, role))
        if first not in type(self).model_fields:
            raise ValueError(f"[periods] has no {role!r}; it has {', '.join(self.known())}")
        return getattr(self, first), getattr(self, last)

    def label(self, role: str) -> str:
        """Name of the folder in the store of layers of a role."""
        first, last = self.of(role)
        return first.label if first == last else pair_label(first, last)

    @property
    def named(self) -> dict[str, Period]:
        """All periods by their keys."""
        return {name: getattr(self, name) for name in type(self).model_fields}

    @property
    def every(self) -> tuple[Period, ...]:
        """All periods, in the order of the keys."""
        return tuple(self.named.values())

    @property
    def whole(self) -> str:
        """Name of all periods together."""
        return self.every[0].label if len(self.every) == 1 else pair_label(self.every[0], self.every[-1])

    @property
    def last_day(self) -> dt.date:
        """Of all periods."""
        return max(period.end for period in self.every)


class OneSpan(Periods):
    """One span: a year, a month, a date, or any days from one to another."""

    span: Period
    """Such as ``"2021-06"`` or ``"2021-05-15/2021-07-15"``."""


class MonthsOfSpan(OneSpan):
    """One span with its months: ``A`` begins on its first day, ``B`` a month later, and so on; the span may end before ``L``."""

    roles: ClassVar[dict[str, tuple[str, str]]] = dict.fromkeys((*MONTHS, "around"), ("span", "span"))

    def of(self, role: str) -> tuple[Period, Period]:
        """As `Periods.of`; a month ends with the span, one beyond it is the day after; ``around`` adds a month at either end."""
        if role == "around":
            found = _longer(self.span)
        elif role in MONTHS:
            first, following = (_months_later(self.span.start, MONTHS.index(role) + k) for k in (0, 1))
            last, after = following - dt.timedelta(days=1), self.span.end + dt.timedelta(days=1)
            # What is beyond the span must have no place in the store that another production's month has.
            found = Period(first, min(last, self.span.end)) if first <= self.span.end else Period(after, after)
        else:
            return super().of(role)
        return found, found

    def around(self, month: str) -> Period:
        """A month with the one before and the one after."""
        return _longer(self.of(month)[0])

    @property
    def monthly(self) -> bool:
        """True where the span has no more months than there are roles."""
        return self.span.end < _months_later(self.span.start, len(MONTHS))

    def within(self, month: str) -> bool:
        """True for a month that begins in the span."""
        return self.of(month)[0].end <= self.span.end


class OneMonth(Periods):
    """One month."""

    month: Month
    """Such as ``"2021-06"``."""


class OneYear(Periods):
    """Twelve months."""

    year: TwelveMonths
    """A calendar year, or twelve months beginning on any day."""


class TwoDates(Periods):
    """Two dates."""

    roles: ClassVar[dict[str, tuple[str, str]]] = {"pair": ("first", "second")}

    first: Date
    """Such as ``"2021-06-15"``."""
    second: Date
    """A later one."""

    @model_validator(mode="after")
    def _ordered(self) -> TwoDates:
        if self.first.start >= self.second.start:
            raise ValueError(f"first ({self.first}) must be before second ({self.second})")
        return self


def periods_of(label: str) -> tuple[Period, ...]:
    """The one or two periods in the name of a folder of the store; ValueError if it is not one."""
    if re.fullmatch(r"\d{4}-\d{4}", label):
        return tuple(Period.parse(part) for part in label.split("-"))
    return tuple(Period.parse(part.replace("_", "/")) for part in label.split("__"))


def year_fraction(day: dt.date) -> float:
    """Time of the harmonic model: days since 1 January over days of that year, in [0, 1) (docs/dev/algorithms.md, section 3)."""
    first = dt.date(day.year, 1, 1)
    return (day - first).days / (dt.date(day.year + 1, 1, 1) - first).days
