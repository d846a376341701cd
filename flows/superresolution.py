"""The flow of one tile of super-resolution."""

from __future__ import annotations

from prefect import flow

from imperv.flows.tile.flow import run_tile
from imperv.flows.tile.run import Until


@flow(name="superresolution", flow_run_name="{tile} to {until}", validate_parameters=True)
def superresolution(
    tile: str,
    config: str,
    targets: list[str] | None = None,
    until: Until = "all",
    refresh_scenes: bool = False,
) -> dict[str, int]:
    """Make and deliver the bands of one tile at 10 m or 5 m; parameters as of `imperviousness`."""
    return run_tile("superresolution", tile, config, targets, until, refresh_scenes)
