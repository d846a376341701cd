"""The command ``imperv init``: a production file to begin with."""

from __future__ import annotations

import shlex
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from imperv.flows.cli.parts.names import TileName
from imperv.flows.runtime.console import out
from imperv.layers.families import DEFAULT
from imperv.tasks.errors import InputError

EDGE = 10_000
"""Edge of the suggested trial window, metres: one block of work."""


def init(
    tile: TileName,
    output: Annotated[Path, typer.Option("--output", "-o", help="New file to write.")] = Path("production.toml"),
    product: Annotated[str, typer.Option(metavar="PRODUCT", help="Product to make.")] = DEFAULT,
) -> None:
    """Write a production file for a tile, with comments, and EDIT where you must edit."""
    from imperv.tasks.families import family
    from imperv.tasks.settings.files import file_of, write_new
    from imperv.tasks.settings.production import production_class

    production_class(product.lower(), "--product")  # refuses one that does not exist
    template = family(product.lower()).starting_file
    if not template:
        raise InputError(f"--product: {product} has no production file to begin with; its documentation shows one")
    file = file_of(output)
    write_new(starting_file(tile, file, template), file)
    out.print(f"{file}: written for tile {tile}; edit what is marked EDIT, then: imperv config check {shlex.quote(str(file))}")


def starting_file(tile: str, file: Path, template: str) -> str:
    """Text of the production file of a tile."""
    from imperv.grids import Tile
    from imperv.grids.tiles import countries_of

    known = Tile(tile)
    left, bottom, right, top = known.bounds
    middle = (left + right - EDGE) // 2, (bottom + top - EDGE) // 2
    countries = countries_of(known)
    return Template(template).substitute(
        tile=tile,
        name=shlex.quote(str(file)),
        countries=" ".join(countries) or "open sea",
        country=countries[0] if countries else "AT",
        other=str(next(iter(known.neighbours()), "E43N32")),
        edge=EDGE // 1000,
        bbox=f"{middle[0]}, {middle[1]}, {middle[0] + EDGE}, {middle[1] + EDGE}",
    )
