"""What a running production shows: signs of life, alerts, metrics, progress in Prefect, the report."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from imperv.flows.production.alerting import Alerts
from imperv.flows.production.heartbeat import give_sign, new_sign
from imperv.flows.production.notifying import check_notifiers
from imperv.flows.production.tally import Tally
from imperv.flows.runtime.outcomes import Ledger
from imperv.tasks.errors import ImpervError, InputError
from imperv.tasks.settings.files import label_of
from imperv.tasks.settings.production import Production
from imperv.tasks.store.overlay import store_of

log = logging.getLogger(__name__)

EVERY = 10.0
"""Seconds between two refreshes."""

ANSWER = 30.0
"""Time limit of the Prefect server, seconds; on SQLite it is slow while many runs begin."""

REPORT_EVERY = 300.0
"""Seconds between two reports, if a tile has ended since."""


def tile_rows(ledger: Ledger) -> list[dict[str, Any]]:
    """State of every tile of a run, most urgent first."""
    ends, seconds = {}, defaultdict[str, float](float)
    for outcome in ledger.runs:
        ends[outcome.tile] = outcome
        seconds[outcome.tile] += outcome.seconds
    order = {"failed": 0, "in work": 1, "not begun": 2, "done": 3}
    rows = []
    for tile, state in ledger.states().items():
        last = ends.get(tile)
        why = ledger.failed[tile].message if state == "failed" else last.message if last and state == "in work" else ""
        until = last.until if last else ""
        rows.append({"tile": tile, "state": state, "last pass": until, "seconds": round(seconds[tile], 1), "why": why})
    return sorted(rows, key=lambda row: (order[row["state"]], row["tile"]))


def check_watching(production: Production) -> None:
    """Raise InputError if the command of a notifier or the folder of the metrics does not exist."""
    check_notifiers(production.watch.notify)
    folder = Path(production.path(production.watch.metrics)).parent
    if production.watch.metrics and not folder.is_dir():
        raise InputError(f"metrics: there is no folder {folder}; make it, or name another file")


class Watch:
    """Keeps signs of life, alerts, metrics, Prefect's artifacts and the report up to date in its block.

    `artifacts`: this is a flow run. `deployment`: that of the tiles, whose work pool is watched.
    """

    def __init__(
        self, config: Path, production: Production, run: str, ledger: Ledger, artifacts: bool = False, deployment: str = ""
    ) -> None:
        self.config, self.production, self.ledger = config, production, ledger
        self.artifacts, self.deployment = artifacts, deployment
        self._store, self._tally = store_of(production), Tally(production, ledger)
        self._sign = new_sign(run, production.watch.heartbeat)
        self._pool: dict[str, Any] = {}
        self._one = asyncio.Lock()
        self._ended = False
        self._progress: Any = None
        self._reported, self._seen = time.monotonic(), 0
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Watch:
        host = self._sign.process.host
        facts = {"production": label_of(self.config), "store": self.production.store_url, "run": self._sign.run, "host": host}
        self._alerts = Alerts(self.production.watch, self.ledger, facts, self._live)
        self.ledger.lost = self._alerts.lost
        await self._live()
        self._tasks = [asyncio.create_task(self._beat()), asyncio.create_task(self._watch())]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        why = "" if error is None else _said(error)
        if why:
            self._sign = replace(self._sign, state="stopped", note=why)
            await self._live()  # before anything that takes its time
        await self._refresh(last=True)
        self._ended = not why
        await self._live()
        await (self._alerts.stopped(why) if why else self._alerts.ended())

    async def _beat(self) -> None:
        # In the loop that runs the production: a thread of its own would live on while the loop hangs.
        while True:
            await asyncio.sleep(self._sign.every)
            await self._live()

    async def _live(self) -> None:
        async with self._one:  # or an older sign could be written last
            self._sign = replace(self._sign, facts={**self._tally.facts(), **self._pool})
            await asyncio.to_thread(give_sign, self._store, self._sign)
        if self.production.watch.metrics:
            from imperv.flows.production.metrics import write_metrics

            with _logged("the metrics are not written"):
                await asyncio.to_thread(write_metrics, self.config, self.production)
        if self.artifacts:
            self._emit("stopped" if self._sign.state == "stopped" else "ended" if self._ended else "alive")

    def _emit(self, what: str) -> None:
        """Send an event to the server, for its automations."""
        from prefect.events import emit_event

        resource = {"prefect.resource.id": f"imperv.production.{self._sign.run}", "prefect.resource.name": label_of(self.config)}
        emit_event(f"imperv.production.{what}", resource, payload=dict(self._sign.facts))

    async def _watch(self) -> None:
        while True:
            await self._refresh()
            await asyncio.sleep(EVERY)

    async def _refresh(self, last: bool = False) -> None:
        with _logged("time and bytes of tiles are not new"):
            await asyncio.to_thread(self._tally.refresh)
        if self.deployment and not last:
            with _logged("the work pool is not known"):
                await self._look_at_pool(self.deployment)
        if self.artifacts:
            with _logged("the progress is not shown in Prefect"):
                await self._show()
        new = len(self.ledger.runs) > self._seen
        if new and (last or time.monotonic() - self._reported > REPORT_EVERY):
            self._seen, self._reported = len(self.ledger.runs), time.monotonic()
            with _logged("the report of the production is not new"):
                await asyncio.to_thread(self._report)

    async def _look_at_pool(self, deployment: str) -> None:
        """What the server says of the pool, or that it does not answer."""
        import httpx
        from prefect.exceptions import PrefectException

        from imperv.flows.runtime.pools import pool_of

        pool, why = None, "the Prefect server does not answer"
        with suppress(PrefectException, httpx.HTTPError, RuntimeError, TimeoutError):
            pool = await asyncio.wait_for(pool_of(deployment), ANSWER)
            why = pool.why if pool else ""
        self._pool = {"pool": asdict(pool) if pool else None, "blocked": why}
        self._alerts.blocked(why)

    async def _show(self) -> None:
        """Prefect's artifacts of the production."""
        from prefect.artifacts import acreate_progress_artifact, acreate_table_artifact, aupdate_progress_artifact

        share = 100 * (len(self.ledger.done) + len(self.ledger.failed)) / max(1, len(self.ledger.tiles))
        if self._progress is None:
            self._progress = await acreate_progress_artifact(share, "production-progress", "Tiles that have ended")
        else:
            await aupdate_progress_artifact(self._progress, share)
        await acreate_table_artifact(tile_rows(self.ledger), key="production-tiles", description="Tiles of the production")

    def _report(self) -> None:
        from imperv.flows.production.reporting import report_production

        report_production(self.production)


@contextmanager
def _logged(what: str) -> Iterator[None]:
    """Log a failure: what only shows a production never ends it."""
    try:
        yield
    except Exception as error:
        log.warning("%s: %s", what, error if isinstance(error, ImpervError | OSError) else repr(error))


def _said(error: BaseException) -> str:
    """One line; of several at once the first."""
    if isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
        return "it was interrupted"
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return " ".join(f"{error if isinstance(error, ImpervError) else repr(error)}".split())
