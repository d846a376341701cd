"""Alerts of a production's parent: first failure, nothing can run, end, stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from imperv.flows.production.heartbeat import MISSED
from imperv.flows.production.notifying import FAREWELL, PATIENCE, Alert, send
from imperv.flows.runtime.console import counted
from imperv.tasks.settings.watch import WatchSettings

if TYPE_CHECKING:
    from imperv.flows.runtime.outcomes import Ledger, Outcome

Sign = Callable[[], Awaitable[None]]

MOST = 10
"""Failed tiles that an alert names."""


class Alerts:
    """Alerts the notifiers of a production; made in the loop that runs it. Every alert has `facts`: production, store, ...

    `sign` gives a sign of life: before a failure is told, so that who looks at once finds it in `imperv status`.
    """

    def __init__(self, settings: WatchSettings, ledger: Ledger, facts: dict[str, str], sign: Sign | None = None) -> None:
        self.notifiers, self.ledger, self.facts, self._sign = settings.notify, ledger, facts, sign
        self._patience = MISSED * settings.heartbeat  # workers may just be starting
        self._loop = asyncio.get_running_loop()
        self._under_way: set[asyncio.Task[list[bool]]] = set()
        self._told_lost, self._blocked_since, self._told_blocked = False, 0.0, ""

    def lost(self, outcome: Outcome) -> None:
        """Alert for the first tile that is given up. Any thread may call it."""
        if not self._told_lost:
            self._told_lost = True
            said = f"tile {outcome.tile} failed, the first of this run"
            self._loop.call_soon_threadsafe(self._send, "failed", said, (outcome.message,))

    def blocked(self, why: str) -> None:
        """Alert once for a reason why nothing can run, after a while; an empty one says that something can."""
        if not why:
            self._blocked_since, self._told_blocked = 0.0, ""
            return
        self._blocked_since = self._blocked_since or time.monotonic()
        if why != self._told_blocked and time.monotonic() - self._blocked_since >= self._patience:
            self._told_blocked = why
            self._send("blocked", f"nothing can run: {why}", ())

    async def ended(self) -> None:
        """Alert for the end; waits for the notifiers a while."""
        done, tiles = len(self.ledger.done), len(self.ledger.tiles)
        reasons = [f"{tile}: {outcome.message}" for tile, outcome in sorted(self.ledger.failed.items())]
        more = [f"and {len(reasons) - MOST} more"] if len(reasons) > MOST else []
        said = f"ended, {done} of {counted(tiles, 'tile')} done, {len(reasons)} failed"
        left = len(self.ledger.not_begun)
        kept = [f"too many tiles failed: {left} not done; run again to go on"] if self.ledger.stopped else []
        await self._farewell("ended", said, (*kept, *reasons[:MOST], *more), self.ledger.exit_code == 0)

    async def stopped(self, why: str) -> None:
        """Alert for a stop before the end; waits for the notifiers a while."""
        await self._farewell("stopped", "stopped before its end", (why, "run it again to go on"))

    async def _farewell(self, event: str, said: str, lines: tuple[str, ...], good: bool = False) -> None:
        await asyncio.sleep(0)  # alerts of threads come first
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=FAREWELL / 10)
        self._send(event, said, lines, good)
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=FAREWELL)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _send(self, event: str, said: str, lines: tuple[str, ...], good: bool = False) -> None:
        if not self.notifiers:
            return
        alert = Alert(event, f"{self.facts['production']}: {said}", lines, self.facts, good)
        task = self._loop.create_task(self._told(alert))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _told(self, alert: Alert) -> list[bool]:
        if self._sign is not None and alert.event == "failed":
            await self._sign()
        return await send(self.notifiers, alert, PATIENCE)
