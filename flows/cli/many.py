"""`imperv europe`: a production through a Prefect server where one is configured, else by processes of this machine."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from imperv.flows.production.heartbeat import say
from imperv.flows.runtime.server import check_server, named, prepare_command
from imperv.tasks.errors import WorkError
from imperv.tasks.settings.files import label_of
from imperv.tasks.settings.production import Production
from imperv.tasks.store.overlay import store_of

log = logging.getLogger(__name__)

PATIENCE = 300.0
"""Seconds that a server is waited for."""

STEADY = 30.0
"""Seconds after which a parent that ran has had its server again."""

PAUSE = 5.0
"""Seconds between two tries."""


def run_many(
    config: str,
    tiles: list[str],
    targets: list[str] | None,
    at_once: int,
    tile_timeout: float | None,
    max_failures: float,
    deployment: str,
    yes: bool,
) -> dict[str, Any]:
    """Run a production here, as the flow `europe` does; the summary of `outcomes.Ledger` comes back.

    InputError if the request is wrong, WorkError if the server cannot be used.
    """
    rest: dict[str, Any] = {
        "tiles": tiles, "targets": targets, "at_once": at_once, "tile_timeout": tile_timeout, "max_failures": max_failures,
        "yes": yes,
    }  # fmt: skip
    if not named():
        from imperv.flows.production.run import run_production

        return asyncio.run(run_production(config, **rest)).summary()
    prepare_command()
    check_server(deployment)
    from imperv.flows.europe import europe

    store = store_of(Production.read(config))
    try:
        state = _until_it_ends(
            lambda: _run(_flow(europe, config, deployment, rest)),
            lambda: say(store, "running", "it waits for its Prefect server"),
        )
    except WorkError as error:
        say(store, "stopped", str(error))
        raise
    found = state.result(raise_on_failure=False)
    if isinstance(found, BaseException):
        raise found
    if not isinstance(found, dict):
        raise WorkError(f"Prefect: the flow europe ended as {state.name}: {state.message}")
    return found


async def _flow(europe: Any, config: str, deployment: str, rest: dict[str, Any]) -> Any:
    from prefect import tags

    with tags("imperv", label_of(Path(config))):
        return await europe(config, runner="deployments", deployment=deployment, return_state=True, **rest)


def _run(flow: Coroutine[Any, Any, Any]) -> Any:
    """Run a flow; Prefect's handler of SIGTERM makes an exception of it in the middle of the loop."""
    from prefect.exceptions import TerminationSignal

    try:
        return asyncio.run(flow)
    except TerminationSignal as stop:  # the command's own handler is back
        signal.raise_signal(stop.signal)
        raise KeyboardInterrupt from None


def _until_it_ends(run: Callable[[], Any], waiting: Callable[[], None] = lambda: None) -> Any:
    """The end of a parent, begun again while its server is away: it goes on under the same name, and says what it waits for."""
    deadline = 0.0
    while True:
        began = time.monotonic()
        try:
            return run()
        except RuntimeError as error:
            if "API" not in str(error):
                raise
            now = time.monotonic()
            if not deadline or now - began > STEADY:  # a new absence
                deadline = now + PATIENCE
            if now > deadline:
                raise WorkError(f"Prefect: {error}; start its server, or unset PREFECT_API_URL to run without one") from None
            log.warning("Prefect: %s; the production goes on when its server answers again", error)
            waiting()
            time.sleep(PAUSE)
