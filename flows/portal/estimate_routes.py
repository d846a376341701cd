"""What a project would take, before Start, and when its region is seen clearly."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from imperv.flows.portal.class_lists import chosen
from imperv.flows.portal.estimates import FIRST_YEAR, clear_looks, estimate, estimate_new
from imperv.flows.portal.project_routes import Metres, ProjectOf, ProjectsOf, Wanted
from imperv.flows.portal.projects import TEMPLATE
from imperv.flows.portal.turns import LongTurn


class Looks(BaseModel, extra="forbid"):
    """A region and a year."""

    template: str = Field(pattern=TEMPLATE)
    bbox: tuple[Metres, Metres, Metres, Metres]
    year: int = Field(ge=FIRST_YEAR, le=2100)


router = APIRouter()


@router.post("/api/estimate")
def before_creation(wanted: Wanted, projects: ProjectsOf, turn: LongTurn) -> dict[str, Any]:
    """What a project of this kind would take."""
    with turn():
        more = chosen(projects, wanted.template, wanted.classes, wanted.bbox, wanted.span)
        return estimate_new(projects, wanted.template, wanted.bbox, wanted.span, more)


@router.post("/api/calendar")
def calendar(looks: Looks, projects: ProjectsOf, turn: LongTurn) -> dict[str, Any]:
    """Days with scenes over a region, and how clear they are."""
    with turn():
        return {"days": clear_looks(projects, looks.template, looks.bbox, looks.year)}


@router.get("/projects/{project}/api/estimate")
def before_start(project: ProjectOf, turn: LongTurn) -> dict[str, Any]:
    """What it would take to run what is not done."""
    with turn():
        return estimate(project.production(), project.folder)
