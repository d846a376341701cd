"""A command in a process group of its own, measured with all its children while it runs, and killed where it is told."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

EVERY = 0.2
"""Seconds between two looks."""


@dataclass
class Watched:
    """What a command took; processor time, memory and bytes are sums over its processes at one time."""

    code: int = 0
    """Exit status; minus the signal that killed it."""
    seconds: float = 0
    cpu_seconds: float = 0
    peak_memory: int = 0
    """Highest resident memory, bytes."""
    bytes_read: int = 0
    bytes_written: int = 0
    """By system calls, from page cache or disk."""


def watched(
    command: Sequence[str], output: Path, environment: Mapping[str, str], kill: Callable[[float], bool] | None = None
) -> Watched:
    """Run a command; `output` takes what it prints.

    `kill`, called with the processor seconds so far, says when the whole group is to be killed with -9.
    """
    found, started = Watched(), time.perf_counter()
    with output.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=dict(environment), start_new_session=True)
    try:
        while process.poll() is None:
            _look(process.pid, found)
            if kill is not None and kill(found.cpu_seconds):
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            time.sleep(EVERY)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    found.code, found.seconds = process.wait(), round(time.perf_counter() - started, 1)
    return found


def _look(pid: int, found: Watched) -> None:
    """Add what a process and its children have taken until now."""
    cpu, memory, read, written = 0.0, 0, 0, 0
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied), process.oneshot():
                times, moved = process.cpu_times(), process.io_counters()
                cpu += times.user + times.system
                memory += process.memory_info().rss
                read, written = read + moved.read_chars, written + moved.write_chars
    # A child that has ended takes its sums along.
    found.cpu_seconds, found.peak_memory = max(found.cpu_seconds, round(cpu, 1)), max(found.peak_memory, memory)
    found.bytes_read, found.bytes_written = max(found.bytes_read, read), max(found.bytes_written, written)
