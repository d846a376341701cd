"""The flow of one tile of composites."""

from __future__ import annotations

from prefect import flow

from imperv.flows.tile.flow import run_tile
from imperv.flows.tile.run import Until


@flow(name="composites", flow_run_name="{tile} to {until}", validate_parameters=True)
def composites(
    tile: str,
    config: str,
    targets: list[str] | None = None,
    until: Until = "all",
    refresh_scenes: bool = False,
) -> dict[str, int]:
    """Make and deliver the composites of one tile; parameters as of `imperviousness`."""
    return run_tile("composites", tile, config, targets, until, refresh_scenes)
