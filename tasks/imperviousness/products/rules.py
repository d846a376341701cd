"""Rules of each delivered product and of its file name, by the EEA product definitions of both editions.

Rules are typed here, not taken from `layers.catalogue` or `layers.palette`, so that a mistake there is found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from imperv.grids import Tile, official_tiles
from imperv.tasks.family.findings import Finding, failed, passed

Rgb = tuple[int, int, int]

OUTSIDE = 255
"""The only no-data value: a histogram leaves no data out, so another one would hide a code."""


@dataclass(frozen=True)
class Rule:
    """Rules of one product, beside those of all."""

    timing: Literal["S", "C"]
    """Status of a year or change between two."""
    codes: frozenset[int]
    """Codes that may occur."""
    colours: Mapping[int, Rgb]
    """Colours that are compared, exactly."""

    @property
    def averages(self) -> bool:
        """True for percentages and their changes, whose mean is meaningful; that of classes is not."""
        return self.codes in (_PERCENT, _CHANGE)


_PERCENT = frozenset({*range(101), 255})
_CHANGE = frozenset({*range(202), 255})
_CLASSES = frozenset({0, 1, 2, 10, 11, 12, 255})
_IMD = {0: (240, 240, 240), 1: (255, 237, 195), 50: (175, 74, 51), 100: (113, 12, 2), 255: (0, 0, 0)}
_IBU = {0: (240, 240, 240), 1: (255, 178, 0), 255: (0, 0, 0)}
_SBU = {
    0: (240, 240, 240), 1: (251, 255, 214), 30: (255, 221, 0), 70: (255, 178, 0), 100: (219, 106, 6), 255: (0, 0, 0),
}  # fmt: skip
_CODED = {
    0: (3, 102, 0), 50: (63, 178, 0), 99: (127, 255, 0), 100: (178, 178, 178), 101: (255, 255, 0), 150: (255, 191, 0),
    200: (255, 0, 0), 201: (240, 240, 240), 255: (0, 0, 0),
}  # fmt: skip
_CLASSIFIED = {
    0: (240, 240, 240), 1: (255, 0, 0), 2: (0, 100, 0), 10: (156, 156, 156), 11: (255, 191, 0), 12: (64, 178, 0),
    255: (0, 0, 0),
}  # fmt: skip
_BUILT_UP_CHANGE = {code: colour for code, colour in _CLASSIFIED.items() if code not in (11, 12)}

# Change support layers have no definition of their own: they take that of their change layer.
# The definitions list no colours for confidence layers; outside is black as in all others.
RULES: dict[tuple[str, int], Rule] = {
    ("IMD", 10): Rule("S", _PERCENT, _IMD),
    ("IMD", 100): Rule("S", _PERCENT, _IMD),
    ("IBU", 10): Rule("S", frozenset({0, 1, 255}), _IBU),
    ("SBU", 100): Rule("S", _PERCENT, _SBU),
    ("IMDC", 20): Rule("C", _CHANGE, _CODED),
    ("IMDC", 100): Rule("C", _CHANGE, _CODED),
    ("IMCC", 20): Rule("C", _CLASSES, _CLASSIFIED),
    ("IBUC", 20): Rule("C", _CLASSES, _BUILT_UP_CHANGE),
    ("SBUC", 100): Rule("C", _CHANGE, _CODED),
    ("SBCC", 100): Rule("C", _CLASSES, _CLASSIFIED),
    ("IMDCS", 20): Rule("C", _CHANGE, _CODED),
    ("IMDCS", 100): Rule("C", _CHANGE, _CODED),
    ("IMCCS", 20): Rule("C", _CLASSES, _CLASSIFIED),
    ("IBUCS", 20): Rule("C", _CLASSES, _BUILT_UP_CHANGE),
    ("SBUCS", 100): Rule("C", _CHANGE, _CODED),
    ("SBCCS", 100): Rule("C", _CLASSES, _CLASSIFIED),
    ("IMDCL", 10): Rule("S", _PERCENT, {255: (0, 0, 0)}),
    ("IBUCL", 10): Rule("S", _PERCENT, {255: (0, 0, 0)}),
}
"""Products by layer and pixel size in metres."""

EEA_BUILT_UP_CHANGE = frozenset({0, 1, 2, 10, 255})
"""Codes of IBUC in the EEA check; the ATBD's table has 11 and 12 too."""

