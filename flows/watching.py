"""What the store and Prefect's pages show of a production that goes on: signs of life, progress, a table of tiles, the report."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from dataclasses import replace
from typing import Any

from flows.heartbeat import give_sign, new_sign
from flows.outcomes import Ledger
from tasks.errors import ImpervError
from tasks.overlay import store_of
from tasks.production import Production

log = logging.getLogger(__name__)

EVERY = 10.0
"""Seconds between two refreshes of progress and table."""

REPORT_EVERY = 300.0
"""Seconds between two refreshes of the production's report, if any tile has ended since."""


def tile_rows(ledger: Ledger) -> list[dict[str, Any]]:
    """State of every tile of a run, those that need attention first."""
    ends = {outcome.tile: outcome for outcome in ledger.runs}
    order = {"failed": 0, "in work": 1, "not begun": 2, "done": 3}
    rows = []
    for tile, state in ledger.states().items():
        last = ends.get(tile)
        why = ledger.failed[tile].message if state == "failed" else last.message if last and state == "in work" else ""
        seconds = round(sum(o.seconds for o in ledger.runs if o.tile == tile), 1)
        rows.append({"tile": tile, "state": state, "last pass": last.until if last else "", "seconds": seconds, "why": why})
    return sorted(rows, key=lambda row: (order[row["state"]], row["tile"]))


class Watch:
    """Gives signs of life, and keeps artifacts of the parent's flow run and the production's report fresh until it is left.

    Parameters
    ----------
    production : Production
        Settings.
    run : str
        Name of the run.
    ledger : Ledger
        Of the run.
    artifacts : bool
        Whether there is a flow run that shows artifacts.
    """

    def __init__(self, production: Production, run: str, ledger: Ledger, artifacts: bool) -> None:
        self.production, self.ledger, self.artifacts = production, ledger, artifacts
        self._sign = new_sign(run, production.watch.heartbeat)
        self._progress: Any = None
        self._reported, self._seen = time.monotonic(), 0
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Watch:
        await self._live()
        self._tasks = [asyncio.create_task(self._beat()), asyncio.create_task(self._watch())]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if error is not None:
            why = "it was told to stop" if isinstance(error, asyncio.CancelledError | KeyboardInterrupt) else _said(error)
            self._sign = replace(self._sign, state="stopped", note=why)
        await self._live()
        await self._refresh(last=True)

    async def _beat(self) -> None:
        # In the loop that runs the production: a thread of its own would live on while the loop hangs.
        while True:
            await asyncio.sleep(self._sign.every)
            await self._live()

    async def _live(self) -> None:
        facts = {"tiles": dict(Counter(self.ledger.states().values()))}
        await asyncio.to_thread(give_sign, store_of(self.production), replace(self._sign, facts=facts))

    async def _watch(self) -> None:
        while True:
            await self._refresh()
            await asyncio.sleep(EVERY)

    async def _refresh(self, last: bool = False) -> None:
        if self.artifacts:
            await self._show()
        new = len(self.ledger.runs) > self._seen
        if new and (last or time.monotonic() - self._reported > REPORT_EVERY):
            self._seen, self._reported = len(self.ledger.runs), time.monotonic()
            await asyncio.to_thread(self._report)

    async def _show(self) -> None:
        """Artifacts; a server that does not take them costs nothing but a line in the log."""
        import httpx
        from prefect.artifacts import acreate_progress_artifact, acreate_table_artifact, aupdate_progress_artifact
        from prefect.exceptions import PrefectException

        share = 100 * (len(self.ledger.done) + len(self.ledger.failed)) / max(1, len(self.ledger.tiles))
        try:
            if self._progress is None:
                self._progress = await acreate_progress_artifact(
                    share, key="production-progress", description="Tiles that have ended"
                )
            else:
                await aupdate_progress_artifact(self._progress, share)
            await acreate_table_artifact(tile_rows(self.ledger), key="production-tiles", description="Tiles of the production")
        except (PrefectException, httpx.HTTPError, RuntimeError) as error:
            log.warning("the progress is not shown in Prefect: %s", error)

    def _report(self) -> None:
        from flows.reporting import report_production

        try:
            report_production(self.production)
        except (ImpervError, OSError, ValueError) as error:
            log.warning("the report of the production could not be made: %s", error)


def _said(error: BaseException) -> str:
    """One line; of several at once the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return " ".join(f"{error if isinstance(error, ImpervError) else repr(error)}".split())
