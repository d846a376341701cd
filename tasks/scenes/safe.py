"""Sentinel-2 products in the provider's SAFE format, unpacked or zipped, as STAC items.

Source: Products Specification Document, S2-PDGS-TAS-DI-PSD, sections on the product and tile metadata. Only metadata is read
here; the JPEG 2000 files are read by GDAL, in a zip through ``/vsizip/``. A product is where its metadata is: tools unpack
``X.SAFE`` into another ``X.SAFE``, into ``X``, or into files with backslashes in their names.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

from pyproj.exceptions import ProjError
from shapely.geometry import Polygon, box, mapping
from shapely.geometry.polygon import orient

from imperv.grids import Bounds
from imperv.tasks.errors import InputError
from imperv.tasks.projections import DEGREES, transformer
from imperv.tasks.scenes.bands import BANDS, LISTS_OFFSETS, PIXEL, REFLECTANCE_10M, REFLECTANCE_20M, SCL
from imperv.tasks.scenes.items import is_debris, time_of, trouble_with, unusable, unwanted
from imperv.tasks.settings.periods import Period

DEPTH = 4
"""Levels of folders that are searched for products: archives sort them by year, month and day."""

FILES = {
    **{band: f"{band}_10m" for band in REFLECTANCE_10M},
    **{band: f"{band}_20m" for band in REFLECTANCE_20M},
    **{band: f"{band}_60m" for band in ("B01", "B09")},
    SCL: f"{SCL}_20m",
}
"""End of the name of each band's file of Level-2A, at the resolution that it was measured at; Level-1C has no other."""

MASK = "MSK_CLASSI_B00"
"""Raster mask of Level-1C in ``QI_DATA``, since baseline 04.00."""

BAND_IDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""Bands by the ``band_id`` of the offset list."""

QUANTIFICATION = 10_000
"""Digital numbers of reflectance 1, which the chain counts on."""

NAME = re.compile(r"S2[A-D]_MSIL(1C|2A)_(\d{4})(\d{2})(\d{2})T\d{6}_\w+")
"""Names of products: level and day."""

MAIN = re.compile(r"(.*/)?MTD_MSIL(?:1C|2A)\.xml")
"""Metadata of a product, and the folder that it is in."""

INSIDE = re.compile(r"\.SAFE[/\\]|\.zip$", re.IGNORECASE)
"""Names in a zip that are of products, or of zips of them."""

PACKED = (".safe", ".zip", ".7z", ".rar", ".tar", ".tgz", ".tar.gz", ".tar.zst")
"""Ends of the names of packed products; of them only zips are read, others are named."""

UNREADABLE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError)
"""Errors of Python on zips that are cut off, damaged, encrypted, or packed by methods that it does not know."""


class _DamagedError(Exception):
    """A product that cannot be used, and why."""


class SafeProducts:
    """A SAFE product (``.SAFE`` folder, or zip of one), or a folder with such up to `DEPTH` levels deep."""

    def __init__(self, path: str | Path, needed: Collection[str] = BANDS, level: str = "L2A") -> None:
        self.path, self.needed, self.level = Path(path), needed, level

    def search(self, bounds: Bounds, period: Period) -> list[Mapping[str, Any]]:
        """Products that touch the bounds in the period, as items; damaged ones are given as unusable."""
        found: list[Mapping[str, Any]] = []
        products = 0
        for place in products_in(self.path):
            products += 1
            if not _may_be_of(place.name, period):
                continue
            for item in _read_all(place, self.needed, self.level):
                # The day of a zip of another name is known when it is open.
                wanted = _may_be_of(item["id"], period) if "unusable" in item else not unwanted(item, bounds, period)
                if wanted:
                    found.append(item)
        if not products:
            raise InputError(f"scenes.catalogue: {self.path}: there are no SAFE products; correct the path")
        return found


def products_in(path: Path) -> Iterator[Path]:
    """Folders and zips of products at or below a path, by name; InputError if a folder cannot be read."""
    if path.suffix.lower() == ".safe" or (path.suffix.lower() == ".zip" and not path.is_dir()):
        yield path
    elif path.is_dir():
        yield from _below(path, DEPTH)


def _below(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(entry for entry in folder.iterdir() if not is_debris(Path(entry.name)))
    except OSError as error:
        raise InputError(f"scenes.catalogue: {folder}: cannot be read ({error.strerror}); mend its permissions") from None
    names = [entry.name.replace("\\", "/") for entry in entries]
    main = any(MAIN.fullmatch(name) for name in names)
    if any(name.partition("/")[0] == "GRANULE" for name in names) and (main or NAME.match(folder.name)):
        yield folder
        return
    if main and any("/" in name for name in names):
        yield folder
    for entry in entries:
        suffix = entry.suffix.lower()
        if "\\" in entry.name:
            continue  # a file of the product above
        if entry.is_dir():
            if suffix == ".safe":
                yield entry
            elif depth:
                yield from _below(entry, depth - 1)
        elif entry.name.lower().endswith(PACKED) if NAME.match(entry.name) else suffix == ".zip" and _is_of_products(entry):
            yield entry


def _is_of_products(path: Path) -> bool:
    """True for zips that hold products, whatever they are called."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(MAIN.fullmatch(_plain(n)) or (NAME.search(n) and INSIDE.search(n)) for n in archive.namelist())
    except UNREADABLE:
        return bool(_first_name(path))


