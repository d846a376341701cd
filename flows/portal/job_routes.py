"""Jobs of a project: start, list, cancel; how far the run is; log and error report as files."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel

from imperv.flows.portal.job_files import log_text, secret_options
from imperv.flows.portal.progress import Standings, main_map
from imperv.flows.portal.project_routes import JobsOf, ProjectOf
from imperv.flows.portal.turns import PlanTurn
from imperv.flows.tile.progress_file import read_progress
from imperv.tasks.job import software
from imperv.tasks.secrets import redacted

REPORTED = 400
"""Last lines of a log in an error report."""

JobNumber = Annotated[int, Path(ge=1, le=999_999)]


def _standings(request: Request) -> Standings:
    found: Standings = request.app.state.standings
    return found


class Wish(BaseModel, extra="forbid"):
    """A job that needs no arguments; others have addresses of their own."""

    kind: Literal["run"]


router = APIRouter()


@router.post("/api/jobs", status_code=201)
def start(wish: Wish, project: ProjectOf, jobs: JobsOf) -> dict[str, Any]:
    """Begin a job, or let it wait for its turn."""
    return jobs.start(project, wish.kind, {})


@router.get("/api/jobs")
def every(project: ProjectOf, jobs: JobsOf) -> dict[str, Any]:
    """Jobs of the project, the newest first."""
    return {"jobs": jobs.every(project)}


@router.get("/api/jobs/{number}")
def find(number: JobNumber, project: ProjectOf, jobs: JobsOf) -> dict[str, Any]:
    """A job."""
    return jobs.find(project, number)


@router.delete("/api/jobs/{number}")
def cancel(number: JobNumber, project: ProjectOf, jobs: JobsOf) -> dict[str, Any]:
    """End a job; what is finished is kept."""
    return jobs.cancel(project, number)


@router.get("/api/progress")
def progress(
    project: ProjectOf, jobs: JobsOf, standings: Annotated[Standings, Depends(_standings)], turn: PlanTurn
) -> dict[str, Any]:
    """The last run of the project, all its nodes, and the layer that shows best what was made."""
    last = jobs.last(project, "run")
    said = read_progress(jobs.log(project, last["number"]).with_suffix(".progress")) if last else {}
    with turn():
        return {"job": last, "nodes": standings.of(project, last, said), "map": main_map(project)}


@router.get("/api/jobs/{number}/log")
def log(number: JobNumber, project: ProjectOf, jobs: JobsOf) -> Response:
    """What a job said, as a file; the end of a long one, without secrets."""
    return _file(log_text(jobs.log(project, number), secret_options(project)), f"imperv-{project.id}-{number:06d}.log")


@router.get("/api/jobs/{number}/report")
def report(number: JobNumber, project: ProjectOf, jobs: JobsOf) -> Response:
    """Everything that helps another to find out what went wrong, as one text without secrets."""
    job, options = jobs.find(project, number), secret_options(project)
    text, production = log_text(jobs.log(project, number), options), project.config.read_text(encoding="utf-8", errors="replace")
    parts = {
        "Job": json.dumps(job, indent=1, ensure_ascii=False),
        "Software": "\n".join(f"{name} {version}" for name, version in software().items()), "Production file": production,
        "Log": "\n".join(text.splitlines()[-REPORTED:]),
    }  # fmt: skip
    whole = redacted("\n\n".join(f"== {title} ==\n{part}" for title, part in parts.items()), options)
    return _file(whole, f"imperv-{project.id}-{number:06d}.txt")


def _file(text: str, name: str) -> Response:
    """A text as a file to keep, with a name of ours."""
    return Response(
        text, media_type="text/plain; charset=utf-8", headers={"content-disposition": f'attachment; filename="{name}"'}
    )
