"""Landsat scenes from STAC items: which are used, their files, and what their numbers mean (docs/landsat.md).

Items of USGS, Planetary Computer and Earth Search are known by keys (``red``, ``SR_B4``, ``QA_PIXEL``), common names and names of
files. The catalogues themselves are those of `tasks.scenes`.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from imperv.layers.landsat import BANDS, ETM, NO_DATA, NUMBERS, OFFSET, OLI, QA_PIXEL, QA_RADSAT, SCALE, TM
from imperv.tasks.errors import ItemError
from imperv.tasks.scenes.bands import number
from imperv.tasks.scenes.items import time_of
from imperv.tasks.scenes.scenes import SceneList, longest_gap
from imperv.tasks.settings.periods import Period
from imperv.tasks.settings.scenes import LANDSAT

COLLECTION = "landsat-c2-l2"
"""Name of the collection at Planetary Computer and Earth Search; USGS calls it ``landsat-c2l2-sr``."""

SENSORS = {4: TM, 5: TM, 7: ETM, 8: OLI, 9: OLI}
"""By the number of the satellite."""

NAME = re.compile(
    r"L(?P<sensor>[COTEM])(?P<number>\d\d)_(?P<level>L[12][A-Z]{2})_(?P<path>\d{3})(?P<row>\d{3})_(?P<day>\d{8})"
    r"(?:_(?P<processed>\d{8}))?_(?P<collection>\d\d)_(?P<tier>T1|T2|RT)"
)
"""Landsat Product Identifier; Planetary Computer leaves out the day of processing."""

TIERS = ("T1", "T2", "RT")
"""Best first."""


@dataclass(frozen=True)
class BandFile:
    """One band of a scene."""

    href: str
    """File or URL."""
    scale: float = SCALE
    """Reflectance of one digital number."""
    offset: float = OFFSET
    """Reflectance of digital number 0."""
    nodata: float = NO_DATA
    """Digital number without data, beside 0."""


@dataclass(frozen=True)
class LandsatScene:
    """One scene: a row of a path, seen on a day."""

    id: str
    """STAC item id."""
    datetime: str
    """Time of acquisition, ISO 8601."""
    satellite: int
    """4, 5, 7, 8 or 9."""
    path: str
    """WRS-2 path, three digits; empty if unknown."""
    row: str
    """WRS-2 row, three digits; empty if unknown."""
    tier: str
    """T1, T2 or RT."""
    processed: str
    """Day of processing, YYYYMMDD; empty if unknown."""
    cloud: float | None
    """Cloud cover in percent as the catalogue says."""
    bands: Mapping[str, BandFile] = field(default_factory=dict)
    """Files of `BANDS`, ``qa_pixel`` and, where there is one, ``qa_radsat``."""

    @property
    def sensor(self) -> str:
        """``tm``, ``etm+`` or ``oli``."""
        return SENSORS[self.satellite]

    @property
    def day(self) -> dt.date:
        """Day of acquisition, UTC."""
        return dt.datetime.fromisoformat(self.datetime).date()

    @property
    def overpass(self) -> str:
        """What scenes share that were seen one after the other: satellite, path (or id) and day. Rows of a path overlap."""
        return f"{self.satellite} {self.path or self.id} {self.day}"

    @property
    def paths(self) -> tuple[str, ...]:
        """Its files."""
        return tuple(file.href for file in self.bands.values())

    # For tables that show scenes of Sentinel-2 too, under the same names.

    @property
    def mgrs(self) -> str:
        """Path and row."""
        return f"{self.path}/{self.row}" if self.path and self.row else ""

    @property
    def baseline(self) -> str:
        """Tier: how well the scene lies in its place."""
        return self.tier

    @property
    def subtract(self) -> int:
        """Digital numbers to subtract: none, as each band has its scale and offset."""
        return 0

    @property
    def reason(self) -> str:
        """Satellite and sensor."""
        return f"Landsat {self.satellite}, {self.sensor.upper()}"


@dataclass(frozen=True)
class LandsatList:
    """The scenes of an area and period, with what was decided on the way."""

    scenes: tuple[LandsatScene, ...]
    """By time and id."""
    dropped: Mapping[str, str] = field(default_factory=dict)
    """Items left out: id and reason."""
    lost: tuple[str, ...] = ()
    """Those of them that are Landsat Level 2 of the wanted kind but cannot be used."""

    @property
    def reasons(self) -> dict[str, str]:
        """Why lost items are lost."""
        return {name: self.dropped[name] for name in self.lost}

    @property
    def overpasses(self) -> dict[str, list[LandsatScene]]:
        """Scenes by overpass, in order of time."""
        found: dict[str, list[LandsatScene]] = {}
        for scene in self.scenes:
            found.setdefault(scene.overpass, []).append(scene)
        return found

    @property
    def groups(self) -> tuple[tuple[LandsatScene, ...], ...]:
        """Scenes of each overpass, in order of time."""
        return tuple(tuple(group) for group in self.overpasses.values())

    @property
    def sensor(self) -> str:
        """That of most scenes; empty where there is none."""
        sensors = [scene.sensor for scene in self.scenes]
        return max(sorted(set(sensors)), key=sensors.count, default="")

    def longest_gap(self, period: Period) -> tuple[dt.date, dt.date]:
        """The longest time in a period without a scene, as of `SceneList`."""
        return longest_gap(period, (scene.day for scene in self.scenes))

    def to_json(self) -> str:
        """As text, which names the sensor."""
        table = {"sensor": LANDSAT, "scenes": [asdict(s) for s in self.scenes], "dropped": dict(self.dropped)}
        return json.dumps({**table, "lost": list(self.lost)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> LandsatList:
        """Read what `to_json` wrote."""
        table = json.loads(text)
        scenes = [{**s, "bands": {band: BandFile(**file) for band, file in s["bands"].items()}} for s in table["scenes"]]
        return cls(tuple(LandsatScene(**s) for s in scenes), table["dropped"], tuple(table["lost"]))


def frozen_list(text: str) -> SceneList | LandsatList:
    """The list of scenes that a text holds, of whatever sensor."""
    return LandsatList.from_json(text) if json.loads(text).get("sensor") == LANDSAT else SceneList.from_json(text)


def select_landsat(items: Iterable[Mapping[str, Any]], *, s3: bool = False) -> LandsatList:
    """Scenes to read: Level 2 with all six bands and QA_PIXEL, one of each satellite, path, row and day.

    Of several, Tier 1 comes before Tier 2 and real time, then the newest processing. Whatever cannot be used is in `dropped`
    with its reason. The order of `items` does not matter. With `s3` the addresses on S3 are taken that items of USGS give as
    alternates (its web server wants a login, the bucket that the reader pays).
    """
    dropped: dict[str, str] = {}
    lost: list[str] = []
    looks: dict[tuple[Any, ...], list[LandsatScene]] = {}
    for item in sorted(items, key=lambda i: str(i["id"])):
        if "unusable" in item:
            dropped[item["id"]] = str(item["unusable"])
            lost += [item["id"]] if item.get("asked_for") else []
            continue
        if reason := _other_product(item):
            dropped[item["id"]] = reason
            continue
        try:
            scene = landsat_scene(item, s3=s3)
        except ItemError as error:
            dropped[item["id"]] = str(error)
            lost.append(item["id"])
            continue
        looks.setdefault((scene.overpass, scene.row), []).append(scene)
    kept = []
    for found in looks.values():
        best, *others = sorted(found, key=lambda s: (-TIERS.index(s.tier), s.processed, s.id), reverse=True)
        kept.append(best)
        dropped |= {other.id: f"duplicate of {best.id}" for other in others if other.id != best.id}
    return LandsatList(tuple(sorted(kept, key=lambda s: (s.datetime, s.id))), dropped, tuple(lost))


def landsat_scene(item: Mapping[str, Any], *, s3: bool = False) -> LandsatScene:
    """The scene of an item; ItemError if a band is missing, or metadata has a wrong form."""
    said, name = item["properties"], _name(item)
    satellite = _satellite(item)
    if satellite not in SENSORS:
        raise ItemError("does not say which Landsat it is of")
    bands = _bands(item, SENSORS[satellite], s3)
    if missing := [band for band in (*BANDS, QA_PIXEL) if band not in bands]:
        raise ItemError(f"has no asset for {', '.join(missing)}")
    cloud = said.get("eo:cloud_cover")
    return LandsatScene(
        item["id"], time_of(item).isoformat(), satellite, _three(said.get("landsat:wrs_path"), name.get("path")),
        _three(said.get("landsat:wrs_row"), name.get("row")), _tier(said, name), _processed(said, name),
        None if cloud is None else number(cloud, "eo:cloud_cover"), bands,
    )  # fmt: skip


def _other_product(item: Mapping[str, Any]) -> str:
    """Why an item is none of Landsat Collection 2 Level 2 surface reflectance; empty if it is, or may be."""
    said, name = item["properties"], _name(item)
    level = str(said.get("landsat:correction") or said.get("landsat:processing_level") or name.get("level", ""))
    if level.startswith("L1"):
        return f"is Level 1 ({level}); Level 2 is needed"
    if str(said.get("landsat:collection_number") or name.get("collection", "02")).zfill(2) == "01":
        return "is of Collection 1; Collection 2 is needed"
    if name.get("sensor") == "M" or [str(i).lower() for i in _list(said.get("instruments"))] == ["mss"]:
        return "is of the Multispectral Scanner, which has no short-wave infrared"
    if str(item["id"]).endswith("_ST"):
        return "is surface temperature"
    return ""


def _name(item: Mapping[str, Any]) -> dict[str, str]:
    """Parts of the product identifier, of the item's id or of the names of its files; these may tell the day of processing."""
    hrefs = [str(asset.get("href", "")) for asset in item["assets"].values() if isinstance(asset, dict)]
    matches = [match for text in (str(item["id"]), *hrefs) if (match := NAME.search(text))]
    best = next((m for m in matches if m["processed"]), matches[0] if matches else None)
    return {key: value for key, value in best.groupdict().items() if value} if best else {}