def _first_name(path: Path) -> str:
    """The first product that a zip without a directory, one cut off, begins with; empty if there is none."""
    try:
        with path.open("rb") as file:
            return _named_in(file.read(1000).decode("latin-1"))
    except OSError:
        return ""


def _named_in(text: str) -> str:
    """The first name of a product in a text; empty if there is none."""
    match = NAME.search(text)
    return match[0] if match else ""


def _may_be_of(name: str, period: Period) -> bool:
    """False where a product is of other days by its name; metadata is the truth."""
    match = NAME.match(name)
    return match is None or str(period.start) <= "-".join(match.groups()[1:4]) <= str(period.end)


def _read_all(place: Path, needed: Collection[str] = BANDS, level: str = "L2A") -> Iterator[dict[str, Any]]:
    """The products in a folder or zip as STAC items: usually one; at least what is wrong.

    A product of another level than is asked for (``auto``: of none) has no assets. A damaged one has only `id` and `unusable`,
    the reason.
    """
    name = _name(place.name)
    try:
        files = _listing(place)
    except UNREADABLE as error:
        yield unusable(_first_name(place) or name, f"cannot be opened: {' '.join(str(error).split())} ({place})")
        return
    roots = sorted({match[1] or "" for file in files if (match := MAIN.fullmatch(file))})
    if not roots:
        packed = [file for file in files if file.lower().endswith(".zip")]
        for file in packed:
            yield unusable(_named_in(file) or name, f"{file} is a zip inside of a zip or product; unpack it ({place})")
        if not packed:
            yield unusable(next(filter(None, map(_named_in, files)), name), f"has no MTD_MSIL2A.xml ({place})")
    for root in roots:
        product = _Product(place, {file[len(root) :]: where for file, where in files.items() if file.startswith(root)})
        known = _name(PurePosixPath(root).name) or name
        try:
            yield _item(known, product, needed, level)
        except _DamagedError as error:
            yield unusable(known, f"{error} ({place / root if len(roots) > 1 else place})")


def _name(file: str) -> str:
    """Name of a product by that of a folder or zip."""
    match = NAME.match(file)
    return match[0] if match else re.sub(r"(\.SAFE)*(\.zip)?$", "", file, flags=re.IGNORECASE)


def _plain(name: str) -> str:
    """A name in a zip as GDAL knows it: some tools write backslashes, others ``./`` before it."""
    return name.replace("\\", "/").removeprefix("./")


@dataclass(frozen=True)
class _Where:
    """A file of a product."""

    path: str
    """Path for GDAL."""
    inside: str = ""
    """Name in a zip."""


