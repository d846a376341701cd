"""The commands ``imperv model``: density models of the store, and models as files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from imperv.flows.cli.parts.groups import Grouped
from imperv.flows.cli.parts.names import TileName, complete_tile, job_of, tile_name
from imperv.flows.runtime.console import Config, Json, out, say, show
from imperv.tasks.errors import InputError

model_app = typer.Typer(
    help="List, show, export, import and remove the density models of the store.", cls=Grouped, no_args_is_help=True
)


class Product(StrEnum):
    """Densities with a model."""

    IMD = "IMD"
    IBUD = "IBUD"


ProductName = Annotated[Product, typer.Argument(metavar="IMD|IBUD", case_sensitive=False, help="What the model predicts.")]


@model_app.command("list")
def list_command(config: Config = Path("production.toml"), as_json: Json = False) -> None:
    """List the models of the store, and whether this production can use them."""
    from imperv.flows.tile.models import list_entries, table_lines
    from imperv.tasks.settings.production import Production

    found = list_entries(Production.read(config))
    show(found, table_lines(found), as_json)


@model_app.command("show")
def show_command(product: ProductName, tile: TileName, config: Config = Path("production.toml"), as_json: Json = False) -> None:
    """Show the training data, training and accuracy of a model."""
    from imperv.flows.tile.models import describe, description_lines

    found = describe(job_of(config, tile), product.value)
    show(found, description_lines(found), as_json)


@model_app.command("export")
def export_command(
    product: ProductName,
    tile: TileName,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    config: Config = Path("production.toml"),
) -> None:
    """Write a model as one file."""
    from imperv.tasks.networks.model_files import export_model

    job = job_of(config, tile)
    export_model(job.store, product.value, job.tile, output, job.family)
    out.print(f"{output}: {product.value}_model of tile {tile}, {output.stat().st_size} bytes")


@model_app.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(help="File of `imperv model export`.")],
    config: Config = Path("production.toml"),
    tile: Annotated[
        str | None,
        typer.Option(
            metavar="TILE", callback=tile_name, autocompletion=complete_tile, help="New tile; default: that of the model."
        ),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the model of the tile.")] = False,
) -> None:
    """Put the model of a file into the store, for its tile and the tiles around it."""
    from imperv.tasks.networks.model_files import import_model
    from imperv.tasks.settings.production import Production

    record, note = import_model(Production.read(config), file, tile, replace)
    out.print(f"{record.symbol} of tile {record.tile}: imported from {file}")
    if note:
        say(f'note: other tiles will not use it ({note}); parameters.ensemble.accept = "compatible" lets them')


@model_app.command()
def remove(product: ProductName, tile: TileName, config: Config = Path("production.toml")) -> None:
    """Remove a model from the store; the next run of its tile trains a new one."""
    from imperv.tasks.networks.model_files import remove_model

    job = job_of(config, tile)
    if not remove_model(job, product.value):
        raise InputError(f"{product.value}_model of tile {tile} is not in {job.store.url}; `imperv model list` shows what is")
    out.print(f"{product.value}_model of tile {tile}: removed")
