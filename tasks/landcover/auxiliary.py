"""Maps to compare with: rasters or vector files of the production file, on the tile's grid, with their legends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.features import rasterize

from imperv.layers.catalogue import CATALOGUE
from imperv.layers.palette import CONFIDENCE, DENSITY, OUTSIDE, Palette, Rgb
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job, count_codes
from imperv.tasks.scenes.reading import open_full_resolution, warp

URBAN_ATLAS: dict[int, tuple[str, Rgb]] = {
    11100: ("Continuous urban fabric", (128, 0, 0)), 11210: ("Discontinuous dense urban fabric", (191, 0, 0)),
    11220: ("Discontinuous medium density urban fabric", (255, 64, 64)),
    11230: ("Discontinuous low density urban fabric", (255, 128, 128)),
    11240: ("Discontinuous very low density urban fabric", (255, 191, 191)), 11300: ("Isolated structures", (204, 102, 102)),
    12100: ("Industrial, commercial, public, military and private units", (204, 77, 242)),
    12210: ("Fast transit roads and associated land", (149, 149, 149)),
    12220: ("Other roads and associated land", (179, 179, 179)), 12230: ("Railways and associated land", (89, 89, 89)),
    12300: ("Port areas", (230, 204, 204)), 12400: ("Airports", (230, 204, 230)),
    13100: ("Mineral extraction and dump sites", (115, 77, 55)), 13300: ("Construction sites", (185, 165, 110)),
    13400: ("Land without current use", (135, 69, 69)), 14100: ("Green urban areas", (140, 220, 0)),
    14200: ("Sports and leisure facilities", (175, 210, 165)), 21000: ("Arable land", (255, 255, 168)),
    22000: ("Permanent crops", (242, 166, 77)), 23000: ("Pastures", (230, 230, 77)),
    24000: ("Complex and mixed cultivation patterns", (255, 230, 77)), 25000: ("Orchards", (242, 204, 77)),
    31000: ("Forests", (0, 140, 0)), 32000: ("Herbaceous vegetation associations", (204, 242, 77)),
    33000: ("Open spaces with little or no vegetation", (204, 255, 204)), 40000: ("Wetlands", (166, 166, 255)),
    50000: ("Water", (77, 136, 255)),
}  # fmt: skip
"""Urban Atlas 2018: code, class and colour (Mapping guide v6.3; colours of its style)."""

KNOWN: dict[str, tuple[str, Palette]] = {
    "imperviousness": ("HRL Imperviousness density", DENSITY),
    "imd": ("HRL Imperviousness density", DENSITY),
    "tree_cover": ("HRL Tree cover density", CONFIDENCE),
    "tcd": ("HRL Tree cover density", CONFIDENCE),
}
"""Titles and colours of quantities in percent by the name in the production file."""

CLASSES: dict[str, tuple[str, dict[int, tuple[str, Rgb]]]] = {
    "grassland": ("HRL Grassland", {0: ("No grassland", (240, 240, 240)), 1: ("Grassland", (70, 158, 74))}),
    "gra": ("HRL Grassland", {0: ("No grassland", (240, 240, 240)), 1: ("Grassland", (70, 158, 74))}),
    "water_wetness": ("HRL Water and wetness", {
        0: ("Dry", (240, 240, 240)), 1: ("Permanent water", (0, 0, 200)), 2: ("Temporary water", (60, 130, 255)),
        3: ("Permanent wetness", (0, 140, 120)), 4: ("Temporary wetness", (140, 220, 190)), 253: ("Sea water", (190, 215, 245)),
    }),
}  # fmt: skip
CLASSES["waw"] = CLASSES["water_wetness"]
"""Classes of HRLs by the name in the production file."""

ATLAS_COLUMNS = ("code_2018", "code_2012", "code_2006", "code_2021", "code")
"""Columns of Urban Atlas with its codes."""

MOST_CODES = 254


@dataclass(frozen=True)
class Entry:
    """A class of a legend."""

    code: int
    name: str
    colour: Rgb


@dataclass(frozen=True)
class AuxiliaryMap:
    """A map to compare with, on pixels of 5 m: numbers of the legend from 0, 255 for no data."""

    name: str
    title: str
    path: str
    grid: GeoBox
    pixels: np.ndarray
    """(y, x) uint8 numbers of `legend`."""
    legend: tuple[Entry, ...]

    def to_json(self) -> dict[str, Any]:
        """Title, and legend with the share of each class."""
        counts = count_codes(self.pixels)
        total = max(int(counts[:OUTSIDE].sum()), 1)
        return {
            "name": self.name, "title": self.title, "path": Path(self.path).name,
            "legend": [
                {"code": e.code, "name": e.name, "colour": "#{:02x}{:02x}{:02x}".format(*e.colour),
                 "share": float(counts[k]) / total}
                for k, e in enumerate(self.legend)
            ],
        }  # fmt: skip


def auxiliary_maps(job: Job, grid: GeoBox | None = None) -> Iterator[AuxiliaryMap]:
    """All auxiliary maps of a production on a grid, by default the tile's; InputError for one that cannot be read."""
    where = grid or job.grid_of(CATALOGUE["LC_mosaic"])
    for name, text in job.production.references.auxiliary.items():
        yield read_auxiliary(name, job.path(text), where)


