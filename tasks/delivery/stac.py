"""The STAC Item of a product, with relative links, so that the folder of products may be moved and served as it is.

Records are Items too: they are the truth about what is done; these here are for catalogues.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pystac
from pystac.extensions.classification import Classification, ClassificationExtension
from pystac.extensions.eo import Band, EOExtension
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import DataType, NoDataStrings, RasterBand, RasterExtension, Sampling, Statistics
from shapely import box, segmentize, transform
from shapely.geometry import mapping

from imperv.grids import Bounds
from imperv.layers.attributes import units_of
from imperv.layers.reflectance import SPECTRAL
from imperv.tasks.delivery.product import Product
from imperv.tasks.projections import DEGREES, EEA, transformer

PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
"""Extension that pystac writes no fields of."""

SUFFIX = ".stac.json"
"""Ending of these files; records, which lie beside them, end in ``.json`` only."""

SHA2_256 = "1220"
"""Start of a multihash: SHA-2 of 256 bits, 32 bytes long (file extension)."""

POINTS = 8
"""Points on each edge of a footprint, as straight lines of EPSG:3035 are none in degrees."""


@dataclass(frozen=True)
class Asset:
    """A kind of file of a product."""

    title: str
    media_type: str
    roles: tuple[str, ...]


ASSETS: dict[str, Asset] = {
    "data": Asset("Map", pystac.MediaType.COG, ("data",)),
    "table": Asset("Attribute table", "application/dbf", ("metadata",)),
    "metadata": Asset("INSPIRE metadata", pystac.MediaType.XML, ("metadata", "iso-19139")),
    "style": Asset("QGIS style", "text/x-qml", ("metadata", "style")),
    "quicklook": Asset("Quicklook", pystac.MediaType.PNG, ("thumbnail", "overview")),
    "comparison": Asset("Before and after", pystac.MediaType.PNG, ("overview",)),
    "package": Asset("Package for the EEA", "application/zip", ("data", "archive")),
}
"""Assets of an item; a product need not have all."""


def item_json(product: Product, files: Mapping[str, tuple[str, Path]]) -> str:
    """The STAC Item of a product as JSON, with the extensions projection, raster, processing, classification, eo and file.

    `files`: key -> (place relative to the item, file as it lies now); "data" must be among them. Keys are those of `ASSETS`, such
    as ``style``, with more behind an underscore where there are several, such as ``style_false_colour``.
    """
    start, end = times_of(product.start, product.end)
    item = pystac.Item(
        id=product.name,
        geometry=footprint(product.bounds, product.crs),
        bbox=[round(v, 7) for v in product.lonlat],
        datetime=None,
        start_datetime=start,
        end_datetime=end,
        collection=product.collection,
        properties={
            "title": product.title,
            "description": product.abstract,
            "created": product.created,
            "gsd": product.layer.resolution,
            **({"version": product.version} if product.version else {}),
            "license": product.settings.licence,
            "processing:lineage": product.lineage.statement,
            "processing:software": dict(product.lineage.software),
            "processing:datetime": product.created,
            "processing:level": "L4",
            **product.properties,
        },
        stac_extensions=[PROCESSING],
    )
    _add_grid(item, product)
    for key, (href, path) in files.items():
        kind, _, more = key.partition("_")
        about = ASSETS[kind]
        title = f"{about.title}, {more.replace('_', ' ')}" if more else about.title
        asset = pystac.Asset(href, title=title, media_type=about.media_type, roles=list(about.roles))
        item.add_asset(key, asset)
        FileExtension.ext(asset, add_if_missing=True).apply(size=path.stat().st_size, checksum=checksum(path))
    _add_band(item.assets["data"], product)
    item.add_links(
        [
            link(pystac.RelType.ROOT, f"../{product.collection}{SUFFIX}"),
            link(pystac.RelType.COLLECTION, f"../{product.collection}{SUFFIX}"),
            link(pystac.RelType.PARENT, f"./{product.collection}{SUFFIX}"),
        ]
    )
    return as_text(item)


def _add_grid(item: pystac.Item, product: Product) -> None:
    grid = product.grid
    ProjectionExtension.ext(item, add_if_missing=True).apply(
        code=f"EPSG:{product.epsg}",
        bbox=list(grid.boundingbox.bbox),
        shape=[grid.shape.y, grid.shape.x],
        transform=list(grid.affine)[:6],
    )


def _add_band(asset: pystac.Asset, product: Product) -> None:
    """What the values of the map are."""
    layer, palette = product.layer, product.palette
    variable = layer.variables[0]
    common: dict[str, Any] = {
        "nodata": NoDataStrings.NAN if variable.nodata != variable.nodata else int(variable.nodata),
        "sampling": Sampling.AREA,
        "data_type": DataType(variable.dtype),
        "spatial_resolution": layer.resolution,
        "unit": units_of(layer) or None,
        "scale": layer.delivery.scale if layer.delivery and layer.delivery.scale != 1 else None,
    }
    bands = [Statistics.create(**{k: round(v, 6) for k, v in values.items()}) for values in product.values]
    RasterExtension.ext(asset, add_if_missing=True).apply(
        [RasterBand.create(**common, statistics=found) for found in bands or [_statistics(product)]]
    )
    _add_spectral_bands(asset, product)
    if palette is None:
        return
    nodata = int(variable.nodata)
    shown = (*(palette.anchors or (code for code in palette.codes if code != nodata)), nodata)
    ClassificationExtension.ext(asset, add_if_missing=True).apply(
        classes=[
            Classification.create(
                value=code,
                name=_slug(palette.meaning(code)),
                title=palette.meaning(code),
                description=palette.meaning(code),
                color_hint="{:02X}{:02X}{:02X}".format(*palette.colours[code]),
                nodata=True if code == nodata else None,
            )
            for code in shown
        ]
    )


def _add_spectral_bands(asset: pystac.Asset, product: Product) -> None:
    """Names and wavelengths, where bands are the satellite's and are shown as such."""
    layer = product.layer
    names = layer.variables[0].labels
    if not (names and layer.delivery and layer.delivery.shown and all(name in SPECTRAL for name in names)):
        return
    EOExtension.ext(asset, add_if_missing=True).bands = [
        Band.create(name, common_name, center_wavelength=centre, full_width_half_max=width)
        for name in names
        for common_name, centre, width in [SPECTRAL[name]]
    ]


