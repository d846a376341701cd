"""How the last run of a tile went, for `imperv status`; what is done, the records say."""

from __future__ import annotations

import json

from imperv.tasks.errors import InputError
from imperv.tasks.job import Job, utc_now


def note_run(job: Job, state: str, why: str, error: BaseException | None = None) -> None:
    """Remember how the last run of a tile went."""
    kind = "" if error is None else "input" if isinstance(error, InputError) else "work"
    text = json.dumps({"tile": str(job.tile), "state": state, "why": why, "kind": kind, "when": utc_now()})
    job.store.write_text(f"{job.store.runs}/{job.tile}.data.json", text + "\n")


def last_run(job: Job) -> dict[str, str]:
    """What `note_run` wrote; empty if nothing."""
    try:
        return dict(json.loads(job.store.read_text(f"{job.store.runs}/{job.tile}.data.json") or "{}"))
    except ValueError:
        return {}
