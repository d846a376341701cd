"""Polygons that a person draws in a project: versions kept as files, and what is wrong with the present one.

A version is ``samples/NNNNNN.geojson`` in the project's folder, in EPSG:3035; the greatest number is the present one. Whatever
was drawn is kept: faults, such as polygons of two classes over one pixel, are told beside it and mended on the map. What a
polygon must be is known to `imperv.tasks.samples`.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from odc.geo.geobox import GeoBox

from imperv.flows.portal.job_files import named
from imperv.flows.portal.projects import MissingError, Project
from imperv.grids import CRS
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.families import family
from imperv.tasks.files import write_whole
from imperv.tasks.job import utc_now
from imperv.tasks.maps.kept import Kept
from imperv.tasks.projections import DEGREES, transformer
from imperv.tasks.samples import (
    MOST_FEATURES,
    MOST_VERTICES,
    Drawn,
    Sample,
    SampleRules,
    as_geojson,
    check_samples,
)
from imperv.tasks.settings.production import Production

FOLDER = "samples"
"""Of the versions, in a project's folder."""

KEPT = 100
"""Versions that are kept, the newest ones; rounds of a map keep their polygons themselves."""

LAST, STEP, PAUSE = 20, 10, timedelta(minutes=10)
"""While somebody draws, every save is a version: the last ones are kept, before them every tenth, and the last one before a
pause."""

SHAPES = ("Point", "MultiPoint", "Polygon", "MultiPolygon")
"""What can be drawn."""

_FILE = re.compile(r"^(\d{6})\.geojson$")

_writing = threading.Lock()

_told = Kept(64, lambda told: 1)
"""Faults and notes of versions, by project, file and production file."""


class NewerError(Exception):
    """Somebody saved a newer version meanwhile."""


@dataclass(frozen=True)
class Checked:
    """What is known of some polygons."""

    features: list[dict[str, Any]]
    """The polygons, rings that crossed themselves mended."""
    mended: list[str]
    """Ids of those that were mended."""
    faults: list[dict[str, Any]]
    """``ids`` of the polygons and ``text``: what has to be mended on the map before it can be tuned."""
    notes: list[str]
    """What a person should know."""

    def told(self) -> dict[str, Any]:
        """Faults and notes as the page has them."""
        return {"faults": self.faults, "notes": self.notes}


def rules_of(project: Project) -> tuple[SampleRules, GeoBox]:
    """What may be drawn in a project, and the grid of its area; MissingError where its product is not tuned."""
    production = project.production()
    rules = sample_rules(production)
    if rules is None or production.area is None or production.area.bbox is None:
        raise MissingError("nothing can be drawn in this project: its maps are not tuned by polygons")
    return rules, GeoBox.from_bbox(production.area.bbox, crs=CRS, resolution=rules.resolution)


def sample_rules(production: Production) -> SampleRules | None:
    """What is drawn to tune the maps of a production; None where they are not tuned."""
    return family(production.product).samples(production)


def present_file(project: Project) -> Path | None:
    """File of the present version; None where nothing was drawn yet."""
    found = _files(project)
    return found[max(found)] if found else None


def read(project: Project, number: int | None = None) -> dict[str, Any]:
    """A version, or the present one: ``version``, ``created``, ``how`` and ``features``; version 0 before the first.

    MissingError for a version that is not kept, InputError where its file cannot be read.
    """
    found = _files(project)
    if number is None and not found:
        return {"version": 0, "created": "", "how": "", "features": []}
    wanted = max(found) if number is None else number
    if wanted not in found:
        raise MissingError(f"version {wanted} is not kept")
    table = _read(found[wanted])
    return {"version": wanted, **table["imperv"], "features": table["features"]}


def versions(project: Project) -> list[dict[str, Any]]:
    """All versions that are kept, the newest first, with their polygons by class."""
    return [{"version": number, **_about(file)} for number, file in sorted(_files(project).items(), reverse=True)]


