"""What would end a run hours later, found before: references that cannot be used, and writers of products that are missing."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from botocore.exceptions import BotoCoreError, ClientError

from imperv.flows.plan.targets import steps
from imperv.flows.runtime.journal import note_run
from imperv.tasks.errors import ImpervError, InputError
from imperv.tasks.families import family, task_of
from imperv.tasks.job import Job

AT_ONCE = 8
"""Tiles looked at together: most of the time goes into waiting for files on servers."""


def refuse_without_writer(targets: list[str] | None, product: str) -> None:
    """Raise InputError, hours before the first map, if layers are to be delivered and what writes them is missing."""
    if steps(targets, product=product)[1]:
        family(product).form.preflight()


def refused(jobs: Sequence[Job], targets: list[str] | None) -> dict[str, ImpervError]:
    """Tiles that cannot be made, and why; their journals say so too."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda job: _reason(job, targets), jobs)
        failed = {str(job.tile): error for job, error in zip(jobs, found, strict=True) if error}
    for job in jobs:
        if error := failed.get(str(job.tile)):
            with suppress(ImpervError, OSError):
                note_run(job, "failed", str(error), error)
    return failed


def _reason(job: Job, targets: list[str] | None) -> ImpervError | None:
    try:
        for symbol in steps(targets, product=job.family)[0]:
            task_of(symbol).preflight(job, symbol)
    except InputError as error:
        return error
    except (ImpervError, OSError, BotoCoreError, ClientError):  # may pass; the run will say so if it does not
        return None
    return None
