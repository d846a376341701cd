"""How far the run of a project is, node by node: from the records and the plan, and from what a running process says it is at.

So it is the same after a reload, a restart of the portal, and a process that was killed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imperv.flows.portal.projects import Project
from imperv.flows.runtime.journal import last_run
from imperv.layers.catalogue import CATALOGUE, family_of, layers_of
from imperv.tasks.families import family
from imperv.tasks.job import Job

if TYPE_CHECKING:
    from imperv.flows.plan.planning import Step

FRESH = 10.0
"""Seconds after which plans are made again though nothing was told: commands beside the portal change a store too."""


@dataclass
class Standings:
    """Where the nodes of projects are; plans are made again when a process has finished a node, or after a while."""

    kept: dict[str, tuple[object, float, list[dict[str, Any]]]] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def of(self, project: Project, job: Mapping[str, Any] | None, said: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Nodes and deliveries in order, from the last run of a project and its progress file; InputError if its file is wrong.

        ``state`` is ``waiting``, ``running``, ``done`` (by that run), ``up to date``, ``not made`` or ``failed``.
        """
        stamp = (job and (job["number"], job["state"]), len(said.get("nodes", ())), project.config.stat().st_mtime_ns)
        with self.guard:
            known, made, nodes = self.kept.get(project.id, (None, 0.0, []))
            if known != stamp or time.monotonic() - made > FRESH:
                nodes = _nodes(project, said.get("nodes", {}), bool(job and job["active"]))
                self.kept = {k: v for k, v in self.kept.items() if time.monotonic() - v[1] < FRESH}
                self.kept[project.id] = stamp, time.monotonic(), nodes
        now = said.get("now") if job and job["state"] == "running" else None
        if not now:
            return nodes
        working = {"state": "running", "note": "", "blocks": [now["done"], now["total"]], "since": now["since"]}
        return [node | working if (node["tile"], node["node"]) == (now["tile"], now["node"]) else node for node in nodes]


def main_map(project: Project) -> str:
    """Layer that shows best what a project is about, of those that are made: one that is held against another, or else a map."""
    jobs = project.jobs()
    layers = layers_of(jobs[0].family)
    best = [layers[symbol] for _, symbol in family(jobs[0].family).compared]
    wanted = [*best, *(layer for layer in layers.values() if layer.delivery)]
    made = (layer for layer in wanted if any((record := job.record(layer.symbol)) is not None and record.made for job in jobs))
    return next((layer.stem for layer in made), "")


def _nodes(project: Project, told: Mapping[str, Mapping[str, Any]], active: bool) -> list[dict[str, Any]]:
    """Nodes by records and plan; `told` is what each came to in the last run."""
    # Here: the first map need not wait for what plans.
    from imperv.flows.plan.planning import plan_tile, remembering
    from imperv.flows.plan.targets import DELIVER, before

    found = []
    for job in project.jobs():
        jobs = {each.family: remembering(each) for each in (job, *(other for other, _ in before(job, None)))}
        failed = {} if active else dict(_failure(each) for each in jobs.values())
        for step in plan_tile(job, None):
            symbol = step.node.removeprefix(DELIVER)
            own, last = jobs[family_of(symbol)], told.get(f"{step.tile} {step.node}", {})
            found.append(_node(step, symbol, own, last, failed.get(step.node, "")))
    return found


def _node(step: Step, symbol: str, job: Job, last: Mapping[str, Any], failure: str) -> dict[str, Any]:
    """What is told of a node, or of the delivery of a layer."""
    state, note = "waiting", step.reason
    if step.state == "up to date":
        record = job.record(symbol)
        if record is not None and not record.made:
            state, note = "not made", record.reason
        else:
            state = "done" if last.get("ran") else "up to date"
            note = "; ".join(record.warnings) if record is not None and step.node == symbol else ""
    elif failure:
        state, note = "failed", failure
    elif job.record(symbol) is None and not note.startswith("will fail"):
        note = ""  # the word of its state says so
    title = CATALOGUE[symbol].description
    return {
        "tile": step.tile, "node": step.node, "title": f"Delivery: {title}" if step.node != symbol else title, "state": state,
        "note": note, "seconds": last.get("seconds", 0), "expected": step.core_seconds,
    }  # fmt: skip


def _failure(job: Job) -> tuple[str, str]:
    """The node that the last run of a tile failed at, and why; empty if it did not."""
    last = last_run(job)
    node, _, why = last.get("why", "").partition(": ")
    return (node, why) if last.get("state") == "failed" else ("", "")
