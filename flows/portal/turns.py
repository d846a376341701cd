"""A short queue for what is drawn: so many at work, so many waiting, the others are refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated

from fastapi import Depends, HTTPException, Request

AT_ONCE = 64
"""Map tiles and values that are asked for at once; more get 503."""

DRAWN_AT_ONCE = 4
"""Of these drawn at the same time: they share the interpreter."""

LONG_AT_ONCE, LONG_WAITING = 2, 8
"""Of what takes seconds: estimates, and questions to catalogues."""

WAIT = 30.0
"""Longest that a request waits for its turn, seconds."""


class Turns:
    """The queue."""

    def __init__(self, working: int = DRAWN_AT_ONCE, waiting: int = AT_ONCE) -> None:
        self.places, self.work = threading.BoundedSemaphore(waiting), threading.BoundedSemaphore(working)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for a turn in the block; 503 where too many wait."""
        if not self.places.acquire(blocking=False):
            raise HTTPException(503, "the portal is busy; try again", {"retry-after": "1"})
        try:
            if not self.work.acquire(timeout=WAIT):
                raise HTTPException(503, "the portal is busy; try again", {"retry-after": "5"})
            try:
                yield
            finally:
                self.work.release()
        finally:
            self.places.release()


def _turn(request: Request) -> Callable[[], AbstractContextManager[None]]:
    turns: Turns = request.app.state.turns
    return turns.taken


Turn = Annotated[Callable[[], AbstractContextManager[None]], Depends(_turn)]
"""A turn in the queue of the application."""


def _long_turn(request: Request) -> Callable[[], AbstractContextManager[None]]:
    turns: Turns = request.app.state.long_turns
    return turns.taken


LongTurn = Annotated[Callable[[], AbstractContextManager[None]], Depends(_long_turn)]
"""The same for what takes seconds."""
