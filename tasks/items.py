"""STAC items as plain dictionaries: whether one is sound, when and where it was seen, and whether a search wants it.

What its bands are is in `tasks.bands`, where items come from in `tasks.item_files`, `tasks.stac_api` and `tasks.safe`.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from shapely import get_coordinates
from shapely.errors import ShapelyError
from shapely.geometry import shape

from tasks.errors import InputError
from tasks.periods import Period

Bounds = tuple[float, float, float, float]
"""West, south, east, north in degrees; west > east where the antimeridian lies between them."""

REMEDY = "mend it, or name a STAC API, another file or folder of items, or a folder of SAFE products"


MOST_ITEMS = 20_000
"""Items of a tile and twelve months beyond which a catalogue is not believed: a tile of many granules has 2 000."""


def refuse_flood(count: int, where: str | Path) -> None:
    """Stop reading a catalogue that gives no end of items.

    Raises
    ------
    InputError
        If there are more than can be.
    """
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
    """What a catalogue gives for an item that it holds but that cannot be used, so that the scene list names it.

    `asked_for` is false for an item that no search for its tile and period would want.
    """
    return {"id": name, "unusable": reason, "asked_for": asked_for}


def trouble_with(item: Any) -> str:
    """What makes a feature no STAC item, or an item that cannot be placed in space and time; empty if nothing does."""
    if not _looks_like_an_item(item):
        return "holds a feature that is not a STAC item"
    try:
        time_of(item)
        if shape(item["geometry"]).is_empty:
            raise ValueError("empty")
    except (KeyError, TypeError, ValueError, AttributeError, ShapelyError):
        return f"item {item['id']} has no valid datetime or geometry"
    return ""


def _looks_like_an_item(item: Any) -> bool:
    """True for a dictionary with id, properties, assets that are dictionaries, and a box of numbers if there is one."""
    if not isinstance(item, dict) or not item.get("id") or "properties" not in item:
        return False
    assets, box = item.get("assets"), item.get("bbox")
    if not isinstance(assets, dict) or not all(isinstance(a, dict) for a in assets.values()):
        return False
    return box is None or (
        isinstance(box, list) and len(box) in (4, 6) and all(isinstance(v, int | float) for v in box)
    )  # fmt: skip


def unwanted(item: Mapping[str, Any], bounds: Bounds, period: Period, collection: str = "") -> str:
    """Why an item is none that a search asks for; empty if it is one.

    Parameters
    ----------
    item : mapping
        STAC item in which `trouble_with` finds nothing.
    bounds : tuple of float
        Area that it must touch.
    period : Period
        Days, UTC, in which it must have been seen.
    collection : str
        Collection that it must belong to if it names one; empty for any.
    """
    named = item.get("collection")
    if named and collection and named != collection:
        return f"belongs to the collection {named}"
    if not touches(item, bounds):
        return "lies outside of the area"
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
        for left, low, right, high in _boxes(item["geometry"])
        for turn in (-360, 0, 360)
    )


def _boxes(geometry: Mapping[str, Any]) -> Iterator[Bounds]:
    """Boxes of the parts of a geometry; `right` is above 180 where a part reaches across the antimeridian."""
    outline = shape(geometry)
    for part in getattr(outline, "geoms", (outline,)):
        left, low, right, high = part.bounds
        if right - left > 180:
            # No granule spans half of the globe: its corners lie on both sides of the antimeridian.
            longitudes = get_coordinates(part)[:, 0] % 360
            left, right = float(longitudes.min()), float(longitudes.max())
        yield left, low, right, high


def parsed(text: str | bytes, source: object) -> Any:
    """JSON of a catalogue.

    Raises
    ------
    InputError
        If it is none.
    """
    try:
        return json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"scenes.catalogue: {source}: is not JSON ({error}); {REMEDY}") from None


def items_in(table: Any, source: object) -> list[dict[str, Any]]:
    """The STAC items of a JSON document: of an ItemCollection, the one that it is, or none for a Catalog or Collection.

    Raises
    ------
    InputError
        If it is of another kind or an item is unsound.
    """
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
    for item in items:
        if wrong := trouble_with(item):
            raise InputError(f"scenes.catalogue: {source}: {wrong}; {REMEDY}")
    return items


def with_absolute_hrefs(item: Mapping[str, Any], source: str | Path) -> dict[str, Any]:
    """A copy of an item whose asset hrefs are complete, relative ones seen from the file or URL that holds it."""
    assets = {key: {**asset, "href": absolute(str(asset.get("href", "")), source)} for key, asset in item["assets"].items()}
    return {**item, "assets": assets}


def absolute(href: str, source: str | Path) -> str:
    """An href seen from the file or URL that holds it."""
    if "://" in href or href.startswith("/"):
        return href
    if "://" in str(source):
        return urljoin(str(source), href)
    return str((Path(source).parent / href).resolve())
