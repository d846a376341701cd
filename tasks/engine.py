"""Computing blocks: a Dask graph on threads of this process, or on a Dask cluster given by address.

Memory is planned: as many blocks run at once as fit into `engine.memory`, and a block that does not fit is an error before
anything starts.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import dask
import psutil
from dask.callbacks import Callback

from imperv.tasks.errors import InputError
from imperv.tasks.settings.production import EngineSettings, describe_bytes

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Called with (blocks done, blocks in all)."""

RESERVED = 640 * 2**20
"""Bytes of `engine.memory` kept for the process itself: interpreter, libraries and GDAL's cache; measured: 430 to 560 MiB."""

RESERVED_SHARE = 0.05
"""Share of the rest kept for what the allocator does not give back."""

M_ARENA_MAX = -8
"""Setting of glibc's ``mallopt``."""


def share_arenas(workers: int) -> None:
    """Let the threads of this process share what they free: glibc keeps it for each of them, which was a third of the peak."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, max(2, workers))


@dataclass(frozen=True)
class Engine:
    """Where and how blocks are computed."""

    settings: EngineSettings
    progress: Progress | None = None

    def __post_init__(self) -> None:
        share_arenas(self.settings.workers)

    @property
    def budget(self) -> int:
        """Bytes that blocks may take together; never less than half of the memory."""
        memory = self.settings.memory
        return max(int((memory - RESERVED) * (1 - RESERVED_SHARE)), memory // 2)

    def at_once(self, block_bytes: int, what: str) -> int:
        """Number of blocks that may be computed at the same time; InputError if not even one fits."""
        if block_bytes > self.budget:
            needed = min(block_bytes / (1 - RESERVED_SHARE) + RESERVED, 2 * block_bytes)
            raise InputError(
                f"engine.memory: {what} needs {describe_bytes(needed)} for one block, "
                f"{describe_bytes(self.settings.memory)} are allowed; raise engine.memory"
            )
        return max(1, min(self.settings.workers, self.budget // max(block_bytes, 1)))

    def map(
        self,
        function: Callable[..., T],
        blocks: Sequence[Any],
        block_bytes: int,
        what: str,
        *,
        most: int | None = None,
        tell: bool = True,
    ) -> list[T]:
        """Results of ``function(block)`` for all blocks, in order.

        The function is pure but for what it writes, and picklable where a cluster is used; `block_bytes` is the projected memory
        of one call. `most` limits the calls at once, for functions that keep several workers busy; without `tell` the function
        tells its progress itself.
        """
        count = min(self.at_once(block_bytes, what), most or len(blocks))
        if not tell:
            return Engine(self.settings).map(function, blocks, block_bytes, what, most=most)
        self._tell(0, len(blocks))
        if self.settings.dask_address:
            return self._on_cluster(function, blocks, count)
        done = [0]

        def finished(*_: object) -> None:
            done[0] += 1
            self._tell(done[0], len(blocks))

        tasks = [dask.delayed(function, pure=False)(block) for block in blocks]
        with Callback(posttask=finished):
            # Blocks are merged into no larger task: one Dask task a block, so that `count` bounds the memory.
            return list(dask.compute(*tasks, scheduler="threads", num_workers=count, optimize_graph=False))

    def _on_cluster(self, function: Callable[..., T], blocks: Sequence[Any], count: int) -> list[T]:
        from distributed import Client, as_completed

        try:
            client = Client(self.settings.dask_address, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"engine.dask_address: {self.settings.dask_address} does not answer ({str(error).splitlines()[0]}); "
                "start the scheduler or clear the key"
            ) from None
        with client:
            client.run(share_arenas, 2)
            waiting, futures, results = list(enumerate(blocks)), {}, {}

            def submit() -> Any:
                index, block = waiting.pop(0)
                future = client.submit(function, block, pure=False)
                futures[future] = index
                return future

            running = as_completed([submit() for _ in range(min(count, len(waiting)))], loop=client.loop)
            for future in running:
                results[futures.pop(future)] = future.result()
                self._tell(len(results), len(blocks))
                if waiting:
                    running.add(submit())
            return [results[k] for k in range(len(blocks))]

    def counter(self, total: int) -> Callable[[], None]:
        """A function that tells one more of `total` steps done at each call, from any thread."""
        lock, done = threading.Lock(), [0]

        def one_more() -> None:
            with lock:
                done[0] += 1
                self._tell(done[0], total)

        self._tell(0, total)
        return one_more

    def _tell(self, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(done, total)


@dataclass
class Usage:
    """Wall and processor seconds, highest resident memory, and bytes read and written of a stretch of work."""

    seconds: float = 0
    cpu_seconds: float = 0
    peak_memory: int = 0
    bytes_read: int = 0
    bytes_written: int = 0


@contextmanager
def measured(interval: float = 0.05) -> Iterator[Usage]:
    """Measure what the process does inside the block; the memory by sampling every `interval` seconds.

    Bytes are those of system calls, whether the page cache or a disk served them; 0 where the system does not count them.
    """
    process, usage, stop = psutil.Process(), Usage(), threading.Event()

    def watch() -> None:
        while not stop.is_set():
            usage.peak_memory = max(usage.peak_memory, process.memory_info().rss)
            stop.wait(interval)

    started, processor, moved = time.perf_counter(), time.process_time(), _bytes_moved(process)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield usage
    finally:
        stop.set()
        watcher.join()
        usage.seconds = round(time.perf_counter() - started, 3)
        usage.cpu_seconds = round(time.process_time() - processor, 3)
        usage.bytes_read, usage.bytes_written = (now - then for now, then in zip(_bytes_moved(process), moved, strict=True))


def _bytes_moved(process: psutil.Process) -> tuple[int, int]:
    """Bytes that a process has read and written."""
    try:
        count = process.io_counters()
    except AttributeError:  # macOS has no such count
        return 0, 0
    return getattr(count, "read_chars", 0), getattr(count, "write_chars", 0)
