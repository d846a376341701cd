"""The command ``imperv logs``: logs of the last runs of a tile (`flows.runtime.run_logs`)."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imperv.flows.cli.parts.names import TileName, job_of
from imperv.flows.runtime.console import Config, say
from imperv.tasks.errors import InputError

if TYPE_CHECKING:
    from imperv.tasks.job import Job

LOOK = 1.0
"""Seconds between two reads of a followed log."""


def logs(
    tile: TileName,
    config: Config = Path("production.toml"),
    last: Annotated[int, typer.Option("--last", "-n", help="Number of runs, the last one last.", min=1)] = 1,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on while a process works on the tile.")] = False,
) -> None:
    """Show the log of the last run of a tile, on whatever machine it was."""
    from imperv.flows.runtime.run_logs import logs_of

    job = job_of(config, tile)
    found = logs_of(job.store, str(job.tile))
    if not found:
        raise InputError(f"tile {job.tile}: no log in {job.store.url}; run it first")
    with suppress(KeyboardInterrupt):
        for path in found[-last:-1]:
            sys.stdout.write(f"{job.store.read_text(path) or ''}\n")
        _show(job, found[-1], follow)
    if len(found) > last:
        say(f"logs of earlier runs: {len(found) - last}; --last {len(found)} shows all")


def _show(job: Job, path: str, follow: bool) -> None:
    """Print a log, and with `follow` its new lines and later logs while a process works on the tile."""
    from imperv.flows.runtime.run_logs import logs_of, numbered

    seen, going = 0, True
    while going:
        going = follow and job.store.is_locked(job.tile)  # before the log is read, so that its last line is not missed
        for later in [p for p in logs_of(job.store, str(job.tile)) if p >= path]:
            if later != path:
                path, seen = later, 0
                sys.stdout.write("\n")
            for number, line in numbered(job.store.read_text(path) or ""):
                if number >= seen:
                    sys.stdout.write(line)
                    seen = number + 1
        sys.stdout.flush()
        if going:
            time.sleep(LOOK)
