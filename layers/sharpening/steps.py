"""The three steps of super-resolution: which bands are sharpened, by which guides, and by how much (docs/superresolution.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imperv.layers.reflectance import COASTAL, REFLECTANCE_10M, REFLECTANCE_20M


@dataclass(frozen=True)
class Step:
    """Bands that are sharpened together; steps know no pixel size, only how many times smaller pixels become."""

    name: str
    """Pixels in metres before and after, where the step is used first."""
    bands: tuple[str, ...]
    """What is sharpened, in order."""
    guides: tuple[str, ...]
    """What is known on the fine pixels already, in order; may be none."""
    factor: int
    """Fine pixels along a coarse one."""
    octave: int
    """Factor at which the regression is fitted on the coarse pixels: a factor of 6 would leave too few of them."""
    neighbours: int
    """Pixels on each side whose detail takes part in the regression."""


TEN, TWENTY, SIXTY = REFLECTANCE_10M, REFLECTANCE_20M, COASTAL

STEPS: Mapping[str, Step] = {
    step.name: step
    for step in (
        Step("20to10", TWENTY, TEN, 2, 2, 1),
        Step("60to10", SIXTY, TEN + TWENTY, 6, 2, 0),
        Step("10to5", TEN, (), 2, 2, 0),
    )
}
"""By name. Where 20 m bands are wanted at 5 m, ``20to10`` is applied once more, an octave finer."""