EDITION_OF = {"S2021": "HRLNVLCC", "C2018-2021": "HRLNVLCC", "S2024": "NVLCC", "C2021-2024": "NVLCC"}
"""Theme that the EEA check requires, by period; other periods belong to no edition."""

OVERSEAS = {"GF": 32622, "GP": 32620, "MQ": 32620, "RE": 32740, "YT": 32738}
"""French overseas departments and the EPSG codes of their products."""

FORM = "CLMS_<theme>_<layer>_<period>_R<pixel>m_<tile>_03035_V<nn>_R<nn>.tif"

_STEM = (
    r"CLMS_(?P<theme>HRLNVLCC|NVLCC)_(?P<part>[A-Z]+)_(?P<timing>S(?P<year>\d{4})|C(?P<then>\d{4})-(?P<now>\d{4}))"
    r"_R(?P<pixel>\d{2,3})m_(?P<tile>E\d{2}N\d{2})_(?P<epsg>\d{5})_(?P<issue>V\d{2}_R\d{2})"
)
_NAME = re.compile(_STEM + r"\.tif", re.ASCII)
_LONGER = re.compile(_STEM + r"(?P<more>.*)\.tif", re.ASCII)
_ANY_CASE = re.compile(_STEM + r"\.tif", re.ASCII | re.IGNORECASE)
_OVERSEAS = re.compile(rf"_R\d+m_(?P<code>{'|'.join(OVERSEAS)})_\d{{5}}_V", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Named:
    """A parsed file name."""

    theme: str
    part: str
    pixel: int
    tile: Tile
    then: int | None
    """First year of a change layer."""
    now: int
    """Year of a status layer, second year of a change layer."""
    issue: str
    """Version and release, such as ``V01_R00``."""

    @property
    def rule(self) -> Rule:
        """Rules of the product."""
        return RULES[self.part, self.pixel]


def check_name(name: str) -> tuple[Finding, Named | None]:
    """The whole name follows the pattern, for a product that exists and a tile on an official list."""
    match = _NAME.fullmatch(name)
    if match is None or match["epsg"] != "03035":
        return failed("naming", _what_is_wrong(name)), None
    part, pixel, timing = match["part"], int(match["pixel"]), match["timing"]
    rule = RULES.get((part, pixel))
    if rule is None or f"R{pixel}m" not in name:
        return failed("naming", f"there is no layer {part} of {match['pixel']} m"), None
    if not timing.startswith(rule.timing):
        asked = "status" if rule.timing == "S" else "change"
        return failed("naming", f"{part} is a {asked} layer, not {timing}"), None
    if rule.timing == "C" and match["then"] > match["now"]:
        return failed("naming", f"the years of {timing} are the wrong way round"), None
    edition = EDITION_OF.get(timing)
    if edition not in (None, match["theme"]):
        return failed("naming", f"{timing} belongs to the edition CLMS_{edition}, not CLMS_{match['theme']}"), None
    try:
        tile = Tile(match["tile"])
    except ValueError as error:
        return failed("naming", str(error)), None
    then, now = (int(match["then"]), int(match["now"])) if rule.timing == "C" else (None, int(match["year"]))
    remark = "" if edition else "; no edition of the EEA has this period"
    if edition == "HRLNVLCC" and tile.name not in official_tiles("eea38-2021"):
        remark = "; a tile of the variant eea38uk of this edition"
    return passed("naming", f"{part} of {pixel} m, {timing}, tile {tile}{remark}"), Named(
        match["theme"], part, pixel, tile, then, now, match["issue"]
    )


def _what_is_wrong(name: str) -> str:
    """What is wrong with a name, as precisely as possible."""
    if found := _OVERSEAS.search(name):
        code = found["code"].upper()
        return (
            f"{code} is a French overseas department (EPSG:{OVERSEAS[code]}, one file instead of tiles), which is not checked "
            "here: this check knows the 100 km tiles of EPSG:3035"
        )
    longer = _LONGER.fullmatch(name)
    if longer and longer["epsg"] != "03035":
        return f"the name says EPSG {longer['epsg']}; tiles lie in 03035"
    if longer:
        return f"{longer['more']!r} follows {longer['issue']}; the name must end there"
    if _ANY_CASE.fullmatch(name):
        return f"capitals and small letters are not those of {FORM}"
    return f"name is not {FORM}"
