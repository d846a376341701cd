"""The flow of one tile: every node of the graph that the targets need, in order, then the delivery of the final layers.

One task run a node; tasks exchange layer names and keys, never arrays. Prefect shows what happened; the records in the
store are the truth about what is done.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, State

from imperv.flows.plan.targets import resolve_targets, steps
from imperv.flows.runtime.artifacts import show_products
from imperv.flows.runtime.prefect_logs import logged_to_server
from imperv.flows.tile.run import Outcome, Until, job_of, make_one, outcome_of, walk, wants_report
from imperv.tasks.errors import WorkError
from imperv.tasks.store.records import Record

log = logging.getLogger(__name__)


def _state(record: Record, ran: bool) -> State[Any]:
    reference = {"symbol": record.symbol, "tile": record.tile, "key": record.key, "href": record.href}
    kind = outcome_of(record, ran)
    if kind == "not made":
        return Completed(name="NotMade", message=record.reason, data=reference)
    if kind == "up to date":
        return Completed(name="UpToDate", message="nothing that it depends on has changed", data=reference)
    return Completed(message="; ".join(record.warnings) or f"{record.size} bytes", data=reference)


@task(task_run_name="{node}", cache_policy=NO_CACHE, persist_result=False)
def make(tile: str, node: str, config: str, refresh: bool = False) -> State[Any]:
    """Make one node of a tile unless it is up to date; with `refresh` even then."""
    return _state(*make_one(job_of(tile, config), node, refresh))


@task(task_run_name="report", cache_policy=NO_CACHE, persist_result=False)
def report(tile: str, config: str) -> str:
    """Make the report of a tile; where it is, relative to the store."""
    from imperv.tasks.imperviousness.report.tile import write_tile_report  # what draws takes a second to import

    return write_tile_report(job_of(tile, config))


@flow(name="imperviousness", flow_run_name="{tile} to {until}", validate_parameters=True)
def imperviousness(
    tile: str,
    config: str,
    targets: list[str] | None = None,
    until: Until = "all",
    refresh_scenes: bool = False,
) -> dict[str, int]:
    """Make and deliver the layers of one tile; the result counts nodes that ran, were up to date, and are not made.

    The first failure of a node ends the run. A run that made anything ends with the report of the tile (`tasks.report`).

    Args:
        tile: EEA tile such as E43N32.
        config: Production file.
        targets: Layers; default: all.
        until: "features" and "models" stop at what neighbouring tiles need of this one.
        refresh_scenes: Search the catalogue again, in place of the frozen scene lists.
    """
    job = job_of(tile, config)
    states: dict[str, State[Any]] = {}

    def run(node: str, before: Sequence[str], refresh: bool) -> Outcome:
        state = make(tile, node, config, refresh, wait_for=[states[s] for s in before if s in states], return_state=True)
        if not state.is_completed():
            raise _error_of(state)
        states[node] = state
        kinds: dict[str | None, Outcome] = {"UpToDate": "up to date", "NotMade": "not made"}
        return kinds.get(state.name, "ran")

    def finish(done: bool) -> None:
        ran = any(state.name not in ("UpToDate", "NotMade") for state in states.values())
        if (ran or not done) and wants_report(job, done and targets is None):
            made = report(tile, config, return_state=True)
            if not made.is_completed():
                log.warning("the report of tile %s could not be made: %s", tile, _error_of(made))
        if done and steps(resolve_targets(targets), until)[1]:
            show_products(job)

    with logged_to_server():
        return walk(job, targets, until, refresh_scenes, run, finish)


def _error_of(state: State[Any]) -> BaseException:
    found = state.result(raise_on_failure=False)
    if isinstance(found, BaseException):
        return found
    return WorkError(state.message or "a task failed without saying why")
