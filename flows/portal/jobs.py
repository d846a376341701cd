"""Jobs of projects: commands in processes of their own, which outlive the portal.

One heavy and one light job work at a time over all projects, and one of a project; others wait. What a job is stands in
``jobs/NNNNNN.json`` of its project, what it says in ``.log``, how far it is in ``.progress``, which the process itself writes
(`flows.cli.attended`). So a portal that starts anew finds running processes again. What may be started is a table of kinds.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import psutil

from imperv.flows.portal.job_files import (
    FOLDER,
    Entry,
    State,
    file_of,
    last_line,
    read_entries,
    secret_options,
    write_entry,
)
from imperv.flows.portal.projects import FREE, MissingError, Project, Projects, free_bytes
from imperv.flows.tile.progress_file import read_progress
from imperv.tasks.errors import InputError, disk_trouble
from imperv.tasks.job import utc_now
from imperv.tasks.secrets import redacted
from imperv.tasks.store.lease import process_of

log = logging.getLogger(__name__)

LOCK = ".portal.lock"
"""File in the folder of projects that one portal holds."""

PROCESS = "imperv.flows.cli.attended"
"""Module that runs the commands of a job; by name, as it imports the commands, of which the portal is one."""

SECRETS = ("IMPERV_PORTAL_TOKEN",)
"""Variables that are the portal's alone."""

POLL = 0.3
"""Seconds between two looks at the processes."""

GRACE = 30.0
"""Seconds that a cancelled process has to end."""

MOST_WAITING = 8
"""Jobs that wait; further ones are refused."""

KEPT = 30
"""Ended jobs of a project that are kept."""

LONGEST_LINE = 600
"""Characters of a line that says why a job failed."""


@dataclass(frozen=True)
class Kind:
    """A kind of jobs."""

    heavy: bool
    commands: Callable[[Project, Mapping[str, Any]], Sequence[Sequence[str]]]
    """Arguments of `imperv`, a list for each command, from those of the job; InputError if it cannot be started."""


def _run(project: Project, arguments: Mapping[str, Any]) -> Sequence[Sequence[str]]:
    """The whole production: tiles one after another."""
    project.production()  # what is wrong with the file is told before
    return [["run", "--config", str(project.config), "--yes"]]


KINDS: Mapping[str, Kind] = {"run": Kind(True, _run)}
"""Of every product."""


