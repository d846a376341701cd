"""`imperv status`: how far every tile is, for how long nothing has moved, and when a running production will be done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from flows.console import out
from flows.journal import last_run
from flows.plan_cli import duration
from flows.planning import tile_status
from flows.production_state import read_state
from tasks.job import Job
from tasks.overlay import store_of
from tasks.production import Production

ATTENTION = ("failed", "running", "incomplete", "out of date", "missing", "done")
"""States of tiles, those first that want to be looked at."""


def statuses(production: Production, now: datetime | None = None) -> list[dict[str, Any]]:
    """State of every tile with the seconds since its last run said anything, those first that want to be looked at."""
    moment, found = now or datetime.now(UTC), []
    for tile in production.tile_names:
        job = Job.of(production, tile)
        when = last_run(job).get("when", "")
        found.append({**tile_status(job), "age": _age(when, moment) if when else None, "when": when})
    return sorted(found, key=lambda entry: (ATTENTION.index(entry["state"]), entry["tile"]))


def _age(when: str, now: datetime) -> float:
    return round((now - datetime.fromisoformat(when)).total_seconds(), 1)


def pace(production: Production, found: Sequence[dict[str, Any]], now: datetime | None = None) -> dict[str, Any]:
    """Of the last production run: when it began and ended, tiles done since an hour, and hours left at that rate."""
    state = read_state(store_of(production))
    if not state:
        return {}
    moment, began = now or datetime.now(UTC), datetime.fromisoformat(state["began"])
    done = [e for e in found if e["state"] == "done" and e["when"] and datetime.fromisoformat(e["when"]) >= began]
    left = [e for e in found if e["state"] not in ("done", "failed")]
    hours = (moment - began).total_seconds() / 3600
    rate = len(done) / hours if hours > 0 else 0.0
    going = not state.get("ended")
    return {
        "run": state["run"], "began": state["began"], "ended": state.get("ended", ""), "done_since": len(done), "left": len(left),
        "tiles_an_hour": round(rate, 2), "hours_left": round(len(left) / rate, 2) if going and rate else None,
    }  # fmt: skip


def print_status(found: Sequence[dict[str, Any]], going: dict[str, Any]) -> None:
    """A line a tile, its reason below it, and the sums."""
    for entry in found:
        cells = "  ".join(f"{stage} {s['done']}/{s['total']}" for stage, s in entry["stages"].items())
        age = f"{duration(entry['age'])} ago" if entry["age"] is not None else ""
        out.print(f"{entry['tile']}  {entry['state']:<11} {cells}  {age}".rstrip(), markup=False)
        if entry["why"]:
            out.print(f"        {entry['why']}", markup=False)
    if len(found) > 1:
        counts = Counter(entry["state"] for entry in found)
        out.print(f"{len(found)} tiles: " + ", ".join(f"{counts[s]} {s}" for s in ATTENTION if counts[s]), markup=False)
    if going and not going["ended"]:
        left = f", about {duration(3600 * going['hours_left'])} left" if going["hours_left"] is not None else ""
        rate = f"{going['tiles_an_hour']:.1f} tiles an hour"
        out.print(f"a production runs since {going['began']}: {going['done_since']} done, {rate}{left}", markup=False)
