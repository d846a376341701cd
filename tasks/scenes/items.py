"""STAC items as plain dictionaries: whether one is sound, when and where it was seen, and whether a search wants it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

from shapely import get_coordinates
from shapely.errors import ShapelyError
from shapely.geometry import shape

from imperv.grids import Bounds
from imperv.tasks.errors import InputError
from imperv.tasks.settings.periods import Period
from imperv.tasks.store.hrefs import UNPRINTABLE, absolute, is_href

REMEDY = "mend it, or name a STAC API, another file or folder of items, or a folder of SAFE products"


MOST_ITEMS = 20_000
"""Items of a tile and twelve months beyond which a catalogue is not believed: a tile of many granules has 2 000."""


def refuse_flood(count: int, where: str | Path) -> None:
    """Raise InputError if a catalogue gives more items than there can be."""
    if count > MOST_ITEMS:
        raise InputError(
            f"scenes.catalogue: {where}: gives more than {MOST_ITEMS} items for a tile and year; "
            "name a catalogue, or a collection, of Sentinel-2 scenes"
        )


def time_of(item: Mapping[str, Any]) -> dt.datetime:
    """Time of acquisition, UTC; what names no time zone is UTC."""
    text = item["properties"].get("datetime") or item["properties"]["start_datetime"]
    time = dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return time.astimezone(dt.UTC) if time.tzinfo else time.replace(tzinfo=dt.UTC)


def unusable(name: str, reason: str, *, asked_for: bool = True) -> dict[str, Any]:
    """An unusable item for the scene list to name; `asked_for` is False if no search for its tile and period would want it."""
    return {"id": name, "unusable": reason, "asked_for": asked_for}


def is_debris(path: PurePath) -> bool:
    """True for what systems leave beside files: resource forks of macOS (``._x``, ``__MACOSX``), other hidden files."""
    return any((part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in path.parts)


def name_of(item: Any, otherwise: str) -> str:
    """Id of an item in printable characters, or another name where it has none."""
    said = item.get("id") if isinstance(item, dict) else None
    if not isinstance(said, str | int) or not (name := " ".join(str(said).split())):
        return otherwise
    return UNPRINTABLE.sub("?", name)


UNSOUND = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, ShapelyError)
"""Errors of Python and shapely on metadata of another form."""


def trouble_with(item: Any) -> str:
    """What makes a feature no STAC item, or an item that cannot be placed in space and time; empty if nothing does."""
    if not looks_like_an_item(item):
        return "holds a feature that is not a STAC item"
    try:
        time_of(item)
        list(_boxes(item["geometry"]))
    except UNSOUND:
        return "has no valid datetime or geometry"
    return ""


def looks_like_an_item(item: Any) -> bool:
    """True for a dictionary with id, dictionaries of properties and assets, and a box of numbers if there is one."""
    if not isinstance(item, dict) or not name_of(item, "") or not isinstance(item.get("properties"), dict):
        return False
    box = item.get("bbox")
    return isinstance(item.get("assets"), dict) and (
        box is None or (isinstance(box, list) and len(box) in (4, 6) and all(isinstance(v, int | float) for v in box))
    )


def unwanted(item: Mapping[str, Any], bounds: Bounds, period: Period, collection: str = "") -> str:
    """Why a search with these bounds, period (UTC) and collection does not ask for an item; empty if it does, or may.

    `bounds` are degrees, west > east across the antimeridian. The item may be a feature in which `trouble_with` finds something;
    one that names no collection belongs to any.
    """
    named = item.get("collection")
    if named and collection and named != collection:
        return f"belongs to the collection {named}"
    with suppress(*UNSOUND):
        if not touches(item, bounds):
            return "lies outside of the area"
    with suppress(*UNSOUND):
        if not period.start <= time_of(item).date() <= period.end:
            return "was seen outside of the period"
    return ""


def touches(item: Mapping[str, Any], bounds: Bounds) -> bool:
    """True where the box of a part of an item's footprint touches an area; either may reach across the antimeridian."""
    west, south, east, north = bounds
    if east < west:
        east += 360
    return any(
        low <= north and high >= south and left + turn <= east and right + turn >= west
        for left, low, right, high in _extent(item)
        for turn in (-360, 0, 360)
    )


def _extent(item: Mapping[str, Any]) -> list[Bounds]:
    """Boxes of the parts of an item's footprint, or its box where the footprint is unsound."""
    try:
        return list(_boxes(item["geometry"]))
    except UNSOUND:
        box = item["bbox"]
        left, low, right, high = (float(box[k]) for k in (0, 1, len(box) // 2, len(box) // 2 + 1))
        return [(left, low, right + 360 if right < left else right, high)]


def _boxes(geometry: Mapping[str, Any]) -> Iterator[Bounds]:
    """Boxes of the parts of a geometry; `right` is above 180 where a part reaches across the antimeridian."""
    outline = shape(geometry)
    west, south, east, north = outline.bounds
    # Some catalogues go on counting across the antimeridian. What is empty has bounds that are no numbers.
    if not (-360 <= west <= east <= 360 and -90 <= south <= north <= 90):
        raise ValueError("no footprint in degrees")
    for part in getattr(outline, "geoms", (outline,)):
        left, low, right, high = part.bounds
        if right - left > 180:
            # No granule spans half of the globe: its corners lie on both sides of the antimeridian.
            longitudes = get_coordinates(part)[:, 0] % 360
            left, right = float(longitudes.min()), float(longitudes.max())
        yield left, low, right, high


def parsed(text: str | bytes, source: object) -> Any:
    """JSON of a catalogue; InputError, which names `source`, if it is none."""
    try:
        return json.loads(text.removeprefix("\ufeff") if isinstance(text, str) else text)  # a byte order mark is no fault
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"scenes.catalogue: {source}: is not JSON ({error}); {REMEDY}") from None


def items_in(table: Any, source: object) -> list[Any]:
    """Features of an ItemCollection, the item itself, or none of a Catalog or Collection; InputError for any other JSON."""
    kind = table.get("type") if isinstance(table, dict) else None
    if kind == "FeatureCollection":
        items = table.get("features")
        if not isinstance(items, list):
            raise InputError(f"scenes.catalogue: {source}: its list of features is not a list; {REMEDY}")
    elif kind == "Feature":
        items = [table]
    elif kind in ("Collection", "Catalog"):
        return []
    else:
        raise InputError(f"scenes.catalogue: {source}: is neither a STAC item nor an ItemCollection; {REMEDY}")
    if items and not any(isinstance(item, dict) and {"id", "properties", "assets"} <= item.keys() for item in items):
        raise InputError(f"scenes.catalogue: {source}: holds a feature that is not a STAC item; {REMEDY}")
    return items


def with_absolute_hrefs(item: Mapping[str, Any], source: str | Path) -> dict[str, Any]:
    """A copy of an item with absolute asset hrefs, relative ones seen from its file or URL; what has none is left out."""
    assets = {
        key: {**asset, "href": absolute(asset["href"], source)}
        for key, asset in item["assets"].items()
        if isinstance(asset, dict) and is_href(asset.get("href"))
    }
    return {**item, "id": name_of(item, str(source)), "assets": assets}
