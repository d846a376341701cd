"""EEA reference grid tiles of 100 km (EPSG:3035) and the two official lists of HRL tiles.

Lists: the tiles of the EEA delivery check, editions 2018-2021 (EEA38, 845 tiles) and 2021-2024 (EEA38 + UK, 974).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from odc.geo.geobox import GeoBox

from imperv.grids.specs import spec_of

CRS = "EPSG:3035"
"""ETRS89-extended / LAEA Europe."""

TILE_METRES = 100_000
"""Edge of an EEA reference tile."""

EDITIONS = {"eea38-2021": "eea38_tiles_2021.txt", "eea38-2024": "eea38_tiles_2024.txt"}
"""Name of an official list as written in a production file, and its packaged file."""

EDITION_YEARS = {"eea38-2021": ("2018", "2021"), "eea38-2024": ("2021", "2024")}
"""Years of the production that a list belongs to."""

NEWEST = "eea38-2024"
"""The list that is taken where none is named."""

COUNTRIES = "countries.json"
"""Packaged file: ISO 3166 code to the tiles of the lists within 15 km of the country."""

_NAME = re.compile(r"E(\d{2})N(\d{2})")


@cache
def official_tiles(edition: str) -> tuple[str, ...]:
    """Names of all tiles of an official list, "eea38-2021" or "eea38-2024", in alphabetical order; ValueError for another."""
    if edition not in EDITIONS:
        raise ValueError(f"no official tile list {edition!r}: choose one of {', '.join(EDITIONS)}")
    text = resources.files("imperv.grids").joinpath("data", EDITIONS[edition]).read_text(encoding="ascii")
    return tuple(sorted(text.split()))


@cache
def country_tiles(code: str) -> tuple[str, ...]:
    """Tiles of the official lists that a country touches, in alphabetical order; ValueError if there is no such country.

    `code` is the ISO 3166 code of a member of the EEA or a cooperating country, ``"GB"`` or ``"XK"`` (Kosovo, as Eurostat does).

    From the land polygons of Natural Earth 1:110 million (public domain) with 15 km around them, and rectangles for islands and
    small states that it leaves out. Tiles of open sea belong to no country. Where borders matter to the kilometre, give an
    outline of your own (`aoi` of the production file).
    """
    table = _countries()
    if code not in table:
        raise ValueError(f"no tiles are known of country {code!r}: choose among {' '.join(table)}")
    return tuple(table[code].split())


@cache
def _countries() -> dict[str, str]:
    table: dict[str, str] = json.loads(resources.files("imperv.grids").joinpath("data", COUNTRIES).read_text(encoding="ascii"))
    return table


def countries_of(tile: Tile) -> tuple[str, ...]:
    """ISO 3166 codes of the countries that touch a tile, as `country_tiles` knows them, in alphabetical order."""
    return tuple(sorted(code for code in _countries() if tile.name in country_tiles(code)))


@cache
def _all_official() -> frozenset[str]:
    return frozenset().union(*(official_tiles(edition) for edition in EDITIONS))


@dataclass(frozen=True, order=True)
class Tile:
    """One 100 km tile of the EEA reference grid, such as ``Tile("E43N32")``.

    Raises
    ------
    ValueError
        If the name is not of the form ``E43N32`` or the tile is on neither official list.
    """

    name: str = field()
    """Column and row of the lower-left corner in units of 100 km."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not the name of an EEA 100 km tile: write it like E43N32{_hint(self.name)}")
        if self.name not in _all_official():
            raise ValueError(
                f"{self.name} is not an official tile: it is on neither the eea38-2021 nor the eea38-2024 list "
                f"(open sea, or outside the EEA38 and UK){_hint(self.name)}"
            )

    def __str__(self) -> str:
        return self.name

    @property
    def index(self) -> tuple[int, int]:
        """(east, north) of the lower-left corner in units of 100 km."""
        return int(self.name[1:3]), int(self.name[4:6])

    @property
    def bounds(self) -> tuple[int, int, int, int]:
        """(left, bottom, right, top) in EPSG:3035 metres."""
        east, north = self.index
        left, bottom = east * TILE_METRES, north * TILE_METRES
        return left, bottom, left + TILE_METRES, bottom + TILE_METRES

    def geobox(self, resolution: float) -> GeoBox:
        """Pixel grid of the whole tile, north-up.

        Parameters
        ----------
        resolution : float
            Pixel size in metres: one of `SPECS` that divides 100 km.

        Raises
        ------
        ValueError
            For another resolution.
        """
        check_divides(resolution)
        return GeoBox.from_bbox(self.bounds, crs=CRS, resolution=resolution, tight=True)

    def neighbours(self) -> tuple[Tile, ...]:
        """Up to eight adjoining tiles that exist on an official list, ordered by name."""
        east, north = self.index
        names = (f"E{east + i:02d}N{north + j:02d}" for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0))
        return tuple(sorted(Tile(name) for name in names if name in _all_official()))

    def distance(self, other: Tile) -> float:
        """Distance between the lower-left corners in metres."""
        (east, north), (east2, north2) = self.index, other.index
        return TILE_METRES * ((east - east2) ** 2 + (north - north2) ** 2) ** 0.5


def check_divides(resolution: float) -> None:
    """ValueError for a resolution that no layer has, or that does not divide a tile."""
    if not spec_of(resolution).tiles:
        raise ValueError(f"resolution {resolution:g} m does not divide the 100 km of a tile; it is for UTM grids (`utm_geobox`)")


def resolve_tile(text: str) -> Tile:
    """The tile that somebody means, who may write its name in any case; ValueError names close ones if there is none."""
    return Tile(text.strip().upper())


def _hint(name: object) -> str:
    """Official names that look like a wrong one: those with the same letters and digits, else close ones."""
    import difflib

    text = str(name).strip().upper()
    official = sorted(_all_official())
    turned = [other for other in official if sorted(other) == sorted(text)]
    close = difflib.get_close_matches(text, turned or official, n=3, cutoff=0.5 if turned else 0.75)
    return f"; did you mean {', '.join(close)}?" if close else ""


def nearest_tiles(tile: Tile, candidates: list[Tile], count: int) -> list[Tile]:
    """The `count` nearest of `candidates`, nearest first, ties by name; `tile` itself is left out."""
    return sorted((c for c in candidates if c != tile), key=lambda c: (tile.distance(c), c.name))[:count]
