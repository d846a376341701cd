"""The command ``imperv europe``: all tiles of a production, through a Prefect server or by processes of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imperv.flows.cli.parts.names import Targets, complete_tile, tile_names, tiles_argument
from imperv.flows.cli.watch_options import Metrics, Notify, watched
from imperv.flows.runtime.console import Config, Json, Yes, counted, err, named, say, say_failed, show


def _listed(texts: list[str] | None) -> list[str] | None:
    """Tiles of an option that may be given several times, or name several at once."""
    return tile_names([name for text in texts or () for name in text.replace(",", " ").split()])


def europe(
    tiles: Annotated[list[str] | None, tiles_argument("Tiles; default: those of the production.")] = None,
    config: Config = Path("production.toml"),
    target: Targets = None,
    at_once: Annotated[int, typer.Option("--at-once", help="Tiles at once.", min=1)] = 1,
    first: Annotated[
        list[str] | None,
        typer.Option(metavar="TILE,...", callback=_listed, autocompletion=complete_tile, help="Tiles to run first; repeatable."),
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Only tiles whose last run failed.")] = False,
    tile_timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Time limit of a pass of a tile; default: none.")
    ] = None,
    max_failures: Annotated[
        float, typer.Option(metavar="N", help="Tolerated failures: a number of tiles, or a share below 1.", min=0)
    ] = 0.1,
    deployment: Annotated[
        str | None,
        typer.Option(metavar="FLOW/NAME", help="Deployment of the flow of a tile.", show_default="<product>/tile"),
    ] = None,
    notify: Notify = None,
    metrics: Metrics = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Run all tiles: by the workers of a Prefect server where PREFECT_API_URL is set, else by processes of this machine."""
    from imperv.flows.cli.guarding import ask_taken
    from imperv.flows.cli.many import run_many
    from imperv.flows.cli.parts.showing import run_view
    from imperv.flows.production.run import chosen_tiles
    from imperv.flows.runtime.outcomes import Ledger
    from imperv.flows.runtime.server import named as named_server
    from imperv.flows.tile.progress import listening
    from imperv.tasks.errors import InputError
    from imperv.tasks.settings.production import Production

    if deployment is not None and not named_server():
        raise InputError(f"--deployment {deployment}: no Prefect server is named; set PREFECT_API_URL, or leave the option out")
    production = Production.read(config)
    names = list(chosen_tiles(production, named(tiles, production.tile_names), first, retry_failed))
    if names:
        ask_taken(production, names, target, yes)
        with watched(notify, metrics), run_view(err) as view, listening(view):
            summary = run_many(
                str(config),
                names,
                target,
                at_once,
                tile_timeout,
                max_failures,
                deployment or f"{production.product}/tile",
                yes=True,
            )
    else:
        summary = Ledger((), 0).summary()
        say("no tile has failed in its last run")
    show(summary, (), as_json)
    for tile, end in summary["failed"].items():
        say_failed(tile, end["message"])
    if summary["not_begun"]:
        what = "too many tiles failed" if summary["stopped"] else "it was stopped"
        say(f"{what}, {counted(len(summary['not_begun']), 'tile')} not done; run again to go on")
    err.print(f"{summary['done']} of {counted(summary['tiles'], 'tile')} done, {len(summary['failed'])} failed")
    if summary["exit_code"]:
        raise typer.Exit(summary["exit_code"])
