"""Leases: one process at a time works on a tile, whatever machines share the store.

A killed one blocks it no longer than its lease. A lease is a file, `leases/<tile>/<number>.json` in the folder of the product's
runs. The highest number counts; the next one is taken by making a file that must not exist, which folders and S3
(``If-None-Match: *``) both decide for exactly one. Numbers never go down, so a process that slept through its lease finds a
higher one and stops. Clocks of machines that share a store must agree within a part of the lease.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from imperv.tasks.errors import ImpervError, TileBusyError, WorkError, disk_trouble

if TYPE_CHECKING:
    from imperv.tasks.store.store import Store

log = logging.getLogger(__name__)

FOLDER = "leases"
"""Below the folder of the product's runs."""

PARENT = "europe"
"""Name of the lease of a production's parent, beside those of tiles."""

SECONDS = 120.0
"""Duration of a lease that is not renewed; `engine.lease` overrules it."""


@dataclass(frozen=True)
class Process:
    """A process of whatever machine."""

    host: str
    boot: str
    """Identifies the boot of a machine, and machines of one name."""
    pid: int
    started: float
    """When the process started: numbers of processes are used again."""

    @property
    def here(self) -> bool:
        """True for a process of this machine, since it was last started."""
        me = this_process()
        return (self.host, self.boot) == (me.host, me.boot)

    @property
    def gone(self) -> bool:
        """True for a process of this machine that is no more; False for those of others, which are unknown here."""
        if not self.here:
            return False
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started) > 2 or _is_zombie(self.pid)
        except psutil.Error:
            return True


@dataclass(frozen=True)
class Entry(Process):
    """Content of the file of a lease."""

    expires: float
    """Seconds since 1970; 0 for a released lease."""

    @property
    def free(self) -> bool:
        """True if nobody works under this lease any more: released, expired, or of a process of this machine that is gone."""
        return self.expires <= time.time() or self.gone


