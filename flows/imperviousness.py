"""The flow of one tile: every node of the graph that the targets need, in order, then the delivery of the final layers.

One task run a node; tasks exchange layer names and keys, never arrays. Prefect shows what happened; the records in the
store are the truth about what is done.
"""

from __future__ import annotations

import logging
from typing import Any, Literal

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, State

from flows.artifacts import show_products
from flows.journal import note_run
from flows.progress import listener
from flows.targets import DELIVER, resolve_targets, steps
from layers.catalogue import CATALOGUE
from tasks.delivery import deliver
from tasks.errors import WorkError
from tasks.job import Job
from tasks.nodes import make_node
from tasks.production import Production
from tasks.records import Record
from tasks.stac_series import refresh_series

log = logging.getLogger(__name__)


def _state(record: Record, ran: bool) -> State[Any]:
    reference = {"symbol": record.symbol, "tile": record.tile, "key": record.key, "href": record.href}
    if not record.made:
        return Completed(name="NotMade", message=record.reason, data=reference)
    if not ran:
        return Completed(name="UpToDate", message="nothing that it depends on has changed", data=reference)
    return Completed(message="; ".join(record.warnings) or f"{record.size} bytes", data=reference)


def _job(tile: str, config: str) -> Job:
    return Job.of(Production.read(config), tile, lambda done, total: listener().advanced(done, total))


def _run(tile: str, node: str, config: str, refresh: bool) -> State[Any]:
    job = _job(tile, config)
    listener().started(tile, node)
    record, ran = deliver(job, node.removeprefix(DELIVER)) if node.startswith(DELIVER) else make_node(job, node, refresh)
    note = record.reason if not record.made else "; ".join(record.warnings)
    listener().finished(tile, node, ran, record.seconds if ran else 0.0, note)
    return _state(record, ran)


@task(task_run_name="{node}", cache_policy=NO_CACHE, persist_result=False)
def make(tile: str, node: str, config: str, refresh: bool = False) -> State[Any]:
    """Make one node of a tile unless it is up to date; with `refresh` even then."""
    return _run(tile, node, config, refresh)


@task(task_run_name="report", cache_policy=NO_CACHE, persist_result=False)
def report(tile: str, config: str) -> str:
    """Make the report of a tile; where it is, relative to the store."""
    from tasks.report.tile import write_tile_report  # what draws takes a second to import

    return write_tile_report(_job(tile, config))


def _report(job: Job, config: str, wanted: bool) -> None:
    """Make the report where it is wanted, or where an old one would tell what is no longer so; never a reason to fail."""
    if wanted or job.store.measure(f"runs/{job.tile}.report.html")[0]:
        state = report(str(job.tile), config, return_state=True)
        if not state.is_completed():
            log.warning("the report of tile %s could not be made: %s", job.tile, _error_of(state))


@flow(name="imperviousness", flow_run_name="imperviousness {tile}", validate_parameters=True)
def imperviousness(
    tile: str,
    config: str,
    targets: list[str] | None = None,
    until: Literal["features", "models", "calibrations", "all"] = "all",
    refresh_scenes: bool = False,
) -> dict[str, int]:
    """Make and deliver the layers of one tile.

    Parameters
    ----------
    tile : str
        EEA tile such as ``E43N32``.
    config : str
        Production file.
    targets : list of str, optional
        Layers asked for, all by default.
    until : str
        How far to go: "features", "models" and "calibrations" stop at what neighbouring tiles need of this one.
    refresh_scenes : bool
        Ask the catalogue again instead of using the frozen scene lists.

    Returns
    -------
    dict
        Number of nodes that ran, were up to date, and are not made.

    Raises
    ------
    ImpervError
        The first node's failure; nothing after it is tried.

    Notes
    -----
    A run that made anything ends with the tile's report (`tasks.report`).
    """
    job = _job(tile, config)
    order, products = steps(resolve_targets(targets), until)
    count = {"ran": 0, "up to date": 0, "not made": 0}
    kinds = {"UpToDate": "up to date", "NotMade": "not made"}
    with job.store.tile_lock(job.tile, job.engine.settings.lease) as lease:
        job.store.sweep(job.tile)
        states: dict[str, State[Any]] = {}
        note_run(job, "running", "")
        for node in [*order, *(DELIVER + symbol for symbol in products)]:
            lease.check()
            symbol = node.removeprefix(DELIVER)
            before = [symbol] if node.startswith(DELIVER) else CATALOGUE[symbol].inputs
            refresh = refresh_scenes and CATALOGUE[symbol].kind == "source"
            state = make(tile, node, config, refresh, wait_for=[states[s] for s in before if s in states], return_state=True)
            if not state.is_completed():
                error = _error_of(state)
                note_run(job, "failed", f"{node}: {error}")
                _report(job, config, wanted=False)
                raise error
            states[node] = state
            count[kinds.get(state.name or "", "ran")] += 1
        if products:
            refresh_series(job)
            show_products(job)
        note_run(job, "done" if until == "all" else f"{until} done", "")
        if until == "all" and count["ran"]:
            _report(job, config, wanted=targets is None)
    return count


def _error_of(state: State[Any]) -> BaseException:
    found = state.result(raise_on_failure=False)
    if isinstance(found, BaseException):
        return found
    return WorkError(state.message or "a task failed without saying why")
