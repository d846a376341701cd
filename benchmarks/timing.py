"""Two implementations timed in turn (A B A B ...), so that both meet the same machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

RUNS = 5


@dataclass(frozen=True)
class Row:
    """Medians of one comparison."""

    what: str
    ours: float
    """Seconds a unit."""
    peer: str
    theirs: float
    """Seconds a unit."""
    unit: str = "pixel"

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.theirs / self.ours


def compare(
    what: str,
    ours: tuple[Callable[[], object], float],
    peer: str,
    theirs: tuple[Callable[[], object], float],
    *,
    unit: str = "pixel",
    runs: int = RUNS,
    warm: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> Row:
    """Median times of both, each a function and how many units it does, run in turn after one warm-up.

    With `time.process_time` other work on the machine counts little.
    """
    if warm:
        ours[0](), theirs[0]()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for k, (function, _) in enumerate((ours, theirs)):
            start = clock()
            function()
            times[k].append(clock() - start)
    return Row(what, statistics.median(times[0]) / ours[1], peer, statistics.median(times[1]) / theirs[1], unit)
