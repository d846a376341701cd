"""What the page asks for of polygons that a person draws: the present version, saving, earlier versions, files in and out."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Response
from pydantic import BaseModel, Field

from imperv.flows.portal.project_routes import ProjectOf
from imperv.flows.portal.projects import Project
from imperv.flows.portal.sample_files import MOST_BYTES, drawn_in, geopackage
from imperv.flows.portal.samples import (
    Checked,
    check,
    feature_of,
    geojson_of,
    notes_of,
    read,
    rules_of,
    samples_of,
    save,
    told_of,
    versions,
)
from imperv.flows.portal.turns import Turns
from imperv.tasks.errors import InputError
from imperv.tasks.samples import MOST_FEATURES, MOST_VERTICES, as_geojson, check_samples

LABEL = 80
"""Most characters of a polygon's name."""

files = Turns(working=1, waiting=4)
"""Processes that read or write vector files."""

router = APIRouter(prefix="/projects/{project}/api")


class About(BaseModel, extra="forbid"):
    """What is known of a polygon."""

    id: str = Field(pattern=r"^[0-9a-f]{8,32}$")
    class_name: str = Field(alias="class", min_length=1, max_length=60)
    name: str = Field("", max_length=LABEL)
    weight: float = Field(1, gt=0, le=1000)


class Feature(BaseModel, extra="forbid"):
    """A polygon, rectangle or point in EPSG:3035."""

    type: str = Field(pattern="^Feature$")
    properties: About
    geometry: dict[str, Any]


class Polygons(BaseModel, extra="forbid"):
    """All polygons of a project."""

    features: list[Feature]


class Upload(BaseModel, extra="forbid"):
    """A file."""

    name: str = Field(min_length=1, max_length=200)
    data: str
    """Its bytes, base64."""


class Nothing(BaseModel, extra="forbid"):
    """An empty object."""


def _expected(if_match: Annotated[str | None, Header()] = None) -> int:
    found = re.match(r'^"?(\d{1,6})"?$', if_match or "")
    if found is None:
        raise InputError('If-Match: name the version that this one was made from, such as "3"; "0" for the first')
    return int(found[1])


Expected = Annotated[int, Depends(_expected)]
"""The version that a change was made from."""


@router.get("/samples")
def present(project: ProjectOf, response: Response) -> dict[str, Any]:
    """Polygons of the present version with their faults, the classes, and the limits."""
    rules, _ = rules_of(project)
    found = read(project)
    response.headers["etag"] = f'"{found["version"]}"'
    classes = [{"name": one.name, "code": one.code, "colour": one.colour} for one in rules.classes]
    limits = {"features": MOST_FEATURES, "vertices": MOST_VERTICES, "bytes": MOST_BYTES, "label": LABEL}
    return found | told_of(project, found) | {"classes": classes, "limits": limits}


@router.put("/samples")
def change(new: Polygons, project: ProjectOf, expected: Expected, response: Response) -> dict[str, Any]:
    """Save all polygons as the next version; 412 where another one was saved meanwhile."""
    features = [feature.model_dump(by_alias=True) for feature in new.features]
    if len({feature["properties"]["id"] for feature in features}) < len(features):
        raise InputError("two polygons have the same id; load the page again")
    return _saved(project, expected, check(project, features), "drawn", response)


@router.get("/samples/versions")
def history(project: ProjectOf) -> dict[str, Any]:
    """Versions that are kept, the newest first."""
    rules_of(project)
    return {"versions": versions(project)}


@router.post("/samples/versions/{number}")
def take_back(
    number: Annotated[int, Path(ge=1, le=999_999)], body: Nothing, project: ProjectOf, expected: Expected, response: Response
) -> dict[str, Any]:
    """Save an earlier version as the next one."""
    found = check(project, read(project, number)["features"])
    return _saved(project, expected, found, f"version {number} again", response) | {"features": found.features}


@router.post("/uploads")
def upload(file: Upload, project: ProjectOf) -> dict[str, Any]:
    """Polygons of a file, every fault of it, and notes; nothing is saved."""
    rules, grid = rules_of(project)
    try:
        data = base64.b64decode(file.data, validate=True)
    except (binascii.Error, ValueError):
        raise InputError("data: is no base64") from None
    with files.taken():
        drawn, notes = drawn_in(file.name, data)
    samples, faults = check_samples(drawn, rules.classes, grid)
    mended = [str(s) for s in samples if not drawn[s.number - 1].shape.is_valid]
    notes += [f"{who} crossed itself and was mended." for who in mended]
    notes += [f"{s} has a long name, which was cut." for s in samples if len(s.name) > LABEL]
    counts = {one.name: 1 for one in rules.classes if any(s.code == one.code for s in samples)}
    return {
        "features": [feature_of(s.shape, s.class_name, s.name[:LABEL], s.weight, "") for s in samples],
        "faults": [fault.text for fault in faults],
        "notes": notes + notes_of(counts, [one.name for one in rules.classes]),
    }


@router.get("/samples/file.{form}")
def download(form: Annotated[str, Path(pattern="^(geojson|gpkg)$")], project: ProjectOf) -> Response:
    """The present version as a file: GeoJSON in degrees, or GeoPackage in EPSG:3035."""
    rules_of(project)
    if form == "geojson":
        data, kind = geojson_of(project).encode(), "application/geo+json"
    else:
        text = as_geojson(samples_of(project)[1], degrees=False)
        with files.taken():
            data, kind = geopackage(text), "application/geopackage+sqlite3"
    return Response(data, media_type=kind, headers={"content-disposition": f'attachment; filename="samples.{form}"'})


def _saved(project: Project, expected: int, found: Checked, how: str, response: Response) -> dict[str, Any]:
    about = save(project, expected, found, how)
    response.headers["etag"] = f'"{about["version"]}"'
    mended = [feature for feature in found.features if feature["properties"]["id"] in found.mended]
    return about | found.told() | {"mended": mended}