def _is_zombie(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def process_of(pid: int) -> Process:
    """A process of this machine; psutil.Error if there is none."""
    return Process(socket.gethostname(), _boot(), pid, psutil.Process(pid).create_time())


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return str(round(psutil.boot_time(), -1))


_this = cache(process_of)


def this_process() -> Process:
    """This process; asked by its number, as a fork has another."""
    return _this(os.getpid())


def _entry(expires: float = 0.0) -> Entry:
    """Entry of this process."""
    return Entry(**asdict(this_process()), expires=expires)


class Lease:
    """A tile that this process works on: lease `number`, which lasts `seconds`."""

    def __init__(self, store: Store, tile: str, number: int, seconds: float) -> None:
        self.store, self.tile, self.number, self.seconds = store, tile, number, seconds
        self.what = "the production" if tile == PARENT else f"tile {tile}"
        self._until = time.monotonic() + seconds
        self._lost = False

    @property
    def path(self) -> str:
        """Its file."""
        return _path(self.store, self.tile, self.number)

    def check(self) -> None:
        """Raise TileBusyError if another process took over the tile, since this one did not renew its lease in time."""
        if self._lost or (time.monotonic() > self._until and not self._still_mine()):
            raise TileBusyError(
                f"{self.what}: this process was away for longer than its lease of {self.seconds:g} s "
                "and another one took over; what is finished is kept"
            )

    def renew(self) -> None:
        """Make it last again, if nobody took over."""
        if not self._still_mine():
            self._lost = True
            return
        began = time.monotonic()
        self.store.write_text(self.path, _text(self.seconds))
        self._until = began + self.seconds

    def _still_mine(self) -> bool:
        number, _ = latest(self.store, self.tile)
        return number == self.number

    def give_back(self) -> None:
        """Let the next one have the tile at once."""
        if not self._lost and self._still_mine():
            self.store.write_text(self.path, json.dumps(asdict(_entry())))


def _text(seconds: float) -> str:
    return json.dumps(asdict(_entry(time.time() + seconds)))


def _path(store: Store, tile: str, number: int) -> str:
    return f"{store.runs}/{FOLDER}/{tile}/{number:08d}.json"


def latest(store: Store, tile: str) -> tuple[int, Entry | None]:
    """Number of a tile's last lease, 0 where there was none, and what it says; None while its text is not there yet."""
    store.fs.invalidate_cache()
    try:
        names = [Path(path).name for path in store.fs.ls(store.full(f"{store.runs}/{FOLDER}/{tile}"), detail=False)]
    except (FileNotFoundError, NotADirectoryError):
        return 0, None
    numbers = [int(name[:8]) for name in names if name.endswith(".json") and name[:8].isdigit() and len(name) == 13]
    if not numbers:
        return 0, None
    text = store.read_text(_path(store, tile, max(numbers)))
    try:
        return max(numbers), Entry(**json.loads(text or ""))
    except (ValueError, TypeError):
        return max(numbers), None


def is_held(store: Store, tile: str) -> bool:
    """True while a process works on a tile."""
    _, entry = latest(store, tile)
    return entry is not None and not entry.free


def take(store: Store, tile: str, seconds: float = SECONDS) -> Lease:
    """Take a tile; TileBusyError if another process works on it."""
    number, entry = latest(store, tile)
    if entry is not None and not entry.free:
        raise TileBusyError(f"tile {tile}: {_who(entry)} is working on it in {store.url}; wait for it to end")
    if not _create(store, _path(store, tile, number + 1), _text(seconds)):
        raise TileBusyError(f"tile {tile}: another process is working on it in {store.url} since this moment; wait for it to end")
    if latest(store, tile)[0] != number + 1:  # whoever was asleep since it looked may find its number free again
        store.remove_record(_path(store, tile, number + 1))
        raise TileBusyError(f"tile {tile}: another process has worked on it in {store.url} meanwhile; run again")
    for past in range(max(1, number - 5), number + 1):
        store.remove_record(_path(store, tile, past))
    return Lease(store, tile, number + 1, seconds)


def _who(entry: Entry) -> str:
    if entry.here:
        return f"another process ({entry.pid})" if entry.pid != os.getpid() else "another flow of this process"
    until = time.strftime("%H:%M:%S", time.gmtime(entry.expires))
    return f"another process ({entry.pid} on {entry.host}, until {until} UTC at least)"


def _create(store: Store, path: str, text: str) -> bool:
    """Make a file with a text that must not be there yet; False if it is."""
    full = store.full(path)
    if not store.is_local:
        try:
            store.fs.pipe_file(full, text.encode("utf-8"), mode="create")
        except FileExistsError:
            return False
        return True
    whole = Path(f"{full}.{os.getpid()}-{threading.get_ident()}")
    try:
        whole.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # a file or a link to nowhere may be in the way of the folder; that is no lease of another one
        raise disk_trouble(error, path) from error
    try:
        whole.write_text(text, encoding="utf-8")
        _link(whole, full)
    except FileExistsError:
        return False
    except OSError as error:
        raise disk_trouble(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            whole.unlink(missing_ok=True)
    return True


def _link(whole: Path, full: str) -> None:
    """Give a file its name, with its text in it, if there is none of that name."""
    try:
        os.link(whole, full)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
            raise
        with Path(full).open("x", encoding="utf-8") as file:  # file systems without links
            file.write(whole.read_text(encoding="utf-8"))


@contextlib.contextmanager
def holding(store: Store, tile: str, seconds: float = SECONDS) -> Iterator[Lease]:
    """Hold a tile while the block runs, its lease renewed by a thread; TileBusyError if another process works on it.

    Others wait at most `seconds` after this process was killed on another machine; on their own they see it at once.
    """
    lease, done = take(store, tile, seconds), threading.Event()

    def renewing() -> None:
        while not done.wait(seconds / 4):
            try:
                lease.renew()
            except (ImpervError, OSError) as error:  # tried again until it has run out; `check` says so then
                log.warning("%s: its lease could not be renewed: %s", lease.what, error)

    thread = threading.Thread(target=renewing, daemon=True, name=f"lease-{tile}")
    thread.start()
    try:
        yield lease
    finally:
        done.set()
        thread.join()
        with contextlib.suppress(WorkError, OSError):
            lease.give_back()
