"""The flow of one tile of change."""

from __future__ import annotations

from prefect import flow

from imperv.flows.tile.flow import run_tile
from imperv.flows.tile.run import Until


@flow(name="change", flow_run_name="{tile} to {until}", validate_parameters=True)
def change(
    tile: str,
    config: str,
    targets: list[str] | None = None,
    until: Until = "all",
    refresh_scenes: bool = False,
) -> dict[str, int]:
    """Make and deliver change vectors and classes of one tile; parameters as of `imperviousness`."""
    return run_tile("change", tile, config, targets, until, refresh_scenes)
