"""The walk through a tile's graph, whoever makes the nodes: tasks of Prefect, or plain calls in a process of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Literal

from imperv.flows.plan.targets import DELIVER, before, resolve_targets, steps
from imperv.flows.runtime.journal import note_run
from imperv.flows.runtime.run_logs import RUN, kept_log
from imperv.flows.tile.progress import listener
from imperv.flows.tile.refusing import refuse_without_writer
from imperv.layers.catalogue import CATALOGUE, layers_of
from imperv.tasks.delivery.delivery import deliver
from imperv.tasks.errors import ImpervError, TileBusyError
from imperv.tasks.families import family, task_of
from imperv.tasks.family.task import Until
from imperv.tasks.job import Job
from imperv.tasks.nodes import make_node, standing
from imperv.tasks.settings.production import Production, describe_bytes
from imperv.tasks.store.records import Record

log = logging.getLogger(__name__)

Outcome = Literal["ran", "up to date", "not made"]

Maker = Callable[[str, Sequence[str], bool], Outcome]
"""Makes a node: its name, the nodes before it, and whether it is made even if it is up to date."""


def job_of(tile: str, config: str, product: str = "") -> Job:
    """The job of a tile; its blocks are told to the listener of this process. Of another `product`: what comes before."""
    production = Production.read(config)
    if product not in ("", production.product):
        production = next(other for other in family(production.product).before(production) if other.product == product)
    return Job.of(production, tile, lambda done, total: listener().advanced(done, total))


def make_one(job: Job, node: str, refresh: bool) -> tuple[Record, bool]:
    """Make a node of a tile, or deliver a layer: its record, and whether anything was done."""
    tile = str(job.tile)
    listener().started(tile, node)
    RUN.info("%s", node)
    record, ran = deliver(job, node.removeprefix(DELIVER)) if node.startswith(DELIVER) else make_node(job, node, refresh)
    note = record.reason if not record.made else "; ".join(record.warnings)
    listener().finished(tile, node, ran, record.seconds if ran else 0.0, note)
    took = f"{record.seconds:.1f} s, {record.cpu_seconds:.1f} s of processors, {describe_bytes(record.peak_memory)}"
    RUN.info("%s: %s%s", node, took if ran else "up to date", f"; {note}" if note else "")
    return record, ran


def outcome_of(record: Record, ran: bool) -> Outcome:
    """What happened to a node."""
    return "not made" if not record.made else "ran" if ran else "up to date"


def walk(
    job: Job,
    targets: Sequence[str] | None,
    until: Until,
    refresh_scenes: bool,
    make: Maker,
    finish: Callable[[bool], None],
) -> dict[str, int]:
    """Make what a tile needs, in order, while this process holds the tile.

    Returns counts of nodes that ran, were up to date, and are not made. `until` is the pass; "models" also
    calibrates a tile whose own samples suffice, others borrow of their neighbours in the last pass. `finish` is called with True
    at the end of a last pass, with False after a failure. ImpervError is the first node's failure; nothing after it is tried.
    """
    symbols = resolve_targets(targets, job.family)
    order, products = steps(symbols, until, job.family)
    count: dict[str, int] = {"ran": 0, "up to date": 0, "not made": 0}
    with job.store.tile_lock(job.tile, job.engine.settings.lease) as lease, kept_log(job, until):
        job.store.sweep(job.tile, makes(job))
        note_run(job, "running", "")
        node = "delivery"
        try:
            refuse_without_writer(symbols, job.family)
            for node in [*order, *(DELIVER + symbol for symbol in products)]:
                lease.check()
                symbol = node.removeprefix(DELIVER)
                before = [symbol] if node.startswith(DELIVER) else CATALOGUE[symbol].inputs
                refresh = refresh_scenes and CATALOGUE[symbol].kind == "source"
                count[make(node, before, refresh)] += 1
            for node in _borrowers(symbols, job.family) if until == "models" else ():
                if _settled_or_alone(job, node):
                    count[make(node, CATALOGUE[node].inputs, False)] += 1
        except TileBusyError:  # what is told of the tile is now another's to say
            raise
        except Exception as error:
            RUN.error("%s failed: %s", node, error, exc_info=None if isinstance(error, ImpervError) else error)
            note_run(job, "failed", f"{node}: {error}", error)
            finish(False)
            raise
        if products and (line := family(job.family).form.finish(job)):
            log.warning(line)
        note_run(job, "done" if until == "all" else f"{until} done", "")
        RUN.info("%s to %s done: %s", job.tile, until, ", ".join(f"{number} {what}" for what, number in count.items()))
        if until == "all":
            finish(True)
    return count


def _borrowers(targets: Sequence[str] | None, product: str) -> list[str]:
    """Nodes that may borrow of neighbouring tiles."""
    return [symbol for symbol in steps(targets, product=product)[0] if task_of(symbol).alone]


def _settled_or_alone(job: Job, symbol: str) -> bool:
    """True where a node is up to date, or will need nothing of neighbours; that is looked at only to find it out."""
    alone = task_of(symbol).alone
    return standing(job, symbol).state == "up to date" or (alone is not None and alone(job))


def wants_report(job: Job, whole: bool) -> bool:
    """True where a report is to be made: of a whole tile, or where an old one would tell what is no longer so."""
    return whole or bool(job.store.measure(job.report_path)[0])


def makes(job: Job) -> Callable[[str], bool]:
    """Whether something of the store is of the product of a job, as others may be at work on the same tile."""
    layers = layers_of(job.family).values()
    stems, models = {layer.stem for layer in layers}, {layer.model_folder for layer in layers if layer.model_file}

    def own(path: str) -> bool:
        parts = PurePosixPath(path).parts
        if parts[0] == "tiles":
            return parts[-1].split(".")[0] in stems
        return "/".join(parts[:2]) in models if parts[0] == "models" else family(job.family).form.owns(path)

    return own


def write_report(job: Job) -> str:
    """Write the report of a tile, that of the family or that which all have; where it is."""
    own = family(job.family).report
    if own is None:
        from imperv.tasks.report.layers import write_layers_report  # what draws takes a second to import

        return write_layers_report(job)
    return own(job)


def plain_maker(job: Job) -> Maker:
    """Makes nodes in this process."""
    return lambda node, inputs, refresh: outcome_of(*make_one(job, node, refresh))


def run_plain(
    tile: str, config: str, targets: Sequence[str] | None = None, until: Until = "all", refresh_scenes: bool = False
) -> dict[str, int]:
    """Run a tile in this process without Prefect; as `walk`."""
    job = job_of(tile, config)
    for other, wanted in before(job, targets):
        walk(other, wanted, "all", refresh_scenes, plain_maker(other), lambda done: None)
    ran = False

    def make(node: str, before: Sequence[str], refresh: bool) -> Outcome:
        nonlocal ran
        record, anew = make_one(job, node, refresh)
        ran = ran or anew
        return outcome_of(record, anew)

    def finish(done: bool) -> None:
        if (ran or not done) and wants_report(job, done and targets is None):
            try:
                write_report(job)
            except (ImpervError, OSError, ValueError) as error:
                log.warning("the report of tile %s could not be made: %s", tile, error)

    return walk(job, targets, until, refresh_scenes, make, finish)
