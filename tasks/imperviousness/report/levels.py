"""Sources of a difference of level: how the maps of then and now differ where nothing changed, by which of them is sealed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imperv.calibration.mask import SEALED
from imperv.grids import Block
from imperv.layers.aggregation import NEVER_SEALED, NO_CHANGE
from imperv.tasks.imperviousness.report.facts import TileFacts
from imperv.tasks.imperviousness.report.pixels import on_threads
from imperv.tasks.job import Job

NEEDED = ("IMD_then", "IMD_now", "CLCP_then", "IMDC")
"""Layers that are required."""

NOTABLE = 0.1
"""Share of the larger built-up area from which a difference of level is explained."""

_PIXEL_KM2 = 10 * 10 / 1e6
"""Area of a pixel."""

_FULL = 100
"""Percent; higher codes are outside."""


@dataclass(frozen=True)
class Part:
    """Ground of one kind."""

    title: str
    area_km2: float
    then_km2: float
    """Its sealed ground (density times area) in the map of then."""
    now_km2: float
    """The same in the map of now."""

    @property
    def difference_km2(self) -> float:
        """Now minus then."""
        return self.now_km2 - self.then_km2

    @property
    def density(self) -> float:
        """Mean density of the denser map, 0 to 1."""
        return max(self.then_km2, self.now_km2) / self.area_km2 if self.area_km2 else 0.0


@dataclass(frozen=True)
class Level:
    """Unchanged ground by the maps that are sealed there; pixels sealed in neither map are left out."""

    outside: Part
    """Sealed in the map of then; neither CLC+ of then nor the map of now, whose outline is CLC+ of now, has it."""
    lost: Part
    """Sealed in the map of then and in CLC+ of then, not in the map of now."""
    new: Part
    """Sealed in the map of now only."""
    both: Part
    """Sealed in both maps: they differ in density."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """All of them."""
        return self.outside, self.lost, self.new, self.both


TITLES = (
    "Then only, never in CLC+",
    "Then only, in CLC+ of then",
    "Now only",
    "Then and now",
)


def built_up_level(facts: TileFacts) -> float | None:
    """Built-up area of IBU_now minus IBU_then minus their change, km2; None below `NOTABLE` or without a layer."""
    then, now, change = facts.status_then, facts.status_now, facts.built_up_change
    if then is None or now is None or change is None or then.built_up_km2 is None or now.built_up_km2 is None:
        return None
    found = now.built_up_km2 - then.built_up_km2 - (change.gain_km2 - change.loss_km2)
    return found if abs(found) > NOTABLE * max(then.built_up_km2, now.built_up_km2) else None


def level(job: Job) -> Level | None:
    """Sum up the unchanged ground of a tile block by block; None where a layer is missing.

    The map of now has a density wherever its sealing outline is (CLC+ of now, or a raw density beyond doubt), and 0
    elsewhere.
    """
    if not all((record := job.record(symbol)) is not None and record.made for symbol in NEEDED):
        return None
    then, now, clcplus, change = (job.array(symbol) for symbol in NEEDED)

    def count(block: Block) -> np.ndarray:
        return sums_by_kind(then[block.slices], now[block.slices], clcplus[block.slices], change[block.coarser(2).slices])

    found = np.sum(on_threads(job, count, job.blocks(10)), axis=0) * _PIXEL_KM2
    return Level(*(Part(title, *map(float, row)) for title, row in zip(TITLES, found, strict=True)))


def sums_by_kind(then: np.ndarray, now: np.ndarray, clcplus: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Pixels, sum of then and sum of now (as fractions) of each kind of unchanged ground: (4, 3), rows as `TITLES`.

    `then` and `now` are percent, above 100 outside; in `clcplus` 1 is sealed; `change` is IMDC at half their resolution, where
    all but 100 (no change) and 201 (never sealed) has changed or is outside.
    """
    quiet = np.kron((change == NO_CHANGE) | (change == NEVER_SEALED), np.ones((2, 2), bool))
    known = quiet & (then <= _FULL) & (now <= _FULL)
    gone = known & (then > 0) & (now == 0)
    inside = clcplus == SEALED
    kinds = gone & ~inside, gone & inside, known & (then == 0) & (now > 0), known & (then > 0) & (now > 0)
    sums = ((k.sum(), then.sum(where=k, dtype="f8") / _FULL, now.sum(where=k, dtype="f8") / _FULL) for k in kinds)
    return np.array(list(sums), "f8")
