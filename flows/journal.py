"""How the last run of a tile went, for `imperv status`; what is done, the records say."""

from __future__ import annotations

import json

from tasks.job import Job, utc_now


def note_run(job: Job, state: str, why: str) -> None:
    """Remember how the last run of a tile went, for `imperv status`."""
    text = json.dumps({"tile": str(job.tile), "state": state, "why": why, "when": utc_now()})
    job.store.write_text(f"runs/{job.tile}.data.json", text + "\n")
