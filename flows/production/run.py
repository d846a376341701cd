"""A production of many tiles, each pass of a tile a process of this machine, or a run of a deployment.

Prefect is imported only where its server is used; the flow is in `flows.europe`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from imperv.flows.plan.targets import resolve_targets
from imperv.flows.production.producing import produce, up_to_date
from imperv.flows.production.state import begin, end, only_parent
from imperv.flows.production.watching import Watch, check_watching
from imperv.flows.runtime.journal import last_run
from imperv.flows.runtime.outcomes import Ledger, Outcome, failure_limit
from imperv.flows.runtime.run_logs import RUN
from imperv.flows.runtime.runners import Deployments, Processes, Runner
from imperv.flows.tile.guarding import refuse_taken, taken_from_newer
from imperv.flows.tile.progress import listener
from imperv.flows.tile.refusing import refuse_without_writer, refused
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production
from imperv.tasks.store.overlay import store_of

MAX_FAILURES = 0.1
"""Tolerated failures as a share of the tiles (`outcomes.failure_limit`)."""


def chosen_tiles(
    production: Production, tiles: Sequence[str] | None = None, first: Sequence[str] | None = None, retry_failed: bool = False
) -> tuple[str, ...]:
    """Tiles of a run, `first` before the others; with `retry_failed` only tiles whose last run failed, maybe none.

    InputError if one of `first` is not in the run.
    """
    names = tuple(dict.fromkeys(tiles or production.tile_names))
    if strange := [tile for tile in first or () if tile not in names]:
        raise InputError(f"first: {', '.join(strange)} is none of the tiles of this run; name tiles of it")
    names = tuple(dict.fromkeys((*(first or ()), *names)))
    if not retry_failed:
        return names
    return tuple(tile for tile in names if last_run(Job.of(production, tile)).get("state") == "failed")


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
    """Run a production with the parameters of the flow `europe`.

    InputError if the request is wrong, or would replace what a newer production uses; WorkError if another parent runs.
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
        async with Watch(Path(config), production, name, ledger, artifacts, deployment if runner == "deployments" else ""):
            await asyncio.to_thread(_look, production, symbols, ledger)
            await produce(production, names, symbols, ways[runner], ledger, place.check)
            place.check()
            end(store, name, ledger)
    return ledger


def _look(production: Production, symbols: list[str] | None, ledger: Ledger) -> None:
    """Before anything runs: nothing will if all is up to date; tiles with wrong references are given up."""
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
