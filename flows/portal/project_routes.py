"""Projects: list, create, rename, put in the trash; what a new one may be made of."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, Field

from imperv.flows.portal.class_lists import MOST, ClassOf, chosen, offered
from imperv.flows.portal.jobs import Jobs
from imperv.flows.portal.projects import ID, LABEL, TEMPLATE, Project, Projects
from imperv.flows.portal.samples import sample_rules
from imperv.tasks.errors import InputError

ProjectId = Annotated[str, Path(alias="project", pattern=ID)]
"""Id in an address."""


def _projects(request: Request) -> Projects:
    found: Projects = request.app.state.sites.projects
    return found


def _project(request: Request, name: ProjectId) -> Project:
    found: Project = request.app.state.sites.project(name)
    return found


def _jobs(request: Request) -> Jobs:
    found: Jobs = request.app.state.sites.jobs
    return found


ProjectsOf = Annotated[Projects, Depends(_projects)]
"""The folder of projects."""

ProjectOf = Annotated[Project, Depends(_project)]
"""The project of an address; 404 where there is none."""

JobsOf = Annotated[Jobs, Depends(_jobs)]
"""The jobs of all projects."""


Metres = Annotated[float, Field(ge=-1e7, le=2e7, allow_inf_nan=False)]
"""Of an easting or northing in EPSG:3035."""


class Wanted(BaseModel, extra="forbid"):
    """What a project is made of."""

    template: str = Field(pattern=TEMPLATE)
    bbox: tuple[Metres, Metres, Metres, Metres]
    """[left, bottom, right, top] in EPSG:3035; snapped outward to whole kilometres."""
    span: str = Field("", max_length=40)
    """Year, month or days, as in a production file."""
    classes: list[ClassOf] | None = Field(None, max_length=MOST)
    """Classes of its map; those of the template by default."""


class New(Wanted):
    """A new project."""

    label: str = Field(max_length=4 * LABEL)


class Label(BaseModel, extra="forbid"):
    """Another label."""

    label: str = Field(max_length=4 * LABEL)


router = APIRouter()


@router.get("/api/projects")
def every(projects: ProjectsOf, jobs: JobsOf) -> dict[str, Any]:
    """Projects with their last run, the newest first, the templates of new ones, and what is wrong with others."""
    templates, wrong = [], []
    for t in projects.templates().values():
        try:
            found = {
                "name": t.name, "title": t.title, "product": t.product, "span": t.takes_span, "begin": t.span,
                "classes": offered(t),
            }  # fmt: skip
        except InputError as error:
            wrong.append(_line(error))
        else:
            templates.append(found)
    listed = [_table(p) | {"run": jobs.last(p, "run")} for p in projects.every()]
    return {"projects": listed, "templates": templates, "wrong": wrong}


@router.post("/api/projects", status_code=201)
def create(new: New, projects: ProjectsOf) -> dict[str, Any]:
    """Make a project."""
    more = chosen(projects, new.template, new.classes, new.bbox, new.span)
    return _table(projects.create(new.label, new.template, new.bbox, new.span, more))


@router.patch("/api/projects/{project}")
def rename(name: ProjectId, new: Label, projects: ProjectsOf) -> dict[str, Any]:
    """Give a project another label."""
    return _table(projects.rename(name, new.label))


@router.delete("/api/projects/{project}")
def discard(name: ProjectId, projects: ProjectsOf, jobs: JobsOf) -> dict[str, Any]:
    """Put a project in the trash, from where its owner can take it back."""
    if jobs.is_active(projects.find(name)):
        raise InputError("a job is at work for this project; cancel it first, or wait for it")
    projects.discard(name)
    return {"discarded": name}


@router.get("/projects/{project}/api/project")
def describe(project: ProjectOf) -> dict[str, Any]:
    """What a project is."""
    return _table(project)


def _table(project: Project) -> dict[str, Any]:
    """What the page knows of a project; what is wrong with its file is told instead of where and when it is."""
    told: dict[str, Any] = {**project.about, "id": project.id}
    try:
        production = project.production()
    except InputError as error:
        return told | {"trouble": _line(error)}
    area = production.area
    span = getattr(production.periods, "span", None)
    return told | {
        "product": production.product, "tiles": list(production.tile_names), "span": str(span) if span else "",
        "bbox": list(area.bbox) if area is not None and area.bbox else None, "trouble": "",
        "draws": sample_rules(production) is not None,
    }  # fmt: skip


def _line(error: InputError) -> str:
    return " ".join(str(error).split())
