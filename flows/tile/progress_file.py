"""How far a process is, in a file for others to watch: the node at work, what each node came to, and how the process ended.

A process that is killed leaves the file without an end. The records of the store stay the truth about what is done.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from imperv.tasks.files import write_whole
from imperv.tasks.job import utc_now
from imperv.tasks.store.lease import Process, this_process

EVERY = 1.0
"""Seconds between two notes of blocks; nodes are noted at once."""


class ProgressFile:
    """A listener that keeps the file; one that cannot be written harms no run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.table: dict[str, Any] = {"process": asdict(this_process()), "now": {}, "nodes": {}, "ended": "", "code": None}
        self._written, self._lock = 0.0, threading.Lock()
        self._write()

    def started(self, tile: str, node: str) -> None:
        """Work on a node begins."""
        with self._lock:
            self.table["now"] = {"tile": tile, "node": node, "done": 0, "total": 0, "since": utc_now()}
            self._write()

    def advanced(self, done: int, total: int) -> None:
        """Blocks, or epochs, of the current node."""
        with self._lock:
            self.table["now"] |= {"done": done, "total": total}
            if time.monotonic() - self._written >= EVERY:
                self._write()

    def finished(self, tile: str, node: str, ran: bool, seconds: float, note: str) -> None:
        """A node is done; `ran` is False if it was up to date."""
        with self._lock:
            self.table["nodes"][f"{tile} {node}"] = {"ran": ran, "seconds": round(seconds, 1), "note": note}
            self.table["now"] = {}
            self._write()

    def end(self, code: int) -> None:
        """The process ends, with this exit code."""
        with self._lock:
            self.table |= {"ended": utc_now(), "code": code}
            self._write()

    def _write(self) -> None:
        with suppress(OSError):
            write_whole(self.path, json.dumps(self.table))
            self._written = time.monotonic()


def read_progress(path: Path) -> dict[str, Any]:
    """What a `ProgressFile` says; empty where there is none, or none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return dict(found) | {"process": Process(**found["process"])}
    except (OSError, ValueError, TypeError, KeyError):
        return {}
