"""Logs of tile runs in the store, `runs/logs/<tile>/<time>-<process>.log`: nodes and their times, warnings, the failure.

A folder gets every line at once, an object store the whole text every few seconds. A long log loses its middle, old logs are
removed, and secrets are never written.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from botocore.exceptions import BotoCoreError

from imperv.tasks.errors import ImpervError
from imperv.tasks.job import Job, software
from imperv.tasks.secrets import redacted
from imperv.tasks.store.lease import this_process
from imperv.tasks.store.store import Store

log = logging.getLogger(__name__)

FOLDER = "logs"

KEPT = 8
"""Logs of a tile: two productions in four waves."""

MOST = 256 * 1024
"""Most bytes of a log; then lines of its middle are left out."""

HEAD = MOST // 4
"""Bytes of its first lines, which always stay."""

GAP = "... {} lines are left out here ...\n"

LEFT_OUT = re.compile(re.escape(GAP).replace(re.escape("{}"), r"(\d+)"))

STAMP = "%Y%m%dT%H%M%S.%f"
"""Begin of the name of a log."""

SKEW = 60.0
"""Tolerated difference of clocks, and wait for a worker, seconds."""

EVERY = 5.0
"""Seconds between two writes on an object store, where a file cannot grow."""

RUN = logging.getLogger("imperv.run")
"""Lines of a run about its nodes: for its log only, at any level of logging."""
RUN.propagate = False
RUN.setLevel(logging.INFO)

FORM = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
FORM.converter = time.gmtime


class RunLog(logging.Handler):
    """The log of a run, the file `path` of the store."""

    def __init__(self, store: Store, path: str) -> None:
        super().__init__()
        self.setFormatter(FORM)
        self.store, self.path = store, path
        self._data, self._new, self._failed, self._closed = bytearray(), False, False, threading.Event()
        self._writer = None if store.is_local else threading.Thread(target=self._write_now_and_then, daemon=True)
        if self._writer:
            self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; called under the handler's own lock."""
        if record.name != log.name:
            for line in redacted(self.format(record), self.store.options).splitlines():
                self._take(f"{line}\n")

    def _take(self, line: str) -> None:
        data = line.encode("utf-8", "replace")
        self._data += data
        self._new, is_long = True, len(self._data) > MOST
        if is_long:
            self._data = _shortened(self._data)
        if self.store.is_local:
            with self._forgiving():
                self.store.write_text(self.path, self._data.decode()) if is_long else _append(self.store, self.path, data)

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        """A failure to write is logged once, and harms no run."""
        try:
            yield
        except (ImpervError, OSError, BotoCoreError) as error:
            if not self._failed:
                log.warning("the log of this run cannot be kept: %s", error)
            self._failed = True

    def _write_now_and_then(self) -> None:
        """Write the object again if there is anything new; not under the lock, as servers are slow."""
        last = False
        while not last:
            last = self._closed.wait(EVERY)
            self.acquire()
            new, text, self._new = self._new, self._data.decode(), False
            self.release()
            if new:
                with self._forgiving():
                    self.store.write_text(self.path, text)

    def close(self) -> None:
        """Write what is left."""
        self._closed.set()
        if self._writer:
            self._writer.join()
        super().close()


def _shortened(data: bytearray) -> bytearray:
    """The first `HEAD` bytes of a log and half of the others, in whole lines; by half, so that a file is seldom rewritten."""
    head = LEFT_OUT.split(data[: data.rfind(b"\n", 0, HEAD) + 1].decode())[0].encode()
    tail = data.find(b"\n", len(data) - (MOST - HEAD) // 2) + 1
    middle = data[len(head) : tail].decode()
    count = middle.count("\n") + sum(int(number) - 1 for number in LEFT_OUT.findall(middle))
    return bytearray(head) + GAP.format(count).encode() + data[tail:]


def _append(store: Store, path: str, data: bytes) -> None:
    """Append whole lines to a file of a folder."""
    place = Path(store.full(path))
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("ab") as file:
        file.write(data)


@contextmanager
def kept_log(job: Job, until: str) -> Iterator[None]:
    """Keep the log of the block: a run of a tile as far as `until`."""
    me, flow_run = this_process(), os.environ.get("PREFECT__FLOW_RUN_ID", "")
    handler = RunLog(job.store, _new_path(job.store, str(job.tile)))
    for logger in (logging.getLogger(), RUN):
        logger.addHandler(handler)
    try:
        RUN.info(
            "%s to %s: process %d on %s%s, imperv %s, store %s", job.tile, until, me.pid, me.host,
            f", Prefect flow run {flow_run}" if flow_run else "", software().get("imperv", ""), job.store.url,
        )  # fmt: skip
        with suppress(ImpervError, OSError, BotoCoreError):
            for path in logs_of(job.store, str(job.tile))[:-KEPT]:
                job.store.remove_record(path)
        yield
    finally:
        for logger in (logging.getLogger(), RUN):
            logger.removeHandler(handler)
        handler.close()


def _new_path(store: Store, tile: str) -> str:
    return f"{store.runs}/{FOLDER}/{tile}/{datetime.now(UTC).strftime(STAMP)}-{os.getpid()}.log"


def logs_of(store: Store, tile: str) -> list[str]:
    """Files of the logs of a tile, newest last."""
    store.fs.invalidate_cache()
    try:
        found = [PurePosixPath(path).name for path in store.fs.ls(store.full(f"{store.runs}/{FOLDER}/{tile}"), detail=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [f"{store.runs}/{FOLDER}/{tile}/{name}" for name in sorted(found) if name.endswith(".log")]


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """Whole lines of a log, numbered from 0 as if none were left out."""
    shift = 0
    for number, line in enumerate(text.splitlines(keepends=True)):
        if found := LEFT_OUT.fullmatch(line):
            shift += int(found[1]) - 1
        elif line.endswith("\n"):
            yield number + shift, line


def add_to_log(job: Job, text: str, seconds: float) -> None:
    """Add to the log of a run of the last `seconds` how its process ended; without one, begin a log."""
    since = (datetime.now(UTC) - timedelta(seconds=seconds + SKEW)).strftime(STAMP)
    now = datetime.now(UTC).strftime(FORM.datefmt or "")
    lines = "".join(f"{now} ENDED   {line}\n" for line in redacted(text, job.store.options).splitlines())
    with suppress(ImpervError, OSError, BotoCoreError):
        mine = [path for path in logs_of(job.store, str(job.tile)) if PurePosixPath(path).name >= since]
        path = mine[-1] if mine else _new_path(job.store, str(job.tile))
        if job.store.is_local:
            _append(job.store, path, lines.encode("utf-8", "replace"))
        else:
            job.store.write_text(path, (job.store.read_text(path) or "") + lines)