@dataclass
class Jobs:
    """The jobs of a folder of projects."""

    projects: Projects
    kinds: Mapping[str, Kind] = field(default_factory=lambda: KINDS)
    _entries: dict[str, dict[int, Entry]] = field(default_factory=dict)
    """By project and number."""
    _children: dict[tuple[str, int], subprocess.Popen[bytes]] = field(default_factory=dict)
    """Processes that this portal has begun: they are waited for."""
    _patience: dict[tuple[str, int], float] = field(default_factory=dict)
    """When a cancelled job is killed."""
    _guard: threading.RLock = field(default_factory=threading.RLock)
    _ended: threading.Event = field(default_factory=threading.Event)
    _lock: IO[str] | None = None

    def begin(self) -> None:
        """Take the folder, find the jobs that are there, and watch them from now on; InputError if another portal has it."""
        self._lock = locked(self.projects.folder / LOCK)
        for project in self.projects.every():
            self._of(project.id)
        threading.Thread(target=self._watch, name="jobs", daemon=True).start()

    def close(self) -> None:
        """Watch no more and let the folder go; processes go on."""
        self._ended.set()
        with self._guard:
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def start(self, project: Project, kind: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Begin a job, or let it wait for its turn.

        Raises
        ------
        InputError
            If it cannot be started, one of its kind is at work for the project, too many wait, or the disk is nearly full.
        """
        if kind not in self.kinds:
            raise InputError(f"kind: there is no job {kind}; there are {', '.join(self.kinds)}")
        self.kinds[kind].commands(project, arguments)
        with self._guard:
            mine = self._of(project.id)
            if any(entry.active and entry.kind == kind for entry in mine.values()):
                raise InputError(f"{kind}: one is at work for this project already; wait for it, or cancel it")
            if sum(entry.state == "waiting" for _, entry in self._active()) >= MOST_WAITING:
                raise InputError(f"{MOST_WAITING} jobs wait already; wait until one has ended, or cancel one")
            if free_bytes(self.projects.folder) < FREE:
                raise InputError(f"the disk has less than {FREE // 2**30} GiB free; free space, such as in the folder trash")
            entry = Entry(max(mine, default=0) + 1, kind, dict(arguments), asked=datetime.now(UTC).isoformat())
            try:
                write_entry(project, entry)
            except OSError as error:
                raise disk_trouble(error, f"{FOLDER}/{entry.number:06d}.json") from None
            mine[entry.number] = entry
            self._forget_old(project)
            self._step()
            return self.told(project, mine[entry.number])

    def every(self, project: Project) -> list[dict[str, Any]]:
        """Jobs of a project, the newest first."""
        with self._guard:
            mine = self._of(project.id)
            return [self.told(project, mine[number]) for number in sorted(mine, reverse=True)]

    def last(self, project: Project, kind: str) -> dict[str, Any] | None:
        """The newest job of a kind; None if there is none."""
        return next((job for job in self.every(project) if job["kind"] == kind), None)

    def find(self, project: Project, number: int) -> dict[str, Any]:
        """A job of a project; MissingError if there is none."""
        with self._guard:
            return self.told(project, self._entry(project, number))

    def cancel(self, project: Project, number: int) -> dict[str, Any]:
        """End a job: one that waits at once, one that runs by SIGTERM, and SIGKILL ten seconds later."""
        with self._guard:
            entry = self._entry(project, number)
            if entry.state == "waiting":
                self._end(project, entry, "cancelled", None)
            elif entry.state == "running" and not entry.cancelled:
                self._save(project, replace(entry, cancelled=utc_now()))
                self._patience[project.id, number] = time.monotonic() + GRACE
                _signal(entry, signal.SIGTERM)
            return self.told(project, self._entry(project, number))

    def log(self, project: Project, number: int) -> Path:
        """Where a job says what it does; the file may not be there yet. MissingError if there is no such job."""
        with self._guard:
            self._entry(project, number)
        return file_of(project, number, "log")

    def is_active(self, project: Project) -> bool:
        """Whether a job of a project waits or runs."""
        with self._guard:
            return any(entry.active for entry in self._of(project.id).values())

    def told(self, project: Project, entry: Entry) -> dict[str, Any]:
        """What others may know of a job: its file without the process, and how many wait before it (``ahead``)."""
        table = asdict(entry)
        del table["process"]
        ahead = 0
        if entry.state == "waiting":
            ahead = sum(self._before(other, entry) for _, other in self._active() if other is not entry)
        return table | {"active": entry.active, "ahead": ahead, "cancelling": bool(entry.cancelled) and entry.active}

    def _before(self, other: Entry, entry: Entry) -> bool:
        same = self.kinds[other.kind].heavy == self.kinds[entry.kind].heavy
        return same and (other.state == "running" or other.asked < entry.asked)

    def _of(self, name: str) -> dict[int, Entry]:
        """Jobs of a project; read when it is first asked for, as a project may come from elsewhere."""
        if name not in self._entries:
            self._entries[name] = dict(read_entries(self._project(name)))
        return self._entries[name]

    def _entry(self, project: Project, number: int) -> Entry:
        entry = self._of(project.id).get(number)
        if entry is None:
            raise MissingError(f"there is no job {number} of this project")
        return entry

    def _active(self) -> list[tuple[str, Entry]]:
        """Those that wait or run, in the order in which they were asked for."""
        found = [(name, entry) for name, mine in self._entries.items() for entry in mine.values() if entry.active]
        return sorted(found, key=lambda pair: pair[1].asked)

    def _watch(self) -> None:
        while not self._ended.wait(POLL):
            with self._guard:
                if self._lock is None:
                    return
                try:
                    self._step()
                except Exception:  # what watches must go on, whatever a file system does
                    log.exception("jobs cannot be watched")

    def _step(self) -> None:
        """Look at what runs, and begin what has its turn."""
        for name, entry in self._active():
            if entry.state == "running":
                self._look(self._project(name), entry)
        for name, entry in self._active():
            if entry.state == "waiting" and self._may_begin(name, entry):
                self._launch(self._project(name), entry)

    def _may_begin(self, name: str, entry: Entry) -> bool:
        running = [(other, found) for other, found in self._active() if found.state == "running"]
        heavy = self.kinds[entry.kind].heavy
        return not any(other == name or self.kinds[found.kind].heavy == heavy for other, found in running)

    def _project(self, name: str) -> Project:
        return Project(name, self.projects.folder / name)

    def _launch(self, project: Project, entry: Entry) -> None:
        """Begin the process of a job, which is running before there is one: what is cut off here never begins two."""
        environment = {key: value for key, value in os.environ.items() if key not in SECRETS}
        begun = replace(entry, state="running", began=utc_now())
        try:
            commands = json.dumps(self.kinds[entry.kind].commands(project, entry.arguments))
            progress = str(file_of(project, entry.number, "progress"))
            with file_of(project, entry.number, "log").open("ab") as said:
                write_entry(project, begun)
                child = subprocess.Popen(
                    [sys.executable, "-P", "-m", PROCESS, progress, commands], stdin=subprocess.DEVNULL, stdout=said,
                    stderr=subprocess.STDOUT, cwd=project.folder, env=environment | {"PYTHONUNBUFFERED": "1"},
                    start_new_session=True,
                )  # fmt: skip
        except InputError as error:
            self._end(project, entry, "failed", None, str(error))
        except OSError as error:
            self._end(project, entry, "failed", None, f"it could not be started ({error.strerror}); start it again")
        except Exception as error:  # whatever it is, it would be the same at the next look
            log.exception("job %d of project %s cannot be started", entry.number, project.id)
            self._end(
                project, entry, "failed", None, f"it could not be started ({type(error).__name__}); see what the portal says"
            )
        else:
            self._children[project.id, entry.number] = child
            self._of(project.id)[entry.number] = begun
            with suppress(psutil.Error):
                self._save(project, replace(begun, process=process_of(child.pid)))

    def _found(self, project: Project, entry: Entry) -> Entry:
        """A job with its process as that says itself: its portal was killed before it could note which it had begun."""
        process = read_progress(file_of(project, entry.number, "progress")).get("process")
        if process is None:
            return entry
        self._save(project, found := replace(entry, process=process))
        return found

    def _look(self, project: Project, entry: Entry) -> None:
        """Notice the end of a job; kill one that was cancelled and does not end."""
        child = self._children.get((project.id, entry.number))
        if child is None and entry.process is None:
            entry = self._found(project, entry)
        process = entry.process
        gone = child.poll() is not None if child else not process.here or process.gone if process else not entry.young
        if not gone:
            if entry.cancelled and time.monotonic() > self._patience.setdefault(
                (project.id, entry.number), time.monotonic() + GRACE
            ):
                _signal(entry, signal.SIGKILL)
            return
        code = read_progress(file_of(project, entry.number, "progress")).get("code")
        if code is None and child is not None and child.returncode >= 0:
            code = child.returncode
        if code == 0:
            self._end(project, entry, "done", 0)
        elif entry.cancelled:
            self._end(project, entry, "cancelled", code)
        elif code is None:
            self._end(project, entry, "lost", None)
        else:
            self._end(project, entry, "failed", code, last_line(file_of(project, entry.number, "log")))

    def _end(self, project: Project, entry: Entry, state: State, code: int | None, line: str = "") -> None:
        lines = {
            "done": "", "cancelled": "cancelled; what is finished is kept, start it again to go on",
            "lost": "was cut off; start it again to go on",
        }  # fmt: skip
        told = " ".join(redacted(line, secret_options(project)).split())[:LONGEST_LINE]
        said = lines.get(state, told or "failed without a word; its log may tell why")
        self._children.pop((project.id, entry.number), None)
        self._patience.pop((project.id, entry.number), None)
        self._save(project, replace(entry, state=state, ended=utc_now(), code=code, line=said))

    def _save(self, project: Project, entry: Entry) -> None:
        """Keep what is known now; a file that cannot be written is what a new start makes of it."""
        self._of(project.id)[entry.number] = entry
        try:
            write_entry(project, entry)
        except OSError as error:
            log.warning("job %d of project %s cannot be kept: %s", entry.number, project.id, error)

    def _forget_old(self, project: Project) -> None:
        mine = self._of(project.id)
        for number in [number for number in sorted(mine) if not mine[number].active][:-KEPT]:
            del mine[number]
            for ending in ("log", "progress", "json"):
                with suppress(OSError):
                    file_of(project, number, ending).unlink(missing_ok=True)


def _signal(entry: Entry, number: signal.Signals) -> None:
    """To all processes of a job that is still there."""
    if entry.process is not None and entry.process.here and not entry.process.gone:
        with suppress(ProcessLookupError):
            os.killpg(entry.process.pid, number)


def locked(path: Path) -> IO[str]:
    """The lock of a folder of projects, which goes with its file and the process; InputError if another one has it."""
    try:
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise InputError(f"--projects: {path} cannot be written ({error.strerror}); name a folder of yours") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise InputError(f"--projects: another portal works on {path.parent}; open its link, or end it first") from None
    return file
