"""Attributes that mark a shape as no building, or as under ground.

Known are OpenStreetMap's tags, Geofabrik's classes, Overture's flags, and what cadastres (ALKIS, BGT) call the same. Shapes
without such attributes are taken for buildings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NO_BUILDING, UNDER_GROUND = 1, 2
REASONS = {NO_BUILDING: "no buildings", UNDER_GROUND: "under ground"}
"""Meaning of the codes of `of_columns` and `of_texts`; 0 is a building."""

UNBUILT = ("no", "proposed", "planned", "razed", "demolished")
"""Values of OpenStreetMap's ``building`` of what is not there."""

DEPTHS = ("layer", "level", "relatievehoogteligging", "hoogtelig")
"""Numbers that are negative under ground: OpenStreetMap and Overture; BGT and its shapefiles."""

PLACES = ("location", "lagezurerdoberflaeche", "ofl", "oflbez", "rellage", "isunderground")
"""Words for it: OpenStreetMap; ALKIS and its exports; Overture."""

UNDER = ("underground", "1200", "unter der erdoberfläche", "true")
"""Their values for under ground, in small letters."""

PARTS = ("building", "buildingpart")
"""OpenStreetMap's keys of buildings."""

OTHERS = ("landuse", "natural", "leisure")
"""Its keys of other areas: beside them, what has no key of buildings is none."""

IDS = ("osmid", "osmwayid")
"""Columns of extracts of it."""

TAGS = ("othertags", "alltags", "tags")
"""Columns that hold any number of tags: text of GDAL's OSM driver, JSON, maps."""

KNOWN = frozenset((*DEPTHS, *PLACES, *PARTS, *OTHERS, *IDS, *TAGS, "fclass"))

_NEGATIVE = r"-[0-9.]*[1-9][0-9.]*"
_BELOW = rf"^\s*{_NEGATIVE}(\s*;\s*{_NEGATIVE})*\s*$"
# JSON and hstore alike: "layer": -1, "layer"=>"-1". Overture's flag is no text.
_TEXT_BELOW = (
    rf'"(layer|level)"\s*(:|=>)\s*("{_NEGATIVE}(\s*;\s*{_NEGATIVE})*"|{_NEGATIVE})\s*([,}}]|$)'
    r'|"location"\s*(:|=>)\s*"underground"|"is_underground"\s*:\s*true'
)
_TEXT_UNBUILT = rf'"building"\s*:\s*"({"|".join(UNBUILT)})"'
_TEXT_BUILDING, _TEXT_OTHER = r'"building(:part)?"\s*:\s*"', rf'"({"|".join(OTHERS)})"\s*:\s*"'
_TEXT_ANY = f'"(layer|level|location|is_underground|building|{"|".join(OTHERS)})"'


def known(names: Iterable[str]) -> list[str]:
    """Columns that may mark something."""
    return [name for name in names if _plain(name) in KNOWN]


def of_columns(table: pa.RecordBatch, names: Sequence[str]) -> np.ndarray:
    """Codes of shapes, (n,) uint8, by columns (`names`, from `known`): 0, `NO_BUILDING` or `UNDER_GROUND`."""
    columns: dict[str, pa.Array] = {}
    below = np.zeros(table.num_rows, bool)
    for name in names:
        column, plain = table.column(name), _plain(name)
        if pa.types.is_map(column.type):
            for key in ("layer", "level", "location", "building", "building:part", *OTHERS):
                columns.setdefault(_plain(key), _text(pc.map_lookup(column, key, "first")))
        elif (text := _text(column)) is not None:
            if plain in TAGS:
                below |= _matches(text, _TEXT_BELOW)
            else:
                columns[plain] = text
    for plain, text in columns.items():
        if plain in DEPTHS:
            below |= _matches(text, _BELOW)
        elif plain in PLACES:
            below |= _among(text, UNDER)
    found = np.zeros(table.num_rows, np.uint8)
    found[below] = UNDER_GROUND
    found[_no_building(columns, table.num_rows)] = NO_BUILDING
    return found


def _no_building(columns: dict[str, pa.Array], rows: int) -> np.ndarray:
    none = np.zeros(rows, bool)
    if "fclass" in columns:
        none |= ~_among(columns["fclass"], ("building",))
    if "building" in columns:
        none |= _among(columns["building"], UNBUILT)
    if any(key in columns for key in PARTS) and any(key in columns for key in (*OTHERS, *IDS)):
        given = [~_among(pc.fill_null(columns[key], ""), ("",)) for key in PARTS if key in columns]
        none |= ~np.logical_or.reduce(given)
    return none


def of_texts(lines: np.ndarray) -> np.ndarray:
    """Codes of GeoJSON features, as of `of_columns`, by their properties, read as text."""
    text = pa.array(lines, pa.binary())
    if not _matches(text, _TEXT_ANY).any():  # most files have none of them
        return np.zeros(len(lines), np.uint8)
    found = np.where(_matches(text, _TEXT_BELOW), np.uint8(UNDER_GROUND), np.uint8(0))
    found[_matches(text, _TEXT_UNBUILT) | (_matches(text, _TEXT_OTHER) & ~_matches(text, _TEXT_BUILDING))] = NO_BUILDING
    return found


def _plain(name: str) -> str:
    """A name as it is compared: lage_zur_erdoberflaeche is lageZurErdoberflaeche."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _text(column: pa.Array) -> pa.Array | None:
    """Values as text in small letters; None for what is none, such as a structure."""
    try:
        return pc.utf8_lower(pc.utf8_trim_whitespace(column.cast(pa.string())))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _among(text: pa.Array, values: Sequence[str]) -> np.ndarray:
    return _true(pc.is_in(text, pa.array(values, pa.string())))


def _matches(text: pa.Array, pattern: str) -> np.ndarray:
    return _true(pc.match_substring_regex(text, pattern))


def _true(found: pa.Array) -> np.ndarray:
    return np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False), bool)
