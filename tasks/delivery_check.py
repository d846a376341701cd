"""Check of delivered GeoTIFFs: the rules of the EEA delivery check, and stricter where a wrong file would pass it.

One small function a rule, each returning a `Finding`. Rules are typed here and files are read with rasterio, so that a
mistake of `layers.palette` or of the writer is found. Only what is inside the TIFF counts. Nothing is written here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyproj
import rasterio
from pyproj.exceptions import CRSError
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError
from rasterio.windows import Window

from grids import Tile
from tasks.errors import InputError
from tasks.job import count_codes
from tasks.records import Record
from tasks.store import TEMPORARY

Rgb = tuple[int, int, int]

KILOMETRE = 1000
"""Upper-left corners lie on multiples of it (EEA check `origin`), metres."""

MAX_BLOCK = 1024
"""Largest width and height of a block (EEA check `tile`), pixels."""

OUTSIDE = 255
"""The one no-data value: histograms leave it out, so any other one hides a code."""

STRIP_ROWS = 2048
"""Rows read at once: 20 MB of a tile at 10 m."""

SIDE_FILES = (".aux.xml", ".msk")
"""Endings of files beside the TIFF that change what GDAL says of it."""


@dataclass(frozen=True)
class Finding:
    """What one rule says of one file."""

    check: str
    """Rule, by the EEA check's name where it has one."""
    ok: bool
    """False where the file breaks the rule."""
    text: str
    """What was found."""
    note: bool = False
    """True for a file that passes with something that a person should read."""


@dataclass(frozen=True)
class Rule:
    """What is asked of a product beside what is asked of all."""

    timing: Literal["S", "C"]
    """Status of a year or change between two."""
    codes: frozenset[int]
    """Codes that may occur."""
    colours: Mapping[int, Rgb]
    """Colours that are compared, exactly."""


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
# Nobody lists colours of the confidence layers; black outside is what all other layers have.
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

_MISSING = "{path}: no such file; name a delivered GeoTIFF or a folder of them"

_NAME = re.compile(
    r"CLMS_(?P<theme>HRLNVLCC|NVLCC)_(?P<part>[A-Z]+)_(?P<timing>S(?P<year>\d{4})|C(?P<then>\d{4})-(?P<now>\d{4}))"
    r"_R(?P<pixel>\d{2,3})m_(?P<tile>E\d{2}N\d{2})_03035_V\d{2}_R\d{2}\.tif",
    re.ASCII,
)


@dataclass(frozen=True)
class Named:
    """What a file name says."""

    part: str
    pixel: int
    tile: Tile

    @property
    def rule(self) -> Rule:
        """What is asked of the product."""
        return RULES[self.part, self.pixel]


def covers_a_window(path: Path) -> bool:
    """True where the record beside a delivered file says that it covers a window of its tile."""
    try:
        return Record.from_json(path.with_suffix(".json").read_text(encoding="utf-8")).windowed
    except (OSError, ValueError):
        return False


def check_paths(paths: Iterable[str | Path]) -> list[Path]:
    """Files to check: those named, and all TIFFs below folders.

    Parameters
    ----------
    paths : iterable of str or Path
        Files and folders.

    Returns
    -------
    list of Path
        In the order given, files of a folder by name, each once.

    Raises
    ------
    InputError
        If a path does not exist, or a folder holds no TIFF.
    """
    files: dict[Path, None] = {}
    for path in map(Path, paths):
        if path.is_dir():
            # Endings of any kind, so that a file with a wrong one is found and not passed over.
            found = sorted(
                p for p in path.rglob("*")
                if p.suffix.lower() in (".tif", ".tiff") and p.is_file() and not any(TEMPORARY in q for q in p.parts)
            )  # fmt: skip
            if not found:
                raise InputError(f"{path}: holds no .tif; name a folder with delivered files")
            files.update(dict.fromkeys(found))
        elif path.is_file():
            files[path] = None
        else:
            raise InputError(_MISSING.format(path=path))
    return list(files)


