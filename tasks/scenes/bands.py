"""Which file of a STAC item is which band of Sentinel-2, and what its digital numbers mean: level, baseline, offset."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from math import isfinite
from typing import Any

from imperv.layers.reflectance import ALL_BANDS, BANDS, REFLECTANCE_10M, REFLECTANCE_20M, REFLECTANCE_60M, SCL
from imperv.tasks.errors import ItemError
from imperv.tasks.scenes.identifiers import baseline_of, level_by_name, stated_level

__all__ = [
    "BANDS", "CLASSI", "PIXEL", "REFLECTANCE_10M", "REFLECTANCE_20M", "SCL", "band_files", "band_of", "baseline_of",
    "is_top_of_atmosphere", "level_of", "number", "offset_decision",
]  # fmt: skip

PIXEL = {
    **dict.fromkeys(REFLECTANCE_10M, 10), **dict.fromkeys((*REFLECTANCE_20M, SCL), 20), **dict.fromkeys(REFLECTANCE_60M, 60),
}  # fmt: skip
"""Metres at which each band is measured, or made (SCL)."""

CLASSI = "CLASSI"
"""Mask of Level-1C since baseline 04.00, ``MSK_CLASSI_B00``: opaque cloud, cirrus and snow, one band each, at 60 m."""

OFFSET = 1000
"""Digital numbers added since processing baseline 04.00 (reflectance offset -0.1 at scale 0.0001)."""

OFFSET_BASELINE = (4, 0)
"""First processing baseline with the offset."""

COMMON_NAMES = {
    "blue": "B02", "green": "B03", "red": "B04", "nir": "B08", "rededge071": "B05", "rededge075": "B06",
    "rededge078": "B07", "nir08": "B8A", "swir16": "B11", "swir22": "B12", "coastal": "B01", "nir09": "B09", "cirrus": "B10",
}  # fmt: skip
"""STAC EO common names that stand for exactly one Sentinel-2 band."""

KEYS = {
    **{key: band for key, band in COMMON_NAMES.items() if not key.startswith("rededge")},
    "rededge1": "B05", "rededge2": "B06", "rededge3": "B07", "scl": SCL,
}  # fmt: skip
"""Asset keys of Earth Search; others carry the band name itself, such as ``B02`` or ``B02_10m``."""


ORIGINAL = "-jp2"
"""End of the keys of Earth Search's assets that are the provider's own files, beside GeoTIFFs made from them."""


LISTS_OFFSETS = "safe:lists_offsets"
"""Property of an item made from a SAFE product: false where its metadata has no list of offsets, which then are 0."""


def number(said: object, what: str) -> float:
    """A number that an item says, also as text; ItemError if it is none."""
    try:
        if isinstance(said, str | int | float) and not isinstance(said, bool) and isfinite(found := float(said)):
            return found
    except (ValueError, OverflowError):
        pass
    raise ItemError(f"its {what} is {said!r:.60}, not a number")


def band_of(key: str, asset: Mapping[str, Any]) -> str | None:
    """Sentinel-2 band of an asset: by its band metadata, then by its key; None for anything else.

    Several bands in one file (previews) and the provider's JPEG 2000 twins of an item's GeoTIFFs are nothing.
    """
    bands = _entries(asset, "eo:bands") or _entries(asset, "bands")
    if len(bands) > 1 or key.endswith(ORIGINAL):
        return None
    for band in bands:
        if (name := str(band.get("name", "")).upper()) in ALL_BANDS:
            return name
        common = str(band.get("common_name") or band.get("eo:common_name"))
        if common in COMMON_NAMES:
            return COMMON_NAMES[common]
    if key in KEYS:
        return KEYS[key]
    name = re.sub(r"_(10|20|60)m$", "", key).upper()
    if name.startswith("MSK_CLASSI"):
        return CLASSI
    return name if name in ALL_BANDS else None


def _entries(asset: Mapping[str, Any], field: str) -> list[Mapping[str, Any]]:
    """Entries of a list of an asset; none where it is no list."""
    found = asset.get(field)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def band_files(
    item: Mapping[str, Any], configured: Mapping[str, str] | None = None, needed: Collection[str] = BANDS
) -> dict[str, str]:
    """File or URL of every band of an item that is `needed`; the finest where an item has a band twice.

    GeoTIFFs and the provider's JPEG 2000 are never mixed, since their offsets differ: JPEG 2000 only where GeoTIFFs are missing.
    """
    return {band: item["assets"][key]["href"] for band, key in _chosen(item, configured, needed).items()}


def _chosen(item: Mapping[str, Any], configured: Mapping[str, str] | None, needed: Collection[str]) -> dict[str, str]:
    """Key of the asset of every band."""
    made: dict[str, str] = {}
    originals: dict[str, str] = {}
    found = ((key, band_of(key.removesuffix(ORIGINAL), asset)) for key, asset in item["assets"].items())
    ours = [(key, band) for key, band in found if band and band in needed]
    for key, band in sorted(ours, key=lambda pair: (_preference(pair[1], pair[0], item["assets"][pair[0]]), pair[0])):
        (originals if key.endswith(ORIGINAL) else made).setdefault(band, key)
    known = {band: key for band, key in (configured or {}).items() if key in item["assets"] and band in needed}
    return max({**made, **known}, {**originals, **known}, key=len)


def _preference(band: str, key: str, asset: Mapping[str, Any]) -> float:
    """Sort key of an asset of a band: finer first, but of bands of 60 m, which also come resampled to 20 m, 60 m before all."""
    size = _pixel_size(key, asset)
    return 0 if band in REFLECTANCE_60M and size == PIXEL[band] else size


def _pixel_size(key: str, asset: Mapping[str, Any]) -> float:
    """Pixel size of an asset in metres, by its metadata or its key; infinite if unknown."""
    if asset.get("gsd"):
        return number(asset["gsd"], f"gsd of {key}")
    for band in _entries(asset, "raster:bands"):
        if band.get("spatial_resolution"):
            return number(band["spatial_resolution"], f"spatial_resolution of {key}")
    if isinstance(transform := asset.get("proj:transform"), list) and transform:
        return abs(number(transform[0], f"proj:transform of {key}"))
    match = re.search(r"_(\d+)m$", key) or re.search(r"R(\d+)m/", str(asset.get("href", "")))
    return float(match[1]) if match else float("inf")


def level_of(item: Mapping[str, Any]) -> str:
    """``L1C``, ``L2A``, or empty: by product type or level, then by collection, then by the product's name."""
    match = re.search(r"l(1c|2a)", str(item.get("collection") or "").lower())
    level = stated_level(item) or (match[1].upper() if match else level_by_name(item))
    return f"L{level}" if level else ""


