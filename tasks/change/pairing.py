"""Whether two dates can be compared: days, granules, and what is known of their radiometric offset."""

from __future__ import annotations

import datetime as dt

from imperv.tasks.errors import InputError
from imperv.tasks.native.looks import Look, zone_of

BASELINE_0400 = dt.date(2022, 1, 25)
"""First day of processing baseline 04.00, which adds an offset (ESA, Sentinel-2 Products Specification Document)."""


def check_pair(first: Look, second: Look) -> None:
    """InputError for one date twice, or where the offset is known of one of the dates only."""
    if first.scenes[0].overpass == second.scenes[0].overpass or first.day == second.day:
        raise InputError(f"both dates are {first.day}: name two dates")
    unknown = [any(scene.reason.endswith("(unknown)") for scene in look.scenes) for look in (first, second)]
    apart = all(unknown) and (first.day < BASELINE_0400) != (second.day < BASELINE_0400)
    if apart or unknown[0] != unknown[1]:
        look = second if apart or unknown[1] else first
        raise InputError(
            f"scene {look.scenes[0].id}: neither its processing baseline nor its offset is known, so that it may have the offset "
            "of baseline 04.00 that the other date lacks, or the other way round; add s2:processing_baseline to its item"
        )


def check_granules(first: Look, second: Look) -> None:
    """InputError where dates come from granules that have no grid, or no ground, in common."""
    zones = [zone_of(look.scenes[0]) for look in (first, second)]
    tiles = [{scene.mgrs for scene in look.scenes} - {""} for look in (first, second)]
    named = [f"{look.name} (EPSG:{zone})" for look, zone in zip((first, second), zones, strict=True)]
    if zones[0] != zones[1]:
        raise InputError(f"{named[0]} and {named[1]} lie on different grids; name two dates of one granule")
    if tiles[0] and tiles[1] and not tiles[0] & tiles[1]:
        raise InputError(f"{named[0]} and {named[1]} are of different granules; name two dates of one granule")
