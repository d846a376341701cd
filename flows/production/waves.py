"""The order of the tiles of a production; no tile depends on another one of its wave, so results do not depend on luck.

Pass 1 makes the models: features first where windows are so small that models learn from their neighbours' too; then the models
of every other tile each way, trained from nothing; then the others, started from the nearest of these
(`tasks.networks.starting`). Pass 2 makes the rest: tiles calibrated alone, then those that borrow from their neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from imperv.flows.plan.targets import steps
from imperv.tasks.families import family
from imperv.tasks.family.task import Until
from imperv.tasks.job import Job
from imperv.tasks.networks.starting import starts_anew
from imperv.tasks.settings.production import Production


@dataclass(frozen=True)
class Wave:
    """Tiles that may run at the same time."""

    number: int
    """1 for the pass to the models, 2 for the rest."""
    until: Until
    tiles: tuple[str, ...]


def waves(
    production: Production, tiles: Sequence[str], targets: list[str] | None, left_out: Callable[[str], bool] = lambda tile: False
) -> Iterator[Wave]:
    """Waves, each decided when the one before has ended; `left_out` is True for a tile that has failed by then."""
    jobs = {tile: Job.of(production, tile) for tile in dict.fromkeys(tiles)}

    def wave(number: int, until: Until, wanted: Callable[[str], bool]) -> Iterator[Wave]:
        chosen = tuple(tile for tile in jobs if wanted(tile) and not left_out(tile))
        if chosen and (until == "all" or steps(targets, until, production.product)[0]):
            yield Wave(number, until, chosen)

    if len(jobs) > 1:
        if any(family(production.product).features_first(job) for job in jobs.values()):
            yield from wave(1, "features", lambda tile: True)
        yield from wave(1, "models", lambda tile: starts_anew(jobs[tile].tile))
        yield from wave(1, "models", lambda tile: not starts_anew(jobs[tile].tile))
    borrowers = [symbol for symbol, task in family(production.product).tasks.items() if task.alone]
    alone = {tile for tile, job in jobs.items() if all(job.record(symbol) is not None for symbol in borrowers)}
    yield from wave(2, "all", alone.__contains__)
    yield from wave(2, "all", lambda tile: tile not in alone)
