"""The command ``imperv init``: a production file to begin with."""

from __future__ import annotations

import shlex
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from imperv.flows.cli.parts.names import TileName
from imperv.flows.runtime.console import out
from imperv.tasks.errors import InputError

PRODUCTS = ("imperviousness",)
"""Products that can be made."""

EDGE = 10_000
"""Edge of the suggested trial window, metres: one block of work."""

FILE = Template("""\
# Production of tile $tile ($countries), begun by `imperv init`.
#
# Edit the lines marked EDIT; the others are right for most productions. Lines such as #workers = 4 are suggestions: remove
# the # to use one. Relative paths start from the folder of this file.
#
#     imperv config check $name     shows what is still wrong
#     imperv plan -c $name          shows what would run, and its cost
#     imperv run -c $name           makes the maps; may be stopped and run again at any time
#
# `imperv config settings` prints all settings.

tiles = ["$tile"]          # more tiles: ["$tile", "$other"]; a whole list: "eea38-2024"; or the tiles of countries:
#countries = ["$country"]         # (then remove the line above)
store = "store"             # folder of layers and products, or s3://bucket/prefix

[periods]                   # calendar years, or any twelve months such as "2017-08-01/2018-07-31"
then = "2018"               # EDIT: the year that the maps under [references] show
now = "2021"                # EDIT: the year to map

# A window for a first trial: $edge km of the tile. Choose a place with a town.
#[area]
#bbox = [$bbox]     # left, bottom, right, top in metres of EPSG:3035

[scenes]                    # Sentinel-2 Level-2A
catalogue = "https://earth-search.aws.element84.com/v1"     # a STAC API, item files, or a folder of SAFE products
collection = "sentinel-2-l2a"

#[scenes.access]            # only for object stores that need keys
#profile = "cdse"           # AWS profile; keys in the environment work too
#endpoint_url = "https://eodata.dataspace.copernicus.eu"

[references]                # maps of earlier productions (https://land.copernicus.eu); {tile} in a path is the name of the tile
imd_then = "reference/imd_then.tif"             # EDIT: HRL Imperviousness Density of `then`, 0 to 100 %, 10 m
ibu_then = "reference/ibu_then.tif"             # EDIT: HRL Impervious Built-up of `then`, 0 and 1, 10 m
clcplus_then = "reference/clcplus_then.tif"     # EDIT: CLCplus Backbone of `then`, 10 m
clcplus_now = "reference/clcplus_now.tif"       # EDIT: CLCplus Backbone of `now`; without it remove the line, and name
#roads = ["reference/roads.gpkg"]               #       roads of OpenStreetMap
footprints = ["reference/footprints.gpkg"]      # EDIT: building footprints of `then`: files, folders, "osm/*.gpkg"

[engine]
memory = "8 GiB"            # limit
#workers = 4                # blocks at once; default: one a processor

#[delivery.contact]         # EDIT before a delivery: contact of the metadata
#organisation = "Example Agency"
#email = "maps@example.org"

#[parameters.unet]          # parameters of an algorithm; the defaults are those of the method
#epochs = 8                 # for a quick trial; default 20
""")
"""The file, with ``$name`` and the like to fill in."""


def init(
    tile: TileName,
    output: Annotated[Path, typer.Option("--output", "-o", help="New file to write.")] = Path("production.toml"),
    product: Annotated[str, typer.Option(metavar="PRODUCT", help="Product to make.")] = PRODUCTS[0],
) -> None:
    """Write a production file for a tile, with comments, and EDIT where you must edit."""
    from imperv.tasks.settings.files import file_of, write_new

    if product.lower() not in PRODUCTS:
        raise InputError(f"--product: {product} cannot be made yet; only {', '.join(PRODUCTS)} can")
    file = file_of(output)
    write_new(starting_file(tile, file), file)
    out.print(f"{file}: written for tile {tile}; edit what is marked EDIT, then: imperv config check {shlex.quote(str(file))}")


def starting_file(tile: str, file: Path) -> str:
    """Text of the production file of a tile."""
    from imperv.grids import Tile
    from imperv.grids.tiles import countries_of

    known = Tile(tile)
    left, bottom, right, top = known.bounds
    middle = (left + right - EDGE) // 2, (bottom + top - EDGE) // 2
    countries = countries_of(known)
    return FILE.substitute(
        tile=tile,
        name=shlex.quote(str(file)),
        countries=" ".join(countries) or "open sea",
        country=countries[0] if countries else "AT",
        other=str(next(iter(known.neighbours()), "E43N32")),
        edge=EDGE // 1000,
        bbox=f"{middle[0]}, {middle[1]}, {middle[0] + EDGE}, {middle[1] + EDGE}",
    )
