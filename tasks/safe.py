"""Sentinel-2 products in the provider's SAFE format, unpacked or zipped, as STAC items (Products Specification Document,
S2-PDGS-TAS-DI-PSD, sections on the product and tile metadata).

Only metadata is read here; the JPEG 2000 files are read by GDAL, in a zip through ``/vsizip/``.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from pyproj import Transformer
from pyproj.exceptions import ProjError
from shapely.geometry import Polygon, box, mapping
from shapely.geometry.polygon import orient

from tasks.bands import REFLECTANCE_10M, REFLECTANCE_20M, SCL
from tasks.errors import InputError
from tasks.items import Bounds, time_of, unusable, unwanted
from tasks.periods import Period

DEPTH = 4
"""Levels of folders that are searched for products: archives sort them by year, month and day."""

FILES = {
    **{band: f"{band}_10m" for band in REFLECTANCE_10M},
    **{band: f"{band}_20m" for band in REFLECTANCE_20M},
    SCL: f"{SCL}_20m",
}
"""End of the name of each band's file, at the resolution that it was measured at."""

BAND_IDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""Bands by the ``band_id`` of the offset list."""

QUANTIFICATION = 10_000
"""Digital numbers of reflectance 1, which the chain counts on."""

NAME = re.compile(r"S2[A-D]_MSIL(1C|2A)_(\d{4})(\d{2})(\d{2})T\d{6}_\w+")
"""Names of products: level and day."""


class _DamagedError(Exception):
    """A product that cannot be used, and why."""


class SafeProducts:
    """A SAFE product, or a folder of them.

    Parameters
    ----------
    path : str or Path
        ``.SAFE`` folder, zip of one, or folder in which such are found up to `DEPTH` levels deep.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def search(self, bounds: Bounds, period: Period) -> list[Mapping[str, Any]]:
        """Products that touch the bounds in the period, as items; damaged ones are given as unusable.

        Raises
        ------
        InputError
            If there are no products.
        """
        found: list[Mapping[str, Any]] = []
        products = 0
        for place in products_in(self.path):
            products += 1
            if not _may_be_of(place, period):
                continue
            item = read_product(place)
            if "unusable" in item or not unwanted(item, bounds, period):
                found.append(item)
        if not products:
            raise InputError(f"scenes.catalogue: {self.path}: there are no SAFE products; correct the path")
        return found


def products_in(path: Path) -> Iterator[Path]:
    """SAFE folders and zips at or below a path, in the order of their names."""
    if path.suffix == ".SAFE" or path.suffix == ".zip":
        yield path
    elif path.is_dir():
        yield from _below(path, DEPTH)


def _below(folder: Path, depth: int) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.suffix == ".SAFE" or (entry.suffix == ".zip" and NAME.match(entry.name)):
            yield entry
        elif depth > 1 and entry.is_dir():
            yield from _below(entry, depth - 1)


def _may_be_of(place: Path, period: Period) -> bool:
    """False where the name tells that a product is of other days; metadata is the truth."""
    match = NAME.match(place.name)
    return match is None or str(period.start) <= "-".join(match.groups()[1:4]) <= str(period.end)


def read_product(place: str | Path) -> dict[str, Any]:
    """A product as a STAC item.

    Parameters
    ----------
    place : str or Path
        ``.SAFE`` folder, or zip of one.

    Returns
    -------
    dict
        STAC item: id, footprint in degrees, properties, and assets of `FILES` with `raster:bands`. A product of level 1C has no
        assets. A damaged one has `id` and `unusable`, the reason.
    """
    place = Path(place)
    name = re.sub(r"(\.SAFE)?(\.zip)?$", "", place.name)
    try:
        return _item(name, _Product(place))
    except _DamagedError as error:
        return unusable(name, f"{error} ({place})")
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        return unusable(name, f"cannot be opened: {' '.join(str(error).split())} ({place})")