def _satellite(item: Mapping[str, Any]) -> int:
    """Number of the satellite; 0 if unknown."""
    said = item["properties"]
    if match := re.search(r"landsat[-_ ]?0?(\d)", str(said.get("platform") or said.get("eo:platform") or "").lower()):
        return int(match[1])
    return int(_name(item).get("number", 0))


def _three(said: object, named: str | None) -> str:
    """Path or row in three digits."""
    return str(said).zfill(3) if isinstance(said, int | str) and str(said).isdigit() else named or ""


def _tier(said: Mapping[str, Any], name: Mapping[str, str]) -> str:
    tier = str(said.get("landsat:collection_category") or name.get("tier") or TIERS[0])
    if tier not in TIERS:
        raise ItemError(f"its landsat:collection_category is {tier!r:.20}, not one of {', '.join(TIERS)}")
    return tier


def _processed(said: Mapping[str, Any], name: Mapping[str, str]) -> str:
    """Day of processing by the product's name, or else by when the item was made."""
    made = str(said.get("created") or said.get("updated") or "")
    return name.get("processed") or re.sub(r"\D", "", made[:10])


def _bands(item: Mapping[str, Any], sensor: str, s3: bool) -> dict[str, BandFile]:
    """Files of an item: by key, then by common name, then by file name; an asset that is found by its key comes first."""
    found: dict[str, BandFile] = {}
    assets = {key: asset for key, asset in item["assets"].items() if isinstance(asset, dict) and asset.get("href")}
    for how in (_by_key, _by_common_name, _by_file):
        for key, asset in sorted(assets.items()):
            if (band := how(key, asset, sensor)) and band not in found:
                found[band] = _file(key, asset, band, s3)
    return found


