"""Ways to run a pass of a tile: a process of this machine, or a run of a Prefect deployment on some worker."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import tenacity

from imperv.flows.runtime.journal import last_run
from imperv.flows.runtime.outcomes import Kind, Outcome
from imperv.flows.runtime.run_logs import add_to_log
from imperv.tasks.errors import WorkError
from imperv.tasks.job import Job
from imperv.tasks.settings.files import label_of

if TYPE_CHECKING:
    from uuid import UUID

POLL = 1.0
"""Seconds between two requests for the state of a run."""

SILENT = 60.0
"""Seconds that a running run may not hold its tile; longer, and its process is gone."""

STARTING = 180.0
"""Seconds that a worker has to begin a run: images are pulled, modules imported. Longer, and it is gone."""

LAST_WORDS = 40
"""Lines of standard error of a crashed process for its log: a traceback."""

PATIENCE = 600.0
"""Seconds of tries of the Prefect server."""


class Runner(Protocol):
    """Runs tiles."""

    @property
    def at_once(self) -> int:
        """Runs at the same time."""
        ...

    async def run(self, job: Job, until: str, attempt: int) -> Outcome:
        """Run a pass of a tile to its end; never raises for a failure of the tile."""
        ...


@dataclass(frozen=True)
class Processes:
    """Each run a process of this machine; needs no server."""

    config: str
    targets: list[str] | None
    at_once: int = 1
    timeout: float | None = None
    """Time limit of a run, seconds."""

    async def run(self, job: Job, until: str, attempt: int) -> Outcome:
        """See `Runner`."""
        tile, began = str(job.tile), time.monotonic()
        request = json.dumps({"tile": tile, "config": self.config, "targets": self.targets, "until": until})
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "imperv.flows.tile.process", request,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            said, errors = await asyncio.wait_for(process.communicate(), self.timeout)
        except TimeoutError:
            return Outcome(tile, until, "timeout", _late(tile, self.timeout), time.monotonic() - began)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        seconds = time.monotonic() - began
        try:
            end = json.loads(said.decode().splitlines()[-1])
            return Outcome(tile, until, end["kind"], end.get("message", ""), seconds, end.get("counts", {}))
        except (IndexError, ValueError, KeyError):
            lines = errors.decode(errors="replace").strip().splitlines()
            await asyncio.to_thread(add_to_log, job, "\n".join(lines[-LAST_WORDS:]), seconds)
            code, last = process.returncode or 0, lines[-1] if lines else "without a word"
            cause = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}: {last}"
            return Outcome(tile, until, "crashed", f"tile {tile}: its process {cause}", seconds)


def _ended_before(run: Any, since: datetime) -> bool:
    """True for a run found by its key that had failed before this parent began."""
    state = run.state
    return bool(state and state.is_final() and not state.is_completed() and state.timestamp < since)


def _late(tile: str, timeout: float | None) -> str:
    return f"tile {tile}: not done after {timeout:g} s; raise --tile-timeout, or see imperv logs {tile}"


@dataclass(frozen=True)
class Deployments:
    """Each run one of a Prefect deployment of the tile flow, on whatever worker takes it.

    A restarted parent finds the runs that it had begun by their key, (run, pass, tile, attempt).
    """

    config: str
    targets: list[str] | None
    at_once: int
    timeout: float | None
    run_name: str
    """Name of the production's run, the same after a restart."""
    deployment: str
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    """When this parent began."""
    past: dict[tuple[str, str], int] = field(default_factory=dict)
    """Failed runs of a tile and pass under a killed parent."""

    async def run(self, job: Job, until: str, attempt: int) -> Outcome:
        """See `Runner`."""
        from prefect.deployments import arun_deployment

        tile, began = str(job.tile), time.monotonic()
        tags = ["imperv", label_of(Path(self.config)), tile]
        parameters: dict[str, Any] = {"tile": tile, "config": self.config, "targets": self.targets, "until": until}
        while True:
            key = attempt + self.past.get((tile, until), 0)
            begin = partial(
                arun_deployment, self.deployment, parameters=parameters, timeout=0, as_subflow=True, tags=tags,
                idempotency_key=f"{self.run_name}/{until}/{tile}/{key}",
            )  # fmt: skip
            begun = await _patiently(begin)
            if not _ended_before(begun, self.since):
                break
            # It failed under a killed parent: this one has all its tries.
            self.past[tile, until] = self.past.get((tile, until), 0) + 1
        return await self._watch(begun.id, job, until, began)

    async def _watch(self, run_id: UUID, job: Job, until: str, began: float) -> Outcome:
        """Wait for the end of a run; give it up if its process is gone, or it takes too long."""
        from prefect import get_client
        from prefect.states import Cancelling, Crashed

        tile, held, running_since = str(job.tile), time.monotonic(), 0.0
        state: Any
        async with AsyncExitStack() as stack:
            client = await _patiently(lambda: stack.enter_async_context(get_client()))
            while True:
                found = await _patiently(lambda: client.read_flow_run(run_id))
                state, now = found.state, time.monotonic()
                kind: Kind = "crashed"
                why = ""
                if state is not None and state.is_final():
                    return self._end(job, until, state, now - began, found.created or self.since)
                if state is None or not state.is_running():
                    running_since, held = 0.0, now
                    if state is not None and _never_began(state, datetime.now(UTC)):
                        why = f"tile {tile}: a worker took it and has not begun for {STARTING:g} s; the worker is gone"
                else:
                    running_since = running_since or now
                    if now - held > SILENT / 4 and await asyncio.to_thread(job.store.is_locked, job.tile):
                        held = now
                    if now - held > SILENT:
                        why = f"tile {tile}: Prefect calls it running, but no process works on it; its worker is gone"
                    elif self.timeout and now - running_since > self.timeout:
                        kind, why = "timeout", _late(tile, self.timeout)
                if why:
                    new: Any = (Crashed if kind == "crashed" else Cancelling)(message=why)
                    await _patiently(partial(client.set_flow_run_state, run_id, new, force=True))
                    return Outcome(tile, until, kind, why, now - began)
                await asyncio.sleep(POLL)

    def _end(self, job: Job, until: str, state: Any, seconds: float, begun: datetime) -> Outcome:
        """Outcome of a final state; for a failure by the journal of the tile, if that is of this run."""
        tile = str(job.tile)
        if state.is_completed():
            return Outcome(tile, until, "done", "", seconds)
        text = " ".join(str(state.message or state.name).split())
        if "TileBusyError" in text:  # the journal is that of whoever has the tile
            return Outcome(tile, until, "busy", f"tile {tile}: {text}", seconds)
        last = last_run(job)
        if state.is_failed() and last.get("state") == "failed" and _since(last["when"], begun):
            return Outcome(tile, until, "input" if last.get("kind") == "input" else "work", last["why"], seconds)
        return Outcome(tile, until, "work" if state.is_failed() else "crashed", f"tile {tile}: {text}", seconds)


