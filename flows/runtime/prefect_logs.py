"""Logs of flow runs in Prefect's pages."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from imperv.flows.runtime.run_logs import RUN
from imperv.flows.runtime.server import QUIET, named
from imperv.tasks.secrets import redacted

OURS = ("flows", "tasks", "layers", "calibration", "grids")

PREFECT = ("prefect.flow_runs", "prefect.task_runs")


class _Redacted(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


@contextmanager
def logged_to_server() -> Iterator[None]:
    """Send the log of this flow run to the Prefect server, if one is configured."""
    if not named():
        yield
        return
    from prefect.context import FlowRunContext, TaskRunContext
    from prefect.logging.handlers import APILogHandler

    handler = APILogHandler()
    handler.setFormatter(_Redacted())
    # Threads of Dask and of leases have no run.
    handler.addFilter(lambda record: bool(FlowRunContext.get() or TaskRunContext.get()))
    loggers = [RUN, *map(logging.getLogger, OURS)]
    if QUIET.items() <= os.environ.items():  # of a command: quiet on the terminal, not in the pages
        for name in PREFECT:
            logging.getLogger(name).setLevel(logging.INFO)
            logging.getLogger(name).propagate = False
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
