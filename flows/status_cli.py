"""The command ``imperv status``: how far a production is, and for monitors whether anything is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.console import Config, Json, err, out


def status(
    config: Config = Path("production.toml"),
    check: Annotated[
        bool,
        typer.Option("--check", help="Only what is wrong, with exit code 1: tiles that failed, a production that is silent."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Say how far each tile is: done, running, failed and why, missing; whether a production lives, and when it will be done."""
    from flows.status import pace, print_status, production_lines, statuses, troubles
    from tasks.production import Production

    production = Production.read(config)
    found = statuses(production)
    going = pace(production, found)
    if not check:
        if as_json:
            life = {key: going["life"][key] for key in ("state", "age", "why")} if going else None
            out.print_json(json.dumps([{**entry, "production": life} for entry in found]))
        else:
            print_status(found, going)
        return
    wrong = troubles(found, going)
    if as_json:
        out.print_json(json.dumps({"troubles": wrong, "production": going or None, "tiles": found}))
    else:
        for line in wrong:
            err.print(f"imperv: {line}", markup=False)
        if not wrong:
            out.print("; ".join(production_lines(going)) or "no production has run", markup=False)
    if wrong:
        raise typer.Exit(1)