def _statistics(product: Product) -> Statistics:
    """Of the mapped pixels; a mean only where codes are a quantity."""
    valid = round(product.valid_percent, 4)
    counts = {code: count for code, count in product.counts.items() if code != product.layer.variables[0].nodata and count}
    if product.palette is None or product.palette.overview != "mean" or not counts:
        return Statistics.create(valid_percent=valid)
    codes, weights = np.array(list(counts), float), np.array(list(counts.values()), float)
    mean = float(np.average(codes, weights=weights))
    return Statistics.create(
        minimum=min(counts),
        maximum=max(counts),
        mean=round(mean, 4),
        stddev=round(float(np.sqrt(np.average((codes - mean) ** 2, weights=weights))), 4),
        valid_percent=valid,
    )


def footprint(bounds: Bounds, crs: str = EEA) -> dict[str, object]:
    """Polygon in degrees of a rectangle, GeoJSON."""
    left, bottom, right, top = bounds
    to_degrees = transformer(crs, DEGREES)
    outline = segmentize(box(*bounds), max(right - left, top - bottom) / POINTS)
    return mapping(transform(outline, lambda xy: np.round(np.column_stack(to_degrees.transform(xy[:, 0], xy[:, 1])), 7)))


def checksum(path: Path) -> str:
    """Multihash of a file (file extension)."""
    with path.open("rb") as file:
        return SHA2_256 + hashlib.file_digest(file, "sha256").hexdigest()


def times_of(start: dt.date, end: dt.date) -> tuple[dt.datetime, dt.datetime]:
    """From the first moment of the first day to the last second of the last, UTC."""
    first, last = (dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC) for day in (start, end))
    return first, last + dt.timedelta(days=1, seconds=-1)


def link(rel: str, href: str, media_type: str = pystac.MediaType.JSON) -> pystac.Link:
    """A link that is written as it is."""
    return pystac.Link(rel, href, media_type=media_type)


def _slug(text: str) -> str:
    return re.sub(r"[^0-9a-z]+", "-", text.replace("%", "percent").lower()).strip("-")


def as_text(made: pystac.Item | pystac.Catalog) -> str:
    """JSON of a STAC object, without a link to itself: it does not know where it lies."""
    table = made.to_dict(include_self_link=False, transform_hrefs=False)
    return json.dumps(table, indent=1, ensure_ascii=False) + "\n"
