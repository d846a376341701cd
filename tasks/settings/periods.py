"""The two twelve-month periods of a production: how they are written, named and dated."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


def _next_year(day: dt.date) -> dt.date:
    """The same day a year later; 1 March for 29 February."""
    try:
        return day.replace(year=day.year + 1)
    except ValueError:
        return dt.date(day.year + 1, 3, 1)


@dataclass(frozen=True)
class Period:
    """Twelve months, both days included."""

    start: dt.date
    """First day."""
    end: dt.date
    """Last day."""

    @classmethod
    def parse(cls, text: object) -> Period:
        """Read ``"2018"``, ``2018`` or ``"2017-08-01/2018-07-31"``.

        Raises
        ------
        ValueError
            If it is not a calendar year or not exactly twelve months.
        """
        if isinstance(text, Period):
            return text
        words = str(text).strip()
        if re.fullmatch(r"\d{4}", words):
            return cls(dt.date(int(words), 1, 1), dt.date(int(words), 12, 31))
        try:
            first, last = (dt.date.fromisoformat(part) for part in words.split("/"))
        except ValueError:
            raise ValueError(f"{words!r} is not a year like 2018 or a period like 2017-08-01/2018-07-31") from None
        expected = _next_year(first) - dt.timedelta(days=1)
        if last != expected:
            raise ValueError(f"{words} is not twelve months: from {first} on, the last day is {expected}")
        return cls(first, last)

    @property
    def is_calendar_year(self) -> bool:
        """True from 1 January to 31 December."""
        return (self.start.month, self.start.day) == (1, 1)

    @property
    def label(self) -> str:
        """Name of the period's folder in the store."""
        return str(self.start.year) if self.is_calendar_year else f"{self.start}_{self.end}"

    @property
    def year(self) -> int:
        """Reference year in file names: the calendar year that holds most of the days."""
        return (self.start + (self.end - self.start) / 2).year

    def __str__(self) -> str:
        return str(self.start.year) if self.is_calendar_year else f"{self.start}/{self.end}"

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


def year_fraction(day: dt.date) -> float:
    """Time of the harmonic model: days since 1 January over days of that year, in [0, 1) (docs/dev/algorithms.md, section 3)."""
    first = dt.date(day.year, 1, 1)
    return (day - first).days / (dt.date(day.year + 1, 1, 1) - first).days
