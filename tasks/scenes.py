"""Sentinel-2 L2A scenes: STAC items become scenes with band files, an offset decision and an overpass.

Which of them are used is decided here; band names and offsets in `tasks.bands`, pixels are read in `tasks.reading`. A
catalogue is anything with `search`: item files, static catalogues, STAC APIs, SAFE products.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from shapely.geometry import shape

from tasks.bands import (
    BANDS,
    REFLECTANCE_10M,
    REFLECTANCE_20M,
    SCL,
    band_files,
    baseline_of,
    is_top_of_atmosphere,
    offset_decision,
)  # fmt: skip
from tasks.items import time_of
from tasks.periods import Period

__all__ = [
    "BANDS", "REFLECTANCE_10M", "REFLECTANCE_20M", "SCL", "Scene", "SceneCatalogue", "SceneList", "band_files", "baseline_of",
    "mgrs_of", "offset_decision", "overpass_of", "select_scenes",
]  # fmt: skip


class SceneCatalogue(Protocol):
    """Where STAC items come from."""

    def search(self, bounds: tuple[float, float, float, float], period: Period) -> Iterable[Mapping[str, Any]]:
        """Items that may touch `bounds` (longitude, latitude) in a period, as dictionaries with absolute asset hrefs.

        What the catalogue holds but cannot be used has only ``id`` and ``unusable``, the reason.
        """


@dataclass(frozen=True)
class Scene:
    """One granule of one acquisition."""

    id: str
    """STAC item id."""
    datetime: str
    """Time of acquisition, ISO 8601."""
    overpass: str
    """What granules seen at one overpass share: platform, datatake, solar day."""
    mgrs: str
    """MGRS tile, such as 32UPU; empty if unknown."""
    baseline: str
    """Processing baseline; empty if unknown."""
    cloud: float | None
    """Cloud cover in percent as the catalogue says."""
    subtract: int
    """Digital numbers to subtract: 0 or 1000."""
    reason: str
    """Why."""
    bands: Mapping[str, str] = field(default_factory=dict)
    """File or URL of each band."""

    @property
    def day(self) -> dt.date:
        """Day of acquisition, UTC."""
        return dt.datetime.fromisoformat(self.datetime.replace("Z", "+00:00")).date()


@dataclass(frozen=True)
class SceneList:
    """The scenes of a tile and period, with what was decided on the way."""

    scenes: tuple[Scene, ...]
    """Scenes to read, by time and id."""
    dropped: Mapping[str, str] = field(default_factory=dict)
    """Items left out: id and reason."""
    lost: tuple[str, ...] = ()
    """Those of them whose look no other item shows: damaged products, items without all bands."""

    @property
    def reasons(self) -> dict[str, str]:
        """Why lost items are lost."""
        return {name: self.dropped[name] for name in self.lost}

    @property
    def overpasses(self) -> dict[str, list[Scene]]:
        """Granules by overpass, in order of time."""
        found: dict[str, list[Scene]] = {}
        for scene in self.scenes:
            found.setdefault(scene.overpass, []).append(scene)
        return found

    def longest_gap(self, period: Period) -> tuple[dt.date, dt.date]:
        """The longest time in a period without a scene: from a day with one, or the first of the period, to the next."""
        days = sorted({period.start, period.end, *(s.day for s in self.scenes)})
        return max(zip(days, days[1:], strict=False), key=lambda pair: pair[1] - pair[0])

    def to_json(self) -> str:
        """As text."""
        table = {"scenes": [asdict(s) for s in self.scenes], "dropped": dict(self.dropped), "lost": list(self.lost)}
        return json.dumps(table, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> SceneList:
        """Read what `to_json` wrote."""
        table = json.loads(text)
        return cls(tuple(Scene(**s) for s in table["scenes"]), table["dropped"], tuple(table.get("lost", ())))


def mgrs_of(item: Mapping[str, Any]) -> str:
    """MGRS tile of an item; empty if it cannot be told."""
    props = item["properties"]
    if code := str(props.get("grid:code", "")).removeprefix("MGRS-"):
        return code
    if code := str(props.get("s2:mgrs_tile", "")):
        return code
    match = re.search(r"_T?(\d{1,2}[C-X][A-Z]{2})_", str(item["id"]))
    return match[1].rjust(5, "0") if match else ""


OVERPASS_MINUTES = 10
"""Granules of one datatake over one tile are seconds apart, two overpasses at least 25 minutes (neighbouring orbits by
different satellites)."""


def _with_overpass(items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The items with the name of their overpass; items without a datatake join the first that was seen shortly before."""
    named = [{**item, "overpass": overpass_of(item)} for item in items]
    first: dict[tuple[str, str], tuple[dt.datetime, str]] = {}
    for item in sorted((i for i in named if not datatake_of(i)), key=time_of):
        platform, _, day = item["overpass"].split("|")
        began, name = first.get((platform, day), (None, ""))
        if began is None or time_of(item) - began > dt.timedelta(minutes=OVERPASS_MINUTES):
            began, name = first[platform, day] = time_of(item), item["overpass"]
        item["overpass"] = name
    return named