def _never_began(state: Any, now: datetime) -> bool:
    """True for a run that a worker took long ago; one that waits for a worker is scheduled, not pending."""
    return bool(state.is_pending() and (now - state.timestamp).total_seconds() > STARTING)


def _since(when: str, begun: datetime) -> bool:
    """True for a time of a journal, in whole seconds, since the begin of a run."""
    return datetime.fromisoformat(when) >= begun.replace(microsecond=0)


async def _patiently(call: Callable[[], Awaitable[Any]]) -> Any:
    """Answer of the Prefect server, which may be away for a while."""
    from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

    attempts = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(_passing), wait=tenacity.wait_exponential(multiplier=0.5, max=10),
        stop=tenacity.stop_after_delay(PATIENCE), reraise=True,
    )  # fmt: skip

    async def answer() -> Any:  # what is called has to be seen to be asynchronous
        return await call()

    try:
        return await attempts(answer)
    except ObjectNotFound as error:
        raise WorkError(f"Prefect: {error}; deploy first: prefect deploy --all") from None
    except Exception as error:
        if _passing(error):
            raise WorkError(
                f"Prefect: its server has not answered for {PATIENCE:g} s; start it and run again, what is finished is kept"
            ) from None
        if isinstance(error, PrefectHTTPStatusError):
            raise WorkError(f"Prefect: {error}") from None
        raise


def _passing(error: BaseException) -> bool:
    """True for errors of a server that is away or busy."""
    import httpx
    from prefect.exceptions import PrefectHTTPStatusError

    if isinstance(error, PrefectHTTPStatusError):
        return error.response.status_code >= 500 or error.response.status_code in (408, 429)
    return isinstance(error, httpx.TransportError) or (isinstance(error, RuntimeError) and "reach API" in str(error))
