"""How far every tile of a production is, whether its parent lives, what wants to be looked at, and when it will be done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imperv.flows.plan.planning import remembering, tile_status
from imperv.flows.production.heartbeat import life_of
from imperv.flows.production.spending import costs_line, tile_costs, total_costs
from imperv.flows.production.state import read_state
from imperv.flows.runtime.console import duration, out
from imperv.flows.runtime.journal import last_run
from imperv.tasks.job import Job
from imperv.tasks.settings.files import label_of
from imperv.tasks.settings.production import Prices, Production
from imperv.tasks.store.overlay import store_of

ATTENTION = ("failed", "running", "incomplete", "out of date", "missing", "done")
"""States of tiles, those first that want to be looked at."""


def statuses(production: Production, now: datetime | None = None, costs: bool = True) -> list[dict[str, Any]]:
    """State of every tile with the seconds since its last run said anything, and its `costs`; those first that want a look."""
    moment, found = now or datetime.now(UTC), []
    for tile in production.tile_names:
        job = remembering(Job.of(production, tile))
        when = last_run(job).get("when", "")
        age = _age(when, moment) if when else None
        entry = {**tile_status(job), "age": age, "when": when}
        found.append(entry | {"costs": tile_costs(job)} if costs else entry)
    return sorted(found, key=lambda entry: (ATTENTION.index(entry["state"]), entry["tile"]))


def _age(when: str, now: datetime) -> float:
    return round((now - datetime.fromisoformat(when)).total_seconds(), 1)


def going(config: Path, production: Production, now: datetime | None = None) -> dict[str, Any]:
    """The last run of a production: whether it lives, when it began and ended, and of a living one rate and hours left."""
    store = store_of(production)
    state = read_state(store)
    if not state:
        return {}
    life = life_of(store, state, now)
    told = life.sign.facts if life.sign and life.state == "running" else {}
    return {
        "production": label_of(config), "run": state["run"], "began": state["began"], "ended": state.get("ended", ""),
        "life": life.as_table(), "finished": told.get("finished"), "tiles_an_hour": told.get("tiles_an_hour"),
        "hours_left": told.get("hours_left"), "summary": state.get("summary", {}),
    }  # fmt: skip


def print_status(found: Sequence[dict[str, Any]], run: dict[str, Any], prices: Prices) -> None:
    """A line a tile, its reason below it, the sums, costs so far, and how the production is."""
    for entry in found:
        cells = "  ".join(f"{stage} {s['done']}/{s['total']}" for stage, s in entry["stages"].items())
        age = f"{duration(entry['age'])} ago" if entry["age"] is not None else ""
        out.print(f"{entry['tile']}  {entry['state']:<11} {cells}  {age}".rstrip(), markup=False)
        if entry["why"]:
            out.print(f"        {entry['why']}", markup=False)
        if others := entry["other_editions"]:
            out.print(f"        {len(others)} products of another edition lie beside, such as {others[0]}", markup=False)
    if len(found) > 1:
        counts = Counter(entry["state"] for entry in found)
        out.print(f"{len(found)} tiles: " + ", ".join(f"{counts[s]} {s}" for s in ATTENTION if counts[s]), markup=False)
    if costs := total_costs([entry["costs"] for entry in found]):
        out.print(costs_line(costs, prices), markup=False)
    for line in production_lines(run):
        out.print(line, markup=False)


def production_lines(run: dict[str, Any]) -> list[str]:
    """How the production is: running, silent for so long, stopped, or ended; then what keeps it, and clocks that are wrong."""
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
        how = f": {summary['done']} of {summary['tiles']} tiles done, {len(summary['failed'])} failed" if summary else ""
        lines = [f"{name} ended {run['ended']}{how}"]
    return lines + ([life["clock"]] if life["clock"] else [])


@dataclass(frozen=True)
class Trouble:
    """Something that somebody has to look at."""

    kind: str
    """silent, stopped, blocked, clock, failed or cut off."""
    text: str
    """One line."""


def troubles(found: Sequence[dict[str, Any]], run: dict[str, Any]) -> list[Trouble]:
    """What somebody has to look at: a production that is silent, stopped or kept from running, failed tiles and those cut off."""
    wrong, life = [], run["life"] if run else {"state": "", "clock": ""}
    if life["state"] in ("silent", "stopped"):
        wrong.append(Trouble(life["state"], production_lines(run)[0]))
    lives = life["state"] == "running"
    if lives and life.get("blocked"):
        wrong.append(Trouble("blocked", f"production {run['production']} waits: {life['blocked']}"))
    if life["clock"]:
        wrong.append(Trouble("clock", life["clock"]))
    for entry in found:
        if lives and entry["tile"] not in life.get("failed", ()):  # it is in work, or will be begun again
            continue
        if entry["state"] == "failed":
            wrong.append(Trouble("failed", f"{entry['tile']} failed: {entry['why'] or 'it did not say why'}"))
        elif entry["why"]:
            wrong.append(Trouble("cut off", f"{entry['tile']}: {entry['why']}"))
    return wrong