def read_auxiliary(name: str, path: str, grid: GeoBox) -> AuxiliaryMap:
    """A map by its name in the production file: an HRL, Urban Atlas, or any coded raster with a colour table."""
    start = f"references.auxiliary.{name}: {path}"
    if "://" not in path and not Path(path).exists():
        raise InputError(f"{start}: does not exist; correct the path")
    try:
        with rasterio.open(path) as source:
            raster = source.count > 0
    except RasterioError:
        raster = False
    return _raster(name, path, grid, start) if raster else _vector(name, path, grid, start)


def _raster(name: str, path: str, grid: GeoBox, start: str) -> AuxiliaryMap:
    with open_full_resolution(path) as source:
        if source.crs is None or source.dtypes[0] not in ("uint8", "uint16", "int16", "int32"):
            raise InputError(f"{start}: is no coded raster with a reference system; name another file")
        nodata = source.nodata
        codes = warp(source, grid, Resampling.nearest, 255 if nodata is None else int(nodata))
        try:
            table = source.colormap(1)
        except ValueError:
            table = {}
    missing = codes == (255 if nodata is None else int(nodata))
    key = name.lower()
    if key in KNOWN:
        title, palette = KNOWN[key]
        legend = tuple(Entry(code, palette.meaning(code), palette.colours[code]) for code in range(101))
    elif key in CLASSES:
        title, classes = CLASSES[key]
        legend = tuple(Entry(code, *about) for code, about in classes.items())
    else:
        title, legend = name, _found(codes[~missing], table)
    return AuxiliaryMap(name, title, path, grid, _numbered(codes, missing, legend, start), legend)


def _found(codes: np.ndarray, table: dict[int, Any]) -> tuple[Entry, ...]:
    """A legend of the codes that occur: by Urban Atlas where they are its, else by the colour table of the file."""
    present = [int(code) for code in np.unique(codes)]
    if present and all(code in URBAN_ATLAS for code in present):
        return tuple(Entry(code, *URBAN_ATLAS[code]) for code in present)
    colours = [tuple(table.get(code, _grey(k, len(present))))[:3] for k, code in enumerate(present)]
    return tuple(Entry(code, f"class {code}", colour) for code, colour in zip(present, colours, strict=True))


def _grey(number: int, count: int) -> Rgb:
    level = 230 - 180 * number // max(count - 1, 1)
    return level, level, level


def _numbered(codes: np.ndarray, missing: np.ndarray, legend: tuple[Entry, ...], start: str) -> np.ndarray:
    if len(legend) > MOST_CODES:
        raise InputError(f"{start}: holds more than {MOST_CODES} codes; it is no map of classes")
    out = np.full(codes.shape, OUTSIDE, "u1")
    for number, entry in enumerate(legend):
        out[(codes == entry.code) & ~missing] = number
    return out


def _vector(name: str, path: str, grid: GeoBox, start: str) -> AuxiliaryMap:
    import geopandas
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    from imperv.tasks.vectors.batches import ogr_name

    try:
        about = pyogrio.read_info(ogr_name(path))
        area = geopandas.GeoSeries([shapely.box(*grid.boundingbox.bbox)], crs="EPSG:3035")
        box = tuple(area.to_crs(about["crs"] or "EPSG:4326").total_bounds)
        found = pyogrio.read_dataframe(ogr_name(path), bbox=box, force_2d=True, use_arrow=False)
    except (DataSourceError, DataLayerError, OSError, ValueError) as error:
        raise InputError(f"{start}: cannot be read ({str(error).splitlines()[0]}); name a raster or a vector file") from None
    column = next((c for c in found.columns if str(c).lower() in (*ATLAS_COLUMNS, "class")), None)
    if column is None:
        raise InputError(f"{start}: has none of the columns {', '.join(ATLAS_COLUMNS)}, class; name another file")
    shapes = (found.geometry.set_crs("EPSG:4326") if found.crs is None else found.geometry).to_crs("EPSG:3035")
    texts = found[column].astype(str).tolist()
    numbers: dict[str, int] = {text: k for k, text in enumerate(sorted(set(texts)))}
    if len(numbers) > MOST_CODES:
        raise InputError(f"{start}: has more than {MOST_CODES} classes; name another column or file")
    pairs = zip(shapes, texts, strict=True)
    drawn = [(shape, numbers[text]) for shape, text in pairs if shape is not None and not shape.is_empty]
    pixels = np.full(grid.shape.yx, OUTSIDE, "u1")
    if drawn:
        pixels = rasterize(drawn, grid.shape.yx, fill=OUTSIDE, transform=grid.affine, dtype="uint8")
    legend = []
    for k, text in enumerate(sorted(numbers)):
        code = int(text) if text.isdigit() else k
        legend.append(Entry(code, *URBAN_ATLAS.get(code, (text, _grey(k, len(numbers))))))
    atlas = all(entry.code in URBAN_ATLAS for entry in legend) and bool(legend)
    return AuxiliaryMap(name, "Urban Atlas" if atlas else name, path, grid, pixels, tuple(legend))