@dataclass(frozen=True)
class _Product:
    """Files of a product."""

    place: Path

    @cached_property
    def files(self) -> dict[str, str]:
        """Path for GDAL of each file, by its path in the product."""
        if self.place.suffix == ".zip":
            with zipfile.ZipFile(self.place) as archive:
                names = [info.filename for info in archive.infolist() if not info.is_dir() and info.file_size]
            inside = [n for n in names if re.search(r"(^|/)MTD_MSIL(2A|1C)\.xml$", n)]
            root = inside[0].rpartition("/")[0] if inside else ""
            start = f"{root}/" if root else ""
            return {n[len(start) :]: f"/vsizip/{self.place.absolute()}/{n}" for n in names if n.startswith(start)}
        found = (f for f in sorted(self.place.rglob("*")) if f.is_file() and f.stat().st_size)
        return {f.relative_to(self.place).as_posix(): str(f.absolute()) for f in found}

    def xml(self, name: str) -> ElementTree.Element:
        """Metadata in a file."""
        path = self.files[name]
        try:
            if path.startswith("/vsizip/"):
                with zipfile.ZipFile(self.place) as archive:
                    return ElementTree.fromstring(archive.read(path[len(f"/vsizip/{self.place.absolute()}/") :]))
            return ElementTree.fromstring(Path(path).read_bytes())
        except (ElementTree.ParseError, zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
            raise _DamagedError(f"{name} cannot be read: {error}") from None


def _item(name: str, product: _Product) -> dict[str, Any]:
    main = next((n for n in ("MTD_MSIL2A.xml", "MTD_MSIL1C.xml") if n in product.files), None)
    if main is None:
        raise _DamagedError("has no MTD_MSIL2A.xml")
    about = product.xml(main)
    granules = [n for n in product.files if re.fullmatch(r"GRANULE/[^/]+/MTD_TL\.xml", n)]
    if len(granules) != 1:
        raise _DamagedError("has no GRANULE/*/MTD_TL.xml" if not granules else f"has {len(granules)} granules, one is expected")
    tile = product.xml(granules[0])
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
            "s2:processing_baseline": _text(about, "PROCESSING_BASELINE"),
            "s2:generation_time": _text(about, "GENERATION_TIME", ""),
            "s2:product_type": "S2MSI1C" if main == "MTD_MSIL1C.xml" else "S2MSI2A",
        },
        "assets": {},
    }
    try:
        time_of(item)
        if cloud:
            item["properties"]["eo:cloud_cover"] = float(cloud)
        if main == "MTD_MSIL2A.xml":
            item["assets"] = _assets(product, about, granules[0].rpartition("/")[0])
    except ValueError as error:
        raise _DamagedError(f"{main} holds something unexpected: {error}") from None
    return item


def _text(element: ElementTree.Element, tag: str, default: str | None = None) -> str:
    """Text of the first element of a name."""
    found = next(element.iter(tag), None)
    text = (found.text or "").strip() if found is not None else ""
    if text or default is not None:
        return text or str(default)
    raise _DamagedError(f"its metadata lacks {tag}")


def _assets(product: _Product, about: ElementTree.Element, granule: str) -> dict[str, dict[str, Any]]:
    """File, pixel size and offset of each band."""
    if (scale := float(_text(about, "BOA_QUANTIFICATION_VALUE", str(QUANTIFICATION)))) != QUANTIFICATION:
        raise _DamagedError(f"its reflectance is in units of 1/{scale:g}, not 1/{QUANTIFICATION}")
    offsets = {BAND_IDS[int(e.get("band_id", ""))]: float(e.text or "") for e in about.iter("BOA_ADD_OFFSET")}
    if len({offsets.get(band) for band in (*REFLECTANCE_10M, *REFLECTANCE_20M)}) > 1:
        raise _DamagedError("its bands have different offsets")
    # Old baselines write IMAGE_FILE_2A.
    listed = [(e.text or "").strip() for e in about.iter() if e.tag in ("IMAGE_FILE", "IMAGE_FILE_2A")]
    listed = [f"{n}.jp2" for n in listed] or [n for n in product.files if n.startswith(f"{granule}/IMG_DATA/")]
    assets, missing = {}, []
    for band, ending in FILES.items():
        name = next((n for n in listed if n.endswith(f"_{ending}.jp2")), None)
        if name is None or name not in product.files:
            missing.append(Path(name or f"*_{ending}.jp2").name)
            continue
        assets[ending] = {"href": product.files[name], "type": "image/jp2", "gsd": int(ending[-3:-1])}
        if band in offsets:
            assets[ending]["raster:bands"] = [{"scale": 1 / QUANTIFICATION, "offset": offsets[band] / QUANTIFICATION}]
    if missing:
        raise _DamagedError(f"lacks {', '.join(missing)}")
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
        to_degrees = Transformer.from_crs(_text(tile, "HORIZONTAL_CS_CODE"), "EPSG:4326", always_xy=True)
        return mapping(Polygon(zip(*to_degrees.transform(*outline.xy), strict=True)))
    except (ValueError, StopIteration, ProjError) as error:
        raise _DamagedError(f"its metadata has no valid footprint{f': {error}' if str(error) else ''}") from None
