"""Teaching a project: what its family offers, the view taught at once, rounds, comparisons, places to draw next.

What changes a project runs as a job in a process of its own; what is computed here is bounded and kept in memory.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import shapely

from imperv.flows.portal.jobs import Kind
from imperv.flows.portal.projects import MissingError, Project
from imperv.flows.portal.samples import FOLDER as SAMPLES
from imperv.flows.portal.samples import present_file
from imperv.flows.portal.samples import samples_of as stored
from imperv.flows.portal.site import Site
from imperv.flows.portal.turns import Turns
from imperv.grids import Bounds
from imperv.layers.colouring import colour_table
from imperv.layers.palette import OUTSIDE
from imperv.tasks.errors import InputError
from imperv.tasks.families import family
from imperv.tasks.family.teaching import Teaching
from imperv.tasks.job import Job
from imperv.tasks.maps.kept import Kept
from imperv.tasks.maps.pictures import coded
from imperv.tasks.store.records import digest_of

PACKAGES = "packages"
"""Folder of a project with packages that were made to be downloaded."""

KEPT = 64
"""Views that are kept."""

WAITING = 8
"""People that wait for a view, a comparison or places; more get 503."""

NONE = "there are no samples yet; draw some of at least two classes"

PLACES = 20
"""Places of a tile that are named at once."""


@dataclass(frozen=True)
class Taught:
    """A view."""

    png: bytes
    about: dict[str, Any]


@dataclass(frozen=True)
class Lessons:
    """What was computed for pages, and whose turn it is: one at a time, so that memory is bounded."""

    kept: Kept = field(default_factory=lambda: Kept(KEPT, lambda found: 1))
    turns: Turns = field(default_factory=lambda: Turns(1, WAITING))

    def view(self, project: Project, bounds: Bounds) -> list[dict[str, Any]]:
        """Teach the part of the map that lies in a rectangle, at most 512 x 512 pixels of each tile: where it is, its scores,
        and the key of its picture. InputError without samples or base map."""
        teaching, samples = teaching_of(project), samples_of(project)
        found = []
        for job in project.jobs():
            require(teaching, job)
            key = _key("view", project, teaching, job, samples.name, bounds)
            with self.turns.taken():
                if self.kept.get(key) is None and (taught := _view(teaching, job, samples, bounds)) is not None:
                    self.kept.put(key, taught)
            if (one := self.kept.get(key)) is not None:
                found.append({"key": key, "tile": str(job.tile), **one.about})
        return found

    def picture(self, key: str) -> bytes:
        """The picture of a view, PNG; MissingError where it is not kept any more."""
        found: Taught | None = self.kept.get(key)
        if found is None:
            raise MissingError("this view is not kept any more; run the model again")
        return found.png

    def places(self, project: Project) -> list[dict[str, Any]]:
        """Where polygons would tell most, the most doubtful first."""
        teaching, found = teaching_of(project), []
        for job in project.jobs():
            require(teaching, job)
            key = _key("places", project, teaching, job)
            with self.turns.taken():
                found += self.kept.made(key, partial(teaching.suggest, job, PLACES))
        return sorted(found, key=lambda one: -one["doubt"])

    def compare(self, project: Project, tile: str, first: int, second: int) -> dict[str, Any]:
        """Two rounds of a tile, 0 for the base map."""
        teaching, job = teaching_of(project), job_of(project, tile)
        require(teaching, job)
        with self.turns.taken():
            return teaching.compare(job, first, second)


def tuning(project: Project) -> dict[str, Any]:
    """Arguments of the job that teaches the whole area: the version of the samples, and the tiles that have any.

    InputError without samples or base map, or where the samples have faults.
    """
    teaching, samples = teaching_of(project), samples_of(project)
    jobs = [job for job in project.jobs() if teaching.count(job, samples)]
    if not jobs:
        raise InputError(NONE)
    for job in jobs:
        require(teaching, job)
    return {"samples": samples.stem, "tiles": [str(job.tile) for job in jobs]}


def of_round(project: Project, tile: str, number: int) -> dict[str, Any]:
    """Arguments of a job of a round, 0 for the base map; MissingError where there is none."""
    teaching, job = teaching_of(project), job_of(project, tile)
    require(teaching, job)
    if number and number not in [one["round"] for one in teaching.rounds(job)]:
        raise MissingError(f"tile {tile} has no round {number}")
    return {"tile": tile, "round": number}


def _tune(project: Project, arguments: Mapping[str, Any]) -> Sequence[Sequence[str]]:
    samples = str(project.folder / SAMPLES / f"{arguments['samples']}.geojson")
    return [
        [project.production().product, "tune", tile, "--config", str(project.config), "--polygons", samples]
        for tile in arguments["tiles"]
    ]


def _restore(project: Project, arguments: Mapping[str, Any]) -> Sequence[Sequence[str]]:
    place = [arguments["tile"], str(arguments["round"])]
    return [[project.production().product, "restore", *place, "--config", str(project.config)]]


def _package(project: Project, arguments: Mapping[str, Any]) -> Sequence[Sequence[str]]:
    file = package_file(project, **arguments)
    file.parent.mkdir(exist_ok=True)
    which = ["--round", str(arguments["round"]), "--output", str(file)]
    return [["package", arguments["tile"], *which, "--config", str(project.config)]]


KINDS = {"tune": Kind(False, _tune), "restore": Kind(False, _restore), "package": Kind(False, _package)}
"""Jobs of products that can be taught."""


def package_file(project: Project, tile: str, round: int) -> Path:
    """Where the package of a round of a tile is, 0 for the base map."""
    return project.folder / PACKAGES / f"{tile}.{round}.zip"


def package_name(project: Project, tile: str, number: int) -> str:
    """What a downloaded package is called: plain letters."""
    label = re.sub(r"[^A-Za-z0-9]+", "_", str(project.about.get("label", ""))).strip("_")
    return "_".join([label or project.id, tile, f"round_{number}" if number else "base"]) + ".zip"


def _key(what: str, project: Project, teaching: Teaching, job: Job, *more: Any) -> str:
    """Key of what is computed of a tile: it changes with the production file, the base map and the present round."""
    known = [what, project.id, project.config.stat().st_mtime_ns, str(job.tile), teaching.state(job), *more]
    return digest_of(known)[:16]


def _view(teaching: Teaching, job: Job, samples: Path, bounds: Bounds) -> Taught | None:
    found = teaching.view(job, samples, bounds)
    if found is None:
        return None
    return Taught(coded(found.codes, colour_table(found.palette, OUTSIDE)), {"bounds": found.bounds, "scores": found.scores})


def teaching_of(project: Project) -> Teaching:
    """How the product of a project is taught; InputError where it cannot be."""
    product = project.production().product
    found = family(product).teaching
    if found is None:
        raise InputError(f"a project of {product} cannot be taught by polygons")
    return found()


def samples_of(project: Project) -> Path:
    """The file of what was drawn; InputError where nothing was."""
    found = present_file(project)
    if found is None:
        raise InputError(NONE)
    return found


def job_of(project: Project, tile: str) -> Job:
    """The job of a tile of a project; MissingError where it has none."""
    production = project.production()
    if tile not in production.tile_names:
        raise MissingError(f"the project has no tile {tile}")
    return Job.of(production, tile)


def require(teaching: Teaching, job: Job) -> None:
    """InputError where a tile cannot be taught yet."""
    if why := teaching.missing(job):
        raise InputError(why)


def lessons_of(project: Project, site: Site) -> dict[str, Any]:
    """What a page knows: classes, samples by class, layers, and the rounds of each tile."""
    teaching, samples, jobs = teaching_of(project), present_file(project), project.jobs()
    classes = teaching.classes(jobs[0].production.model_dump(mode="json"))
    known, found = {one["name"] for one in classes}, []
    for job in jobs:
        why = teaching.missing(job)
        drawn, trouble = _counted(teaching, project, job, samples, known)
        found.append(
            {
                "tile": str(job.tile), "missing": why, "samples": drawn, "trouble": trouble,
                "rounds": [
                    one | {"layer": _shown(site, teaching.tuned, str(job.tile), one["round"])} for one in teaching.rounds(job)
                ],
            }
        )  # fmt: skip
    named = {"base": teaching.base, "tuned": teaching.tuned, "confidence": teaching.confidence}
    return {
        "classes": classes, "version": samples.stem if samples else "",
        "layers": {what: _shown(site, symbol) for what, symbol in named.items()}, "tiles": found,
    }  # fmt: skip


def _counted(
    teaching: Teaching, project: Project, job: Job, samples: Path | None, known: Container[str]
) -> tuple[dict[str, int], str]:
    """Polygons of a tile by class, and what is wrong with the file: where there are faults, those of known classes as drawn."""
    if samples is None:
        return {}, ""
    try:
        return teaching.count(job, samples), ""
    except InputError as error:
        trouble = str(error).replace(f"--polygons: {samples}: ", "")
    area, drawn = shapely.box(*job.bounds), stored(project, int(samples.stem))[1]
    return dict(Counter(one.class_name for one in drawn if one.class_name in known and one.shape.intersects(area))), trouble


def _shown(site: Site, symbol: str, tile: str = "", number: int = 0) -> str:
    """Identifier of the first view of a layer, or of the map of a round; empty where it is not there."""
    fits = (
        name for name, one in site.holdings.layers.items()
        if one.layer.symbol == symbol and one.round == number and (not tile or tile in one.parts)
    )  # fmt: skip
    return next(fits, "")
