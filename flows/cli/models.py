"""The commands ``imperv model``: models of tiles in the store, and density models as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from imperv.flows.cli.parts.groups import Grouped
from imperv.flows.cli.parts.names import TileName, complete_tile, job_of, tile_name
from imperv.flows.runtime.console import Config, Json, out, say, show
from imperv.tasks.errors import InputError

HELP = "Name of a model of the production, or symbol of a model of any product."


class Commands(Grouped):
    """Commands whose help names the models of all products; the catalogue is loaded when one of them is called."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command; None if there is none."""
        command: Any = super().get_command(ctx, cmd_name)
        for parameter in command.params if command else ():
            if parameter.name == "model":
                parameter.help = f"{HELP} {_listed()}"
        return command


def _listed() -> str:
    from imperv.tasks.networks.symbols import named_models

    return " ".join(f"Of {product}: {', '.join(names)}." for product, names in named_models().items())


def _complete(incomplete: str) -> list[str]:
    from imperv.flows.cli.parts.names import beginning
    from imperv.tasks.networks.symbols import named_models

    return beginning((name for names in named_models().values() for name in names), incomplete)


model_app = typer.Typer(
    help="List, show and remove the models of the store; export and import density models.", cls=Commands, no_args_is_help=True
)

ModelName = Annotated[str, typer.Argument(metavar="MODEL", autocompletion=_complete, help=HELP)]


@model_app.command("list")
def list_command(config: Config = Path("production.toml"), as_json: Json = False) -> None:
    """List the models of the store, and whether this production can use them."""
    from imperv.flows.tile.models import list_entries, table_lines
    from imperv.tasks.settings.production import Production

    found = list_entries(Production.read(config))
    show(found, table_lines(found), as_json)


@model_app.command("show")
def show_command(model: ModelName, tile: TileName, config: Config = Path("production.toml"), as_json: Json = False) -> None:
    """Show the training data, training and accuracy of a model."""
    from imperv.flows.tile.models import describe, description_lines

    found = describe(job_of(config, tile), model)
    show(found, description_lines(found), as_json)


@model_app.command("export")
def export_command(
    model: ModelName,
    tile: TileName,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    config: Config = Path("production.toml"),
) -> None:
    """Write a density model as one file."""
    from imperv.tasks.networks.model_files import export_model
    from imperv.tasks.networks.symbols import model_symbol

    job = job_of(config, tile)
    export_model(job.store, model, job.tile, output, job.family)
    out.print(f"{output}: {model_symbol(job.family, model)} of tile {tile}, {output.stat().st_size} bytes")


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
def remove(model: ModelName, tile: TileName, config: Config = Path("production.toml")) -> None:
    """Remove a model from the store; the next run of its tile trains a new one."""
    from imperv.tasks.networks.model_files import remove_model
    from imperv.tasks.networks.symbols import model_symbol

    job = job_of(config, tile)
    symbol = model_symbol(job.family, model)
    if not remove_model(job, model):
        raise InputError(f"{symbol} of tile {tile} is not in {job.store.url}; `imperv model list` shows what is")
    out.print(f"{symbol} of tile {tile}: removed")