def check(project: Project, features: Sequence[Mapping[str, Any]]) -> Checked:
    """Check polygons against the classes and the area of a project.

    InputError for what cannot be kept: too many polygons or vertices, or what is no polygon.
    """
    rules, grid = rules_of(project)
    if len(features) > MOST_FEATURES:
        raise InputError(f"there are {len(features)} polygons, more than {MOST_FEATURES}; delete some")
    shapes = [_shape(number, feature["geometry"]) for number, feature in enumerate(features, 1)]
    if (vertices := int(shapely.get_num_coordinates(shapes).sum())) > MOST_VERTICES:
        raise InputError(f"the polygons have {vertices} vertices, more than {MOST_VERTICES}; simplify them")
    _require_places(shapes)
    about = [feature["properties"] for feature in features]
    drawn = [Drawn(s, a["class"], a["name"], a["weight"]) for s, a in zip(shapes, about, strict=True)]
    samples, faults = check_samples(drawn, rules.classes, grid)
    mended = {s.number: s.shape for s in samples if not shapes[s.number - 1].is_valid}
    found = [
        feature_of(mended.get(number, shape), known["class"], known["name"], known["weight"], known["id"])
        for number, (shape, known) in enumerate(zip(shapes, about, strict=True), 1)
    ]
    return Checked(
        found,
        [about[number - 1]["id"] for number in mended],
        [{"ids": [about[n - 1]["id"] for n in fault.numbers], "text": fault.text} for fault in faults],
        notes_of(Counter(s.class_name for s in samples), [one.name for one in rules.classes]),
    )


def told_of(project: Project, found: Mapping[str, Any]) -> dict[str, Any]:
    """Faults and notes of a version that was read, which is checked once."""
    told: dict[str, Any] = _told.made(_key(project, found["version"]), lambda: check(project, found["features"]).told())
    return told


def _key(project: Project, version: int) -> tuple[str, int, int, int]:
    file = project.folder / FOLDER / f"{version:06d}.geojson"
    written = file.stat().st_mtime_ns if version else 0
    return str(project.folder), version, written, project.config.stat().st_mtime_ns


def notes_of(counts: Mapping[str, int], names: Sequence[str]) -> list[str]:
    """What a person should know of the numbers of polygons by class."""
    if len(counts) == 1:
        return [f"All polygons are of class {next(iter(counts))}; draw another class, or the map may turn to it."]
    without = [name for name in names if name not in counts]
    return [f"No polygon of {', '.join(without)} yet: the base map decides there."] if counts and without else []


def feature_of(shape: shapely.Geometry, class_name: str, name: str, weight: float, identifier: str) -> dict[str, Any]:
    """A polygon as it is kept, and as the page has it."""
    about = {"id": identifier, "class": class_name, "name": name, "weight": weight}
    return {"type": "Feature", "properties": about, "geometry": json.loads(shapely.to_geojson(shape))}


def save(project: Project, expected: int, found: Checked, how: str) -> dict[str, Any]:
    """Keep polygons as the next version; the present one if they are its own.

    Parameters
    ----------
    expected
        Version that they were made from.
    how
        What was done, in a word.

    Returns
    -------
    dict
        ``version``, ``created``, ``how``.

    Raises
    ------
    NewerError
        If the present version is another one, and not this save itself, asked for twice.
    WorkError
        If the disk is full, or cannot be written.
    """
    with _writing:
        now = read(project)
        if now["version"] == expected + 1 and now["features"] == found.features:
            return {key: now[key] for key in ("version", "created", "how")}  # the answer to the same save was lost
        if now["version"] != expected:
            raise NewerError(
                f"version {now['version']} was saved by another window at {now['created']}; take it, or save yours over it"
                if now["version"] > expected
                else f"version {expected} is not the present one, which is {now['version']}; load the page again"
            )
        about = {"created": utc_now(), "how": how}
        if now["features"] == found.features:
            return {key: now[key] for key in ("version", *about)}
        crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3035"}}
        _write(
            project.folder / FOLDER / f"{expected + 1:06d}.geojson",
            json.dumps({"type": "FeatureCollection", "crs": crs, "imperv": about, "features": found.features}),
        )
        _told.put(_key(project, expected + 1), found.told())
        _thin_out(project)
        return {"version": expected + 1, **about}


