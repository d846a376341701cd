"""A short queue for what is drawn: so many at work, so many waiting, the others are refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated

from fastapi import Depends, HTTPException, Request

AT_ONCE = 24
"""Map tiles and values that are asked for at once; more get 503. All queues together are fewer than the 40 threads of AnyIO, in
which requests wait for their turns: the others are always answered."""

DRAWN_AT_ONCE = 4
"""Of these drawn at the same time: they share the interpreter."""

LONG_AT_ONCE, LONG_WAITING = 2, 6
"""Of what takes seconds: estimates, and questions to catalogues."""

PLANS_AT_ONCE, PLANS_WAITING = 2, 4
"""Of what looks at all nodes of a project: its progress, and its rounds."""

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


def _plan_turn(request: Request) -> Callable[[], AbstractContextManager[None]]:
    turns: Turns = request.app.state.plan_turns
    return turns.taken


PlanTurn = Annotated[Callable[[], AbstractContextManager[None]], Depends(_plan_turn)]
"""The same for what looks at all nodes of a project."""