def is_top_of_atmosphere(item: Mapping[str, Any]) -> bool:
    """True for Level-1C."""
    return level_of(item) == "L1C"


def offset_decision(
    item: Mapping[str, Any],
    setting: str = "auto",
    configured: Mapping[str, str] | None = None,
    needed: Collection[str] = BANDS,
) -> tuple[int, str]:
    """Digital numbers to subtract from an item's reflectance, and why (docs/dev/sentinel2.md, section 2).

    `setting` is ``auto`` for the rule; ``none`` and ``subtract`` overrule it. ItemError if a flag or an offset is no number, or
    bands have different offsets.
    """
    if setting == "none":
        return 0, "boa_offset = none"
    if setting == "subtract":
        return OFFSET, "boa_offset = subtract"
    baseline, chosen = baseline_of(item), _chosen(item, configured, needed)
    later = bool(baseline) and tuple(int(p) for p in baseline.split(".")) >= OFFSET_BASELINE
    raster = _raster_offset(item, chosen)
    # The flags speak of the GeoTIFFs that the catalogue has made.
    flag = None if any(key.endswith(ORIGINAL) for key in chosen.values()) else _flag(item)
    if flag is True:
        return 0, "offset applied already, by flag"
    if flag is False:
        if later or raster == -OFFSET:
            return OFFSET, f"flag says not applied, {f'baseline {baseline}' if later else 'raster offset -0.1'}"
        return 0, f"no offset before baseline 04.00 ({baseline or 'unknown'})"
    if raster is not None:
        return (OFFSET, "raster offset -0.1") if raster == -OFFSET else (0, f"raster offset {raster / 10000:g}")
    if later and item["properties"].get(LISTS_OFFSETS) is False:
        return 0, f"no list of offsets in the product ({baseline})"
    return (OFFSET, f"baseline {baseline}") if later else (0, f"no offset before baseline 04.00 ({baseline or 'unknown'})")


def _flag(item: Mapping[str, Any]) -> bool | None:
    """The catalogue's flag of a removed offset; None without one."""
    for key in ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied"):
        said = item["properties"].get(key)
        if said is not None:
            flag = {"true": True, "1": True, "false": False, "0": False}.get(str(said).strip().lower())
            if flag is None:
                raise ItemError(f"its {key} is {said!r:.60}, neither true nor false")
            return flag
    return None


def _raster_offset(item: Mapping[str, Any], chosen: Mapping[str, str]) -> int | None:
    """Offset in digital numbers that the reflectance assets declare, or None."""
    found = set()
    for band, key in chosen.items():
        if band not in (SCL, CLASSI) and (offset := _declared(key, item["assets"][key])) is not None:
            found.add(offset)
    if len(found) > 1:
        raise ItemError("its bands have different offsets")
    return found.pop() if found else None


def _declared(key: str, asset: Mapping[str, Any]) -> int | None:
    """Offset of an asset in digital numbers."""
    if (said := asset.get("raster:bands")) is not None and not isinstance(said, list):
        raise ItemError(f"its raster:bands of {key} is no list")
    # STAC 1.1 lets an asset speak for its only band.
    for entry in (*(_entries(asset, "raster:bands") or _entries(asset, "bands")), asset):
        offset = entry.get("raster:offset", entry.get("offset"))
        if offset is not None:
            scale = number(entry.get("raster:scale", entry.get("scale")) or 0, f"scale of {key}") or 0.0001
            return round(number(offset, f"offset of {key}") / scale)
    return None


def stated_nodata(
    item: Mapping[str, Any], configured: Mapping[str, str] | None = None, needed: Collection[str] = BANDS
) -> dict[str, float]:
    """Value without data of bands, where an item says another than 0."""
    found = {}
    for band, key in _chosen(item, configured, needed).items():
        asset = item["assets"][key]
        for entry in (*(_entries(asset, "raster:bands") or _entries(asset, "bands")), asset):
            said = entry.get("nodata")
            if isinstance(said, int | float) and not isinstance(said, bool) and said:
                found[band] = float(said)
    return found