def _thin_out(project: Project) -> None:
    """Leave the versions that are kept, and those that a job at work will read."""
    files = _files(project)
    numbers = sorted(files, reverse=True)
    if len(numbers) <= LAST:
        return
    made = {number: _made(files[number]) for number in numbers}
    kept = numbers[:LAST]
    for newer, number in zip(numbers[LAST - 1 :], numbers[LAST:], strict=False):
        before, after = made[number], made[newer]
        if number % STEP == 0 or before is None or after is None or after - before >= PAUSE:
            kept.append(number)
    spared = {*kept[:KEPT], *(int(name) for name in named(project, "samples"))}
    for number in set(numbers) - spared:
        files[number].unlink(missing_ok=True)


def _made(file: Path) -> datetime | None:
    try:
        return datetime.fromisoformat(_about(file)["created"])
    except (ValueError, TypeError, KeyError):
        return None


def samples_of(project: Project, number: int | None = None) -> tuple[int, list[Sample]]:
    """Number of a version, and its polygons as they are, with or without faults."""
    found = read(project, number)
    return found["version"], [
        Sample(k, _shape(k, f["geometry"]), 0, f["properties"]["class"], f["properties"]["name"], f["properties"]["weight"])
        for k, f in enumerate(found["features"], 1)
    ]


def geojson_of(project: Project) -> str:
    """The present version as GeoJSON in degrees."""
    return as_geojson(samples_of(project)[1])


def _files(project: Project) -> dict[int, Path]:
    folder = project.folder / FOLDER
    there = folder.iterdir() if folder.is_dir() else ()
    return {int(match[1]): file for file in there if (match := _FILE.match(file.name))}


def _read(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(found["features"], list) or not isinstance(found["imperv"], dict):
            raise ValueError("no version")
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{FOLDER}/{file.name} cannot be read; take it out of the folder, to have the one before") from None
    return found


def _about(file: Path) -> dict[str, Any]:
    """What the list of versions says of one."""
    try:
        written = file.stat().st_mtime_ns
    except OSError:
        written = 0  # it is gone: reading it tells so
    return _summary(file, written)


@lru_cache(1000)
def _summary(file: Path, written: int) -> dict[str, Any]:
    """The same, which changes with the file only."""
    try:
        table = _read(file)
    except InputError as error:
        return {"created": "", "how": "", "counts": {}, "trouble": str(error)}
    return {**table["imperv"], "counts": Counter(f["properties"]["class"] for f in table["features"])}


def _shape(number: int, geometry: Any) -> shapely.Geometry:
    """A shape of two dimensions; InputError where it is none, or not one that can be drawn."""
    try:
        shape = shapely.force_2d(shapely.from_geojson(json.dumps(geometry, allow_nan=False)))
    except (ValueError, TypeError, shapely.errors.GEOSException):
        shape = None
    if shape is None or shape.is_empty or shape.geom_type not in SHAPES:
        raise InputError(f"polygon {number} is no polygon, rectangle or point; draw it anew")
    return shape


def _require_places(shapes: Sequence[shapely.Geometry]) -> None:
    """InputError where a corner lies beyond the projection: it has no degrees."""
    corners, owners = shapely.get_coordinates(shapes, return_index=True)
    turn = transformer(CRS, DEGREES)
    beyond = ~np.isfinite(turn.transform(*corners.T)).all(axis=0)
    if beyond.any():
        x, y = corners[beyond][0]
        raise InputError(f"polygon {owners[beyond][0] + 1}: {x:g} {y:g} is no place of EPSG:3035; draw it inside of the area")


def _write(file: Path, text: str) -> None:
    """Write a version whole or not at all."""
    try:
        file.parent.mkdir(exist_ok=True)
        write_whole(file, text, durable=True)
    except OSError as error:
        raise WorkError(f"what was drawn cannot be saved ({error.strerror}); free space on the disk of the projects") from None
