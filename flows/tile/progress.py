"""Who is told how far a run is: the command line listens, a deployment does not."""

from __future__ import annotations

from collections.abc import Iterator
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


class Silent:
    """Hears nothing."""

    def started(self, tile: str, node: str) -> None:
        """Nothing."""

    def advanced(self, done: int, total: int) -> None:
        """Nothing."""

    def finished(self, tile: str, node: str, ran: bool, seconds: float, note: str) -> None:
        """Nothing."""


_listener: list[Listener] = [Silent()]


def listener() -> Listener:
    """The present listener of this process."""
    return _listener[-1]


@contextmanager
def listening(new: Listener) -> Iterator[None]:
    """Tell `new` of everything that happens inside the block."""
    _listener.append(new)
    try:
        yield
    finally:
        _listener.remove(new)
