"""What a project would take and see, before anything is made: nodes, hours, memory, disk, and the days with a clear look.

Nothing is written but in a temporary folder: a plan keeps fingerprints of references in the store that it is for.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from imperv.flows.portal.projects import FREE, Projects, free_bytes
from imperv.layers.catalogue import layers_of
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production

FIRST_YEAR = 2015
"""Of Sentinel-2."""


START = 15.0
"""Seconds that the process of a run takes beside its nodes: a run of land cover for 2 km2 on two cores of an x86-64 server."""


def estimate(production: Production, disk: Path) -> dict[str, Any]:
    """What it would take to run what is not done.

    Hours are those of one core and of this machine, sizes are bytes, ``free`` that of the disk of the projects. ``start`` is
    what a process takes beside its nodes, seconds. ``warnings`` says in lines what there is too little of.
    """
    # Here, as below: the first map need not wait for what plans and searches.
    from imperv.flows.plan.production_plan import plan_production, totals
    from imperv.tasks.scenes.reading import FILE_SHARE

    found = totals(production, plan_production(production, production.tile_names, None), 1)
    table = {
        "tiles": found["tiles"], "nodes": found["to_run"] + found["maybe"], "up_to_date": found["up_to_date"],
        "core_hours": found["core_hours"], "hours": found["wall_hours"], "stored": round(found["gigabytes_stored"] * 1e9),
        "start": START, "memory": found["memory"], "read": round(found["gigabytes_read"] * 1e9),
        "decoded": round(found["gigabytes_read"] / FILE_SHARE * 1e9), "free": free_bytes(disk),
    }  # fmt: skip
    return table | {"warnings": _warnings(table)}


def estimate_new(
    projects: Projects, template: str, bbox: Sequence[float], span: str, more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The same of a project that is not made yet; InputError if anything is wrong with it."""
    with tempfile.TemporaryDirectory() as folder:
        return estimate(projects.draft(template, bbox, span, more, Path(folder)), projects.folder)


def _warnings(table: Mapping[str, Any]) -> list[str]:
    found = []
    if table["stored"] + FREE > table["free"]:
        found.append(f"The disk has {table['free'] / 1e9:.1f} GB free: too little. Free space, or choose a smaller region.")
    if table["memory"] > (there := psutil.virtual_memory().total):
        found.append(f"This machine has {there / 1e9:.1f} GB of memory: too little. Choose a smaller region.")
    return found


def clear_looks(projects: Projects, template: str, bbox: Sequence[float], year: int) -> list[dict[str, Any]]:
    """Days of a year with scenes over a region: ``day``, ``scenes``, and ``clear``, the share 0 to 1 that the catalogue says is
    clear in the mean of its scenes, None where it says nothing.

    Raises
    ------
    InputError
        If the request is wrong, or the periods of such projects are fixed.
    WorkError
        If the catalogue does not answer.
    """
    from imperv.tasks.yearly.freezing import search_scenes

    if (known := projects.templates().get(template)) is not None and not known.takes_span:
        raise InputError(f"projects of {template} have its periods; there is no month to choose")
    days: dict[str, dict[str, float | None]] = defaultdict(dict)
    with tempfile.TemporaryDirectory() as folder:
        production = projects.draft(template, bbox, str(year), None, Path(folder))
        for tile in production.tile_names:
            job = Job.of(production, tile)
            source = next(layer for layer in layers_of(job.family).values() if layer.kind == "source")
            try:
                scenes = search_scenes(job, source).scenes
            except OSError as error:
                raise WorkError(f"scenes.catalogue: {error.strerror or error}; see that it is there, and ask again") from None
            for scene in scenes:
                if scene.day.year == year:
                    days[str(scene.day)][scene.id] = scene.cloud
    return [_day(day, list(clouds.values())) for day, clouds in sorted(days.items())]


def _day(day: str, clouds: Sequence[float | None]) -> dict[str, Any]:
    known = [cloud for cloud in clouds if cloud is not None]
    return {"day": day, "scenes": len(clouds), "clear": round(1 - sum(known) / len(known) / 100, 3) if known else None}
