"""What a production file of super-resolution says."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from imperv.layers.network.precision import Precision
from imperv.tasks.settings.frozen import Frozen
from imperv.tasks.settings.parameters import ParameterGroups
from imperv.tasks.settings.periods import OneSpan
from imperv.tasks.settings.production import Production


class InputParameters(Frozen):
    """What of the span is sharpened."""

    kind: Literal["clearest", "mosaic"] = "clearest"
    """The overpass with most clear ground, or the median of all clear looks."""
    min_clear: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the area that must be clear in some look; below it the run is refused."""


class SharpeningParameters(Frozen):
    """How bands are sharpened."""

    to: Literal[10, 5] = 10
    """Pixel size to reach, metres."""
    method: Literal["network", "regression"] = "network"
    """Networks that correct the regression, or the regression alone: the fast way."""
    tune: bool = False
    """Train the networks on with the scene itself."""
    precision: Precision = "float32"
    """Numbers in the layers of networks that predict: bfloat16 takes half the time on processors with AMX; without it float32
    predicts (docs/superresolution.md)."""
    dates: Annotated[int, Field(ge=1, le=16)] = 1
    """Registered dates that bands of 10 m are sharpened to 5 m from: the clearest of the span."""
    point_spread: Annotated[float, Field(ge=0.2, le=0.8)] | None = None
    """Standard deviation of the blur between two pixel sizes, in pixels of the coarser; by default that of the instrument."""

    @property
    def networks(self) -> bool:
        """Whether any network takes part."""
        return self.method == "network" or self.tune


class Parameters(ParameterGroups):
    """Parameters of every algorithm."""

    input: InputParameters = InputParameters()
    sharpening: SharpeningParameters = SharpeningParameters()

    @model_validator(mode="after")
    def _dates_of_one_look(self) -> Parameters:
        if self.input.kind == "mosaic" and self.sharpening.dates > 1:
            raise ValueError('sharpening.dates: a mosaic holds all dates already; set it to 1, or input.kind to "clearest"')
        return self


class SuperResolutionProduction(Production):
    """One production of super-resolution."""

    product: Literal["superresolution"] = "superresolution"
    """What is made."""
    periods: OneSpan
    references: Frozen = Frozen()
    parameters: Parameters = Parameters()


PRODUCTION = SuperResolutionProduction
