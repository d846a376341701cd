"""Ends of tile runs, which failures are tried again, and how a production ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from imperv.tasks.errors import ImpervError, InputError, TileBusyError

Kind = Literal["done", "input", "work", "busy", "crashed", "timeout"]
"""End of a run: "input" is final; "busy", "crashed" and "timeout" say nothing about the tile."""

TRIES = 3
"""Most runs of a tile and pass."""

FEW = 3
"""Least number of tolerated failures where they are a share."""


def failure_limit(given: float, tiles: int) -> int:
    """Tolerated failures: a number from 1, or a share of the tiles below 1."""
    return int(given) if given >= 1 else max(FEW, round(given * tiles))


@dataclass(frozen=True)
class Outcome:
    """The end of one run of one tile."""

    tile: str
    until: str
    kind: Kind
    message: str = ""
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    """Nodes that ran, were up to date, and are not made."""


def kind_of(error: BaseException) -> Kind:
    """The kind of a failure."""
    if isinstance(error, InputError):
        return "input"
    return "busy" if isinstance(error, TileBusyError) else "work" if isinstance(error, ImpervError) else "crashed"


def try_again(past: Sequence[Outcome]) -> bool:
    """True if a tile is run again after these failures of a pass: not for wrong input, nor if a message comes twice."""
    last = past[-1]
    if last.kind in ("done", "input") or len(past) >= TRIES:
        return False
    return all(earlier.message != last.message for earlier in past[:-1])


@dataclass
class Ledger:
    """All ends of runs of a production."""

    tiles: tuple[str, ...]
    limit: int
    """Tolerated failures; with more no further tile is begun."""
    on_end: Callable[[Outcome], None] = lambda outcome: None
    """Called for every end of a run."""
    lost: Callable[[Outcome], None] = lambda outcome: None
    """Called for every tile that is given up."""
    began: float = field(default_factory=time.time)
    runs: list[Outcome] = field(default_factory=list)
    failed: dict[str, Outcome] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    """Tiles whose last pass is done."""
    running: set[str] = field(default_factory=set)
    """Tiles with a run."""

    def begin(self, tile: str) -> None:
        """Note the begin of a run."""
        self.running.add(tile)

    def add(self, outcome: Outcome) -> None:
        """Note the end of a run."""
        self.running.discard(outcome.tile)
        self.runs.append(outcome)
        if outcome.kind == "done" and outcome.until == "all":
            self.done.add(outcome.tile)
        self.on_end(outcome)

    def give_up(self, outcome: Outcome) -> None:
        """Note a tile that is not run again."""
        self.failed[outcome.tile] = outcome
        self.lost(outcome)

    @property
    def stopped(self) -> bool:
        """True once more tiles have failed than tolerated."""
        return len(self.failed) > self.limit

    @property
    def not_begun(self) -> tuple[str, ...]:
        """Tiles that are neither done nor failed."""
        return tuple(tile for tile in self.tiles if tile not in self.done and tile not in self.failed)

    def states(self) -> dict[str, str]:
        """Every tile: failed, done, in work (begun, perhaps between two passes), or not begun."""
        begun = dict.fromkeys((*self.running, *(outcome.tile for outcome in self.runs)), "in work")
        ended = dict.fromkeys(self.done, "done") | dict.fromkeys(self.failed, "failed")
        return dict.fromkeys(self.tiles, "not begun") | begun | ended

    @property
    def exit_code(self) -> int:
        """0 if every tile is done, 2 if all that failed has wrong input, else 1."""
        if not self.failed and not self.not_begun:
            return 0
        return 2 if self.failed and not self.not_begun and all(o.kind == "input" for o in self.failed.values()) else 1

    def summary(self) -> dict[str, Any]:
        """Counts, failed tiles with their reasons, seconds."""
        return {
            "tiles": len(self.tiles), "done": len(self.done), "failed": {t: asdict(o) for t, o in sorted(self.failed.items())},
            "not_begun": list(self.not_begun), "stopped": self.stopped, "runs": len(self.runs),
            "exit_code": self.exit_code, "seconds": round(time.time() - self.began, 1),
        }  # fmt: skip
