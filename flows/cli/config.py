"""The commands ``imperv config``: checks of production files, and the list of settings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from imperv.flows.cli.parts.groups import Grouped
from imperv.flows.runtime.console import counted, out, say
from imperv.layers.families import DEFAULT

config_app = typer.Typer(help="Check production files; list every setting.", cls=Grouped, no_args_is_help=True)


@config_app.command("check")
def config_check(
    file: Annotated[Path, typer.Argument(readable=False, help="Production file.")] = Path("production.toml"),
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors: exit code 2.")] = False,
) -> None:
    """Check a production file: a line for everything that is right, doubtful or wrong. Computes and leaves nothing."""
    from imperv.flows.tile.checking import Level, check_production
    from imperv.tasks.settings.production import Production

    production = Production.read(file)
    counts = dict.fromkeys(Level, 0)
    for finding in check_production(production):
        counts[finding.level] += 1
        if finding.level is Level.ERROR:
            say(finding.text)
        else:
            out.print(f"{finding.level}: {finding.text}")
    tiles, errors, warnings = len(production.tile_names), counts[Level.ERROR], counts[Level.WARNING]
    end = f"{file}: {counted(tiles, 'tile')}, {counted(errors, 'error')}, {counted(warnings, 'warning')}"
    if errors or (strict and warnings):
        say(f"{end}{'; with --strict warnings count' if strict and not errors else ''}")
        raise typer.Exit(2)
    out.print(end)


@config_app.command("settings")
def config_settings(
    product: Annotated[str, typer.Option(metavar="PRODUCT", help="Product whose settings are printed.")] = DEFAULT,
) -> None:
    """Print every setting with its default and meaning, as Markdown."""
    from imperv.flows.cli.settings_page import settings_page

    sys.stdout.write(settings_page(product) + "\n")
