"""Records: the STAC Item that says that a layer is done, what it was made from, and what was noticed.

A record's key is a hash of algorithm version, parameters, window and its inputs' records; same key and data in place means up to
date. Records are written last and atomically.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import pystac
from shapely.geometry import box, mapping

from imperv.tasks.addresses import shown
from imperv.tasks.projections import in_degrees

PREFIX = "imperv:"
"""Prefix of our properties in the STAC item."""


def digest_of(value: object) -> str:
    """Short hash of anything that JSON can hold."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Record:
    """What is known of one finished layer."""

    symbol: str
    """Layer."""
    tile: str
    """EEA tile."""
    key: str
    """Hash of everything the layer depends on."""
    digest: str = ""
    """Hash of the pixels (or model, list, coefficients) themselves."""
    ingredients: Mapping[str, Any] = field(default_factory=dict)
    """What the key was made of: version, window, parameters, inputs; to explain why a layer is out of date."""
    made: bool = True
    """False where the layer is not made, such as confidence without an ensemble."""
    reason: str = ""
    """Why it is not made."""
    href: str = ""
    """Data, relative to the store."""
    beside: tuple[str, ...] = ()
    """Files that belong to the data and are not below `href`, relative to the store."""
    files: int = 0
    """Number of files of the data and beside them."""
    size: int = 0
    """Bytes of the data and of what is beside them."""
    bbox: tuple[float, float, float, float] = (0, 0, 0, 0)
    """EPSG:3035 bounds of the layer."""
    windowed: bool = False
    """True where only a window of the tile is covered."""
    start: str = ""
    """First day of the period."""
    end: str = ""
    """Last day of the period."""
    statistics: Mapping[str, Any] = field(default_factory=dict)
    """Pixel counts, scores and other results worth knowing."""
    warnings: tuple[str, ...] = ()
    """What a person should know."""
    seconds: float = 0
    """Wall time."""
    cpu_seconds: float = 0
    """Processor time of the process."""
    peak_memory: int = 0
    """Highest resident memory of the process meanwhile, bytes."""
    bytes_read: int = 0
    """Bytes that the process read meanwhile, from whatever file or connection."""
    bytes_written: int = 0
    """Bytes that it wrote, temporary files included."""
    software: Mapping[str, str] = field(default_factory=dict)
    """Versions."""
    created: str = ""
    """When, UTC."""

    def __post_init__(self) -> None:
        """Keep signatures of addresses out of the texts; ingredients, which hold addresses by identity, stay to the letter."""
        for name in ("reason", "statistics", "warnings"):
            object.__setattr__(self, name, _shown(getattr(self, name)))

    @property
    def version(self) -> str:
        """What layers made from this one depend on: key and content."""
        return f"{self.key}:{self.digest}"

    def to_json(self) -> str:
        """The STAC Item as text."""
        lonlat = in_degrees(self.bbox)
        data = {f"{PREFIX}{k}": v for k, v in asdict(self).items() if k not in ("start", "end", "created", "href", "bbox")}
        item = pystac.Item(
            id=f"{self.tile}_{self.symbol}_{self.start}_{self.end}",
            geometry=mapping(box(*lonlat)),
            bbox=list(lonlat),
            datetime=None,
            start_datetime=dt.datetime.fromisoformat(self.start),
            end_datetime=dt.datetime.fromisoformat(self.end) + dt.timedelta(days=1, seconds=-1),
            properties={**data, "created": self.created, "proj:code": "EPSG:3035", "proj:bbox": list(self.bbox)},
            stac_extensions=["https://stac-extensions.github.io/projection/v2.0.0/schema.json"],
        )
        if self.href:
            item.add_asset("data", pystac.Asset(self.href, roles=["data"]))
        return json.dumps(item.to_dict(include_self_link=False), indent=1, default=str) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Read a STAC Item written by `to_json`.

        Raises
        ------
        ValueError
            If the text is not such a record.
        """
        try:
            item = json.loads(text)
            props = item["properties"]
            known = {f.name for f in fields(cls)}
            values = {k.removeprefix(PREFIX): v for k, v in props.items() if k.startswith(PREFIX)}
            values = {k: v for k, v in values.items() if k in known}
            for name in ("warnings", "beside"):
                values[name] = tuple(values.get(name, ()))
            return cls(
                **values,
                href=item["assets"].get("data", {}).get("href", ""),
                bbox=tuple(props["proj:bbox"]),
                start=props["start_datetime"][:10],
                end=props["end_datetime"][:10],
                created=props["created"],
            )
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"not a record: {error}") from None


def _shown(value: Any) -> Any:
    """A value with the addresses in its texts as people may see them."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, Mapping):
        return {_shown(k): _shown(v) for k, v in value.items()}
    return type(value)(map(_shown, value)) if isinstance(value, list | tuple) else value


def explain_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What changed between the ingredients of two keys, in a few words."""
    words = []
    for part in sorted(set(old) | set(new)):
        a, b = old.get(part), new.get(part)
        if a == b:
            continue
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            changed = [k for k in sorted(set(a) | set(b)) if a.get(k) != b.get(k)]
            if part == "parameters":
                words += [f"{k} {a.get(k, '(new)')} -> {b.get(k, '(gone)')}" for k in changed]
            else:
                words += [f"{part.rstrip('s')} {k} changed" for k in changed]
        else:
            words.append(f"{part} changed")
    return ", ".join(words) or "made by an earlier version"
