"""Names of tiles and layers on the command line: in any case, with a hint where misspelt, completed by the shell.

The catalogue and the lists of tiles are loaded when a name is looked up, so that help stays quick.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imperv.tasks.errors import InputError

if TYPE_CHECKING:
    from imperv.tasks.job import Job


def job_of(config: Path, tile: str) -> Job:
    """Job of a tile of a production file."""
    from imperv.tasks.job import Job
    from imperv.tasks.settings.production import Production

    return Job.of(Production.read(config), tile)


def tile_name(text: str | None) -> str | None:
    """The right spelling of a tile's name, None for None; InputError if there is no such tile."""
    from imperv.grids.tiles import resolve_tile

    try:
        return None if text is None else str(resolve_tile(text))
    except ValueError as error:
        raise InputError(str(error)) from None


def tile_names(texts: list[str] | None) -> list[str] | None:
    """As `tile_name`, of several, official lists among them; each once."""
    from imperv.grids.tiles import EDITIONS, official_tiles

    found: dict[str, None] = {}
    for text in texts or ():
        if text.lower().startswith("eea"):
            if text.lower() not in EDITIONS:
                raise InputError(f"{text!r} is no official list: write {' or '.join(EDITIONS)}")
            found |= dict.fromkeys(official_tiles(text.lower()))
        else:
            found[str(tile_name(text))] = None
    return list(found) or None


def layer_name(text: str | None) -> str:
    """Symbol of a layer, empty where none is named; InputError if there is no such layer."""
    from imperv.layers.catalogue import resolve

    if text is None:
        return ""
    try:
        return resolve(text)
    except ValueError as error:
        raise InputError(str(error)) from None


def layer_names(texts: list[str] | None) -> list[str] | None:
    """As `layer_name`, of several; each once."""
    return list(dict.fromkeys(map(layer_name, texts))) if texts else None


def complete_tile(ctx: typer.Context, incomplete: str) -> list[str]:
    """Tiles that a shell may offer: those of the production file where it lists them, else the official ones."""
    file = Path(ctx.params.get("config") or "production.toml")
    try:
        listed = tomllib.loads((file / "production.toml" if file.is_dir() else file).read_text(encoding="utf-8")).get("tiles")
    except (OSError, ValueError):
        listed = None
    if isinstance(listed, list):
        return beginning(map(str, listed), incomplete)
    from imperv.grids.tiles import EDITIONS, NEWEST, official_tiles

    return beginning(official_tiles(listed if listed in EDITIONS else NEWEST), incomplete)


def complete_layer(incomplete: str) -> list[str]:
    """Symbols of layers that a shell may offer."""
    from imperv.layers.catalogue import CATALOGUE

    return beginning(CATALOGUE, incomplete)


def beginning(names: Iterable[str], typed: str) -> list[str]:
    """Names that begin like what was typed, in any case; what was typed stays as it is, or shells would drop it."""
    matching = [name for name in names if name.lower().startswith(typed.lower())]
    return [name.lower() if typed.islower() else typed + name[len(typed) :] for name in matching]


def tiles_argument(help: str) -> Any:
    """Argument of a command that takes any number of tiles."""
    return typer.Argument(metavar="TILE", help=help, callback=tile_names, autocompletion=complete_tile)


TileName = Annotated[
    str, typer.Argument(metavar="TILE", help="Tile, such as E43N32.", callback=tile_name, autocompletion=complete_tile)
]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target", "-t", metavar="LAYER", callback=layer_names, autocompletion=complete_layer,
        help="Only this layer and what it needs; repeatable.",
    ),
]  # fmt: skip
