"""SIGTERM and SIGHUP end a command as Ctrl-C does: with one line, and with its processes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stoppable() -> Iterator[list[signal.Signals]]:
    """Raise KeyboardInterrupt for a signal, and list it; a running flow of Prefect has its own handler, and passes it on."""
    received: list[signal.Signals] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        interrupt = signal.getsignal(signal.SIGINT)
        if callable(interrupt):  # asyncio has one of its own, which cancels what runs
            interrupt(signal.SIGINT, frame)
        else:  # jobs in the background ignore it
            raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    ours = [number for number in SIGNALS if main and signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, stop)
    try:
        yield received
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
