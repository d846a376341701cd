"""The flow of one tile of imperviousness."""

from __future__ import annotations

from prefect import flow

from imperv.flows.tile.flow import run_tile
from imperv.flows.tile.run import Until


@flow(name="imperviousness", flow_run_name="{tile} to {until}", validate_parameters=True)
def imperviousness(
    tile: str,
    config: str,
    targets: list[str] | None = None,
    until: Until = "all",
    refresh_scenes: bool = False,
) -> dict[str, int]:
    """Make and deliver the layers of one tile; the result counts nodes that ran, were up to date, and are not made.

    The first failure of a node ends the run. A run that made anything ends with the report of the tile (`tasks.report`).

    Args:
        tile: EEA tile such as E43N32.
        config: Production file.
        targets: Layers; default: all.
        until: "features" and "models" stop at what neighbouring tiles need of this one.
        refresh_scenes: Search the catalogue again, in place of the frozen scene lists.
    """
    return run_tile("imperviousness", tile, config, targets, until, refresh_scenes)
