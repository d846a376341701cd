"""Sentinel-2 L2A scenes: STAC items become scenes with band files, an offset decision and an overpass.

Rules of the offset, of duplicates and of band names are here; pixels are read in `tasks.reading`. A catalogue is anything
with `search`; `ItemFiles` reads item files and folders.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from shapely.errors import ShapelyError
from shapely.geometry import shape

from tasks.errors import InputError
from tasks.periods import Period

REFLECTANCE_10M = ("B02", "B03", "B04", "B08")
REFLECTANCE_20M = ("B05", "B06", "B07", "B8A", "B11", "B12")
SCL = "SCL"
BANDS = (*REFLECTANCE_10M, *REFLECTANCE_20M, SCL)
"""Bands that the yearly features need."""

OFFSET = 1000
"""Digital numbers added since processing baseline 04.00 (reflectance offset -0.1 at scale 0.0001)."""

OFFSET_BASELINE = (4, 0)
"""First processing baseline with the offset."""

COMMON_NAMES = {
    "blue": "B02", "green": "B03", "red": "B04", "nir": "B08", "rededge071": "B05", "rededge075": "B06",
    "rededge078": "B07", "nir08": "B8A", "swir16": "B11", "swir22": "B12",
}  # fmt: skip
"""STAC EO common names that stand for exactly one Sentinel-2 band."""

KEYS = {
    **{key: COMMON_NAMES[key] for key in ("blue", "green", "red", "nir", "nir08", "swir16", "swir22")},
    "rededge1": "B05", "rededge2": "B06", "rededge3": "B07", "scl": SCL,
}  # fmt: skip
"""Asset keys of Earth Search; others carry the band name itself, such as ``B02`` or ``B02_10m``."""


class SceneCatalogue(Protocol):
    """Where STAC items come from."""

    def search(self, bounds: tuple[float, float, float, float], period: Period) -> Iterable[Mapping[str, Any]]:
        """Items that may touch `bounds` (longitude, latitude) in a period, as dictionaries with absolute asset hrefs."""


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

    @property
    def overpasses(self) -> dict[str, list[Scene]]:
        """Granules by overpass, in order of time."""
        found: dict[str, list[Scene]] = {}
        for scene in self.scenes:
            found.setdefault(scene.overpass, []).append(scene)
        return found

    def to_json(self) -> str:
        """As text."""
        return json.dumps({"scenes": [asdict(s) for s in self.scenes], "dropped": dict(self.dropped)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> SceneList:
        """Read what `to_json` wrote."""
        table = json.loads(text)
        return cls(tuple(Scene(**s) for s in table["scenes"]), table["dropped"])


class ItemFiles:
    """STAC items in a file (item or ItemCollection) or a folder of such files.

    Raises
    ------
    InputError
        If nothing is there or a file is no STAC.
    """

    def __init__(self, path: str | Path, collection: str = "") -> None:
        self.path, self.collection = Path(path), collection

    def search(self, bounds: tuple[float, float, float, float], period: Period) -> list[Mapping[str, Any]]:
        """Items that touch the bounds in the period."""
        found: list[Mapping[str, Any]] = []
        for file in self._files():
            for item in _items(file):
                if self._wanted(item, bounds, period):
                    found.append(_with_absolute_hrefs(item, file.parent))
        return found

    def _files(self) -> list[Path]:
        if self.path.is_file():
            return [self.path]
        if self.path.is_dir():
            if (self.path / "items.json").is_file():
                return [self.path / "items.json"]
            files = sorted(f for f in self.path.rglob("*.json") if f.name not in ("collection.json", "catalog.json"))
            if files:
                return files
        raise InputError(f"scenes.catalogue: {self.path}: there is no STAC item file or folder of items")

    def _wanted(self, item: Mapping[str, Any], bounds: tuple[float, float, float, float], period: Period) -> bool:
        collection = item.get("collection")
        if collection and self.collection and collection != self.collection:
            return False
        west, south, east, north = bounds
        box = item.get("bbox") or shape(item["geometry"]).bounds
        low, high = box[:2], box[len(box) // 2 : len(box) // 2 + 2]
        if low[0] > east or high[0] < west or low[1] > north or high[1] < south:
            return False
        return period.start <= _time(item).date() <= period.end


def _items(file: Path) -> list[dict[str, Any]]:
    """STAC items in a JSON file; none for other STAC objects."""
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"scenes.catalogue: {file}: cannot be read ({error.strerror})") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"scenes.catalogue: {file}: is not JSON ({error})") from None
    kind = table.get("type") if isinstance(table, dict) else None
    if kind == "FeatureCollection":
        items = table.get("features")
        if not isinstance(items, list):
            raise InputError(f"scenes.catalogue: {file}: its list of features is not a list")
    elif kind == "Feature":
        items = [table]
    elif kind in ("Collection", "Catalog"):
        return []
    else:
        raise InputError(f"scenes.catalogue: {file}: is neither a STAC item nor an ItemCollection")
    for item in items:
        if not _looks_like_an_item(item):
            raise InputError(f"scenes.catalogue: {file}: holds a feature that is not a STAC item")
        try:
            _time(item)
            if shape(item["geometry"]).is_empty:
                raise ValueError("empty")
        except (KeyError, TypeError, ValueError, AttributeError, ShapelyError):
            raise InputError(f"scenes.catalogue: {file}: item {item['id']} has no valid datetime or geometry") from None
    return items


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


def _with_absolute_hrefs(item: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    assets = {}
    for key, asset in item["assets"].items():
        href = asset.get("href", "")
        if "://" not in href and not href.startswith("/"):
            href = str((folder / href).resolve())
        assets[key] = {**asset, "href": href}
    return {**item, "assets": assets}


def _time(item: Mapping[str, Any]) -> dt.datetime:
    text = item["properties"].get("datetime") or item["properties"]["start_datetime"]
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))


def band_of(key: str, asset: Mapping[str, Any]) -> str | None:
    """Sentinel-2 band of an asset: by its band metadata, then by its key; None for anything else.

    Several bands in one file (previews) and the provider's JPEG 2000 twins of an item's GeoTIFFs are nothing.
    """
    bands = asset.get("eo:bands") or asset.get("bands") or []
    if len(bands) > 1 or key.endswith("-jp2"):
        return None
    for band in bands:
        if (name := str(band.get("name", "")).upper()) in BANDS:
            return name
        common = band.get("common_name") or band.get("eo:common_name")
        if common in COMMON_NAMES:
            return COMMON_NAMES[common]
    if key in KEYS:
        return KEYS[key]
    name = re.sub(r"_(10|20|60)m$", "", key).upper()
    return name if name in BANDS else None


def band_files(item: Mapping[str, Any], configured: Mapping[str, str] | None = None) -> dict[str, str]:
    """File or URL of every band of an item; the finest where an item has a band twice."""
    files: dict[str, str] = {}
    for key, asset in sorted(item["assets"].items(), key=lambda pair: (_pixel_size(*pair), pair[0])):
        band = band_of(key, asset)
        if band and band not in files:
            files[band] = asset["href"]
    for band, key in (configured or {}).items():
        if key in item["assets"]:
            files[band] = item["assets"][key]["href"]
    return files


def _pixel_size(key: str, asset: Mapping[str, Any]) -> float:
    """Pixel size of an asset in metres as its metadata or its key tells; infinite if nothing does."""
    if asset.get("gsd"):
        return float(asset["gsd"])
    for band in asset.get("raster:bands") or []:
        if band.get("spatial_resolution"):
            return float(band["spatial_resolution"])
    if asset.get("proj:transform"):
        return abs(float(asset["proj:transform"][0]))
    match = re.search(r"_(\d+)m$", key) or re.search(r"R(\d+)m/", str(asset.get("href", "")))
    return float(match[1]) if match else float("inf")


def baseline_of(item: Mapping[str, Any]) -> str:
    """Processing baseline such as ``05.10``; empty if the item does not tell."""
    props = item["properties"]
    for key in ("s2:processing_baseline", "processing:version", "sentinel:processing_baseline"):
        if match := re.fullmatch(r"N?(\d\d)\.?(\d\d)", str(props.get(key, ""))):
            return f"{match[1]}.{match[2]}"
    for text in (str(props.get("s2:product_uri", "")), str(item["id"])):
        if match := re.search(r"_N(\d\d)\.?(\d\d)(_|$)", text):
            return f"{match[1]}.{match[2]}"
    return ""


def offset_decision(item: Mapping[str, Any], setting: str = "auto") -> tuple[int, str]:
    """Digital numbers to subtract from an item's reflectance, and why (sentinel2.md, offset rule).

    Parameters
    ----------
    item : mapping
        STAC item.
    setting : str
        ``auto`` for the rule; ``none`` and ``subtract`` overrule it.
    """
    if setting == "none":
        return 0, "boa_offset = none"
    if setting == "subtract":
        return OFFSET, "boa_offset = subtract"
    props, baseline = item["properties"], baseline_of(item)
    later = bool(baseline) and tuple(int(p) for p in baseline.split(".")) >= OFFSET_BASELINE
    raster = _raster_offset(item)
    flag = props.get("earthsearch:boa_offset_applied", props.get("sentinel:boa_offset_applied"))
    if flag is True:
        return 0, "offset applied already, by flag"
    if flag is False:
        if later or raster == -OFFSET:
            return OFFSET, f"flag says not applied, {f'baseline {baseline}' if later else 'raster offset -0.1'}"
        return 0, f"no offset before baseline 04.00 ({baseline or 'unknown'})"
    if raster is not None:
        return (OFFSET, "raster offset -0.1") if raster == -OFFSET else (0, f"raster offset {raster / 10000:g}")
    return (OFFSET, f"baseline {baseline}") if later else (0, f"no offset before baseline 04.00 ({baseline or 'unknown'})")


def _raster_offset(item: Mapping[str, Any]) -> int | None:
    """Offset in digital numbers that the reflectance assets declare, or None."""
    for key, asset in item["assets"].items():
        band = band_of(key, asset)
        if band and band != SCL:
            for entry in asset.get("raster:bands") or asset.get("bands") or []:
                offset = entry.get("offset", entry.get("raster:offset"))
                scale = entry.get("scale", entry.get("raster:scale")) or 0.0001
                if offset is not None:
                    return round(offset / scale)
    return None


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
    for item in sorted((i for i in named if not i["properties"].get("s2:datatake_id")), key=_time):
        platform, _, day = item["overpass"].split("|")
        began, name = first.get((platform, day), (None, ""))
        if began is None or _time(item) - began > dt.timedelta(minutes=OVERPASS_MINUTES):
            began, name = first[platform, day] = _time(item), item["overpass"]
        item["overpass"] = name
    return named


def overpass_of(item: Mapping[str, Any]) -> str:
    """Name of the overpass: platform, datatake without its baseline, solar day; granules of one overpass share it."""
    props, time = item["properties"], _time(item)
    datatake = re.sub(r"_N\d\d\.?\d\d$", "", str(props.get("s2:datatake_id", "")))
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
    update time; an item that is there twice counts once. Items without all bands are left out. The order of `items` does
    not matter.
    """
    dropped: dict[str, str] = {}
    best: dict[tuple[str, str], dict[str, Any]] = {}
    for item in _with_overpass(sorted(items, key=lambda i: str(i["id"]))):
        files = band_files(item, bands)
        if missing := [band for band in BANDS if band not in files]:
            dropped[item["id"]] = f"has no asset for {', '.join(missing)}"
            continue
        key = (item["overpass"], mgrs_of(item) or str(item.get("bbox")))
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
                item["id"], _time(item).isoformat(), overpass, mgrs, baseline_of(item),
                item["properties"].get("eo:cloud_cover"), subtract, reason, band_files(item, bands),
            )
        )  # fmt: skip
    return SceneList(tuple(sorted(scenes, key=lambda s: (s.datetime, s.id))), dropped)


def _age(item: Mapping[str, Any]) -> tuple[str, str, str]:
    props = item["properties"]
    return baseline_of(item), str(props.get("s2:generation_time", "")), str(props.get("updated", ""))
