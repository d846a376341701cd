"""Teaching by requests: what a project knows, its view taught at once, comparisons, places to draw next, packages."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from imperv.flows.portal.job_routes import JobsOf
from imperv.flows.portal.map_routes import SiteOf, TileId
from imperv.flows.portal.project_routes import Metres, ProjectOf
from imperv.flows.portal.projects import MissingError
from imperv.flows.portal.sample_routes import Nothing
from imperv.flows.portal.teaching import Lessons, lessons_of, of_round, package_file, package_name, tuning
from imperv.flows.portal.turns import PlanTurn

TILE = r"^E[0-9]{2}N[0-9]{2}$"

MOST = 99_999
"""Largest number of a round."""

TileOf = Annotated[str, Query(pattern=TILE)]
Round = Annotated[int, Query(ge=0, le=MOST)]
Key = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]


def _lessons(request: Request) -> Lessons:
    found: Lessons = request.app.state.lessons
    return found


LessonsOf = Annotated[Lessons, Depends(_lessons)]


class RoundOf(BaseModel, extra="forbid"):
    """A round of a tile."""

    tile: str = Field(pattern=TILE)
    round: int = Field(ge=0, le=MOST)
    """0 for the base map."""


class Rectangle(BaseModel, extra="forbid"):
    """A part of the map."""

    bounds: tuple[Metres, Metres, Metres, Metres]
    """[left, bottom, right, top] in EPSG:3035."""


router = APIRouter()


@router.get("/api/teach")
def known(project: ProjectOf, site: SiteOf, turn: PlanTurn, fresh: bool = False) -> dict[str, Any]:
    """Classes, samples by class, layers, and the rounds of each tile; those of this moment if `fresh`."""
    with turn():
        if fresh:
            site.look()
        return lessons_of(project, site)


@router.post("/api/teach/view")
def view(where: Rectangle, project: ProjectOf, lessons: LessonsOf) -> dict[str, Any]:
    """Teach the view at once; nothing is kept of it but its picture, for a while."""
    return {"views": lessons.view(project, where.bounds)}


@router.get("/taught/{key}.png")
def picture(key: Key, project: ProjectOf, lessons: LessonsOf) -> Response:
    """The picture of a view that was taught: one pixel a pixel of the map."""
    kept = {"cache-control": "private, max-age=31536000, immutable"}
    return Response(lessons.picture(key), media_type="image/png", headers=kept)


@router.get("/api/teach/places")
def places(project: ProjectOf, lessons: LessonsOf) -> dict[str, Any]:
    """Where polygons would tell most."""
    return {"places": lessons.places(project)}


@router.get("/api/teach/compare")
def compare(tile: TileOf, first: Round, second: Round, project: ProjectOf, lessons: LessonsOf) -> dict[str, Any]:
    """Two rounds of a tile, 0 for the base map: pixels by class in both maps, and scores."""
    return lessons.compare(project, tile, first, second)


@router.post("/api/teach/tune", status_code=201)
def tune(nothing: Nothing, project: ProjectOf, jobs: JobsOf) -> dict[str, Any]:
    """Teach the whole area with what is drawn now: a job."""
    return jobs.start(project, "tune", tuning(project))


@router.post("/api/teach/restore", status_code=201)
def restore(wanted: RoundOf, project: ProjectOf, jobs: JobsOf) -> dict[str, Any]:
    """Make a round the present one: a job."""
    return jobs.start(project, "restore", of_round(project, wanted.tile, wanted.round))


@router.post("/api/teach/package", status_code=201)
def package(wanted: RoundOf, project: ProjectOf, jobs: JobsOf) -> dict[str, Any]:
    """Pack the map of a round: a job."""
    return jobs.start(project, "package", of_round(project, wanted.tile, wanted.round))


@router.get("/packages/{tile}.{number}.zip")
def download(tile: TileId, number: Annotated[int, Path(ge=0, le=MOST)], project: ProjectOf) -> FileResponse:
    """The package that was made last of a round."""
    file = package_file(project, tile, number)
    if not file.is_file():
        raise MissingError("this package is not made yet")
    return FileResponse(file, media_type="application/zip", filename=package_name(project, tile, number))
