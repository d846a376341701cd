"""Sentinel-2 scenes from STAC items: which are used, their band files, offset decision and overpass.

A catalogue is anything with `search`: item files, static catalogues, STAC APIs, SAFE products.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Protocol

from imperv.tasks.errors import InputError, ItemError
from imperv.tasks.scenes.bands import (
    BANDS,
    CLASSI,
    REFLECTANCE_10M,
    REFLECTANCE_20M,
    SCL,
    band_files,
    baseline_of,
    level_of,
    number,
    offset_decision,
    stated_nodata,
)  # fmt: skip
from imperv.tasks.scenes.identifiers import OWN_BASELINE, level_by_name, mgrs_of, product_of, stated_level
from imperv.tasks.scenes.items import time_of
from imperv.tasks.scenes.overpasses import age_of, is_part, overpass_of, with_overpass
from imperv.tasks.settings.periods import Period

__all__ = [
    "BANDS", "REFLECTANCE_10M", "REFLECTANCE_20M", "SCL", "Scene", "SceneCatalogue", "SceneList", "band_files", "baseline_of",
    "mgrs_of", "offset_decision", "overpass_of", "select_scenes",
]  # fmt: skip

Level = Literal["L2A", "L1C", "auto"]
"""Level of processing that is read; ``auto`` is what there is, if it is of one level."""

LEVELS = {"L2A": "Level-2A, surface reflectance", "L1C": "Level-1C, top of the atmosphere"}


class SceneCatalogue(Protocol):
    """A source of STAC items."""

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
    nodata: Mapping[str, float] = field(default_factory=dict)
    """Value without data of bands, where the item says another than 0."""
    level: str = "L2A"
    """Level of processing, ``L2A`` or ``L1C``."""

    @property
    def day(self) -> dt.date:
        """Day of acquisition, UTC."""
        return dt.datetime.fromisoformat(self.datetime.replace("Z", "+00:00")).date()

    @property
    def paths(self) -> tuple[str, ...]:
        """Its files."""
        return tuple(self.bands.values())


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
        """Granules by overpass, in order of time; of several of one MGRS tile the newest processing first, which is preferred."""
        found: dict[str, list[Scene]] = {}
        for scene in self.scenes:
            found.setdefault(scene.overpass, []).append(scene)
        for group in found.values():
            newest: dict[str, list[Scene]] = {}
            for scene in sorted(group, key=lambda s: s.baseline.replace(OWN_BASELINE, ""), reverse=True):
                newest.setdefault(scene.mgrs, []).append(scene)
            group[:] = [newest[scene.mgrs].pop(0) for scene in group]
        return found

    def longest_gap(self, period: Period) -> tuple[dt.date, dt.date]:
        """The longest time in a period without a scene: from a day with one, or the first of the period, to the next."""
        return longest_gap(period, (s.day for s in self.scenes))

    def to_json(self) -> str:
        """As text."""
        table = {"scenes": [_plain(s) for s in self.scenes], "dropped": dict(self.dropped), "lost": list(self.lost)}
        return json.dumps(table, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> SceneList:
        """Read what `to_json` wrote."""
        table = json.loads(text)
        return cls(tuple(Scene(**s) for s in table["scenes"]), table["dropped"], tuple(table.get("lost", ())))


def longest_gap(period: Period, seen: Iterable[dt.date]) -> tuple[dt.date, dt.date]:
    """The longest time in a period without one of some days."""
    days = sorted({period.start, period.end, *seen})
    return max(zip(days, days[1:], strict=False), key=lambda pair: pair[1] - pair[0])


def _plain(scene: Scene) -> dict[str, Any]:
    """A scene as a dictionary; the level is named only where it is not the usual one."""
    table = asdict(scene)
    if table["level"] == "L2A":
        del table["level"]
    return table


def select_scenes(
    items: Iterable[Mapping[str, Any]],
    *,
    boa_offset: str = "auto",
    bands: Mapping[str, str] | None = None,
    needed: Collection[str] = BANDS,
    optional: Collection[str] = (),
    level: Level = "L2A",
) -> SceneList:
    """Scenes to read: duplicates dropped, offset decided, files found.

    Of products of one datatake and MGRS tile the newest processing is kept (baseline, then generation or update time), and
    every other that shows a part of the look which the kept ones do not (`is_part`); an item that is there twice counts once.
    Items of another level, without all `needed` bands, with properties of a wrong kind, or called unusable are left out. The
    order of `items` does not matter. `optional` bands are taken where an item has them. Level-1C has no scene classification,
    and none is needed of it; its own mask (`CLASSI`) is taken where it is there. InputError if `level` is ``auto`` and items
    are of both.
    """
    items = sorted(items, key=lambda i: str(i["id"]))
    level = _level_of_all(items) if level == "auto" else level
    if level == "L1C":
        needed, optional = [b for b in needed if b != SCL], [*(b for b in optional if b != SCL), CLASSI]
    dropped = {item["id"]: str(item["unusable"]) for item in items if "unusable" in item}
    lost: list[dict[str, Any]] = []
    looks: dict[str, list[tuple[dict[str, Any], Scene]]] = {}
    for item in with_overpass(item for item in items if "unusable" not in item):
        if (said := level_of(item)) not in ("", level):
            dropped[item["id"]] = f"is {LEVELS[said]}; {LEVELS[level].partition(',')[0]} is needed"
            continue
        try:
            scene = _scene(item, boa_offset, bands, [*needed, *optional], level)
        except ItemError as error:
            dropped[item["id"]] = str(error)
            lost.append(item)
            continue
        if missing := [band for band in needed if band not in scene.bands]:
            dropped[item["id"]] = f"has no asset for {', '.join(missing)}"
            # What has none of the bands and does not say that it is of the level is something else.
            if scene.bands or level[1:] in (stated_level(item), level_by_name(item)):
                lost.append(item)
            continue
        looks.setdefault(scene.overpass, []).append((item, scene))
    kept: dict[str, list[tuple[dict[str, Any], Scene]]] = {}
    for overpass, found in looks.items():
        # Python's sort is stable: of the same age the first id.
        for item, scene in sorted(found, key=lambda pair: age_of(pair[0]), reverse=True):
            if (newer := _shown_by(item, kept.get(overpass, ()))) is None:
                kept.setdefault(overpass, []).append((item, scene))
            elif newer["id"] != item["id"]:
                dropped[item["id"]] = f"duplicate of {newer['id']}"
    scenes = _named_apart(scene for found in kept.values() for _, scene in found)
    names = {item["id"] for item in lost if _shown_by(item, kept.get(item["overpass"], ())) is None}
    damaged = {item["id"] for item in items if item.get("asked_for")}
    return SceneList(scenes, dropped, tuple(sorted(names | _without_another(damaged, kept))))


def _level_of_all(items: Iterable[Mapping[str, Any]]) -> Literal["L2A", "L1C"]:
    """The level of all usable items; InputError if they are of several."""
    found = [said for item in items if "unusable" not in item and (said := level_of(item))]
    count = found.count("L1C")
    if 0 < count < len(found):
        raise InputError(f"{count} scenes are of Level-1C, {len(found) - count} of Level-2A; choose one level, L1C or L2A")
    return "L1C" if count else "L2A"


def _scene(
    item: Mapping[str, Any], boa_offset: str, bands: Mapping[str, str] | None, needed: Collection[str], level: str
) -> Scene:
    """The scene of an item, which may lack bands; ItemError if a property is of a wrong kind."""
    subtract, reason = offset_decision(item, boa_offset, bands, needed)
    cloud = item["properties"].get("eo:cloud_cover")
    return Scene(
        item["id"], time_of(item).isoformat(), item["overpass"], mgrs_of(item), baseline_of(item),
        None if cloud is None else number(cloud, "eo:cloud_cover"), subtract, reason, band_files(item, bands, needed),
        stated_nodata(item, bands, needed), level,
    )  # fmt: skip


def _shown_by(item: Mapping[str, Any], kept: Iterable[tuple[dict[str, Any], Scene]]) -> Mapping[str, Any] | None:
    """The item of an overpass that shows all that another does; None if there is none."""
    mgrs = mgrs_of(item)
    near = (other for other, scene in kept if not mgrs or not scene.mgrs or mgrs == scene.mgrs)
    return next((other for other in near if not is_part(item, other)), None)


def _named_apart(scenes: Iterable[Scene]) -> tuple[Scene, ...]:
    """Scenes by time and id, each with an id of its own: some catalogues give one to several."""
    found: list[Scene] = []
    seen: dict[str, int] = {}
    for scene in sorted(scenes, key=lambda s: (s.datetime, s.id, s.overpass, s.mgrs, sorted(s.bands.items()))):
        seen[scene.id] = times = seen.get(scene.id, 0) + 1
        found.append(scene if times == 1 else replace(scene, id=f"{scene.id}~{times}"))
    return tuple(found)


def _without_another(damaged: set[str], kept: Mapping[str, list[tuple[dict[str, Any], Scene]]]) -> set[str]:
    """Damaged items whose look no scene shows; those of MGRS tiles of which there is no scene lie elsewhere."""
    pairs = [pair for found in kept.values() for pair in found]
    tiles, names = {scene.mgrs for _, scene in pairs}, {item["id"] for item, _ in pairs}
    found = set()
    for name in damaged - names:
        item = {"id": name, "properties": {}}
        product = product_of(item)
        same = [o for o, _ in pairs if product and (p := product_of(o)) and p[:4] == product[:4] and not is_part(item, o)]
        if product is None or (not same and (product.mgrs in tiles or not tiles)):
            found.add(name)
    return found
