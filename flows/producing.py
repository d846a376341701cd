"""A production of many tiles from its first wave to its summary, with whatever runner."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from flows.journal import note_run
from flows.outcomes import Ledger, Outcome, try_again
from flows.runners import Runner
from flows.waves import Wave, waves
from tasks.errors import ImpervError
from tasks.job import Job
from tasks.production import Production

BUSY_PAUSE = 5.0
"""Seconds before a tile is tried again that somebody else works on."""

BUSY_TRIES = 100
"""Tries of such a tile: as many leases as a killed process of another machine could leave, and some."""


async def produce(
    production: Production, tiles: Sequence[str], targets: list[str] | None, runner: Runner, ledger: Ledger
) -> Ledger:
    """Run all tiles through both passes; one that fails for good never stops the others.

    Parameters
    ----------
    production : Production
        Settings.
    tiles : sequence of str
        Tiles.
    targets : list of str or None
        Layers asked for; all if None.
    runner : Runner
        Runs one pass of one tile.
    ledger : Ledger
        Takes note of everything; no further runs are begun once it is `stopped`.

    Returns
    -------
    Ledger
        The same.
    """
    places = asyncio.Semaphore(runner.at_once)

    async def one(tile: str, wave: Wave) -> None:
        async with places:
            if ledger.stopped:
                return
            outcome = await _with_retries(Job.of(production, tile), wave.until, runner, ledger)
            if outcome.kind != "done":
                ledger.give_up(outcome)

    for wave in waves(production, tiles, targets, lambda tile: tile in ledger.failed):
        if ledger.stopped:
            break
        async with asyncio.TaskGroup() as group:
            for tile in wave.tiles:
                group.create_task(one(tile, wave))
    return ledger


async def _with_retries(job: Job, until: str, runner: Runner, ledger: Ledger) -> Outcome:
    """Run a pass of a tile until it is done, or has failed for good."""
    past: list[Outcome] = []
    busy = attempt = 0
    while True:
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
        past.append(outcome)
        if not try_again(past):
            return outcome
