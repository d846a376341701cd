"""Sums of a running production: tiles by state, failures by kind, rate, time and bytes."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

from imperv.flows.runtime.outcomes import Ledger
from imperv.layers.catalogue import layers_of
from imperv.tasks.delivery.delivery import delivered_symbols, places_of
from imperv.tasks.families import task_of
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production


@dataclass(frozen=True)
class Sums:
    """Of one tile, or of several: time of nodes, bytes in the store, bytes read of scene files."""

    seconds: float = 0.0
    layers: int = 0
    products: int = 0
    cpu_seconds: float = 0.0
    read: int = 0
    uncounted: int = 0
    """Features of a year made before their reading was counted."""

    def __add__(self, other: Sums) -> Sums:
        return Sums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Sums)))


def tile_sums(job: Job) -> Sums:
    """Sums of the records of a tile."""
    # By place: features of a year are the same in either role.
    symbols = {job.place(symbol).record: symbol for symbol in layers_of(job.family)}
    found = {symbol: record for path, symbol in symbols.items() if (record := job.store.read_record(path)) is not None}
    made = list(found.values())
    delivered = [r for s in delivered_symbols(job.family) if (r := job.store.read_record(places_of(job, s).record)) is not None]
    features: list[Any] = [
        r.statistics.get("bytes_read") for symbol, r in found.items() if task_of(symbol).cost_made or "bytes_read" in r.statistics
    ]
    return Sums(
        seconds=sum(record.seconds for record in (*made, *delivered)),
        layers=sum(record.size for record in made),
        products=sum(record.size for record in delivered),
        cpu_seconds=sum(record.cpu_seconds for record in (*made, *delivered)),
        read=sum(count or 0 for count in features),
        uncounted=features.count(None),
    )


@dataclass
class Tally:
    """Sums of the tiles of a production."""

    production: Production
    ledger: Ledger
    _tiles: dict[str, Sums] = field(default_factory=dict)
    _seen: int = 0

    def refresh(self) -> None:
        """Read the records of tiles whose runs have ended since; may run in a thread beside `facts`."""
        seen = len(self.ledger.runs)
        tiles = {outcome.tile for outcome in self.ledger.runs[self._seen : seen]}
        self._tiles = self._tiles | {tile: tile_sums(Job.of(self.production, tile)) for tile in tiles}
        self._seen = seen

    def facts(self) -> dict[str, Any]:
        """Facts of a sign of life; rate and time left only once this parent has finished a tile."""
        states = self.ledger.states()
        # A tile whose last pass had nothing to do counts if a pass before it had.
        ran = {o.tile for o in self.ledger.runs if o.kind == "done" and o.counts.get("ran", 1) > 0}
        here = len(ran & self.ledger.done)
        rate = 3600 * here / max(time.time() - self.ledger.began, 1.0)
        left = sum(state in ("in work", "not begun") for state in states.values())
        sums = sum(self._tiles.values(), Sums())
        return {
            "tiles": dict.fromkeys(("not begun", "in work", "done", "failed"), 0) | Counter(states.values()),
            "failed": sorted(self.ledger.failed),
            "failures": dict(Counter(outcome.kind for outcome in self.ledger.failed.values())),
            "finished": here, "tiles_an_hour": round(rate, 2), "hours_left": round(left / rate, 2) if here else None,
            "hours": round(sums.seconds / 3600, 3), "bytes": {"layers": sums.layers, "products": sums.products},
        }  # fmt: skip
