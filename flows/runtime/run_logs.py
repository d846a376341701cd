"""The logs of a tile's runs, kept in the store, so that one command finds them wherever a run was: here, a child, a worker.

A run writes `runs/logs/<tile>/<time>-<process>.log`: what it made and how long it took, all warnings, and why it failed.
A folder gets every line at once, an object store the whole text every few seconds. A long log loses its middle, and only the
last runs of a tile keep theirs. Secrets are taken out before a line is written.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections import deque
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
"""Runs of a tile whose logs are kept: two productions in four waves."""

MOST = 256 * 1024
"""Bytes of a log; beyond them lines of its middle are left out."""

HEAD = MOST // 4
"""Bytes of the first lines, which always stay."""

GAP = "... {} lines are left out here ...\n"

LEFT_OUT = re.compile(re.escape(GAP).replace(re.escape("{}"), r"(\d+)"))

STAMP = "%Y%m%dT%H%M%S.%f"
"""Begin of a log's name."""

SKEW = 60.0
"""Seconds that clocks of machines may differ, and a run may wait for its worker."""

EVERY = 5.0
"""Seconds between two writings on an object store, where a file cannot grow."""

RUN = logging.getLogger("imperv.run")
"""What a run itself says: its nodes. Nobody but its log hears it, whatever levels are set."""
RUN.propagate = False
RUN.setLevel(logging.INFO)

FORM = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
FORM.converter = time.gmtime


class RunLog(logging.Handler):
    """The log of one run, the file `path` of the store: hears what passes the levels of all loggers, and what `RUN` says."""

    def __init__(self, store: Store, path: str) -> None:
        super().__init__()
        self.setFormatter(FORM)
        self.store, self.path = store, path
        self._head: list[str] = []
        self._tail: deque[str] = deque()
        self._sizes, self._left_out = {"head": 0, "tail": 0}, 0
        self._new, self._failed, self._closed = False, False, threading.Event()
        self._writer = None if store.is_local else threading.Thread(target=self._write_now_and_then, daemon=True)
        if self._writer:
            self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; called under the handler's own lock."""
        if record.name != log.name:
            for line in redacted(self.format(record), self.store.options).splitlines():
                self._take(f"{line}\n")

    def _take(self, line: str) -> None:
        size = len(line.encode("utf-8", "replace"))
        if not self._tail and self._sizes["head"] + size <= HEAD:
            self._head.append(line)
            self._sizes["head"] += size
        else:
            self._tail.append(line)
            self._sizes["tail"] += size
        self._new, shortened = True, self._sizes["tail"] > MOST - HEAD
        while shortened and self._sizes["tail"] > (MOST - HEAD) // 2:  # by half, so that a file is seldom written anew
            self._sizes["tail"] -= len(self._tail.popleft().encode("utf-8", "replace"))
            self._left_out += 1
        if self.store.is_local:
            with self._forgiving():
                self.store.write_text(self.path, self._text()) if shortened else _append(self.store, self.path, line)

    def _text(self) -> str:
        gap = [GAP.format(self._left_out)] if self._left_out else []
        return "".join([*self._head, *gap, *self._tail])

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        """A log that cannot be written harms no run; it is said once."""
        try:
            yield
        except (ImpervError, OSError, BotoCoreError) as error:
            if not self._failed:
                log.warning("the log of this run cannot be kept: %s", error)
            self._failed = True

    def _write_now_and_then(self) -> None:
        """Write an object again where there is anything new; not under the lock, as stores wait for servers."""
        last = False
        while not last:
            last = self._closed.wait(EVERY)
            self.acquire()
            new, text, self._new = self._new, self._text(), False
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


def _append(store: Store, path: str, text: str) -> None:
    """Put text at the end of a file of a folder; whole lines at once."""
    place = Path(store.full(path))
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("ab") as file:
        file.write(text.encode("utf-8", "replace"))


@contextmanager
def kept_log(job: Job, until: str) -> Iterator[None]:
    """Keep the log of what happens in the block: a run of a tile by this process as far as `until`."""
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
    """Files of the logs of a tile, the last run's last."""
    store.fs.invalidate_cache()
    try:
        found = [PurePosixPath(path).name for path in store.fs.ls(store.full(f"{store.runs}/{FOLDER}/{tile}"), detail=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [f"{store.runs}/{FOLDER}/{tile}/{name}" for name in sorted(found) if name.endswith(".log")]


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """Whole lines of a log with their numbers from 0, which stay the same when lines before them are left out."""
    shift = 0
    for number, line in enumerate(text.splitlines(keepends=True)):
        if found := LEFT_OUT.fullmatch(line):
            shift += int(found[1]) - 1
        elif line.endswith("\n"):
            yield number + shift, line


def add_to_log(job: Job, text: str, seconds: float) -> None:
    """Say in the log of a run how its process ended, where that could not say so itself.

    `seconds` have passed since the run was begun: an older log is that of another run, and this one gets a log of its own.
    """
    since = (datetime.now(UTC) - timedelta(seconds=seconds + SKEW)).strftime(STAMP)
    now = datetime.now(UTC).strftime(FORM.datefmt or "")
    lines = "".join(f"{now} ENDED   {line}\n" for line in redacted(text, job.store.options).splitlines())
    with suppress(ImpervError, OSError, BotoCoreError):
        mine = [path for path in logs_of(job.store, str(job.tile)) if PurePosixPath(path).name >= since]
        path = mine[-1] if mine else _new_path(job.store, str(job.tile))
        if job.store.is_local:
            _append(job.store, path, lines)
        else:
            job.store.write_text(path, (job.store.read_text(path) or "") + lines)
