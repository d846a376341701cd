"""The command ``imperv s2 compose``: twelve monthly composites of a folder of prepared images; no production file is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imperv.flows.runtime.console import out


def compose(
    input_dir: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder with REFBOA, and LAI where it tells clouds; names hold a date.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder of the twelve files.")],
    season_start: Annotated[int, typer.Option(metavar="YEAR", help="Year of month A, September.", min=2015, max=2100)] = 2017,
    granule: Annotated[str, typer.Option("--tile", metavar="NAME", help="Tile, such as 33UVP; default: all files.")] = "",
) -> None:
    """Make the monthly composites of an agronomic year from prepared images."""
    from imperv.tasks.composites.folder import compose_folder

    for month, path in compose_folder(input_dir, season_start, granule, output).items():
        out.print(f"{month}  {path or 'no image'}")
