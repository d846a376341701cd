"""The command ``imperv simulate``: a production of small simulated tiles, for rehearsals."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from imperv.flows.cli.parts.folders import own_folder
from imperv.flows.cli.parts.names import tiles_argument
from imperv.flows.runtime.console import counted, err, out
from imperv.tasks.errors import InputError

MIDDLE = "E44N27"
"""Tile in the middle where none is named."""

QUICK = """
# Networks that train for seconds: a rehearsal tries the run, not the maps. Remove these lines for the usual networks.
[parameters.unet]
base_filters = 4
depth = 2
epochs = 1
steps_per_epoch = 8
members = 1
"""

MARKER = "rehearsal"
"""File of the arguments, empty until all tiles are simulated; it marks a folder of this command."""


def simulate(
    directory: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to write to, new or of an earlier rehearsal.")],
    tiles: Annotated[list[str] | None, tiles_argument(f"Tiles; default: --count of them around {MIDDLE}.")] = None,
    count: Annotated[int, typer.Option(help="Number of tiles where none is named.", min=1, max=400)] = 4,
    kilometres: Annotated[int, typer.Option(help="Edge of the window of each tile in km.", min=1, max=60)] = 1,
    years: Annotated[tuple[int, int], typer.Option(metavar="THEN NOW", help="Years of the two periods.")] = (2018, 2021),
    overpasses: Annotated[int, typer.Option(help="Overpasses a year.", min=8, max=70)] = 12,
    seed: Annotated[int, typer.Option(help="Seed of landscapes and weather.", min=0)] = 1,
    whole: Annotated[bool, typer.Option("--whole", help="Train networks of the usual size.")] = False,
) -> None:
    """Simulate a production of small tiles with scenes and references, to rehearse a real one."""
    from imperv.tasks.simulator import VERSION, simulate_many

    names = list(dict.fromkeys(tiles)) if tiles else around(count)
    if years[0] >= years[1]:
        raise InputError(f"--years {years[0]} {years[1]}: the first must be before the second")
    marker, file = directory / MARKER, directory / "production.toml"
    wanted = json.dumps([names, kilometres, years, overpasses, seed, whole, VERSION])
    if not (file.is_file() and marker.is_file() and marker.read_text(encoding="utf-8") == wanted):
        with own_folder(directory, marker, "no rehearsal"):
            marker.write_text("")  # begun: nothing looks done until the end
            file.unlink(missing_ok=True)
            try:
                simulate_many(
                    directory, names, kilometres, years=years, overpasses=overpasses, seed=seed, more="" if whole else QUICK,
                    progress=err.print,
                )  # fmt: skip
            except ValueError as error:
                raise InputError(f"simulate: {error}") from None
            marker.write_text(wanted, encoding="utf-8")
    name = shlex.quote(str(file))
    out.print(f"{file}: {counted(len(names), 'tile')}; next: imperv europe --config {name}")


def around(count: int) -> list[str]:
    """The middle and the tiles nearest to it."""
    from imperv.grids import Tile, nearest_tiles, official_tiles
    from imperv.grids.tiles import NEWEST

    middle = Tile(MIDDLE)
    near = nearest_tiles(middle, [Tile(name) for name in official_tiles(NEWEST)], count - 1)
    return sorted(tile.name for tile in (middle, *near))
