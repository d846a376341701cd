"""What a production file of composites says."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from imperv.tasks.settings.frozen import Frozen
from imperv.tasks.settings.parameters import ParameterGroups
from imperv.tasks.settings.periods import MonthsOfSpan
from imperv.tasks.settings.production import Production


class CompositeParameters(Frozen):
    """Which looks count, and what is made of them."""

    clear_weight: Annotated[int, Field(ge=1, le=50)] = 50
    """SCL weight (ATBD Table 6) from which a look is clear: 50 vegetation, soil and water; 10 also shadows and what is
    unclassified."""
    fill: bool = False
    """Fill what no look of a month shows clear from the month before and the month after, and mark it; else it is no data."""
    monthly: bool = True
    """Make the composites of months."""
    metrics: bool = True
    """Make the spectral-temporal metrics of the span."""


class SceneParameters(Frozen):
    """What may be wrong with scenes."""

    min_observations: Annotated[int, Field(ge=1)] = 1
    """Overpasses of the span below which a tile fails."""
    max_lost_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of scenes that may be unreadable before the tile fails."""


class Parameters(ParameterGroups):
    """Parameters of every algorithm."""

    composites: CompositeParameters = CompositeParameters()
    preprocessing: SceneParameters = SceneParameters()


class CompositesProduction(Production):
    """One production of composites."""

    product: Literal["composites"] = "composites"
    periods: MonthsOfSpan
    references: Frozen = Frozen()
    parameters: Parameters = Parameters()


PRODUCTION = CompositesProduction
