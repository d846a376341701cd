"""`imperv worker`: Prefect's process worker, whose runs start warm (`warm`)."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from prefect.utilities.processutils import command_to_string, setup_signal_handlers_worker
from prefect.workers import base
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker

from imperv.flows.runtime import warm_run
from imperv.flows.runtime.warm_run import SOCKET as WARM
from imperv.tasks.errors import InputError, WorkError

log = logging.getLogger(__name__)

LOOK = 5.0
"""Seconds between two looks at whether the process that forks is there."""


class WarmConfiguration(ProcessJobConfiguration):
    """Has the launcher as command, unless the pool or the deployment names one."""

    def prepare_for_flow_run(self, *arguments: Any, **named: Any) -> None:
        """See `ProcessJobConfiguration`."""
        # -I and -S: nothing but the standard library, which starts in milliseconds.
        self.command = self.command or command_to_string([sys.executable, "-I", "-S", str(Path(warm_run.__file__).absolute())])
        super().prepare_for_flow_run(*arguments, **named)


with warnings.catch_warnings(action="ignore", category=UserWarning):  # it takes the place of Prefect's, and is meant to

    class WarmWorker(ProcessWorker):
        """Serves pools of the type "process"."""

        job_configuration = WarmConfiguration


def _say(text: object = "") -> None:
    """Of the pages that Prefect prints while its server is away, the line that says when it is asked again."""
    words = str(text).split()
    if words[:2] == ["Backing", "off"]:
        log.warning("the Prefect server does not answer; it is asked again every %s", words[-1].rstrip("."))
    elif words[:2] == ["Resetting", "backoff"]:
        log.warning("the Prefect server answers again")


base.critical_service_loop = partial(base.critical_service_loop, printer=_say)  # type: ignore[attr-defined]


class Warm:
    """A process that forks runs, found by its socket in the environment; started again where it has ended."""

    def __enter__(self) -> Warm:
        self._process: subprocess.Popen[bytes] | None = None
        self.keep()
        return self

    def keep(self) -> None:
        """Start the process if there is none."""
        if self._process is not None:
            if self._process.poll() is None:
                return
            log.warning("the process that runs are forks of ended with %s; it is started again", self._process.returncode)
        path = Path(tempfile.mkdtemp(prefix="imperv-warm-", dir="/tmp")) / "socket"  # paths of sockets are short
        os.environ[WARM] = str(path)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "imperv.flows.runtime.warm", str(path)], stdin=subprocess.PIPE, start_new_session=True
        )

    def __exit__(self, *_: object) -> None:
        os.environ.pop(WARM, None)
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.close()  # it removes its socket, and ends with its last run


def work(pool: str, name: str | None, limit: int) -> None:
    """Serve a work pool until this process is told to stop.

    Parameters
    ----------
    pool : str
        Work pool of the type "process".
    name : str, optional
        Of the worker, by default one that Prefect makes up.
    limit : int
        Runs at the same time.

    Raises
    ------
    InputError
        If the name is none.
    WorkError
        If the server went away for too long.
    """

    if set(name or "") & set("/%"):
        raise InputError(f"--name: {name!r}: names of workers have no / and no %")

    async def keep(warm: Warm) -> None:
        while True:
            await asyncio.sleep(LOOK)
            warm.keep()

    async def serve(warm: Warm) -> None:
        setup_signal_handlers_worker(os.getpid(), "the worker", print)
        worker = WarmWorker(work_pool_name=pool, name=name, limit=limit, create_pool_if_not_found=False)
        keeping = asyncio.create_task(keep(warm))
        try:
            await worker.start()
        finally:
            keeping.cancel()

    gone: BaseException | None = None
    with Warm() as warm, suppress(KeyboardInterrupt, asyncio.CancelledError):
        try:
            asyncio.run(serve(warm))
        except* (httpx.HTTPError, RuntimeError) as errors:  # of Prefect's task groups
            gone = errors
    if gone is not None:
        raise WorkError(f"Prefect: its server was away for too long ({_first(gone)}); start it and this worker again")


def _first(error: BaseException) -> str:
    """What the first error of a group says."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return " ".join(str(error).split()) or type(error).__name__
