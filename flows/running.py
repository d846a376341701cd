"""Running tiles here and now: in passes where there are several, and no server where there is nothing to do."""

from __future__ import annotations

from collections.abc import Sequence

from flows.planning import plan_tile
from flows.progress import listener
from flows.targets import PASSES, resolve_targets, steps
from tasks.errors import ImpervError
from tasks.job import Job
from tasks.production import Production


def run_tiles(
    tiles: Sequence[str], config: str, targets: Sequence[str] | None = None, refresh_scenes: bool = False
) -> dict[str, ImpervError]:
    """Run tiles one after another.

    Where there are several, what neighbours need of each other (models, features, samples) is made for all of them first.

    Parameters
    ----------
    tiles : sequence of str
        EEA tiles.
    config : str
        Production file.
    targets : sequence of str, optional
        Layers asked for, all by default.
    refresh_scenes : bool
        Ask the catalogue again instead of using the frozen scene lists; what that changes is said.

    Returns
    -------
    dict
        Tiles that failed and why. One failed tile does not stop the others.

    Raises
    ------
    InputError
        If the request itself is wrong.
    """
    symbols = resolve_targets(targets)
    production = Production.read(config)
    jobs = [Job.of(production, tile) for tile in tiles]
    if not refresh_scenes and not _anything_to_do(jobs, symbols):
        return {}
    # Prefect takes seconds to import and start: not before there is something to run.
    from flows.imperviousness import imperviousness
    from flows.server import prefect_server

    failed: dict[str, ImpervError] = {}
    with prefect_server():
        for until in PASSES if len(jobs) > 1 else ("all",):
            for tile in tiles:
                if tile not in failed and steps(symbols, until)[0]:
                    try:
                        # Lists are asked for anew once, in the first pass.
                        refresh = refresh_scenes and (len(jobs) == 1 or until == "features")
                        imperviousness(tile, config, symbols, until, refresh)  # type: ignore[call-overload]
                    except ImpervError as error:
                        failed[tile] = error
    return failed


def _anything_to_do(jobs: Sequence[Job], targets: list[str] | None) -> bool:
    """False if every step of every tile is up to date; then the listener is told so."""
    plans = [plan_tile(job, targets) for job in jobs]
    if any(step.state != "up to date" for plan in plans for step in plan):
        return True
    for plan in plans:
        for step in plan:
            listener().finished(step.tile, step.node, False, 0.0, "")
    return False
