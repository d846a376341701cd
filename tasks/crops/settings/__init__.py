"""What a production file of crops says."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from imperv.tasks.settings.frozen import Frozen
from imperv.tasks.settings.parameters import ParameterGroups
from imperv.tasks.settings.paths import PathText
from imperv.tasks.settings.periods import MonthsOfSpan, TwelveMonths
from imperv.tasks.settings.production import Production


class Season(MonthsOfSpan):
    """Twelve months, which begin as the model's season does."""

    span: TwelveMonths
    """Such as ``"2020-09-01/2021-08-31"``."""


class References(Frozen):
    """The model, and what is not classified."""

    model: PathText
    """Model of crops (`imperv crops train --monthly`): ``.keras``, ``.h5``, ``.npz`` or ``.ubj``, with its record beside it."""
    mask: PathText | None = None
    """Raster of uint8: 0 is classified, all other ground is not."""


class CompositeParameters(Frozen):
    """How the product composites makes the months."""

    clear_weight: Annotated[int, Field(ge=1, le=50)] = 50
    """SCL weight from which a look is clear."""
    fill: bool = False
    """Fill gaps of a month from the months around; without it a gap is a straight line in time, as the model learnt it."""


def _odd(value: int) -> int:
    if value and not value % 2:
        raise ValueError(f"{value} is even; a square around a pixel has an odd edge, such as {value + 1}")
    return value


class MapParameters(Frozen):
    """From probabilities to maps."""

    majority: Annotated[int, Field(ge=0, le=51), AfterValidator(_odd)] = 0
    """Edge of the square, in pixels, whose most frequent class a pixel takes; 0 for none."""


class Parameters(ParameterGroups):
    """Parameters of every algorithm."""

    composites: CompositeParameters = CompositeParameters()
    map: MapParameters = MapParameters()


class CropsProduction(Production):
    """One production of crop types."""

    product: Literal["crops"] = "crops"
    """What is made."""
    periods: Season
    references: References
    parameters: Parameters = Parameters()


PRODUCTION = CropsProduction