def datatake_of(item: Mapping[str, Any]) -> str:
    """Datatake of an item as the provider names it; empty if the item does not tell."""
    props = item["properties"]
    return str(props.get("s2:datatake_id") or props.get("eopf:datatake_id") or "")


def overpass_of(item: Mapping[str, Any]) -> str:
    """Name of the overpass: platform, datatake without its baseline, solar day; granules of one overpass share it."""
    props, time = item["properties"], time_of(item)
    datatake = re.sub(r"_N\d\d\.?\d\d$", "", datatake_of(item))
    if not datatake:
        datatake = time.strftime("%Y%m%dT%H%M")
    longitude = shape(item["geometry"]).centroid.x
    solar = (time + dt.timedelta(hours=longitude / 15)).date()
    return f"{props.get('platform', '?')}|{datatake}|{solar}"


def select_scenes(
    items: Iterable[Mapping[str, Any]], *, boa_offset: str = "auto", bands: Mapping[str, str] | None = None
) -> SceneList:
    """Scenes to read: duplicates dropped, offset decided, files found.

    Of items with the same datatake and MGRS tile the newest processing baseline is kept, then the newest generation or
    update time; an item that is there twice counts once. Items of Level-1C, without all bands, or that the catalogue calls
    unusable are left out. The order of `items` does not matter.
    """
    items = sorted(items, key=lambda i: str(i["id"]))
    dropped = {item["id"]: str(item["unusable"]) for item in items if "unusable" in item}
    incomplete: dict[str, tuple[str, str]] = {}
    best: dict[tuple[str, str], dict[str, Any]] = {}
    for item in _with_overpass(item for item in items if "unusable" not in item):
        if is_top_of_atmosphere(item):
            dropped[item["id"]] = "is Level-1C, top of the atmosphere; Level-2A is needed"
            continue
        files = band_files(item, bands)
        key = (item["overpass"], mgrs_of(item) or str(item.get("bbox")))
        if missing := [band for band in BANDS if band not in files]:
            dropped[item["id"]] = f"has no asset for {', '.join(missing)}"
            if files:  # what has none of the bands is something else
                incomplete[item["id"]] = key
            continue
        other = best.get(key)
        if other is None:
            best[key] = item
        else:
            newer, older = (item, other) if _age(item) > _age(other) else (other, item)
            best[key] = newer
            if newer["id"] != older["id"]:
                dropped[older["id"]] = f"duplicate of {newer['id']}"
    scenes = []
    for (overpass, mgrs), item in best.items():
        subtract, reason = offset_decision(item, boa_offset)
        scenes.append(
            Scene(
                item["id"], time_of(item).isoformat(), overpass, mgrs, baseline_of(item),
                item["properties"].get("eo:cloud_cover"), subtract, reason, band_files(item, bands),
            )
        )  # fmt: skip
    damaged = {item["id"] for item in items if item.get("asked_for")}
    lost = {name for name, key in incomplete.items() if key not in best} | _without_another(damaged, scenes)
    return SceneList(tuple(sorted(scenes, key=lambda s: (s.datetime, s.id))), dropped, tuple(sorted(lost)))


PRODUCT = re.compile(r"(S2[A-D]_MSIL2A_\d{8}T\d{6})_.*?_T(\d\d[C-X][A-Z]{2})_")
"""Names of products: satellite and time of the look, MGRS tile."""


def _without_another(damaged: set[str], scenes: Iterable[Scene]) -> set[str]:
    """Damaged items whose look no scene shows; those of MGRS tiles of which there is no scene lie elsewhere."""
    scenes = list(scenes)
    tiles, names = {s.mgrs for s in scenes}, {s.id for s in scenes}
    looks = {match.groups() for name in names if (match := PRODUCT.match(name))}
    found = set()
    for name in damaged - names:
        match = PRODUCT.match(name)
        if match is None or (match.groups() not in looks and (match[2] in tiles or not tiles)):
            found.add(name)
    return found


def _age(item: Mapping[str, Any]) -> tuple[str, str, str]:
    props = item["properties"]
    return baseline_of(item), str(props.get("s2:generation_time", "")), str(props.get("updated", ""))
