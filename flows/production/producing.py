"""All waves of a production, with any runner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from imperv.flows.plan.planning import plan_tile
from imperv.flows.plan.targets import DELIVER, steps
from imperv.flows.production.waves import Wave, waves
from imperv.flows.runtime.journal import note_run
from imperv.flows.runtime.outcomes import Ledger, Outcome, try_again
from imperv.flows.runtime.run_logs import add_to_log
from imperv.flows.runtime.runners import Runner
from imperv.flows.tile.run import Until
from imperv.tasks.errors import ImpervError
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production

BUSY_PAUSE = 5.0
"""Seconds before a busy tile is tried again."""

BUSY_TRIES = 100
"""Tries of a busy tile: longer than the leases that killed processes of other machines leave."""


async def produce(
    production: Production,
    tiles: Sequence[str],
    targets: list[str] | None,
    runner: Runner,
    ledger: Ledger,
    check: Callable[[], None] = lambda: None,
) -> Ledger:
    """Run both passes of all tiles and note the ends in the ledger; a failed tile never stops the others.

    `check` is called before every run, and raises to end the production; no run begins once the ledger is `stopped`.
    """
    places = asyncio.Semaphore(runner.at_once)

    async def one(tile: str, wave: Wave) -> None:
        async with places:
            if ledger.stopped:
                return
            check()
            job = Job.of(production, tile)
            if (count := await asyncio.to_thread(up_to_date, job, targets, wave.until)) is not None:
                ledger.add(Outcome(tile, wave.until, "done", counts={"ran": 0, "up to date": count, "not made": 0}))
                return
            outcome = await _with_retries(job, wave.until, runner, ledger)
            if outcome.kind != "done":
                ledger.give_up(outcome)

    for wave in waves(production, tiles, targets, lambda tile: tile in ledger.failed or tile in ledger.done):
        if ledger.stopped:
            break
        try:
            async with asyncio.TaskGroup() as group:
                for tile in wave.tiles:
                    group.create_task(one(tile, wave))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors
    return ledger


def up_to_date(job: Job, targets: list[str] | None, until: Until) -> int | None:
    """Number of nodes and deliveries of a pass if all are up to date, else None; quicker than starting a run."""
    order, products = steps(targets, until, job.family)
    wanted = {*order, *(DELIVER + symbol for symbol in products)}
    found = [step for step in plan_tile(job, targets) if step.node in wanted]
    return len(found) if all(step.state == "up to date" for step in found) else None


async def _with_retries(job: Job, until: Until, runner: Runner, ledger: Ledger) -> Outcome:
    """Run a pass of a tile until it is done, or has failed for good."""
    past: list[Outcome] = []
    busy = attempt = 0
    while True:
        ledger.begin(str(job.tile))
        outcome = await runner.run(job, until, attempt)
        attempt += 1
        ledger.add(outcome)
        if outcome.kind == "done":
            return outcome
        if outcome.kind == "busy" and busy < BUSY_TRIES:
            busy += 1
            await asyncio.sleep(BUSY_PAUSE)
            continue
        if outcome.kind in ("crashed", "timeout"):  # its process could not say so itself
            with suppress(ImpervError, OSError):
                note_run(job, "failed", outcome.message)
                add_to_log(job, outcome.message, outcome.seconds)
        past.append(outcome)
        if not try_again(past):
            return outcome
