"""Parameters that several families share as a production file sets them; those of an algorithm stand beside its functions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from imperv.layers.network.precision import Precision
from imperv.tasks.settings.frozen import Frozen


class PreprocessingParameters(Frozen):
    """Yearly features (ATBD 4.2.1)."""

    min_observations: Annotated[int, Field(ge=1)] = 7
    """Overpasses a year below which a tile fails: as many as a cubic harmonic has coefficients."""
    max_gap_days: Annotated[int, Field(ge=1)] = 120
    """Days without a scene above which a period is refused: the winter of 71 degrees north, where the sun is too low."""
    min_clear: Annotated[int, Field(ge=0)] = 3
    """Clear observations (SCL weight 50) that a pixel needs to count as well observed."""
    min_valid_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of observed pixels that must be well observed; below it the tile fails."""
    min_observed_share: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of the land that scenes must show; below it the tile fails. All of the tile counts where no reference tells land from
    sea. Unless it is set, 0.9 for a whole tile, and nothing for a window (`area`), which may end where scenes do."""
    max_lost_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of scenes that may be unreadable before the tile fails."""
    landsat_dates: Annotated[int, Field(ge=0, le=50)] = 16
    """Dates of Landsat, the clearest, that its composites take detail at 10 m from; 0 interpolates, in a fraction of the time."""


class EnsembleParameters(Frozen):
    """Which models take part in a prediction (ATBD 4.7)."""

    members: Annotated[int, Field(ge=1)] = 10
    """Most predictions that are averaged."""
    reach: Annotated[float, Field(ge=0)] = 300
    """Distance in kilometres beyond which another tile's model does not take part."""
    accept: Literal["same", "compatible"] = "same"
    """Other tiles' models: only those trained with the same parameters, or all of the same version, features and year."""
    precision: Precision = "float32"
    """Numbers in the layers of networks that predict: bfloat16 takes half the time on processors with AMX; without it float32
    predicts (docs/models.md)."""


class ParameterGroups(Frozen):
    """`[parameters]` of a family: one group for each algorithm."""

    def pick(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Values of dotted names such as ``change_mask.sieve``; a bare group name gives the whole group."""
        dump, found = self.model_dump(mode="json"), {}
        for name in names:
            group, _, key = name.partition(".")
            for item in [key] if key else dump[group]:
                found[f"{group}.{item}"] = dump[group][item]
        return found
