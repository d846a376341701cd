"""The map of `imperv plan`: tiles by their cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imperv.flows.plan.production_plan import TilePlan
from imperv.flows.runtime.console import counted
from imperv.grids import Tile, official_tiles
from imperv.grids.tiles import NEWEST, TILE_METRES
from imperv.tasks.errors import InputError


def draw_plans(plans: Sequence[TilePlan], path: Path) -> None:
    """Draw tiles on the grid of Europe, coloured by core hours; InputError if the file cannot be written."""
    from matplotlib.collections import PatchCollection
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch, Rectangle

    figure = Figure(figsize=(9, 8), layout="constrained")
    axes = figure.subplots()

    def squares(names: Sequence[str], **how: Any) -> PatchCollection:
        patches = [Rectangle(Tile(name).bounds[:2], TILE_METRES, TILE_METRES) for name in names]
        return PatchCollection(patches, edgecolor="white", linewidth=0.4, **how)

    axes.add_collection(squares(official_tiles(NEWEST), facecolor="#eef1f3"))
    done = [plan.tile for plan in plans if not plan.run + plan.maybe]
    todo = [plan for plan in plans if plan.run + plan.maybe]
    axes.add_collection(squares(done, facecolor="#7fa88b"))
    if todo:
        coloured = squares([plan.tile for plan in todo], cmap="YlOrRd")
        coloured.set_array([plan.core_hours for plan in todo])
        coloured.set_clim(0, 1.25 * max(p.core_hours for p in todo) or 1)
        axes.add_collection(coloured)
        figure.colorbar(coloured, ax=axes, shrink=0.6, label="core hours to run")
    axes.legend(
        handles=[
            Patch(facecolor="#7fa88b", label=f"up to date ({len(done)})"), Patch(facecolor="#eef1f3", label="not asked for"),
        ],
        loc="upper left", frameon=False,
    )  # fmt: skip
    axes.set_title(f"{counted(len(plans), 'tile')}, {len(todo)} with work to do", loc="left", fontweight="bold")
    axes.autoscale_view()
    axes.set_aspect("equal")
    axes.set_axis_off()
    try:
        figure.savefig(path, dpi=130)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--picture: {path} cannot be written ({error}); name a .png or .svg file in a folder of yours"
        ) from None
