"""`imperv worker`: Prefect's process worker with our settings, and one line where its server is away."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from functools import partial

import httpx
from prefect.utilities.processutils import setup_signal_handlers_worker
from prefect.workers import base
from prefect.workers.process import ProcessWorker

from imperv.tasks.errors import InputError, WorkError

log = logging.getLogger(__name__)


def _say(text: object = "") -> None:
    """One line for the pages that Prefect prints while its server is away."""
    words = str(text).split()
    if words[:2] == ["Backing", "off"]:
        log.warning("the Prefect server does not answer; next try in %s", words[-1].rstrip("."))
    elif words[:2] == ["Resetting", "backoff"]:
        log.warning("the Prefect server answers again")


base.critical_service_loop = partial(base.critical_service_loop, printer=_say)  # type: ignore[attr-defined]


def work(pool: str, name: str | None, limit: int) -> None:
    """Serve a work pool of type process, `limit` runs at once, until a signal; WorkError if the server is away for too long."""
    if set(name or "") & set("/%"):
        raise InputError(f"--name: {name!r}: names of workers have no / and no %")

    # Runs import what is installed, never the folder of the worker.
    os.environ["PYTHONSAFEPATH"] = "1"

    async def serve() -> None:
        setup_signal_handlers_worker(os.getpid(), "the worker", print)
        await ProcessWorker(work_pool_name=pool, name=name, limit=limit, create_pool_if_not_found=False).start()

    gone: BaseException | None = None
    with suppress(KeyboardInterrupt, asyncio.CancelledError):
        try:
            asyncio.run(serve())
        except* (httpx.HTTPError, RuntimeError) as errors:  # of Prefect's task groups
            gone = errors
    if gone is not None:
        raise WorkError(f"Prefect: its server was away for too long ({_first(gone)}); start it and this worker again")


def _first(error: BaseException) -> str:
    """Text of the first error of a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return " ".join(str(error).split()) or type(error).__name__
