"""Files of a project's jobs, ``jobs/NNNNNN.*``: what a job is (``json``), what it says (``log``), how far it is (``progress``).

Texts of them that others read have no secrets, those of the project's store among them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from imperv.flows.portal.projects import Project
from imperv.tasks.errors import InputError
from imperv.tasks.files import write_whole
from imperv.tasks.secrets import redacted
from imperv.tasks.settings.toml_files import read_toml
from imperv.tasks.store.lease import Process

log = logging.getLogger(__name__)

FOLDER = "jobs"
"""Below a project."""

TAIL = 2**20
"""Bytes of a log that are shown, the last ones."""

APPEARING = 60.0
"""Seconds within which a process says which it is, on a machine that is busy."""

State = Literal["waiting", "running", "done", "failed", "cancelled", "lost"]


@dataclass(frozen=True)
class Entry:
    """What is known of a job: the content of its file."""

    number: int
    kind: str
    arguments: Mapping[str, Any]
    state: State = "waiting"
    asked: str = ""
    """When, UTC, fine enough to say who is first; so are `began`, `ended` and `cancelled`, to the second."""
    began: str = ""
    ended: str = ""
    cancelled: str = ""
    process: Process | None = None
    code: int | None = None
    """Exit code, where the process said one."""
    line: str = ""
    """Why it is not done, one line with the remedy."""

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ("waiting", "running")

    @property
    def young(self) -> bool:
        """Whether a process that was begun for it may still be about to say which it is."""
        try:
            return (datetime.now(UTC) - datetime.fromisoformat(self.began)).total_seconds() < APPEARING
        except (ValueError, TypeError):
            return False


def log_text(path: Path, options: Mapping[str, Any] | None = None) -> str:
    """The end of a log, without secrets, those of `options` of a store among them; empty where there is none yet."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            return redacted(file.read().decode("utf-8", "replace"), options)
    except OSError:
        return ""


def last_line(path: Path) -> str:
    """What a command said of its failure: the last line of it, or of all; it may hold secrets of the store's options."""
    lines = [line for line in log_text(path).splitlines() if line.strip()]
    said = [line.removeprefix("imperv: ") for line in lines if line.startswith("imperv: ")]
    return (said or lines or [""])[-1]


def file_of(project: Project, number: int, ending: str) -> Path:
    """A file of a job."""
    return project.folder / FOLDER / f"{number:06d}.{ending}"


def read_entries(project: Project) -> Iterator[tuple[int, Entry]]:
    """The jobs of a project by number; a file that cannot be read is passed over."""
    for path in sorted((project.folder / FOLDER).glob("[0-9]*.json")):
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
            process = Process(**table["process"]) if table["process"] else None
            yield int(path.stem), Entry(**(table | {"process": process}))
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.warning("%s cannot be read: %s", path, error)


def named(project: Project, argument: str) -> set[str]:
    """What an argument of jobs that wait or run says."""
    return {str(entry.arguments[argument]) for _, entry in read_entries(project) if entry.active and argument in entry.arguments}


def write_entry(project: Project, entry: Entry) -> None:
    """Keep what a job is; OSError where it cannot be."""
    path = file_of(project, entry.number, "json")
    path.parent.mkdir(exist_ok=True)
    write_whole(path, json.dumps(asdict(entry)) + "\n")


def secret_options(project: Project) -> Mapping[str, Any]:
    """Options of its store, which hold secrets; where its file is wrong, what stands there."""
    try:
        return project.production().store_options
    except InputError:
        pass
    with suppress(InputError):
        found = read_toml(project.config).get("store_options")
        return found if isinstance(found, Mapping) else {}
    return {}
