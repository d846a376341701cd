"""How far every tile of a production is, whether its parent lives, what wants to be looked at, and when it will be done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from flows.console import out
from flows.heartbeat import life_of
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
    """Of the last run of a production: whether it lives, when it began and ended, tiles done; rate and hours left if it lives."""
    store = store_of(production)
    state = read_state(store)
    if not state:
        return {}
    moment, began = now or datetime.now(UTC), datetime.fromisoformat(state["began"])
    done = [e for e in found if e["state"] == "done" and e["when"] and datetime.fromisoformat(e["when"]) >= began]
    left = [e for e in found if e["state"] not in ("done", "failed")]
    hours = (moment - began).total_seconds() / 3600
    life = life_of(store, state, moment)
    rate = len(done) / hours if life.state == "running" and hours > 0 else None
    return {
        "run": state["run"], "began": state["began"], "ended": state.get("ended", ""), "life": life.as_table(),
        "done_since": len(done), "left": len(left), "tiles_an_hour": None if rate is None else round(rate, 2),
        "hours_left": round(len(left) / rate, 2) if rate else None, "summary": state.get("summary", {}),
    }  # fmt: skip


def print_status(found: Sequence[dict[str, Any]], going: dict[str, Any]) -> None:
    """A line a tile, its reason below it, the sums, and how the production is."""
    for entry in found:
        cells = "  ".join(f"{stage} {s['done']}/{s['total']}" for stage, s in entry["stages"].items())
        age = f"{duration(entry['age'])} ago" if entry["age"] is not None else ""
        out.print(f"{entry['tile']}  {entry['state']:<11} {cells}  {age}".rstrip(), markup=False)
        if entry["why"]:
            out.print(f"        {entry['why']}", markup=False)
    if len(found) > 1:
        counts = Counter(entry["state"] for entry in found)
        out.print(f"{len(found)} tiles: " + ", ".join(f"{counts[s]} {s}" for s in ATTENTION if counts[s]), markup=False)
    for line in production_lines(going):
        out.print(line, markup=False)


def production_lines(going: dict[str, Any]) -> list[str]:
    """How the production is: running, silent for so long, stopped, or ended."""
    if not going:
        return []
    life = going["life"]
    since = f"{duration(life['age'])} ago" if life["age"] is not None else ""
    if life["state"] == "running":
        left = f", about {duration(3600 * going['hours_left'])} left" if going["hours_left"] is not None else ""
        pace = f"{going['done_since']} done, {going['tiles_an_hour']:.1f} tiles an hour{left}"
        lines = [f"a production runs since {going['began']} on {life['host']}: {pace}; last sign of life {since}"]
        lines += [life["why"]] if life["why"] else []
    elif life["state"] == "silent":
        last = f"has been silent for {duration(life['age'])}" if since else "is silent"
        lines = [f"the production of {going['began']} {last}: {life['why']}; run it again to go on"]
    elif life["state"] == "stopped":
        lines = [f"the production of {going['began']} stopped {since}: {life['why']}; run it again to go on"]
    else:
        summary = going["summary"]
        how = f": {summary['done']} of {summary['tiles']} tiles done, {len(summary['failed'])} failed" if summary else ""
        lines = [f"the last production ended {going['ended']}{how}"]
    return lines + ([life["clock"]] if life["clock"] else [])


def troubles(found: Sequence[dict[str, Any]], going: dict[str, Any]) -> list[str]:
    """What somebody has to look at, one line each: failed tiles, those cut off, and a production that is silent or stopped."""
    lives = bool(going) and going["life"]["state"] == "running"
    wrong = [
        f"{entry['tile']} {'failed' if entry['state'] == 'failed' else 'is not done'}: {entry['why'] or 'it did not say why'}"
        for entry in found
        if entry["state"] == "failed" or (entry["why"] and not lives)  # a living production begins again what was cut off
    ]
    if going and going["life"]["state"] in ("silent", "stopped"):
        wrong = [*production_lines(going), *wrong]
    elif going and going["life"]["clock"]:
        wrong = [going["life"]["clock"], *wrong]
    return wrong
