"""Short queues: so many at work, so many waiting, the others are refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated, Any

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


def _of(queue: str) -> Any:
    """A turn in a queue of the application, which is there under a name."""

    def turn(request: Request) -> Callable[[], AbstractContextManager[None]]:
        turns: Turns = getattr(request.app.state, queue)
        return turns.taken

    return Depends(turn)


Turn = Annotated[Callable[[], AbstractContextManager[None]], _of("turns")]
"""A turn of what is drawn or read for a map."""

LongTurn = Annotated[Callable[[], AbstractContextManager[None]], _of("long_turns")]
"""The same for what takes seconds."""

PlanTurn = Annotated[Callable[[], AbstractContextManager[None]], _of("plan_turns")]
"""The same for what looks at all nodes of a project."""
