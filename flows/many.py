"""`imperv europe`: a production through a Prefect server where one is configured, else by processes of this machine."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import Any

from flows.heartbeat import say
from tasks.errors import WorkError
from tasks.overlay import store_of
from tasks.production import Production

log = logging.getLogger(__name__)

PATIENCE = 300.0
"""Seconds that a server is waited for."""

FIRST_CONTACT = 30.0
"""Seconds that one is waited for which has never answered: more often its address is wrong."""

STEADY = 30.0
"""Seconds that a parent has to have run to have had a server."""

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
    """Run a production here; parameters as those of the flow `europe`, the summary of `outcomes.Ledger` comes back.

    Raises
    ------
    InputError
        If the request is wrong.
    WorkError
        If the server cannot be used.
    """
    from flows.europe import europe, run_production

    rest: dict[str, Any] = {
        "tiles": tiles, "targets": targets, "at_once": at_once, "tile_timeout": tile_timeout, "max_failures": max_failures,
        "yes": yes,
    }  # fmt: skip
    if not os.environ.get("PREFECT_API_URL"):
        return asyncio.run(run_production(config, **rest)).summary()
    store = store_of(Production.read(config))
    try:
        state = _until_it_ends(
            lambda: asyncio.run(_flow(europe, config, deployment, rest)),
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
    return await europe(config, runner="deployments", deployment=deployment, return_state=True, **rest)


def _until_it_ends(run: Callable[[], Any], waiting: Callable[[], None] = lambda: None) -> Any:
    """The end of a parent, begun again while its server is away: it goes on under the same name, and says what it waits for."""
    deadline = time.monotonic() + FIRST_CONTACT
    while True:
        began = time.monotonic()
        try:
            return run()
        except RuntimeError as error:
            if "API" not in str(error):
                raise
            now = time.monotonic()
            if now - began > STEADY:  # it had a server for a while: a new absence
                deadline = now + PATIENCE
            if now > deadline:
                raise WorkError(f"Prefect: {error}; start its server, or unset PREFECT_API_URL to run without one") from None
            log.warning("Prefect: %s; the production goes on when its server answers again", error)
            waiting()
            time.sleep(PAUSE)
