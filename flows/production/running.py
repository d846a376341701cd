"""Runs of tiles in this process, in passes where there are several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from imperv.flows.plan.planning import plan_tile
from imperv.flows.plan.targets import resolve_targets
from imperv.flows.production.waves import waves
from imperv.flows.runtime.server import check_server, prepare_command
from imperv.flows.runtime.server import named as named_server
from imperv.flows.tile.progress import listener
from imperv.flows.tile.refusing import refuse_without_writer, refused
from imperv.flows.tile.run import run_plain
from imperv.tasks.errors import ImpervError, WorkError
from imperv.tasks.job import Job
from imperv.tasks.settings.files import label_of
from imperv.tasks.settings.production import Production


def run_tiles(
    tiles: Sequence[str], config: str, targets: Sequence[str] | None = None, refresh_scenes: bool = False
) -> dict[str, ImpervError]:
    """Run tiles one after another; returns failed ones with their errors. InputError if the request itself is wrong.

    `refresh_scenes` searches the catalogue again in place of the frozen scene lists.
    """
    config = str(Path(config).absolute())
    production = Production.read(config)
    symbols = resolve_targets(targets, production.product)
    jobs = [Job.of(production, tile) for tile in tiles]
    if not refresh_scenes and not _anything_to_do(jobs, symbols):
        return {}
    refuse_without_writer(symbols, production.product)
    failed = refused(jobs, symbols)
    if len(failed) == len(jobs):
        return failed
    try:
        return failed | _run_passes([j for j in jobs if str(j.tile) not in failed], config, symbols, refresh_scenes)
    except RuntimeError as error:
        if "API" not in str(error):
            raise
        raise WorkError(f"Prefect: {error}; start its server, or unset PREFECT_API_URL to run without one") from None


def _run_passes(jobs: Sequence[Job], config: str, symbols: list[str] | None, refresh_scenes: bool) -> dict[str, ImpervError]:
    """Run all passes of all tiles."""
    failed: dict[str, ImpervError] = {}
    asked: set[str] = set()
    make = _maker(jobs[0].family)
    for wave in waves(jobs[0].production, [str(job.tile) for job in jobs], symbols, failed.__contains__):
        for tile in wave.tiles:
            # Once, in the first pass.
            refresh = refresh_scenes and tile not in asked
            asked.add(tile)
            try:
                make(tile, config, symbols, wave.until, refresh)
            except ImpervError as error:
                failed[tile] = error
    return failed


def _maker(product: str) -> Callable[..., dict[str, int]]:
    """What runs a pass of a tile: the flow where a Prefect server is named, else the same without Prefect."""
    if not named_server():
        return run_plain
    prepare_command()
    check_server(patience=0)
    from prefect import tags  # Prefect takes seconds to import

    from imperv.flows.tile.flow import flow_of

    flow = flow_of(product)

    def make(tile: str, config: str, *more: Any) -> dict[str, int]:
        with tags("imperv", label_of(Path(config)), tile):
            return dict(found) if (found := flow(tile, config, *more)) else {}

    return make


def _anything_to_do(jobs: Sequence[Job], targets: list[str] | None) -> bool:
    """False if every step is up to date; the listener then hears of each."""
    plans = [plan_tile(job, targets) for job in jobs]
    if any(step.state != "up to date" for plan in plans for step in plan):
        return True
    for plan in plans:
        for step in plan:
            listener().finished(step.tile, step.node, False, 0.0, "")
    return False
