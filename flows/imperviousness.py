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
    """Make and deliver the layers of one tile.

    Parameters
    ----------
    tile : str
        EEA tile such as ``E43N32``.
    config : str
        Production file.
    targets : list of str, optional
        Layers asked for, all by default.
    until : str
        How far to go: "features" and "models" stop at what neighbouring tiles need of this one.
    refresh_scenes : bool
        Ask the catalogue again instead of using the frozen scene lists.

    Returns
    -------
    dict
        Number of nodes that ran, were up to date, and are not made.

    Raises
    ------
    ImpervError
        The first node's failure; nothing after it is tried.
    """
    return run_tile("imperviousness", tile, config, targets, until, refresh_scenes)
