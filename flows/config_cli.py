"""The commands ``imperv config``: production files checked, and every setting listed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.command_groups import Grouped
from flows.console import err, out

config_app = typer.Typer(help="Check production files; list every setting.", cls=Grouped, no_args_is_help=True)


@config_app.command("check")
def config_check(file: Annotated[Path, typer.Argument(help="Production file.")] = Path("production.toml")) -> None:
    """Say what is wrong with a production file, one line each."""
    from flows.checking import check_production
    from tasks.production import Production

    wrong, found = check_production(Production.read(file))
    for line in found:
        out.print(f"ok: {line}", markup=False)
    for line in wrong:
        err.print(f"imperv: {line}", markup=False)
    if wrong:
        raise typer.Exit(2)
    out.print(f"{file}: nothing wrong", markup=False)


@config_app.command("settings")
def config_settings() -> None:
    """Print every setting with its default and meaning, as Markdown."""
    from flows.settings_page import settings_page

    sys.stdout.write(settings_page() + "\n")
