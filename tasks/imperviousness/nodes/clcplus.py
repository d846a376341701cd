"""CLC+ Backbone of `now`: whether a tile has it, and whether its proxy is needed (ATBD 4.3.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from imperv.layers.catalogue import Layer
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job, Made
from imperv.tasks.references.references import (
    SEA_BUFFER,
    RasterReader,
    about_reference,
    check_reference,
    covered_share,
    make_reference,
    open_reference,
    reference_external,
)

GIVEN = "CLCplus of now is given"
"""Reason why no proxy is made; part of keys."""


def clcplus_missing(job: Job) -> str:
    """Reason why a tile has no CLC+ of `now`, or empty; InputError if its file is unusable, or roads for a proxy are missing."""
    reason = _clcplus_missing(job)
    if reason and not job.production.references.roads:
        raise InputError(
            f"references.clcplus_now: {reason}; CLCP_now of tile {job.tile} needs a file that covers it, "
            "or name references.roads (OpenStreetMap) for a proxy"
        )
    return reason


def _clcplus_missing(job: Job) -> str:
    key = about_reference("CLCP_now").key
    if not getattr(job.production.references, key):
        return "is missing"
    path, opened = open_reference(job, "CLCP_now")
    with opened as source:
        if covered_share(job, "CLCP_now", source, path) == 0:
            return f"{path} does not cover tile {job.tile}"
        check_reference(job, "CLCP_now", source, path)
        read = RasterReader.of(job, "CLCP_now", source, path)
    if all((read(block) > SEA_BUFFER).all() for block in job.blocks(10)):
        return f"{path} holds no data inside tile {job.tile}"
    return ""


def make_clcplus_now(job: Job, layer: Layer) -> Made:
    """CLCP_now, or the reason why a proxy takes its place."""
    if reason := clcplus_missing(job):
        return Made("", made=False, reason=f"references.clcplus_now: {reason}: CLCP_proxy takes its place")
    made = make_reference(job, layer)
    if _unknown(made.statistics) and made.warnings and not job.production.references.roads:
        return replace(made, warnings=(*made.warnings, "references.roads (OpenStreetMap) would fill it with a proxy"))
    return made


def _unknown(statistics: Any) -> int:
    """Pixels of CLCP_now, by its statistics, that are outside and not sea."""
    histogram = statistics.get("CLCP_now", {}).get("histogram", {})
    return sum(int(histogram.get(str(code), 0)) for code in range(SEA_BUFFER + 1, 256))


def clcplus_is_given(job: Job) -> bool:
    """True if CLC+ of `now` is there, for a plan: by its record, or without one by the production file."""
    record = job.record("CLCP_now")
    return bool(job.production.references.clcplus_now) if record is None else bool(not_needed(job, "OSM_distance"))


def not_needed(job: Job, symbol: str) -> str:
    """Reason why a layer of the proxy is not made, from records alone; empty where it may be needed. Part of keys."""
    if symbol == "OSM_distance":
        record = job.record("CLCP_now")
        known = record is not None and record.made
        return GIVEN if known and record and not (_unknown(record.statistics) and job.production.references.roads) else ""
    if symbol in ("CLCP_proxy_model", "CLCP_proxy"):
        record = job.record("OSM_distance")
        return record.reason if record is not None and not record.made else ""
    return ""


def clcplus_external(job: Job, layer: Layer) -> dict[str, Any]:
    """The file of CLC+ of `now`, or none; InputError if there is no proxy either."""
    if job.production.references.clcplus_now:
        return reference_external(job, layer)
    clcplus_missing(job)
    return {"files": {}}
