"""What Prefect's pages and the store show of a production while it goes on: progress, a table of tiles, and the report."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from flows.outcomes import Ledger
from tasks.errors import ImpervError
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
    for tile in ledger.tiles:
        last = ends.get(tile)
        state = "failed" if tile in ledger.failed else "done" if tile in ledger.done else "in work" if last else "not begun"
        why = ledger.failed[tile].message if state == "failed" else last.message if last and state == "in work" else ""
        seconds = round(sum(o.seconds for o in ledger.runs if o.tile == tile), 1)
        rows.append({"tile": tile, "state": state, "last pass": last.until if last else "", "seconds": seconds, "why": why})
    return sorted(rows, key=lambda row: (order[row["state"]], row["tile"]))


class Watch:
    """Keeps artifacts of the parent's flow run and the production's report fresh until it is left.

    Parameters
    ----------
    production : Production
        Settings.
    ledger : Ledger
        Of the run.
    artifacts : bool
        Whether there is a flow run that shows artifacts.
    """

    def __init__(self, production: Production, ledger: Ledger, artifacts: bool) -> None:
        self.production, self.ledger, self.artifacts = production, ledger, artifacts
        self._progress: Any = None
        self._reported, self._seen = time.monotonic(), 0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Watch:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._refresh(last=True)

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
