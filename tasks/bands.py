"""Which file of a STAC item is which band of Sentinel-2, and what its digital numbers mean: level, baseline, offset.

The rules of band names and of the offset of processing baseline 04.00 are here; which items are used is decided in
`tasks.scenes`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

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


def is_top_of_atmosphere(item: Mapping[str, Any]) -> bool:
    """True for Level-1C, which measures the air along with the ground.

    Told by product type or level, then by collection, then by the name of the product.
    """
    props = item["properties"]
    for key in ("s2:product_type", "product:type", "processing:level"):
        if level := re.search(r"(1C|2A)$", str(props.get(key, "")).upper()):
            return level[1] == "1C"
    if level := re.search(r"l(1c|2a)", str(item.get("collection") or "").lower()):
        return level[1] == "1c"
    return "MSIL1C" in f"{props.get('s2:product_uri', '')} {item['id']}"


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
            # STAC 1.1 lets an asset speak for its only band.
            for entry in (*(asset.get("raster:bands") or asset.get("bands") or []), asset):
                offset = entry.get("raster:offset", entry.get("offset"))
                scale = entry.get("raster:scale", entry.get("scale")) or 0.0001
                if offset is not None:
                    return round(offset / scale)
    return None
