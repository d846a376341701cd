"""What a production file of the product says."""

from typing import Annotated, Literal

from pydantic import Field

from imperv.tasks.settings.frozen import Frozen
from imperv.tasks.settings.parameters import ParameterGroups
from imperv.tasks.settings.periods import OneMonth
from imperv.tasks.settings.production import Production


class MosaicParameters(Frozen):
    """The mosaic."""

    clear: Annotated[int, Field(ge=1, le=50)] = 50
    """Least SCL weight of a clear look."""


class GreenParameters(Frozen):
    """The map."""

    more: Annotated[float, Field(ge=-1, le=1)] = 0
    """Added to the model's NDVI."""


class Parameters(ParameterGroups):
    """Parameters of every algorithm."""

    mosaic: MosaicParameters = MosaicParameters()
    green: GreenParameters = GreenParameters()


class ToyProduction(Production):
    """One production of green ground."""

    product: Literal["toy"] = "toy"
    """What is made."""
    periods: OneMonth
    references: Frozen = Frozen()
    parameters: Parameters = Parameters()


PRODUCTION = ToyProduction
