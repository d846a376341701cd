"""The flow of one tile of urban land cover."""

from __future__ import annotations

from prefect import flow

from imperv.flows.tile.flow import run_tile
from imperv.flows.tile.run import Until


@flow(name="landcover", flow_run_name="{tile} to {until}", validate_parameters=True)
def landcover(
    tile: str,
    config: str,
    targets: list[str] | None = None,
    until: Until = "all",
    refresh_scenes: bool = False,
) -> dict[str, int]:
    """Make and deliver the land cover of one tile, and the sharpened bands that it needs; parameters as of `imperviousness`."""
    return run_tile("landcover", tile, config, targets, until, refresh_scenes)
