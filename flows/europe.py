"""The flow of a production: all tiles in two passes (`flows.production.run`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from prefect import flow
from prefect.states import Completed, Failed, State

from imperv.flows.production.run import MAX_FAILURES, run_production
from imperv.flows.runtime.console import counted
from imperv.flows.runtime.prefect_logs import logged_to_server
from imperv.tasks.settings.files import label_of


def _run_name() -> str:
    """Name of the flow run, with that of the production."""
    from prefect.runtime import flow_run

    return f"europe {label_of(Path(flow_run.parameters['config']))}"


@flow(name="europe", flow_run_name=_run_name, validate_parameters=True)
async def europe(
    config: str,
    tiles: list[str] | None = None,
    targets: list[str] | None = None,
    runner: Literal["deployments", "processes"] = "deployments",
    at_once: int = 1,
    tile_timeout: float | None = None,
    max_failures: float = MAX_FAILURES,
    deployment: str = "",
    first: list[str] | None = None,
    retry_failed: bool = False,
    yes: bool = False,
) -> State[Any]:
    """Make and deliver the layers of many tiles; the result has counts, and every failed tile with its reason.

    Args:
        config: Production file.
        tiles: Tiles; default: all of the production.
        targets: Layers; default: all.
        runner: "deployments": tiles are runs of a deployment, on any worker; "processes": of this machine.
        at_once: Tiles at once; with deployments the work pool has its own limit.
        tile_timeout: Time limit of a pass of a tile, seconds.
        max_failures: Tolerated failures: a number of tiles, or below 1 a share of them, but at least 3.
        deployment: Deployment of the flow of a tile.
        first: Tiles that go first in every wave.
        retry_failed: Only tiles whose last run failed.
        yes: Replace what a newer production in the same store uses; refused otherwise.
    """
    with logged_to_server():
        ledger = await run_production(
            config, tiles, targets, runner, at_once, tile_timeout, max_failures, deployment, first, retry_failed, yes,
            artifacts=True,
        )  # fmt: skip
    summary = ledger.summary()
    said = f"{summary['done']} of {counted(summary['tiles'], 'tile')} done"
    if ledger.exit_code == 0:
        return Completed(message=said, data=summary)
    reasons = "; ".join(outcome.message for outcome in list(ledger.failed.values())[:5])
    return Failed(message=f"{said}, {len(ledger.failed)} failed: {reasons}", data=summary)