def _listing(place: Path) -> dict[str, _Where]:
    """Files that are not empty, by their path in a folder or zip."""
    if not place.is_dir():
        # Braces end the name of a zip that has no such suffix.
        archive_path = place.absolute() if place.suffix.lower() == ".zip" else f"{{{place.absolute()}}}"
        with zipfile.ZipFile(place) as archive:
            names = {_plain(info.filename): info.filename for info in archive.infolist() if info.file_size}
        return {n: _Where(f"/vsizip/{archive_path}/{n}", i) for n, i in names.items() if not is_debris(PurePosixPath(n))}
    whole = place.suffix.lower() == ".safe" or (place / "GRANULE").is_dir()
    # Files with backslashes in their names lie in a folder with others.
    names_on_disk = ((f.relative_to(place), f) for f in sorted(place.rglob("*") if whole else place.iterdir()))
    return {
        name.as_posix().replace("\\", "/"): _Where(str(f.absolute()))
        for name, f in names_on_disk
        if not is_debris(name) and f.is_file() and f.stat().st_size
    }


@dataclass(frozen=True)
class _Product:
    """Files of a product."""

    place: Path
    files: Mapping[str, _Where]
    """By their path in the product."""

    def xml(self, name: str) -> ElementTree.Element:
        """Metadata in a file."""
        where = self.files[name]
        try:
            if where.inside:
                with zipfile.ZipFile(self.place) as archive:
                    return ElementTree.fromstring(archive.read(where.inside))
            return ElementTree.fromstring(Path(where.path).read_bytes())
        except (ElementTree.ParseError, ValueError, *UNREADABLE) as error:
            raise _DamagedError(f"{name} cannot be read: {' '.join(str(error).split())}") from None


def _item(name: str, product: _Product, needed: Collection[str], level: str) -> dict[str, Any]:
    main = next((n for n in ("MTD_MSIL2A.xml", "MTD_MSIL1C.xml") if n in product.files), None)
    if main is None:
        raise _DamagedError("has no MTD_MSIL2A.xml")
    about = product.xml(main)
    granules = [n for n in product.files if re.fullmatch(r"GRANULE/[^/]+/MTD_TL\.xml", n)]
    if len(granules) != 1:
        raise _DamagedError("has no GRANULE/*/MTD_TL.xml" if not granules else f"has {len(granules)} granules, one is expected")
    tile = product.xml(granules[0])
    own = "L1C" if main == "MTD_MSIL1C.xml" else "L2A"
    mgrs = re.search(r"_T(\d\d[C-X][A-Z]{2})", _text(tile, "TILE_ID"))
    datatake = next(about.iter("Datatake"), None)
    cloud = _text(tile, "CLOUDY_PIXEL_PERCENTAGE", "") or _text(about, "Cloud_Coverage_Assessment", "")
    item: dict[str, Any] = {
        "type": "Feature",
        "id": _text(about, "PRODUCT_URI", name).removesuffix(".SAFE"),
        "geometry": _footprint(about, tile),
        "properties": {
            "datetime": _text(about, "PRODUCT_START_TIME"),
            "platform": _text(about, "SPACECRAFT_NAME").lower(),
            "grid:code": f"MGRS-{mgrs[1]}" if mgrs else "",
            "proj:code": _text(tile, "HORIZONTAL_CS_CODE"),
            "s2:datatake_id": datatake.get("datatakeIdentifier", "") if datatake is not None else "",
            "s2:datastrip_id": _text(tile, "DATASTRIP_ID", ""),
            "s2:processing_baseline": _text(about, "PROCESSING_BASELINE"),
            "s2:generation_time": _text(about, "GENERATION_TIME", ""),
            "s2:product_type": f"S2MSI{own[1:]}",
            LISTS_OFFSETS: next(_offsets(about), None) is not None,
        },
        "assets": {},
    }
    try:
        time_of(item)
        if cloud:
            item["properties"]["eo:cloud_cover"] = _finite(cloud)
        if level in (own, "auto"):
            item["assets"] = _assets(product, about, granules[0].rpartition("/")[0], needed, own)
    except (ValueError, IndexError) as error:
        raise _DamagedError(f"{main} holds something unexpected: {error}") from None
    if wrong := trouble_with(item):
        raise _DamagedError(f"its metadata {wrong}")
    return item