def _by_key(key: str, asset: Mapping[str, Any], sensor: str) -> str:
    return key.lower() if key.lower() in (*BANDS, QA_PIXEL, QA_RADSAT) else _by_product(key, sensor)


def _by_common_name(key: str, asset: Mapping[str, Any], sensor: str) -> str:
    names = [str(e.get("common_name") or e.get("eo:common_name")) for e in _entries(asset, "eo:bands", "bands")]
    return names[0] if len(names) == 1 and names[0] in BANDS else ""


def _by_file(key: str, asset: Mapping[str, Any], sensor: str) -> str:
    return _by_product(PurePosixPath(urlsplit(str(asset["href"])).path).name, sensor)


def _by_product(text: str, sensor: str) -> str:
    """Band by a name that ends like a file of the product: ``SR_B4``, ``QA_PIXEL.TIF``."""
    match = re.search(r"(?:^|_)(?:SR_B(\d)|(QA_PIXEL|QA_RADSAT))(?:\.tiff?)?$", text, re.IGNORECASE)
    if match is None:
        return ""
    if match[2]:
        return match[2].lower()
    return next((band for band, digit in NUMBERS[sensor].items() if digit == int(match[1])), "")


def _file(key: str, asset: Mapping[str, Any], band: str, s3: bool) -> BandFile:
    """An asset with its scale, offset and value without data; ItemError if one is no number."""
    href = str(asset["href"])
    if s3 and isinstance(others := asset.get("alternate"), dict) and isinstance(other := others.get("s3"), dict):
        href = str(other.get("href") or href)
    if band not in BANDS:
        return BandFile(href)
    said: dict[str, float] = {}
    for entry in (*_entries(asset, "raster:bands", "bands"), asset):
        for what in ("scale", "offset", "nodata"):
            value = entry.get(f"raster:{what}", entry.get(what))
            if value is not None and what not in said:
                said[what] = number(value, f"{what} of {key}")
    return BandFile(href, **said)


def _entries(asset: Mapping[str, Any], *fields: str) -> Iterator[Mapping[str, Any]]:
    for name in fields:
        yield from (entry for entry in _list(asset.get(name)) if isinstance(entry, dict))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
