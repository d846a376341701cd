"""A production from its first wave to its summary, each pass of a tile a process of this machine, or a deployment's run.

Prefect is imported only where its server is used; the flow is in `flows.europe`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

from imperv.flows.plan.targets import resolve_targets
from imperv.flows.production.choosing import chosen_tiles
from imperv.flows.production.parent import only_parent
from imperv.flows.production.producing import produce, up_to_date
from imperv.flows.production.state import begin, end
from imperv.flows.production.watching import Watch, check_watching
from imperv.flows.runtime.outcomes import Ledger, Outcome, failure_limit
from imperv.flows.runtime.run_logs import RUN
from imperv.flows.runtime.runners import Deployments, Processes, Runner
from imperv.flows.tile.guarding import refuse_taken, taken_from_newer
from imperv.flows.tile.progress import listener
from imperv.flows.tile.refusing import refuse_without_writer, refused
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from imperv.tasks.store.overlay import store_of

MAX_FAILURES = 0.1
"""Share of the tiles that may fail before a production is stopped; a few always may."""


async def run_production(
    config: str,
    tiles: list[str] | None = None,
    targets: list[str] | None = None,
    runner: Literal["deployments", "processes"] = "processes",
    at_once: int = 1,
    tile_timeout: float | None = None,
    max_failures: float = MAX_FAILURES,
    deployment: str = "",
    first: list[str] | None = None,
    retry_failed: bool = False,
    yes: bool = False,
    artifacts: bool = False,
) -> Ledger:
    """Run a production from its first wave to its summary, with the parameters of the flow `europe`.

    InputError if the request is wrong, or would make again what a newer production uses; WorkError if another parent is at work.
    """
    config = str(Path(config).absolute())
    production = Production.read(config)
    check_watching(production)
    deployment = deployment or f"{production.product}/tile"
    symbols, names = resolve_targets(targets, production.product), chosen_tiles(production, tiles, first, retry_failed)
    if runner == "processes":
        refuse_without_writer(symbols, production.product)
    ledger = Ledger(names, failure_limit(max_failures, len(names)), _tell)
    if not names:  # what the last run left stays as it is
        return ledger
    if not yes:
        refuse_taken(await asyncio.to_thread(taken_from_newer, production, names, symbols))
    store = store_of(production)
    with only_parent(store, production) as place:
        name = begin(store, production, names, symbols)
        ways: dict[str, Runner] = {
            "processes": Processes(config, symbols, at_once, tile_timeout),
            "deployments": Deployments(config, symbols, at_once, tile_timeout, name, deployment),
        }
        async with Watch(Path(config), production, name, ledger, artifacts, deployment if runner == "deployments" else None):
            await asyncio.to_thread(_look, production, symbols, ledger)
            await produce(production, names, symbols, ways[runner], ledger, place.check)
            place.check()
            end(store, name, ledger)
    return ledger


def _look(production: Production, symbols: list[str] | None, ledger: Ledger) -> None:
    """Before anything runs: nothing does if all is up to date; tiles whose references cannot be used are given up."""
    jobs = {tile: Job.of(production, tile) for tile in ledger.tiles}
    counts = {tile: up_to_date(job, symbols, "all") for tile, job in jobs.items()}
    todo = [jobs[tile] for tile, count in counts.items() if count is None]
    if not todo:
        for tile in ledger.tiles:
            ledger.add(Outcome(tile, "all", "done", counts={"ran": 0, "up to date": counts[tile] or 0, "not made": 0}))
    for tile, error in refused(todo, symbols).items():
        outcome = Outcome(tile, "features", "input", str(error))
        ledger.add(outcome)
        ledger.give_up(outcome)


def _tell(outcome: Outcome) -> None:
    listener().finished(outcome.tile, f"pass to {outcome.until}", True, outcome.seconds, outcome.message)
    RUN.info("%s to %s: %s, %.1f s %s", outcome.tile, outcome.until, outcome.kind, outcome.seconds, outcome.message)
