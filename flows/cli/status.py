"""The command ``imperv status``: how far a production is, and for monitors whether anything is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from imperv.flows.cli.watch_options import Metrics, Notify, watched
from imperv.flows.runtime.console import Config, Json, err, out
from imperv.tasks.errors import InputError


def status(
    config: Config = Path("production.toml"),
    check: Annotated[
        bool,
        typer.Option("--check", help="Only what is wrong, with exit code 1: tiles that failed, a production that is silent."),
    ] = False,
    tell: Annotated[bool, typer.Option("--tell", help="With --check: tell those of watch.notify, once; for cron.")] = False,
    notify: Notify = None,
    metrics: Metrics = None,
    as_json: Json = False,
) -> None:
    """Say how far each tile is: done, running, failed and why, missing; whether a production lives, and when it will be done."""
    if (tell or notify) and not check:
        raise InputError("--tell and --notify go with --check, which finds what is to be told")
    with watched(notify, metrics):
        _status(config, check, tell or bool(notify), metrics is not None, as_json)


def _status(config: Path, check: bool, tell: bool, measure: bool, as_json: bool) -> None:
    from imperv.flows.production.metrics import write_metrics
    from imperv.flows.production.status import going, print_status, production_lines, statuses, troubles
    from imperv.flows.production.telling import tell_troubles
    from imperv.flows.production.watching import check_watching
    from imperv.tasks.settings.production import Production
    from imperv.tasks.store.overlay import store_of

    production = Production.read(config)
    if tell or measure:
        check_watching(production)
    if tell and not production.watch.notify:
        raise InputError("--tell: watch.notify names nobody; add it to the production file, or give --notify")
    found, run = statuses(production, costs=not check), going(config, production)
    if measure:
        write_metrics(config, production)
    if not check:
        if as_json:
            life = {key: run["life"][key] for key in ("state", "age", "why")} if run else None
            out.print_json(json.dumps([{**entry, "production": life} for entry in found]))
        else:
            print_status(found, run, production.prices)
        return
    wrong = troubles(found, run)
    if as_json:
        out.print_json(
            json.dumps({"troubles": [{"kind": t.kind, "text": t.text} for t in wrong], "production": run or None, "tiles": found})
        )
    else:
        for trouble in wrong:
            err.print(f"imperv: {trouble.text}", markup=False)
        if not wrong:
            out.print("; ".join(production_lines(run)) or "no production has run", markup=False)
    if tell:
        name = run["production"] if run else str(config)
        tell_troubles(store_of(production), production.watch.notify, wrong, {"production": name, "store": production.store_url})
    if wrong:
        raise typer.Exit(1)
