"""One tile as tasks of Prefect: every node of the graph that the targets need, in order, then the delivery of the final layers.

One task run a node; tasks exchange layer names and keys, never arrays. Prefect shows what happened; the records in the store are
the truth about what is done. Each product has a flow of its own that is this one under its name (`imperv.flows.<product>`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from prefect import Flow, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, State

from imperv.flows.plan.targets import before, resolve_targets, steps
from imperv.flows.runtime.artifacts import show_products
from imperv.flows.runtime.prefect_logs import logged_to_server
from imperv.flows.tile.run import Maker, Outcome, Until, job_of, make_one, outcome_of, walk, wants_report, write_report
from imperv.layers.families import BUILT_IN, packages
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.store.records import Record

log = logging.getLogger(__name__)


def flow_of(product: str) -> Flow[Any, Any]:
    """The flow of a product's tiles."""
    module = f"imperv.flows.{product}" if product in BUILT_IN else f"{packages()[product]}.flow"
    found: Flow[Any, Any] = getattr(import_module(module), product)
    return found


def _state(record: Record, ran: bool) -> State[Any]:
    reference = {"symbol": record.symbol, "tile": record.tile, "key": record.key, "href": record.href}
    kind = outcome_of(record, ran)
    if kind == "not made":
        return Completed(name="NotMade", message=record.reason, data=reference)
    if kind == "up to date":
        return Completed(name="UpToDate", message="nothing that it depends on has changed", data=reference)
    return Completed(message="; ".join(record.warnings) or f"{record.size} bytes", data=reference)


@task(task_run_name="{node}", cache_policy=NO_CACHE, persist_result=False)
def make(tile: str, node: str, config: str, refresh: bool = False, product: str = "") -> State[Any]:
    """Make one node of a tile unless it is up to date; with `refresh` even then. `product` is another one that is read."""
    return _state(*make_one(job_of(tile, config, product), node, refresh))


@task(task_run_name="report", cache_policy=NO_CACHE, persist_result=False)
def report(tile: str, config: str) -> str:
    """Make the report of a tile; where it is, relative to the store."""
    return write_report(job_of(tile, config))


def run_tile(
    product: str, tile: str, config: str, targets: list[str] | None, until: Until, refresh_scenes: bool
) -> dict[str, int]:
    """Make and deliver the layers of one tile, inside of the flow of a product; parameters as of that flow.

    A run that made anything ends with the tile's report.
    """
    job = job_of(tile, config)
    if job.family != product:
        raise InputError(f"{config}: product is {job.family}; run it by the flow {job.family}, not {product}")
    states: dict[str, State[Any]] = {}

    def maker(of: str = "") -> Maker:
        def run(node: str, inputs: Sequence[str], refresh: bool) -> Outcome:
            waits = [states[s] for s in inputs if s in states]
            state = make(tile, node, config, refresh, of, wait_for=waits, return_state=True)
            if not state.is_completed():
                raise _error_of(state)
            states[node] = state
            kinds: dict[str | None, Outcome] = {"UpToDate": "up to date", "NotMade": "not made"}
            return kinds.get(state.name, "ran")

        return run

    def finish(done: bool) -> None:
        ran = any(state.name not in ("UpToDate", "NotMade") for state in states.values())
        if (ran or not done) and wants_report(job, done and targets is None):
            made = report(tile, config, return_state=True)
            if not made.is_completed():
                log.warning("the report of tile %s could not be made: %s", tile, _error_of(made))
        if done and steps(resolve_targets(targets, product), until, product)[1]:
            show_products(job)

    with logged_to_server():
        for other, wanted in before(job, targets):
            walk(other, wanted, "all", refresh_scenes, maker(other.family), lambda done: None)
        return walk(job, targets, until, refresh_scenes, maker(), finish)


def _error_of(state: State[Any]) -> BaseException:
    found = state.result(raise_on_failure=False)
    if isinstance(found, BaseException):
        return found
    return WorkError(state.message or "a task failed without saying why")
