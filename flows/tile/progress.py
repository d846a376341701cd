"""Who is told how far a run is: the command line listens, a deployment does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol


class Listener(Protocol):
    """Hears about the nodes of a run."""

    def started(self, tile: str, node: str) -> None:
        """Work on a node begins."""

    def advanced(self, done: int, total: int) -> None:
        """Blocks, or epochs, of the current node."""

    def finished(self, tile: str, node: str, ran: bool, seconds: float, note: str) -> None:
        """A node is done; `ran` is False if it was up to date."""


class _All:
    """Tells everything to several."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self.listeners = tuple(listeners)

    def started(self, tile: str, node: str) -> None:
        for one in self.listeners:
            one.started(tile, node)

    def advanced(self, done: int, total: int) -> None:
        for one in self.listeners:
            one.advanced(done, total)

    def finished(self, tile: str, node: str, ran: bool, seconds: float, note: str) -> None:
        for one in self.listeners:
            one.finished(tile, node, ran, seconds, note)


_listeners: list[Listener] = []


def listener() -> Listener:
    """All present listeners of this process as one."""
    return _All(_listeners)


@contextmanager
def listening(new: Listener) -> Iterator[None]:
    """Tell `new` too of everything that happens inside the block."""
    _listeners.append(new)
    try:
        yield
    finally:
        _listeners.remove(new)
