"""Check of a delivery's INSPIRE metadata (EEA check `inspire`): place and completeness of the ISO 19139 record.

The EEA uses the INSPIRE reference validator; here place, form, mandatory elements and extent are checked, without a network.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from imperv.tasks.family.findings import Finding, failed, passed
from imperv.tasks.imperviousness.products.rules import Named
from imperv.tasks.projections import in_degrees

GMD = "{http://www.isotc211.org/2005/gmd}"
SUFFIXES = (".xml", "_metadata.xml")
"""Suffixes of the TIFF's stem that the EEA check accepts."""

_DATA = "identificationInfo/MD_DataIdentification"
REQUIRED = {
    "file identifier": "fileIdentifier/*",
    "language": "language/*",
    "character set": "characterSet/*",
    "scope": "hierarchyLevel/*",
    "contact": "contact/*",
    "date": "dateStamp/*",
    "standard": "metadataStandardName/*",
    "reference system": "referenceSystemInfo//code/*",
    "title": f"{_DATA}/citation/CI_Citation/title/*",
    "identifier": f"{_DATA}/citation/CI_Citation/identifier//code/*",
    "abstract": f"{_DATA}/abstract/*",
    "point of contact": f"{_DATA}/pointOfContact/*",
    "keywords with a thesaurus": f"{_DATA}/descriptiveKeywords//thesaurusName/*",
    "constraints": f"{_DATA}/resourceConstraints/*",
    "resolution": f"{_DATA}/spatialResolution/*",
    "topic category": f"{_DATA}/topicCategory/*",
    "geographic box": f"{_DATA}/extent//EX_GeographicBoundingBox/westBoundLongitude/*",
    "time": f"{_DATA}/extent//temporalElement//extent/*",
    "distribution": "distributionInfo/*",
    "conformance report": "dataQualityInfo//report//result/*",
    "lineage": "dataQualityInfo//lineage//statement/*",
}
"""Elements of the EEA's sample that INSPIRE requires, and their paths below ``gmd:MD_Metadata``."""

_SIDES = ("west", "east", "south", "north")


def check_metadata(file: Path, root: Path, named: Named | None, *, asked: bool) -> Finding:
    """Metadata of a GeoTIFF in a delivery below `root`: the file's folder, or the unpacked zip.

    Only a zip must hold metadata (`asked`). Without `named`, the parsed file name, the extent is not compared.
    """
    # A zip is searched recursively, as by the EEA check; a folder is not: anything may lie below it.
    folders = sorted(
        p for p in (root.rglob("*") if asked else root.iterdir()) if p.is_dir() and p.name.lower().endswith("metadata")
    )
    if len(folders) > 1:
        return failed("inspire", f"several folders of metadata: {', '.join(str(p.relative_to(root)) for p in folders)}")
    place = folders[0] if folders else root
    found = [p for p in (place / f"{file.stem}{suffix}" for suffix in SUFFIXES) if p.is_file()]
    if not found:
        text = f"no metadata: {file.stem}.xml is not in {folders[0].name if folders else 'Metadata'}"
        return failed("inspire", text) if asked else passed("inspire", f"{text}; a zip must hold it")
    return check_metadata_file(found[0], named)


def check_metadata_file(path: Path, named: Named | None) -> Finding:
    """One metadata file: ``gmd:MD_Metadata``, every mandatory part, a box that meets the tile."""
    try:
        record = ET.parse(path).getroot()
    except (ET.ParseError, OSError) as error:
        return failed("inspire", f"{path.name} is not valid XML ({error})")
    if record.tag != f"{GMD}MD_Metadata":
        return failed("inspire", f"{path.name} is {record.tag.rpartition('}')[2]}, not gmd:MD_Metadata of ISO 19139")
    if absent := [name for name, where in REQUIRED.items() if not _present(record, where)]:
        return failed("inspire", f"{path.name} lacks {', '.join(absent)}")
    if named is not None:
        try:
            west, east, south, north = (float(_text(record, f".//{{*}}{side}Bound{_axis(side)}/*")) for side in _SIDES)
        except ValueError:
            return failed("inspire", f"{path.name}: its geographic box holds no numbers")
        left, bottom, right, top = in_degrees(named.tile.bounds)
        if not (west < right and east > left and south < top and north > bottom):
            return failed(
                "inspire", f"{path.name}: its box {west:g} {south:g} {east:g} {north:g} does not overlap tile {named.tile}"
            )
    return passed("inspire", path.name)


def _axis(side: str) -> str:
    return "Longitude" if side in ("west", "east") else "Latitude"


def _wild(where: str) -> str:
    """A path whose names belong to any namespace."""
    return "/".join(part if part in ("", "*") else f"{{*}}{part}" for part in where.split("/"))


def _present(record: ET.Element, where: str) -> bool:
    """True for an element with text, attributes or children."""
    return any((e.text or "").strip() or e.attrib or len(e) for e in record.findall(_wild(where)))


def _text(record: ET.Element, where: str) -> str:
    return record.findtext(where) or ""
