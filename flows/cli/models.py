"""The commands ``imperv model``: the registry of density models for people, and models as files.

`tasks.networks.registry` decides which models are of use, `tasks.networks.model_files` checks files.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from imperv.flows.cli.groups import Grouped
from imperv.flows.cli.names import TileName, complete_tile, tile_name
from imperv.flows.runtime.console import Config, Json, err, out

model_app = typer.Typer(
    help="Look at the density models of the store; carry them elsewhere as one file.", cls=Grouped, no_args_is_help=True
)


class Product(StrEnum):
    """Densities that are learnt."""

    IMD = "IMD"
    IBUD = "IBUD"


ProductName = Annotated[
    Product, typer.Argument(metavar="IMD|IBUD", case_sensitive=False, help="Density that the model predicts.")
]


@model_app.command("list")
def list_command(config: Config = Path("production.toml"), as_json: Json = False) -> None:
    """List the models of the store, and whether they are of use to this production."""
    from imperv.flows.tile.models import list_entries, table_lines
    from imperv.tasks.settings.production import Production

    found = list_entries(Production.read(config))
    if as_json:
        out.print_json(json.dumps(found))
        return
    for line in table_lines(found):
        out.print(line, markup=False)


@model_app.command()
def show(product: ProductName, tile: TileName, config: Config = Path("production.toml"), as_json: Json = False) -> None:
    """Show what a model was trained from, how it learnt, and how good it is."""
    from imperv.flows.tile.models import describe, description_lines
    from imperv.tasks.job import Job
    from imperv.tasks.settings.production import Production

    found = describe(Job.of(Production.read(config), tile), product.value)
    if as_json:
        out.print_json(json.dumps(found))
        return
    for line in description_lines(found):
        out.print(line, markup=False)


@model_app.command("export")
def export_command(
    product: ProductName,
    tile: TileName,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    config: Config = Path("production.toml"),
) -> None:
    """Write a model as one file."""
    from imperv.tasks.job import Job
    from imperv.tasks.networks.model_files import export_model
    from imperv.tasks.settings.production import Production

    job = Job.of(Production.read(config), tile)
    export_model(job.store, product.value, job.tile, output)
    out.print(f"{output}: {product.value}_model of tile {tile}, {output.stat().st_size} bytes", markup=False)


@model_app.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(help="File of `imperv model export`.")],
    config: Config = Path("production.toml"),
    tile: Annotated[
        str | None,
        typer.Option(callback=tile_name, autocompletion=complete_tile, help="Tile that it shall belong to; by default its own."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Also where the tile has a model already.")] = False,
) -> None:
    """Put the model of a file into the store: used as it is for its tile, and for tiles around."""
    from imperv.tasks.networks.model_files import import_model
    from imperv.tasks.settings.production import Production

    record, note = import_model(Production.read(config), file, tile, replace)
    out.print(f"{record.symbol} of tile {record.tile}: imported from {file}", markup=False)
    if note:
        err.print(
            f'imperv: note: other tiles will not use it ({note}); parameters.ensemble.accept = "compatible" lets them',
            markup=False,
        )


@model_app.command()
def remove(product: ProductName, tile: TileName, config: Config = Path("production.toml")) -> None:
    """Remove a model from the store; a tile of the production trains its own when it is run again."""
    from imperv.tasks.errors import InputError
    from imperv.tasks.job import Job
    from imperv.tasks.networks.model_files import remove_model
    from imperv.tasks.settings.production import Production

    job = Job.of(Production.read(config), tile)
    if not remove_model(job, product.value):
        raise InputError(f"{product.value}_model of tile {tile} is not in {job.store.url}; `imperv model list` shows what is")
    out.print(f"{product.value}_model of tile {tile}: removed", markup=False)
