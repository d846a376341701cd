"""What a production file of change says."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from imperv.layers.cva.classes import MOST_CLASSES
from imperv.layers.reflectance import COASTAL, REFLECTANCE_10M, REFLECTANCE_20M
from imperv.tasks.settings.frozen import Frozen
from imperv.tasks.settings.parameters import ParameterGroups
from imperv.tasks.settings.periods import Period, TwoDates
from imperv.tasks.settings.production import Production

BANDS = (*REFLECTANCE_10M, *REFLECTANCE_20M, *COASTAL)
"""Bands that changes can be computed from."""

AROUND = 30
"""Days before and after a date that are listed for quiet pairs."""


def band_name(text: str) -> str:
    """``B02`` for ``B2`` or ``b02``; ValueError for a band that Level-2A does not have."""
    name = str(text).strip().upper()
    name = f"B0{name[1:]}" if len(name) == 2 else name
    if name not in BANDS:
        raise ValueError(f"{text!r} is no band of Level-2A; there are {', '.join(sorted(BANDS))}")
    return name


def check_bands(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of bands; ValueError for none, an unknown one, or one that is named twice."""
    found = tuple(map(band_name, names))
    if not found:
        raise ValueError("name at least one band")
    if twice := sorted({name for name in found if found.count(name) > 1}):
        raise ValueError(f"{twice[0]} is named twice")
    return found


def check_reference(reference: tuple[float, ...], bands: tuple[str, ...]) -> tuple[float, ...]:
    """The reference vector, the first band's axis where none is given; ValueError for a wrong length, or no direction."""
    if not reference:
        return (1.0, *([0.0] * (len(bands) - 1)))
    if len(reference) != len(bands):
        raise ValueError(f"has {len(reference)} numbers for {len(bands)} bands ({', '.join(bands)}); give one for each")
    if not any(reference):
        raise ValueError("is zero everywhere and has no direction")
    return reference


class DatesAround(TwoDates):
    """Two dates; quiet pairs are found in the days around them."""

    roles: ClassVar[dict[str, tuple[str, str]]] = {
        **TwoDates.roles, "around_first": ("first", "first"), "around_second": ("second", "second"),
    }  # fmt: skip

    def of(self, role: str) -> tuple[Period, Period]:
        """As `Periods.of`; around a date are `AROUND` days before and after it."""
        if not role.startswith("around_"):
            return super().of(role)
        day, some = getattr(self, role.removeprefix("around_")).start, dt.timedelta(days=AROUND)
        wide = Period(day - some, day + some)
        return wide, wide


class VectorParameters(Frozen):
    """Change vectors."""

    bands: tuple[str, ...] = REFLECTANCE_10M
    """Bands that changes are computed from, such as ``["B02", "B03", "B04", "B08", "B11"]``."""
    cloud_edge: Annotated[float, Field(ge=0, le=1000)] = 40
    """Metres around clouds, shadows and snow that are left out."""
    reference: tuple[float, ...] = ()
    """Vector that the angle is measured from, a number for each band; by default 1, 0, 0, ..."""

    @field_validator("bands")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return check_bands(value)

    @model_validator(mode="after")
    def _fits(self) -> VectorParameters:
        try:
            check_reference(self.reference, self.bands)
        except ValueError as error:
            raise ValueError(f"reference {error}") from None
        return self


class ThresholdParameters(Frozen):
    """From which amplitude on a pixel has changed."""

    method: Literal["auto", "quiet", "student", "chi-squared"] = "auto"
    """By quiet pairs of dates, Student's t distribution, or a chi-squared one; ``auto``: by quiet pairs where there are some,
    otherwise Student's."""
    confidence: Annotated[float, Field(ge=50, lt=100)] = 99.99
    """Level of confidence, percent: the rest is the nominal share of false alarms."""
    days: Annotated[int, Field(ge=0, le=AROUND)] = 20
    """Days around either date in which quiet pairs are looked for; 0 for none."""
    gap: Annotated[int, Field(ge=1, le=30)] = 12
    """Most days between the dates of a quiet pair."""

    @property
    def level(self) -> float:
        """Nominal share of false alarms."""
        return round(1 - self.confidence / 100, 12)


class ClassParameters(Frozen):
    """Classes of change."""

    number: Annotated[int, Field(ge=1, le=MOST_CLASSES)] = 4
    """How many."""


class Parameters(ParameterGroups):
    """Parameters of every algorithm."""

    vectors: VectorParameters = VectorParameters()
    threshold: ThresholdParameters = ThresholdParameters()
    classes: ClassParameters = ClassParameters()

    def pick(self, names: tuple[str, ...]) -> dict[str, Any]:
        """As of all families; the reference vector written out."""
        found = super().pick(names)
        if "vectors.reference" in found:
            found["vectors.reference"] = list(check_reference(self.vectors.reference, self.vectors.bands))
        return found


class ChangeProduction(Production):
    """One production of change."""

    product: Literal["change"] = "change"
    """What is made."""
    periods: DatesAround
    references: Frozen = Frozen()
    parameters: Parameters = Parameters()


PRODUCTION = ChangeProduction
