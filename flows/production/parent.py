"""One parent at a time runs a production in a store, whatever machines share it (`tasks.store.lease`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from imperv.flows.production.heartbeat import MISSED
from imperv.tasks.errors import TileBusyError, WorkError
from imperv.tasks.settings.production import Production
from imperv.tasks.store.lease import PARENT, Lease, holding, latest
from imperv.tasks.store.store import Store


@contextmanager
def only_parent(store: Store, production: Production) -> Iterator[Lease]:
    """Be the one parent of a store while the block runs; WorkError if another one lives.

    A dead one's place is free at once on its own machine; elsewhere as soon as its heartbeat counts as silent.
    """
    seconds = MISSED * production.watch.heartbeat
    with ExitStack() as stack:
        try:
            lease = stack.enter_context(holding(store, PARENT, seconds))
        except TileBusyError:
            raise WorkError(_refusal(store, seconds)) from None
        yield lease


def _refusal(store: Store, seconds: float) -> str:
    """Who has the place, since when, and what to do."""
    _, entry = latest(store, PARENT)
    if entry is None or entry.free:
        return f"a production began in {store.url} at this very moment; see imperv status, and run again when it has ended"
    since = datetime.fromtimestamp(entry.started, UTC).strftime("%Y-%m-%d %H:%M UTC")
    free = "its place is free at once" if entry.here else f"its place is free {seconds:g} s later"
    return (
        f"a production runs in {store.url} already: process {entry.pid} on {entry.host}, since {since}; wait until it has ended "
        f"(imperv status), or stop it there (kill {entry.pid}), {free}"
    )
