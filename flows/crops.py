"""The flow of one tile of crop types."""

from __future__ import annotations

from prefect import flow

from imperv.flows.tile.flow import run_tile
from imperv.flows.tile.run import Until


@flow(name="crops", flow_run_name="{tile} to {until}", validate_parameters=True)
def crops(
    tile: str,
    config: str,
    targets: list[str] | None = None,
    until: Until = "all",
    refresh_scenes: bool = False,
) -> dict[str, int]:
    """Make and deliver the crop types of one tile, and the months that they need; parameters as of `imperviousness`."""
    return run_tile("crops", tile, config, targets, until, refresh_scenes)
