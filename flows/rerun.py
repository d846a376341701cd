"""The flow of a scratch run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow

from imperv.flows.tile.flow import flow_of
from imperv.flows.tile.rerunning import scratch_production
from imperv.tasks.settings.production import Production


@flow(name="rerun", flow_run_name="rerun {tile}", validate_parameters=True)
def rerun(
    tile: str, config: str, scratch: str, changes: list[str] | None = None, targets: list[str] | None = None
) -> dict[str, int]:
    """Run one tile with other parameters into a scratch store; the result counts nodes by what happened.

    Args:
        tile: EEA tile.
        config: Production file, only read, as its store is.
        scratch: Folder of the scratch store.
        changes: Changed settings, such as parameters.unet.epochs=40.
        targets: Layers; default: all.
    """
    file = scratch_production(Path(config), tile, Path(scratch), changes or [])
    found: Any = flow_of(Production.read(file).product)(tile, str(file), targets)
    return dict(found)