def _finite(text: str) -> float:
    if not isfinite(number := float(text)):
        raise ValueError(f"{text} is no number")
    return number


def _text(element: ElementTree.Element, tag: str, default: str | None = None) -> str:
    """Text of the first element of a name."""
    found = next(element.iter(tag), None)
    text = (found.text or "").strip() if found is not None else ""
    if text or default is not None:
        return text or str(default)
    raise _DamagedError(f"its metadata lacks {tag}")


def _offsets(about: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """Offsets of bands that a product lists, of either level."""
    yield from about.iter("BOA_ADD_OFFSET")
    yield from about.iter("RADIO_ADD_OFFSET")


def _assets(
    product: _Product, about: ElementTree.Element, granule: str, needed: Collection[str], level: str
) -> dict[str, dict[str, Any]]:
    """File, pixel size and offset of each band."""
    quantified = "BOA_QUANTIFICATION_VALUE" if level == "L2A" else "QUANTIFICATION_VALUE"
    if (scale := float(_text(about, quantified, str(QUANTIFICATION)))) != QUANTIFICATION:
        raise _DamagedError(f"its reflectance is in units of 1/{scale:g}, not 1/{QUANTIFICATION}")
    offsets = {BAND_IDS[int(e.get("band_id", ""))]: _finite(e.text or "") for e in _offsets(about)}
    if len({offsets.get(band) for band in (*REFLECTANCE_10M, *REFLECTANCE_20M)}) > 1:
        raise _DamagedError("its bands have different offsets")
    # Old baselines write IMAGE_FILE_2A.
    listed = [(e.text or "").strip() for e in about.iter() if e.tag in ("IMAGE_FILE", "IMAGE_FILE_2A")]
    listed = [f"{n}.jp2" for n in listed] or [n for n in product.files if n.startswith(f"{granule}/IMG_DATA/")]
    assets, missing = {}, []
    endings = FILES if level == "L2A" else {band: band for band in PIXEL if band != SCL}
    for band, ending in endings.items():
        name = next((n for n in listed if n.endswith(f"_{ending}.jp2")), None)
        if name is None or name not in product.files:
            if band in needed:
                missing.append(Path(name or f"*_{ending}.jp2").name)
            continue
        assets[ending] = {"href": product.files[name].path, "type": "image/jp2", "gsd": PIXEL[band]}
        if band in offsets:
            assets[ending]["raster:bands"] = [{"scale": 1 / QUANTIFICATION, "offset": offsets[band] / QUANTIFICATION}]
    if missing:
        raise _DamagedError(f"lacks {', '.join(missing)}; download it again")
    if mask := product.files.get(f"{granule}/QI_DATA/{MASK}.jp2"):
        assets[MASK] = {"href": mask.path, "type": "image/jp2", "gsd": 60}
    return assets


def _footprint(about: ElementTree.Element, tile: ElementTree.Element) -> dict[str, Any]:
    """Outline in degrees: that of the data if the metadata has one, or that of the granule."""
    try:
        numbers = [float(v) for v in _text(about, "EXT_POS_LIST", "").split()]
        if len(numbers) >= 8:
            # Latitude comes first.
            return mapping(Polygon(list(zip(numbers[1::2], numbers[::2], strict=True))))
        size = next(e for e in tile.iter("Size") if e.get("resolution") == "10")
        corner = next(e for e in tile.iter("Geoposition") if e.get("resolution") == "10")
        left, top = float(_text(corner, "ULX")), float(_text(corner, "ULY"))
        right, bottom = left + 10 * int(_text(size, "NCOLS")), top - 10 * int(_text(size, "NROWS"))
        outline = orient(box(left, bottom, right, top)).segmentize((right - left) / 4).exterior
        to_degrees = transformer(_text(tile, "HORIZONTAL_CS_CODE"), DEGREES)
        return mapping(Polygon(zip(*to_degrees.transform(*outline.xy), strict=True)))
    except (ValueError, StopIteration, ProjError) as error:
        raise _DamagedError(f"its metadata has no valid footprint{f': {error}' if str(error) else ''}") from None
