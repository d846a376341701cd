"""Check of the files beside a delivered GeoTIFF: attribute table, and side files that GDAL would read.

As GDAL and the EEA check do, it reads the raster attribute table of ``.tif.aux.xml``, else ``.tif.vat.dbf``.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path

from imperv.tasks.family.findings import Finding, failed, passed
from imperv.tasks.imperviousness.products.rules import OUTSIDE
from imperv.tasks.vectors.batches import ogr_name

COLUMNS = ("Value", "Count", "Area_km2", "Area_perc", "Class_Name")
"""Columns that the EEA check requires, in any order and case; others are allowed."""

SIDE_FILES = (".aux.xml", ".msk", ".ovr")
"""Endings of side files that change what GDAL reads."""

HARMLESS = {"GDALRasterAttributeTable", "Description"}
"""Elements of a band in ``.aux.xml`` that change no pixel, number, colour or place."""

AREA_TOLERANCE = 1e-3
"""Square kilometres, and percent, by which written areas may differ: tables round."""

Table = Mapping[str, Sequence[object]]
"""Columns of an attribute table by their name in small letters."""


def check_side_files(file: Path) -> Finding:
    """No side file overrides the TIFF: GDAL reads a histogram, a colour table or a mask there.

    A ``.tif.aux.xml`` with an attribute table alone is allowed.
    """
    names = {f"{base}{ending}".lower() for base in (file.name, file.stem) for ending in SIDE_FILES}
    beside = sorted(p for p in file.parent.iterdir() if p.name.lower() in names and p.is_file())
    wrong = []
    for path in beside:
        if path.name == f"{file.name}.aux.xml":
            if more := _what_else(path):
                wrong.append(f"{path.name} holds {more}")
        else:
            wrong.append(f"{path.name} lies beside it")
    if wrong:
        return failed("side_files", f"{'; '.join(wrong)}; remove it")
    return passed("side_files", "none" if not beside else f"{beside[0].name} holds the attribute table only")


def _what_else(path: Path) -> str:
    """Content of an ``.aux.xml`` beside an attribute table, in words; empty without any."""
    try:
        root = ET.parse(path).getroot()
    except (ET.ParseError, OSError) as error:
        return f"invalid XML ({error})"
    names = {"Histograms": "a stored histogram", "ColorTable": "a colour table", "GeoTransform": "a place", "SRS": "a place"}
    found = [e.tag for e in root if e.tag != "PAMRasterBand"]
    found += [e.tag for band in root.iter("PAMRasterBand") for e in band if e.tag not in HARMLESS]
    if not found and root.find(".//GDALRasterAttributeTable") is None:
        return "no attribute table"
    return " and ".join(dict.fromkeys(names.get(tag, tag) for tag in found))


def check_attributes(file: Path, counts: Mapping[int, int] | None, pixel: float) -> list[Finding]:
    """The attribute table has the required columns (EEA check `attribute`), and its numbers are those of the pixels.

    `counts` are the pixels of each code, 255 included, None where the file could not be read; `pixel` is the pixel size in
    metres. The finding `attribute_values` needs a table and a raster.
    """
    try:
        source, table = _read(file)
    except (OSError, ValueError, ET.ParseError, RuntimeError) as error:
        return [failed("attribute", f"its table cannot be read ({' '.join(str(error).split())})")]
    if table is None:
        near = file.with_name(f"{file.stem}.vat.dbf")
        hint = f"; {near.name} is not read; name it {file.name}.vat.dbf" if near.is_file() else ""
        return [failed("attribute", f"no attribute table beside it (.tif.vat.dbf, or one in .tif.aux.xml){hint}")]
    if absent := [name for name in COLUMNS if name.lower() not in table]:
        return [failed("attribute", f"{source} lacks the columns {', '.join(absent)}")]
    found = [passed("attribute", f"{source}, {len(table['value'])} rows")]
    if counts is not None:
        found.append(_check_numbers(source, table, counts, pixel))
    return found


def _read(file: Path) -> tuple[str, Table | None]:
    """The table that counts, and the name of the file that holds it."""
    import pyogrio

    xml = file.with_name(f"{file.name}.aux.xml")
    if xml.is_file():
        table = ET.parse(xml).getroot().find(".//PAMRasterBand[@band='1']/GDALRasterAttributeTable")
        if table is not None:
            return xml.name, _from_xml(table)
    dbf = file.with_name(f"{file.name}.vat.dbf")
    if not dbf.is_file():
        return "", None
    frame = pyogrio.read_dataframe(ogr_name(str(dbf)), read_geometry=False)
    return dbf.name, {str(name).lower(): frame[name].tolist() for name in frame.columns}


def _from_xml(table: ET.Element) -> Table:
    names = [(d.findtext("Name") or "").lower() for d in table.findall("FieldDefn")]
    rows = [[f.text or "" for f in row.findall("F")] for row in table.findall("Row")]
    if any(len(row) != len(names) for row in rows):
        raise ValueError("a row of the raster attribute table has more or fewer fields than columns")
    return {name: [row[k] for row in rows] for k, name in enumerate(names)}


def _check_numbers(source: str, table: Table, counts: Mapping[int, int], pixel: float) -> Finding:
    """Rows against pixels: every code once, with its count, area, share and a name; 255 may be left out."""
    try:
        values, numbers, areas, shares = ([float(v) for v in table[c]] for c in ("value", "count", "area_km2", "area_perc"))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return failed("attribute_values", f"{source}: Value, Count, Area_km2 and Area_perc must be numbers in every row")
    wrong = []
    if len(set(values)) < len(values):
        wrong.append("a Value has two rows")
    if missing := sorted(set(counts) - set(values) - {OUTSIDE}):
        wrong.append(f"no row for the codes {', '.join(map(str, missing[:8]))}")
    total = sum(numbers)
    for value, number, area, share, name in zip(values, numbers, areas, shares, table["class_name"], strict=True):
        pixels = counts.get(int(value), 0) if value == int(value) else 0
        if number != pixels:
            wrong.append(f"Count of {value:g} is {number:.0f}, the file has {pixels} pixels")
        elif abs(area - number * pixel**2 / 1e6) > AREA_TOLERANCE:
            wrong.append(f"Area_km2 of {value:g} is {area:g}, not {number * pixel**2 / 1e6:g}")
        elif abs(share - 100 * number / (total or 1)) > AREA_TOLERANCE:
            wrong.append(f"Area_perc of {value:g} is {share:g}, not {100 * number / (total or 1):.4f}")
        elif not str(name or "").strip() or name != name:  # NaN is how an empty text is read
            wrong.append(f"Class_Name of {value:g} is empty")
    if wrong:
        return failed("attribute_values", f"{source}: {'; '.join(wrong[:4])}{' and more' if len(wrong) > 4 else ''}")
    return passed("attribute_values", f"{len(values)} rows agree with the pixels")
