"""How the last run of a tile ended, for `imperv status`; what is done is said by the records."""

from __future__ import annotations

import json
from typing import Any

from imperv.tasks.errors import InputError
from imperv.tasks.job import Job, utc_now
from imperv.tasks.store.store import Store


def note_run(job: Job, state: str, why: str, error: BaseException | None = None) -> None:
    """Remember how the last run of a tile ended."""
    kind = "" if error is None else "input" if isinstance(error, InputError) else "work"
    write_table(
        job.store,
        f"{job.tile}.data.json",
        {"tile": str(job.tile), "state": state, "why": why, "kind": kind, "when": utc_now()},
    )


def last_run(job: Job) -> dict[str, str]:
    """What `note_run` wrote; empty if nothing."""
    return read_table(job.store, f"{job.tile}.data.json")


def read_table(store: Store, path: str) -> dict[str, Any]:
    """A JSON file below the runs of a store; empty where there is none, or one that cannot be read."""
    try:
        return dict(json.loads(store.read_text(f"{store.runs}/{path}") or "{}"))
    except ValueError:
        return {}


def write_table(store: Store, path: str, table: dict[str, Any]) -> None:
    """Write a JSON file below the runs of a store."""
    store.write_text(f"{store.runs}/{path}", json.dumps(table) + "\n")
