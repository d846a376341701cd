"""Which STAC items show the same look: items of one overpass, and whether one of a tile is another processing or another part.

A datatake is received in datastrips; where one ends within an MGRS tile, the tile comes as two products with complementary data
(Products Specification Document, S2-PDGS-TAS-DI-PSD).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shapely import make_valid
from shapely.geometry import shape

from imperv.tasks.scenes.identifiers import (
    OWN_BASELINE,
    baseline_of,
    datastrip_of,
    datatake_of,
    datatake_start,
    platform_of,
    product_of,
)  # fmt: skip
from imperv.tasks.scenes.items import UNSOUND, time_of

OVERPASS_MINUTES = 10
"""Granules of one datatake over one tile are seconds apart, two overpasses at least 25 minutes (neighbouring orbits by
different satellites)."""

DATATAKE_MINUTES = 40
"""Longest datatake: 15 000 km at 6.7 km/s over ground. A satellite is back after 100 minutes."""

SAME_SECOND = dt.timedelta(seconds=1)

APART = 0.5
"""Share of a footprint under which products of one datastrip cannot be two processings of it."""

COVERED = 0.9
"""Share of a footprint from which another product is taken to show all of it, where no datastrip is known."""


@dataclass
class _Overpass:
    """An overpass that some items have named."""

    name: str
    platform: str
    began: dt.datetime | None
    """Start of its datatake."""
    first: dt.datetime
    """Time of its first item."""

    def takes(self, platform: str, began: dt.datetime | None, time: dt.datetime) -> bool:
        """True where an item without a datatake belongs to it."""
        if platform and self.platform and platform != self.platform:
            return False
        if began and self.began:
            return began == self.began
        # Some catalogues give the start of the datatake for the time of each of its granules.
        within = self.began is not None and 0 <= (time - self.began) / dt.timedelta(minutes=1) <= DATATAKE_MINUTES
        near = abs(time - self.first) <= dt.timedelta(minutes=OVERPASS_MINUTES)
        return near or (within and bool(platform and self.platform))


def with_overpass(items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The items with the name of their overpass; those without a datatake join the nearest of about their time."""
    named = [{**item, "overpass": overpass_of(item)} for item in items]
    days: dict[str, list[_Overpass]] = {}
    for item in sorted(named, key=lambda i: (not datatake_of(i), datatake_start(i) is None, time_of(i))):
        day, time, began = item["overpass"].rpartition("|")[2], time_of(item), datatake_start(item)
        known = days.setdefault(day, [])
        platform = platform_of(item)
        own = [o for o in known if o.name == item["overpass"]]
        if not own and not datatake_of(item):
            own = sorted((o for o in known if o.takes(platform, began, time)), key=lambda o: abs(time - o.first))
        if own:
            item["overpass"] = own[0].name
        else:
            known.append(_Overpass(item["overpass"], platform, began, time))
    return named


def overpass_of(item: Mapping[str, Any]) -> str:
    """Name of the overpass: platform, datatake without its baseline, solar day; granules of one overpass share it."""
    time = time_of(item)
    longitude = shape(item["geometry"]).centroid.x
    solar = (time + dt.timedelta(hours=longitude / 15)).date()
    return f"{platform_of(item) or '?'}|{datatake_of(item) or time.strftime('%Y%m%dT%H%M')}|{solar}"


def age_of(item: Mapping[str, Any]) -> tuple[tuple[int, ...], dt.datetime, dt.datetime]:
    """Sort key, greater is newer: baseline (Sen2Cor's own number is none), generation time, update in the catalogue."""
    baseline = baseline_of(item)
    numbers = () if baseline in ("", OWN_BASELINE) else tuple(int(n) for n in baseline.split("."))
    return numbers, _instant(item, "s2:generation_time"), _instant(item, "updated")


def _instant(item: Mapping[str, Any], key: str) -> dt.datetime:
    """A time that an item says; the earliest there is if it says none."""
    try:
        return time_of({"properties": {"datetime": item["properties"][key]}})
    except UNSOUND:
        return dt.datetime.min.replace(tzinfo=dt.UTC)


def is_part(older: Mapping[str, Any], newer: Mapping[str, Any]) -> bool:
    """True where the older of two products of one datatake and MGRS tile shows a part of the look that the newer does not.

    The same datastrip in a newer baseline is another processing of the same data; two products of one baseline are parts, by
    datastrip or name. Where neither is known, products are parts that began at other times or whose footprints differ.
    """
    names, covered = (product_of(older), product_of(newer)), _covered(older, newer)
    if names[0] is not None and names[0] == names[1]:
        return False
    same_baseline = baseline_of(older) == baseline_of(newer) != OWN_BASELINE
    strips = datastrip_of(older), datastrip_of(newer)
    if strips[0] and strips[1]:
        return covered < APART or (strips[0] != strips[1] if same_baseline else strips[0].start != strips[1].start)
    if same_baseline and names[0] and names[1]:
        return True
    began = _sensed(older), _sensed(newer)
    return covered < COVERED or (began[0] is not None and began[1] is not None and abs(began[0] - began[1]) > SAME_SECOND)


def _sensed(item: Mapping[str, Any]) -> dt.datetime | None:
    """When the granule was seen; None where an item does not say, or gives the start of its datatake instead."""
    try:
        time, began = time_of(item), datatake_start(item)
    except UNSOUND:
        return None
    return None if began and abs(time - began) < SAME_SECOND else time


def _covered(older: Mapping[str, Any], newer: Mapping[str, Any]) -> float:
    """Share of the older product's footprint that the newer one covers; 1 where unknown."""
    try:
        first, second = (make_valid(shape(item["geometry"])) for item in (older, newer))
        return first.intersection(second).area / first.area if first.area else 1.0
    except UNSOUND:
        return 1.0
