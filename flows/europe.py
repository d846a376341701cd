"""The flow of a production: all tiles in two passes, each pass of a tile a deployment's run, or a process of this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Literal

from prefect import flow
from prefect.states import Completed, Failed, State

from flows.choosing import chosen_tiles
from flows.guarding import refuse_taken, taken_from_newer
from flows.outcomes import Ledger, Outcome, failure_limit
from flows.parent import only_parent
from flows.producing import produce, up_to_date
from flows.production_state import begin, end
from flows.progress import listener
from flows.refusing import refuse_without_gdal, refused
from flows.runners import Deployments, Processes, Runner
from flows.targets import resolve_targets
from flows.watching import Watch, check_watching
from tasks.job import Job
from tasks.overlay import store_of
from tasks.production import Production

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
    deployment: str = "imperviousness/tile",
    first: list[str] | None = None,
    retry_failed: bool = False,
    yes: bool = False,
    artifacts: bool = False,
) -> Ledger:
    """Run a production from its first wave to its summary; parameters as those of the flow `europe`.

    Raises
    ------
    InputError
        If the request is wrong, or would make again what a newer production uses.
    WorkError
        If another parent runs a production in the store.
    """
    config = str(Path(config).absolute())
    production = Production.read(config)
    check_watching(production)
    symbols, names = resolve_targets(targets), chosen_tiles(production, tiles, first, retry_failed)
    if runner == "processes":
        refuse_without_gdal(symbols)
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


@flow(name="europe", flow_run_name="europe", validate_parameters=True)
async def europe(
    config: str,
    tiles: list[str] | None = None,
    targets: list[str] | None = None,
    runner: Literal["deployments", "processes"] = "deployments",
    at_once: int = 1,
    tile_timeout: float | None = None,
    max_failures: float = MAX_FAILURES,
    deployment: str = "imperviousness/tile",
    first: list[str] | None = None,
    retry_failed: bool = False,
    yes: bool = False,
) -> State[Any]:
    """Make and deliver the layers of many tiles.

    Parameters
    ----------
    config : str
        Production file.
    tiles : list of str, optional
        Tiles, by default all of the production.
    targets : list of str, optional
        Layers asked for, all by default.
    runner : str
        "deployments": tiles are runs of a deployment, on whatever workers there are; "processes": of this machine.
    at_once : int
        Tiles in work at the same time; with deployments the work pool has a limit of its own.
    tile_timeout : float, optional
        Seconds of a pass of a tile, after which it is stopped.
    max_failures : float
        With more failed tiles no further ones are begun: a number from 1, or a share of all tiles below 1, but 3 at least.
    deployment : str
        Deployment of the flow of a tile.
    first : list of str, optional
        Tiles that go before the others in every wave.
    retry_failed : bool
        Only tiles whose last run failed.
    yes : bool
        Make again what a newer production in the same store uses, which is refused otherwise.

    Returns
    -------
    dict
        Counts, and every failed tile with its reason; the flow's state is Failed if there is any.
    """
    ledger = await run_production(
        config, tiles, targets, runner, at_once, tile_timeout, max_failures, deployment, first, retry_failed, yes, artifacts=True
    )
    summary = ledger.summary()
    if ledger.exit_code == 0:
        return Completed(message=f"{summary['done']} of {summary['tiles']} tiles are done", data=summary)
    reasons = "; ".join(outcome.message for outcome in list(ledger.failed.values())[:5])
    return Failed(
        message=f"{summary['done']} of {summary['tiles']} tiles are done, {len(ledger.failed)} failed: {reasons}", data=summary
    )
