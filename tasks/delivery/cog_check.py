"""Check of a product of the plain form (`tasks.delivery.cog`): the file against the catalogue, and what lies beside it.

Everything is read from the files: they may have been copied elsewhere.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioError

from imperv.grids import Tile
from imperv.layers.catalogue import CATALOGUE, Layer, resolve
from imperv.layers.palette import Palette
from imperv.tasks.delivery.stac import SUFFIX, checksum
from imperv.tasks.family.findings import Finding, failed, passed
from imperv.tasks.job import without_data

_NAME = re.compile(
    r"(?P<symbol>\w+?)_(?P<label>\d{4}[\d_-]*)_(?P<tile>E\d\dN\d\d)_R(?P<pixel>[\d.]+)m(?P<ending>\..+|)", re.ASCII
)

CLOSE = 1e-6
"""Relative difference of statistics that rounding explains."""


def cog_name(layer: Layer, label: str, tile: str) -> str:
    """File name of a product, such as ``LC_base_2021-06_E43N32_R5m.tif``."""
    return f"{layer.symbol}_{label}_{tile}_R{layer.resolution:g}m.tif"


def layer_of_cog(path: Path) -> Layer | None:
    """The layer that a product is of, by its file name; None for names of other forms."""
    match = _NAME.fullmatch(path.name)
    return layer_beside(path.name) if match and match["ending"] == ".tif" else None


def layer_beside(name: str) -> Layer | None:
    """The layer that a product, or a file that lies beside one, is of; None for names of other forms."""
    match = _NAME.fullmatch(name)
    try:
        layer = CATALOGUE[resolve(match["symbol"])] if match else None
    except ValueError:
        return None
    return layer if layer is not None and layer.delivery is not None else None


def cog_files(paths: Iterable[Path]) -> list[Path]:
    """Products of this form among files and below folders."""
    found: dict[Path, None] = {}
    for path in paths:
        some = sorted(path.rglob("*.tif")) if path.is_dir() else [path]
        found.update(dict.fromkeys(p for p in some if layer_of_cog(p) is not None))
    return list(found)


def check_cog(path: Path) -> list[Finding]:
    """Check one product. Each rule that could be looked at gives one finding."""
    layer = layer_of_cog(path)
    if layer is None:
        return [failed("naming", "the name is not <layer>_<period>_<tile>_R<pixel>m.tif of a layer that is delivered")]
    match = _NAME.fullmatch(path.name)
    assert match is not None
    try:
        with rasterio.open(path) as source:
            return [*_of_file(source, layer, match["tile"], float(match["pixel"])), *_beside(path, source)]
    except (RasterioError, OSError) as error:
        return [failed("readable", f"is damaged or not a GeoTIFF ({' '.join(str(error).split())})")]


def _of_file(source: rasterio.DatasetReader, layer: Layer, tile: str, pixel: float) -> Iterator[Finding]:
    variable = layer.variables[0]
    structure = source.tags(ns="IMAGE_STRUCTURE")
    rows, columns = source.block_shapes[0]
    tiled = structure.get("LAYOUT") == "COG" and rows == columns
    yield Finding("cog", tiled, f"layout {structure.get('LAYOUT', 'of another kind')}, blocks of {columns} x {rows}")
    long = max(source.shape) > 2 * columns
    yield Finding("overviews", bool(source.overviews(1)) or not long, f"{len(source.overviews(1))} overviews")
    code = source.crs.to_epsg() if source.crs else None
    wanted = code == 3035 if layer.grid == "eea" else code is not None and code // 100 in (326, 327)
    yield Finding("epsg", wanted, f"EPSG:{code}")
    t = source.transform
    square = (t.a, t.b, t.d, t.e) == (layer.resolution, 0, 0, -layer.resolution) and pixel == layer.resolution
    yield Finding("pixel_size", square and t.c % t.a == 0 and t.f % t.a == 0, f"{t.a:g} m, corner at {t.c:.10g}, {t.f:.10g}")
    if layer.grid == "eea":
        try:
            left, bottom, right, top = Tile(tile).bounds
        except ValueError as error:
            yield failed("naming", str(error))
            return
        box = source.bounds
        inside = left <= box.left < box.right <= right and bottom <= box.bottom < box.top <= top
        yield Finding("extent", inside, " ".join(f"{v:.0f}" for v in box) + ("" if inside else f" leaves tile {tile}"))
    bands = variable.bands
    names = source.descriptions == variable.labels if variable.labels else True
    yield Finding("bands", source.count == bands and names, f"{source.count} of {bands}" + ("" if names else ", of other names"))
    scale = layer.delivery.scale if layer.delivery else 1.0
    yield Finding("scale", set(source.scales) == {scale}, f"{source.scales[0]:g}, asked {scale:g}")
    yield Finding("type", source.dtypes[0] == variable.dtype, f"{source.dtypes[0]}, asked {variable.dtype}")
    same = source.nodata == variable.nodata or (variable.nodata != variable.nodata and source.nodata != source.nodata)
    yield Finding("nodata", source.nodata is not None and same, f"{source.nodata}, asked {variable.nodata}")
    yield from _values(source, layer)


def _values(source: rasterio.DatasetReader, layer: Layer) -> Iterator[Finding]:
    """Codes or range, colours, and statistics inside of the file, by reading all pixels."""
    nodata = layer.variables[0].nodata
    codes: set[int] = set()
    lows, highs, totals, valids = (np.full(source.count, v) for v in (np.inf, -np.inf, 0.0, 0.0))
    for _, window in source.block_windows(1):
        for band, pixels in enumerate(source.read(window=window)):
            some = pixels[~without_data(pixels, nodata)]
            if layer.codes:
                codes |= set(np.unique(pixels).tolist())
            if some.size:
                lows[band], highs[band] = min(lows[band], some.min()), max(highs[band], some.max())
                totals[band], valids[band] = totals[band] + some.sum(dtype="f8"), valids[band] + some.size
    low, high, valid = float(lows.min()), float(highs.max()), bool(valids.any())
    delivery = layer.delivery
    assert delivery is not None
    if layer.codes:
        wrong = sorted(codes - set(layer.codes) - ({int(nodata)} if nodata == nodata else set()))
        yield failed("value", f"codes that it must not hold: {wrong[:8]}") if wrong else passed("value", f"{len(codes)} codes")
    elif delivery.limits is not None:
        fits = not valid or (delivery.limits[0] <= low and high <= delivery.limits[1])
        yield Finding("value", fits, f"{low:g} to {high:g}, asked {delivery.limits[0]:g} to {delivery.limits[1]:g}")
    if delivery.palette is not None and not delivery.own_classes:
        try:
            table = source.colormap(1)
            agree = all(tuple(table[c][:3]) == delivery.palette.colours[c] for c in delivery.palette.codes)
            yield Finding("color", agree, "colour table agrees" if agree else "colour table is not that of the catalogue")
        except ValueError:
            yield failed("color", "no colour table inside the TIFF")
    agree = True
    for band in np.nonzero(valids)[0].tolist():
        tags = source.tags(band + 1)
        asked = {"MINIMUM": lows[band], "MAXIMUM": highs[band], "MEAN": totals[band] / valids[band]}
        agree &= all(np.isclose(float(tags.get(f"STATISTICS_{k}", "nan")), v, rtol=CLOSE) for k, v in asked.items())
    yield Finding("statistics", bool(agree), "those of the pixels" if agree else "are not those of the pixels")


def _beside(path: Path, source: rasterio.DatasetReader) -> Iterator[Finding]:
    """STAC Item and style."""
    item = path.with_name(path.stem + SUFFIX)
    try:
        table = json.loads(item.read_text(encoding="utf-8"))
        data, properties = table["assets"]["data"], table["properties"]
        if data["file:checksum"] != checksum(path):
            yield failed("stac", f"{item.name} is of another file: its checksum differs; deliver the layer again")
        elif properties["proj:shape"] != list(source.shape) or properties["proj:code"] != f"EPSG:{source.crs.to_epsg()}":
            yield failed("stac", f"{item.name} says another grid")
        else:
            yield passed("stac", item.name)
    except (OSError, ValueError, KeyError, TypeError):
        yield failed("stac", f"{item.name} is missing or no STAC Item of this file")
    style = path.with_suffix(".qml")
    try:
        renderer = ElementTree.fromstring(style.read_text(encoding="utf-8")).find("pipe/rasterrenderer")
        if renderer is None:
            yield failed("style", f"{style.name} has no renderer")
        else:
            numbers = [
                int(renderer.get(key, "0")) for key in ("band", "redBand", "greenBand", "blueBand") if key in renderer.attrib
            ]
            there = all(0 < number <= source.count for number in numbers)
            yield Finding("style", there, style.name if there else f"{style.name} shows bands that are not there")
    except (OSError, ElementTree.ParseError):
        yield failed("style", f"{style.name} is missing or no QGIS style")


def check_classes(path: Path, palette: Palette, classes: str, do: str) -> list[Finding]:
    """Codes and colours of a map against a list of classes, such as ``the model's classes``; `do` says what it does not do.

    A file without a colour table has other colours.
    """
    with rasterio.open(path) as source:
        found = {int(code) for _, window in source.block_windows(1) for code in np.unique(source.read(1, window=window))}
        try:
            table = source.colormap(1)
        except ValueError:
            table = {}
    if wrong := sorted(found - set(palette.codes)):
        return [failed("classes", f"codes that {do} have: {wrong[:8]}")]
    if any(tuple(table.get(code, ())[:3]) != palette.colours[code] for code in palette.codes):
        return [failed("classes", f"colours are not those of {classes}; deliver the layer again")]
    return [passed("classes", f"{len(found)} of {len(palette.codes)} codes")]
