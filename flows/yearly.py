"""The flow of the yearly update (`flows.production.updating`)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.logging import get_run_logger
from prefect.states import State

from imperv.flows.europe import europe
from imperv.flows.production.updating import next_production
from imperv.tasks.settings.files import file_of


@flow(name="yearly-update", flow_run_name="yearly update", validate_parameters=True)
async def yearly_update(
    last: str,
    now: str = "",
    out: str = "",
    clcplus_now: str = "",
    only_finished: bool = False,
    at_once: int = 1,
    tile_timeout: float | None = None,
    deployment: str = "",
) -> State[Any]:
    """Make the production of the next pair of years from the last one, and run it.

    Args:
        last: Production file of the last pair.
        now: New year; default: the last complete one.
        out: File to write; default: production-YEAR.toml beside the last one. An existing one is run again.
        clcplus_now: CLCplus Backbone of the new year, if there is one.
        only_finished: Leave out unfinished tiles, which are an error otherwise.
        at_once: See the flow europe.
        tile_timeout: See the flow europe.
        deployment: See the flow europe.
    """
    year = now or str(datetime.now(UTC).year - 1)
    file = file_of(Path(last))
    target = Path(out) if out else file.with_name(f"production-{year.replace('/', '_')}.toml")
    if not target.exists():
        _, left_out = next_production(file, year, target, clcplus_now=clcplus_now, only_finished=only_finished)
        if left_out:
            get_run_logger().warning("unfinished tiles left out: %d (%s)", len(left_out), ", ".join(left_out))
    return await europe(  # type: ignore[no-any-return]
        str(target), at_once=at_once, tile_timeout=tile_timeout, deployment=deployment, return_state=True
    )
