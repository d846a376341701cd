"""`imperv worker`: Prefect's process worker, whose runs start warm (`warm`)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from flows import ASSUMED, WARM, warm_run

for _name in ASSUMED:  # before Prefect is imported
    os.environ.pop(_name, None)

from prefect.utilities.processutils import command_to_string, setup_signal_handlers_worker  # noqa: E402
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker  # noqa: E402


class WarmConfiguration(ProcessJobConfiguration):
    """Has the launcher as command, unless the pool or the deployment names one."""

    def prepare_for_flow_run(self, *arguments: Any, **named: Any) -> None:
        """See `ProcessJobConfiguration`."""
        # -I and -S: nothing but the standard library, which starts in milliseconds.
        self.command = self.command or command_to_string([sys.executable, "-I", "-S", str(Path(warm_run.__file__).absolute())])
        super().prepare_for_flow_run(*arguments, **named)


class WarmWorker(ProcessWorker):
    """Serves pools of the type "process"."""

    job_configuration = WarmConfiguration


@contextmanager
def warm_process() -> Iterator[None]:
    """Have a process that forks runs while the block runs, found by its socket in the environment."""
    with tempfile.TemporaryDirectory(prefix="imperv-warm-") as folder:
        path = Path(folder) / "socket"
        os.environ[WARM] = str(path)
        process = subprocess.Popen([sys.executable, "-m", "flows.warm", str(path)], stdin=subprocess.PIPE, start_new_session=True)
        try:
            yield
        finally:
            os.environ.pop(WARM, None)
            assert process.stdin is not None
            process.stdin.close()


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
    """

    async def serve() -> None:
        # The first signal lets runs end that are under way, the second does not.
        setup_signal_handlers_worker(os.getpid(), "the worker", print)
        worker = WarmWorker(work_pool_name=pool, name=name, limit=limit, create_pool_if_not_found=False)
        await worker.start()

    with warm_process(), suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(serve())
