"""The flow of a production: all tiles in two passes, each pass of a tile a deployment's run (`flows.production.run`)."""

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
    """Name of the flow run: that of the production is in it."""
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
    deployment: str = "imperviousness/tile",
    first: list[str] | None = None,
    retry_failed: bool = False,
    yes: bool = False,
) -> State[Any]:
    """Make and deliver the layers of many tiles.

    Parameters
    ----------
    config : str
        Production file.
    tiles : list of str, optional
        Tiles, by default all of the production.
    targets : list of str, optional
        Layers asked for, all by default.
    runner : str
        "deployments": tiles are runs of a deployment, on whatever workers there are; "processes": of this machine.
    at_once : int
        Tiles in work at the same time; with deployments the work pool has a limit of its own.
    tile_timeout : float, optional
        Seconds of a pass of a tile, after which it is stopped.
    max_failures : float
        With more failed tiles no further ones are begun: a number from 1, or a share of all tiles below 1, but 3 at least.
    deployment : str
        Deployment of the flow of a tile.
    first : list of str, optional
        Tiles that go before the others in every wave.
    retry_failed : bool
        Only tiles whose last run failed.
    yes : bool
        Make again what a newer production in the same store uses, which is refused otherwise.

    Returns
    -------
    dict
        Counts, and every failed tile with its reason; the flow's state is Failed if there is any.
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
