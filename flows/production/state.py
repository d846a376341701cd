"""The one parent of a store (`tasks.store.lease`), and which run it is: a killed parent goes on under the same name."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

from imperv.flows.production.heartbeat import MISSED
from imperv.flows.runtime.journal import read_table, write_table
from imperv.flows.runtime.outcomes import Ledger
from imperv.tasks.errors import TileBusyError, WorkError
from imperv.tasks.job import utc_now
from imperv.tasks.settings.production import Production
from imperv.tasks.store.lease import PARENT, Lease, holding, latest
from imperv.tasks.store.records import digest_of
from imperv.tasks.store.store import Store

PATH = "europe.data.json"


def settings_digest(production: Production, targets: Sequence[str] | None) -> str:
    """Digest of the settings and targets of a run."""
    settings = production.model_dump(mode="json", exclude={"root", "watch"})
    return digest_of({"production": settings, "targets": list(targets or ())})


def read_state(store: Store) -> dict[str, Any]:
    """State of the last run of a production; empty if there was none."""
    return read_table(store, PATH)


def begin(store: Store, production: Production, tiles: Sequence[str], targets: Sequence[str] | None) -> str:
    """Name of the run: that of an unfinished one with the same settings and tiles, or a new one."""
    digest = settings_digest(production, targets)
    last = read_state(store)
    same = last.get("digest") == digest and sorted(last.get("tiles", ())) == sorted(tiles)
    name = str(last["run"]) if same and not last.get("ended") else uuid.uuid4().hex[:12]
    write_table(store, PATH, {"run": name, "digest": digest, "tiles": list(tiles), "began": utc_now(), "ended": ""})
    return name


def end(store: Store, name: str, ledger: Ledger) -> None:
    """Note that a run has ended, and how."""
    write_table(store, PATH, read_state(store) | {"run": name, "ended": utc_now(), "summary": ledger.summary()})


@contextmanager
def only_parent(store: Store, production: Production) -> Iterator[Lease]:
    """Be the one parent of a store in the block; WorkError if another one lives.

    The lease of a dead one is free at once on its own machine, elsewhere as soon as its heartbeat counts as silent.
    """
    seconds = MISSED * production.watch.heartbeat
    with ExitStack() as stack:
        try:
            lease = stack.enter_context(holding(store, PARENT, seconds))
        except TileBusyError:
            raise WorkError(_refusal(store, seconds)) from None
        yield lease


def _refusal(store: Store, seconds: float) -> str:
    """Who holds the lease, since when, and what to do."""
    _, entry = latest(store, PARENT)
    if entry is None or entry.free:
        return f"a production began in {store.url} at this very moment; see imperv status, and run again when it has ended"
    since = datetime.fromtimestamp(entry.started, UTC).strftime("%Y-%m-%d %H:%M UTC")
    free = "its place is free at once" if entry.here else f"its place is free {seconds:g} s later"
    return (
        f"a production runs in {store.url} already: process {entry.pid} on {entry.host}, since {since}; wait until it has ended "
        f"(imperv status), or stop it there (kill {entry.pid}), {free}"
    )
