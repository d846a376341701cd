"""Identifiers of a Sentinel-2 product, in one spelling: platform, MGRS tile, datatake, datastrip, baseline, level, name.

Catalogues write the same look as ``sentinel-2a`` or ``S2A``, ``31UDS`` or ``T31UDS``, with or without the baseline at the end of
a datatake.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

Item = Mapping[str, Any]

OWN_BASELINE = "99.99"
"""Baseline of Sen2Cor outside of the provider's own processing: no baseline that others come before or after."""

STAMP = "%Y%m%dT%H%M%S"

_PLATFORM = re.compile(r"S(?:ENTINEL)?[-_ ]?2[-_ ]?([A-D])")
_IN_NAME = re.compile(r"G?S2([A-D])_")
_TILE = re.compile(r"(?:MGRS[-_ ]?)?T?(\d{1,2})([C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V])")
_TILE_IN_NAME = re.compile(r"_T?(\d{1,2})([C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V])(?:_|$)")
_DATATAKE = re.compile(r"G?(S2[A-D]_(\d{8}T\d{6})_\d+)(?:_N\d\d\.?\d\d)?")
_DATASTRIP = re.compile(r"DS_([A-Z0-9_]*\d{8}T\d{6})_S(\d{8}T\d{6})")
_PRODUCT = re.compile(
    r"S2([A-D])_MSIL(1C|2A)_(\d{8}T\d{6})_(?:N\d{4}_)?R\d{3}_T(\d\d[C-X][A-Z]{2})_(\d{8}T\d{6})(?:\.SAFE)?"
)  # fmt: skip


class Product(NamedTuple):
    """The provider's name of a product, without its baseline and orbit, which some catalogues leave out."""

    satellite: str
    level: str
    datatake: str
    """Start of the datatake."""
    mgrs: str
    discriminator: str
    """Distinguishes products of one datatake and tile: parts of it, and processings."""


class Datastrip(NamedTuple):
    """A piece of a datatake as it was received; the start stays when it is processed again."""

    start: str
    made: str
    """Place and time of its processing."""


def _said(item: Item, *keys: str) -> Iterator[str]:
    """Properties of an item, as upper-case text."""
    props = item["properties"]
    for key in keys:
        if isinstance(value := props.get(key), str | int | float) and (text := str(value).strip()):
            yield text.upper()


def _names(item: Item) -> Iterator[str]:
    """Names of an item: that of the product, and its id."""
    yield from _said(item, "s2:product_uri", "sentinel:product_id")
    yield str(item["id"]).upper()


def platform_of(item: Item) -> str:
    """Satellite, such as ``sentinel-2a``; empty if unknown."""
    for text in _said(item, "platform"):
        if match := _PLATFORM.fullmatch(text):
            return f"sentinel-2{match[1].lower()}"
        if text not in ("SENTINEL-2", "SENTINEL2"):
            return text.lower()
    for text in (*_said(item, *DATATAKE_KEYS), *_names(item)):
        if match := _IN_NAME.match(text):
            return f"sentinel-2{match[1].lower()}"
    return ""


def mgrs_of(item: Item) -> str:
    """MGRS tile such as ``32UPU``; empty if unknown."""
    for text in _said(item, "grid:code", "s2:mgrs_tile"):
        if match := _TILE.fullmatch(text):
            return match[1].rjust(2, "0") + match[2]
    for prefix in ("mgrs", "sentinel"):
        parts = "".join(_said(item, f"{prefix}:utm_zone", f"{prefix}:latitude_band", f"{prefix}:grid_square"))
        if match := _TILE.fullmatch(parts):
            return match[1].rjust(2, "0") + match[2]
    for text in _names(item):
        if match := _TILE_IN_NAME.search(text):
            return match[1].rjust(2, "0") + match[2]
    return ""


DATATAKE_KEYS = ("s2:datatake_id", "eopf:datatake_id")


def datatake_of(item: Item) -> str:
    """Datatake such as ``GS2A_20210612T101031_031193``, without the baseline; empty if unknown."""
    for text in _said(item, *DATATAKE_KEYS):
        match = _DATATAKE.fullmatch(text)
        return f"G{match[1]}" if match else re.sub(r"_N\d\d\.?\d\d$", "", text)
    return ""


def datatake_start(item: Item) -> dt.datetime | None:
    """When the datatake began, UTC, by its own name or that of the product."""
    match = _DATATAKE.match(datatake_of(item))
    product = product_of(item)
    with suppress(ValueError):
        return dt.datetime.strptime(match[2] if match else product.datatake if product else "", STAMP).replace(tzinfo=dt.UTC)
    return None


def datastrip_of(item: Item) -> Datastrip | None:
    """Datastrip; None if unknown."""
    for text in _said(item, "s2:datastrip_id", "eopf:datastrip_id"):
        if match := _DATASTRIP.search(text):
            return Datastrip(match[2], match[1])
    return None


def product_of(item: Item) -> Product | None:
    """The provider's name; None if unknown."""
    for text in _names(item):
        if match := _PRODUCT.fullmatch(text):
            return Product(*match.groups())
    return None


def baseline_of(item: Item) -> str:
    """Processing baseline such as ``05.10``, empty if unknown; of numbers that lost their zeros too: 4.0 is 04.00."""
    for text in _said(item, "s2:processing_baseline", "processing:version", "sentinel:processing_baseline"):
        if match := re.fullmatch(r"N?(\d{1,2})\.(\d{1,2})|N?(\d\d)(\d\d)", text):
            major, minor = match[1] or match[3], match[2] or match[4]
            return f"{major.rjust(2, '0')}.{minor.ljust(2, '0')}"
    for text in _names(item):
        if match := re.search(r"_N(\d\d)\.?(\d\d)(_|$)", text):
            return f"{match[1]}.{match[2]}"
    return ""


def stated_level(item: Item) -> str:
    """Level of processing by type: ``1C``, ``2A`` or empty."""
    for text in _said(item, "s2:product_type", "product:type", "processing:level"):
        if level := re.search(r"(1C|2A)$", text):
            return level[1]
    return ""


def level_by_name(item: Item) -> str:
    """Level of processing by the name of the product or of the item: ``1C``, ``2A`` or empty."""
    for text in _names(item):
        if level := re.search(r"_(?:MSI_?)?L(1C|2A)(?:_|$)", text):
            return level[1]
    return ""
