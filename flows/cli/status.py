"""The command ``imperv status``: progress of a production, and for monitors what is wrong with it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from imperv.flows.cli.watch_options import Metrics, Notify, watched
from imperv.flows.runtime.console import Config, Json, out, say, show
from imperv.tasks.errors import InputError


def status(
    config: Config = Path("production.toml"),
    check: Annotated[
        bool,
        typer.Option("--check", help="Print only what is wrong: failed tiles, a silent production. Exit code 1 if anything is."),
    ] = False,
    tell: Annotated[bool, typer.Option("--tell", help="With --check: alert watch.notify once; for cron.")] = False,
    notify: Notify = None,
    metrics: Metrics = None,
    as_json: Json = False,
) -> None:
    """Show the state of every tile, and whether the production runs and when it will be done."""
    if (tell or notify) and not check:
        raise InputError("--tell and --notify go with --check; add it")
    with watched(notify, metrics):
        _status(config, check, tell or bool(notify), metrics is not None, as_json)


def _status(config: Path, check: bool, tell: bool, measure: bool, as_json: bool) -> None:
    from imperv.flows.production.metrics import write_metrics
    from imperv.flows.production.status import going, production_lines, status_lines, statuses, troubles
    from imperv.flows.production.telling import tell_troubles
    from imperv.flows.production.watching import check_watching
    from imperv.tasks.settings.production import Production
    from imperv.tasks.store.overlay import store_of

    production = Production.read(config)
    if tell or measure:
        check_watching(production)
    if tell and not production.watch.notify:
        raise InputError("--tell: watch.notify is empty; add it to the production file, or give --notify")
    found, run = statuses(production, costs=not check), going(config, production)
    if measure:
        write_metrics(config, production)
    if not check:
        life = {key: run["life"][key] for key in ("state", "age", "why")} if run else None
        lines = () if as_json else status_lines(found, run, production.prices)
        show([{**entry, "production": life} for entry in found], lines, as_json)
        return
    wrong = troubles(found, run)
    if as_json:
        show({"troubles": [asdict(trouble) for trouble in wrong], "production": run or None, "tiles": found}, (), as_json)
    else:
        for trouble in wrong:
            say(trouble.text)
        if not wrong:
            out.print("; ".join(production_lines(run)) or "no production has run")
    if tell:
        name = run["production"] if run else str(config)
        tell_troubles(store_of(production), production.watch.notify, wrong, {"production": name, "store": production.store_url})
    if wrong:
        raise typer.Exit(1)