def check_file(path: str | Path, *, window: bool = False) -> list[Finding]:
    """Check one delivered GeoTIFF.

    Parameters
    ----------
    path : str or Path
        File.
    window : bool
        True where it may cover a window of its tile, of whole kilometres, instead of the tile.

    Returns
    -------
    list of Finding
        One for each rule that could be looked at; rules that need the product wait for a right name.

    Raises
    ------
    InputError
        If there is no such file.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(_MISSING.format(path=file))
    naming, named = check_name(file.name)
    findings = [naming, check_side_files(file)]
    try:
        with _environment(), _open(file) as source:
            findings += [check_epsg(source), check_origin(source), check_bands(source), check_type(source),
                         check_compression(source), check_blocks(source), check_nodata(source)]  # fmt: skip
            if named is not None:
                findings += [check_pixel_size(source, named), check_extent(source, named, window)]
                if source.count == 1:  # a TIFF of several bands cannot hold a colour table
                    findings.append(check_colours(source, named))
                findings.append(check_values(_count(source), named))
    except (RasterioError, OSError) as error:
        findings.append(Finding("readable", False, f"is damaged or not a GeoTIFF ({' '.join(str(error).split())})"))
    return findings


def pixel_counts(path: str | Path) -> dict[int, int]:
    """Pixels of each code of a file, counted by reading all of them, 255 included."""
    with _environment(), _open(Path(path)) as source:
        return _count(source)


def check_name(name: str) -> tuple[Finding, Named | None]:
    """The whole name follows the pattern, for a product that exists and a tile on an official list."""
    match = _NAME.fullmatch(name)
    if match is None:
        return _fail("naming", "name is not CLMS_<theme>_<layer>_<period>_R<pixel>m_<tile>_03035_V<nn>_R<nn>.tif"), None
    part, pixel = match["part"], int(match["pixel"])
    rule = RULES.get((part, pixel))
    if rule is None or f"R{pixel}m" not in name:
        return _fail("naming", f"there is no layer {part} of {match['pixel']} m"), None
    if not match["timing"].startswith(rule.timing):
        asked = "status" if rule.timing == "S" else "change"
        return _fail("naming", f"{part} is a {asked} layer, not {match['timing']}"), None
    if rule.timing == "C" and match["then"] > match["now"]:
        return _fail("naming", f"the years of {match['timing']} are the wrong way round"), None
    try:
        named = Named(part, pixel, Tile(match["tile"]))
    except ValueError as error:
        return _fail("naming", str(error)), None
    return _pass("naming", f"{part} of {pixel} m, {match['timing']}, tile {named.tile}"), named


def check_side_files(file: Path) -> Finding:
    """Nothing beside the file speaks for it: GDAL believes a stored histogram, a colour table, a mask there."""
    names = {f"{base}{ending}".lower() for base in (file.name, file.stem) for ending in SIDE_FILES}
    beside = sorted(p.name for p in file.parent.iterdir() if p.name.lower() in names and p.is_file())
    if not beside:
        return _pass("side_files", "none")
    stored = any(b"<Histograms>" in (file.parent / name).read_bytes() for name in beside)
    holds = " holds a stored histogram" if stored else ""
    return _fail("side_files", f"{', '.join(beside)} beside it{holds}; remove it")


def check_epsg(source: rasterio.DatasetReader) -> Finding:
    """The CRS carries the authority code EPSG 3035; looking alike is not enough."""
    if source.crs is None:
        return _fail("epsg", "has no coordinate reference system")
    try:
        code = pyproj.CRS.from_wkt(source.crs.to_wkt()).to_json_dict().get("id", {})
    except (CRSError, RasterioError) as error:
        return _fail("epsg", f"its coordinate reference system cannot be read ({error})")
    text = f"{code['authority']} {code['code']}" if code else "no authority code"
    return Finding("epsg", code == {"authority": "EPSG", "code": 3035}, text)


def check_pixel_size(source: rasterio.DatasetReader, named: Named) -> Finding:
    """Square pixels of exactly the size named, north up."""
    t = source.transform
    ok = (t.a, t.b, t.d, t.e) == (named.pixel, 0, 0, -named.pixel)
    turned = ", turned or not north up" if t.b or t.d or t.e >= 0 else ""
    return Finding("pixel_size", ok, f"{t.a!r} x {abs(t.e)!r} m{turned}")


def check_origin(source: rasterio.DatasetReader) -> Finding:
    """The upper-left corner lies on whole kilometres."""
    x, y = source.transform.c, source.transform.f
    return Finding("origin", x % KILOMETRE == 0 and y % KILOMETRE == 0, f"upper-left corner at {x!r}, {y!r}")


def check_extent(source: rasterio.DatasetReader, named: Named, window: bool = False) -> Finding:
    """The raster covers the tile named; a window lies inside of it and ends on whole kilometres."""
    (left, y0, right, y1), tile = source.bounds, named.tile.bounds
    bottom, top = sorted((y0, y1))  # a raster that is south up is the business of `check_pixel_size`
    if window:
        inside = tile[0] <= left < right <= tile[2] and tile[1] <= bottom < top <= tile[3]
        ok = inside and right % KILOMETRE == 0 and bottom % KILOMETRE == 0
    else:
        ok = (left, bottom, right, top) == tile
    asked = f"{'inside ' if window else ''}{' '.join(f'{v:.0f}' for v in tile)}"
    found = " ".join(f"{v:.10g}" for v in (left, bottom, right, top))
    return Finding("extent", ok, f"{found}{'' if ok else f', tile {named.tile} asks for {asked}'}")


def check_bands(source: rasterio.DatasetReader) -> Finding:
    """A single band."""
    return Finding("bands", source.count == 1, f"{source.count} band{'s' if source.count != 1 else ''}")


def check_type(source: rasterio.DatasetReader) -> Finding:
    """Unsigned bytes."""
    return Finding("bit_depth", source.dtypes[0] == "uint8", str(source.dtypes[0]))


def check_compression(source: rasterio.DatasetReader) -> Finding:
    """LZW."""
    found = source.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", "none")
    return Finding("compress", found == "LZW", found)


def check_blocks(source: rasterio.DatasetReader) -> Finding:
    """Blocks of at most 1024 x 1024 pixels."""
    height, width = source.block_shapes[0]
    return Finding("tile", max(height, width) <= MAX_BLOCK, f"blocks of {width} x {height}")


def check_nodata(source: rasterio.DatasetReader) -> Finding:
    """The no-data tag is 255 and there is no mask: pixels of any other tag are left out of histograms."""
    if source.nodata != OUTSIDE:
        value = "none" if source.nodata is None else f"{source.nodata:g}"
        return _fail("nodata", f"no-data tag is {value}, not {OUTSIDE}")
    if MaskFlags.per_dataset in source.mask_flag_enums[0]:
        return _fail("nodata", "a mask inside the file hides pixels")
    return _pass("nodata", str(OUTSIDE))


def check_colours(source: rasterio.DatasetReader, named: Named) -> Finding:
    """A colour table inside the TIFF with the listed colours."""
    try:
        table = source.colormap(1)
    except ValueError:
        return _fail("color", "no colour table inside the TIFF")
    listed = named.rule.colours
    wrong = [f"{c}: {table.get(c, (0,) * 4)[:3] if c in table else 'missing'}, not {rgb}" for c, rgb in listed.items()
             if c not in table or tuple(table[c][:3]) != rgb]  # fmt: skip
    if wrong:
        return _fail("color", f"colours of code {'; '.join(wrong)}")
    return _pass("color", f"{len(listed)} listed colours agree")


def check_values(counts: Mapping[int, int], named: Named) -> Finding:
    """Only codes of the product occur."""
    wrong = {code: count for code, count in sorted(counts.items()) if code not in named.rule.codes}
    if wrong:
        shown = ", ".join(f"{code} ({count} pixels)" for code, count in list(wrong.items())[:8])
        return _fail("value", f"codes that {named.part} must not hold: {shown}{' and more' if len(wrong) > 8 else ''}")
    if named.part == "IBUC" and (extra := sorted(set(counts) - EEA_BUILT_UP_CHANGE)):
        text = f"holds {' and '.join(map(str, extra))}, which the ATBD lists and the EEA check of IBUC refuses"
        return Finding("value", True, text, note=True)
    return _pass("value", f"{len(counts)} codes, {sum(counts.values())} pixels")


def _environment() -> rasterio.Env:
    """GDAL that looks at nothing but the file itself."""
    return rasterio.Env(GDAL_PAM_ENABLED="NO", GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR")


def _open(file: Path) -> rasterio.DatasetReader:
    return rasterio.open(file, driver="GTiff", sharing=False, GEOREF_SOURCES="INTERNAL")


def _count(source: rasterio.DatasetReader) -> dict[int, int]:
    """Pixels of each value of the first band at full resolution, strip by strip."""
    counts: Counter[int] = Counter()
    for row in range(0, source.height, STRIP_ROWS):
        pixels = source.read(1, window=Window(0, row, source.width, min(STRIP_ROWS, source.height - row)))
        if pixels.dtype == np.uint8:
            found = count_codes(pixels)
            counts.update({int(code): int(found[code]) for code in np.nonzero(found)[0]})
        else:
            values, numbers = np.unique(pixels, return_counts=True)
            counts.update(dict(zip(values.tolist(), numbers.tolist(), strict=True)))
    return dict(counts)


def _pass(check: str, text: str) -> Finding:
    return Finding(check, True, text)


def _fail(check: str, text: str) -> Finding:
    return Finding(check, False, text)
