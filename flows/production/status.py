"""Progress of every tile of a production, whether its parent lives, and what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imperv.flows.plan.planning import remembering, tile_status
from imperv.flows.production.heartbeat import life_of
from imperv.flows.production.spending import costs_line, tile_costs, total_costs
from imperv.flows.production.state import read_state
from imperv.flows.runtime.console import counted, duration
from imperv.flows.runtime.journal import last_run
from imperv.tasks.job import Job
from imperv.tasks.settings.files import label_of
from imperv.tasks.settings.production import Prices, Production
from imperv.tasks.store.overlay import store_of

ATTENTION = ("failed", "running", "incomplete", "out of date", "missing", "done")
"""States of tiles, most urgent first."""


def statuses(production: Production, now: datetime | None = None, costs: bool = True) -> list[dict[str, Any]]:
    """State of every tile with the age of its last run's state in seconds, and its `costs`; most urgent first."""
    moment, found = now or datetime.now(UTC), []
    for tile in production.tile_names:
        job = remembering(Job.of(production, tile))
        when = last_run(job).get("when", "")
        age = round((moment - datetime.fromisoformat(when)).total_seconds(), 1) if when else None
        entry = {**tile_status(job), "age": age, "when": when}
        found.append(entry | {"costs": tile_costs(job)} if costs else entry)
    return sorted(found, key=lambda entry: (ATTENTION.index(entry["state"]), entry["tile"]))


def going(config: Path, production: Production, now: datetime | None = None) -> dict[str, Any]:
    """The last run of a production: its life, begin and end, and of a living one rate and hours left; empty without any."""
    store = store_of(production)
    state = read_state(store)
    if not state:
        return {}
    life = life_of(store, state, now)
    facts = life.sign.facts if life.sign and life.state == "running" else {}
    return {
        "production": label_of(config), "run": state["run"], "began": state["began"], "ended": state.get("ended", ""),
        "life": life.as_table(), "summary": state.get("summary", {}),
        **{name: facts.get(name) for name in ("finished", "tiles_an_hour", "hours_left")},
    }  # fmt: skip


def status_lines(found: Sequence[dict[str, Any]], run: dict[str, Any], prices: Prices) -> Iterator[str]:
    """A line a tile, its reason below it, the sums, costs so far, and the state of the production."""
    for entry in found:
        cells = "  ".join(f"{stage} {s['done']}/{s['total']}" for stage, s in entry["stages"].items())
        age = f"{duration(entry['age'])} ago" if entry["age"] is not None else ""
        yield f"{entry['tile']}  {entry['state']:<11} {cells}  {age}".rstrip()
        if entry["why"]:
            yield f"        {entry['why']}"
        if others := entry["other_editions"]:
            yield f"        {counted(len(others), 'product')} of another edition beside, such as {others[0]}"
    if len(found) > 1:
        counts = Counter(entry["state"] for entry in found)
        yield f"{counted(len(found), 'tile')}: " + ", ".join(f"{counts[s]} {s}" for s in ATTENTION if counts[s])
    if costs := total_costs([entry["costs"] for entry in found]):
        yield costs_line(costs, prices)
    yield from production_lines(run)


def production_lines(run: dict[str, Any]) -> list[str]:
    """State of the production: running, silent, stopped or ended; then what it waits for, and wrong clocks."""
    if not run:
        return []
    life, name = run["life"], f"production {run['production']}"
    ago = duration(life["age"]) if life["age"] is not None else ""
    if life["state"] == "running":
        tiles = life.get("tiles", {})
        pace = f", {run['tiles_an_hour']:.1f} tiles an hour" if run["finished"] else ""
        left = f", about {duration(3600 * run['hours_left'])} left" if run["hours_left"] is not None else ""
        counts = ", ".join(f"{count} {state}" for state, count in tiles.items() if count)
        lines = [f"{name} runs since {run['began']} on {life['host']}: {counts}{pace}{left}; last sign of life {ago} ago"]
        lines += [f"it waits: {why}" for why in (life["why"], life.get("blocked")) if why]
    elif life["state"] == "silent":
        lines = [f"{name}, begun {run['began']}, has been silent for {ago}: {life['why']}; run it again to go on"]
    elif life["state"] == "stopped":
        lines = [f"{name}, begun {run['began']}, stopped {ago} ago: {life['why']}; run it again to go on"]
    else:
        summary = run["summary"]
        how = (
            f": {summary['done']} of {counted(summary['tiles'], 'tile')} done, {len(summary['failed'])} failed" if summary else ""
        )
        lines = [f"{name} ended {run['ended']}{how}"]
    return lines + ([life["clock"]] if life["clock"] else [])


@dataclass(frozen=True)
class Trouble:
    """Something that needs attention."""

    kind: str
    """silent, stopped, blocked, clock, failed, cut off or out of date."""
    text: str
    """One line."""


def troubles(found: Sequence[dict[str, Any]], run: dict[str, Any]) -> list[Trouble]:
    """What is wrong: a silent, stopped or blocked production, clocks, and tiles that failed, were cut off or are out of date.

    Of a living production only tiles that it has given up: it makes the others.
    """
    wrong, life = [], run["life"] if run else {"state": "", "clock": ""}
    if life["state"] in ("silent", "stopped"):
        wrong.append(Trouble(life["state"], production_lines(run)[0]))
    lives = life["state"] == "running"
    if lives and life.get("blocked"):
        wrong.append(Trouble("blocked", f"production {run['production']} waits: {life['blocked']}"))
    if life["clock"]:
        wrong.append(Trouble("clock", life["clock"]))
    ended = [entry for entry in found if not lives or entry["tile"] in life.get("failed", ())]
    for entry in ended:
        if entry["state"] == "failed":
            wrong.append(Trouble("failed", f"{entry['tile']} failed: {entry['why'] or 'it did not say why'}"))
        elif entry["why"]:
            wrong.append(Trouble("cut off", f"{entry['tile']}: {entry['why']}"))
    if old := [entry["tile"] for entry in ended if entry["state"] == "out of date"]:
        names = ", ".join(old[:5]) + (", ..." if len(old) > 5 else "")
        wrong.append(Trouble("out of date", f"{counted(len(old), 'tile')} out of date: {names}; run again, or see imperv plan"))
    return wrong
