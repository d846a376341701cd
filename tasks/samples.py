"""Training polygons of a person: read from any vector file, every fault named at once, brought to pixels, and written.

Rings are mended where that is harmless. GeoJSON is in degrees unless it names another reference system.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from imperv.layers.landcover.classes import LandClass, class_named
from imperv.tasks.errors import InputError
from imperv.tasks.projections import DEGREES, EEA, transformer
from imperv.tasks.vectors.shape_pixels import mask_of, pixels_in, shared_pixels, strips_of, window_of

MOST_FEATURES, MOST_VERTICES = 2000, 200_000
"""Of a file."""

MOST_SHARED = 200
"""Pairs of polygons over one pixel that are named."""

SHOWN = 30
"""Faults of a file that are listed."""

CLASS_COLUMNS = ("class", "class_name", "classname", "landcover", "land_cover", "label")
"""Names of the column of the class, in any case."""

DECIMALS = 8
"""Of degrees that are written: a millimetre."""


@dataclass(frozen=True)
class SampleRules:
    """What a person may draw to tune a map."""

    classes: Sequence[LandClass]
    resolution: float
    """Of the map, metres."""


@dataclass(frozen=True)
class Drawn:
    """A polygon or point as it was drawn or written, before it is checked."""

    shape: Any
    """A geometry, or None."""
    class_name: object
    """Name or code of its class, as it was written."""
    name: str = ""
    weight: object = None


@dataclass(frozen=True)
class Sample:
    """One polygon, or point."""

    number: int
    """Its place in the file, from 1."""
    shape: shapely.Geometry
    """In EPSG:3035."""
    code: int
    """Of its class."""
    class_name: str
    name: str = ""
    weight: float = 1.0
    """Against other polygons."""

    def __str__(self) -> str:
        return f"polygon {self.number} ({self.name or self.class_name})"

    @property
    def with_class(self) -> str:
        """Its number, its name where it has one, and its class."""
        return f"{self} of {self.class_name}" if self.name else str(self)


@dataclass(frozen=True)
class Fault:
    """What is wrong with one polygon, or with two together."""

    numbers: tuple[int, ...]
    """Their places in the file, from 1."""
    text: str
    """One line with the remedy."""


def read_samples(path: str | Path, classes: Sequence[LandClass], grid: GeoBox, where: str = "--polygons") -> tuple[Sample, ...]:
    """Polygons of a vector file on the grid of a tile.

    InputError, one line for each fault, if the file cannot be read, a class is unknown, a polygon lies outside of the grid or
    holds no pixel, or polygons of two classes share a pixel.
    """
    start = f"{where}: {path}"
    drawn, to_grid = read_drawn(path, start)
    samples, faults = check_samples(drawn, classes, grid, to_grid)
    if faults:
        more = [f"{start}: {len(faults) - SHOWN} more faults"] if len(faults) > SHOWN else []
        raise InputError("\n".join([*(f"{start}: {fault.text}" for fault in faults[:SHOWN]), *more]))
    return samples


def read_drawn(path: str | Path, start: str) -> tuple[list[Drawn], Transformer | None]:
    """Polygons of a vector file as they are, and the way from its reference system to EPSG:3035; None for no polygons.

    InputError that begins with `start` if the file cannot be read, is too large, or has no column of classes.
    """
    found = _frame(str(path), start)
    if not len(found):
        return [], None
    column = next((c for c in found.columns if str(c).lower() in CLASS_COLUMNS), None)
    if column is None:
        there = ", ".join(str(c) for c in found.columns if c != found.geometry.name) or "none"
        raise InputError(f"{start}: has no column class (it has {there}); name the class of each polygon there")
    names = {str(c).lower(): c for c in found.columns}
    drawn = [
        Drawn(row[found.geometry.name], row[column], _text(row.get(names.get("name", ""))), row.get(names.get("weight", "")))
        for row in found.to_dict("records")
    ]
    return drawn, _transformer(found.crs, start)


def check_samples(
    drawn: Iterable[Drawn], classes: Sequence[LandClass], grid: GeoBox, to_grid: Transformer | None = None
) -> tuple[tuple[Sample, ...], list[Fault]]:
    """Samples on a grid, rings mended, and every fault; a polygon with a fault of its own is no sample.

    Shapes are in EPSG:3035 where there is no `to_grid`.
    """
    samples, faults = [], []
    area = shapely.box(*grid.boundingbox.bbox)
    for number, one in enumerate(drawn, 1):
        found = _checked(number, one, classes, grid, area, to_grid)
        if isinstance(found, Sample):
            samples.append(found)
        else:
            label = one.name or _text(one.class_name)
            faults.append(Fault((number,), f"polygon {number}{f' ({label})' if label else ''}: {found}"))
    return tuple(samples), [*faults, *_shared_pixels(samples, grid)]


def _checked(
    number: int, one: Drawn, classes: Sequence[LandClass], grid: GeoBox, area: shapely.Polygon, to_grid: Transformer | None
) -> Sample | str:
    """The sample, or what is wrong with it."""
    if not _text(one.class_name):
        return "has no class; name its class"
    known = class_named(one.class_name, classes)
    if isinstance(known, str):
        return f"unknown class {one.class_name!r}; {known}"
    weight, fault = _weight(one.weight)
    if fault := fault or _wrong_shape(one.shape):
        return fault
    shape = one.shape if to_grid is None else on_grid(one.shape, to_grid)
    sample = Sample(number, _polygons(shape), known.code, known.name, one.name, weight)
    if shapely.get_dimensions(sample.shape) < shapely.get_dimensions(shape):
        return "encloses no area; draw it anew"
    return _misplaced(sample, grid, area) or sample


def on_grid(shape: shapely.Geometry, to_grid: Transformer) -> shapely.Geometry:
    """A shape brought to EPSG:3035."""
    return shapely.transform(shape, lambda x, y: to_grid.transform(x, y), interleaved=False)


def _text(value: object) -> str:
    """Of a cell; empty where there is nothing."""
    return "" if value is None or value != value else str(value).strip()


def _frame(path: str, start: str) -> Any:
    """The file as a GeoDataFrame; InputError where it cannot be read, or is too large."""
    import geopandas  # takes a second to import
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    from imperv.tasks.vectors.batches import is_local, ogr_name

    if is_local(path) and not Path(path).exists():
        raise InputError(f"{start} does not exist; correct the path")
    try:
        found = pyogrio.read_dataframe(ogr_name(path), force_2d=True, use_arrow=False, max_features=MOST_FEATURES + 1)
    except (DataSourceError, DataLayerError, OSError, ValueError) as error:
        why = (str(error).splitlines() or ["no vector file"])[0]
        raise InputError(f"{start} cannot be read ({why}); write it as GeoJSON or GeoPackage") from None
    if not isinstance(found, geopandas.GeoDataFrame):
        if len(found):
            raise InputError(f"{start} holds no shapes; write polygons as GeoJSON or GeoPackage")
        return geopandas.GeoDataFrame(geometry=[])
    if len(found) > MOST_FEATURES:
        raise InputError(f"{start} has more than {MOST_FEATURES} polygons; leave some out")
    if not len(found):
        return found
    vertices = int(shapely.get_num_coordinates(found.geometry.values).sum())
    if vertices > MOST_VERTICES:
        raise InputError(f"{start} has {vertices} vertices, more than {MOST_VERTICES}; simplify the polygons")
    left, bottom, right, top = shapely.total_bounds(found.geometry.values)
    degrees = found.crs is None or found.crs.is_geographic
    if degrees and max(abs(left), abs(right)) > 180 or degrees and max(abs(bottom), abs(top)) > 90:
        raise InputError(
            f"{start}: {left:.0f} {bottom:.0f} are no degrees, which GeoJSON has; they look like metres of EPSG:3035: "
            "export with EPSG:4326, or as GeoPackage with its reference system"
        )
    return found


def _transformer(crs: Any, start: str) -> Transformer:
    try:
        return Transformer.from_crs(CRS.from_user_input(crs or "OGC:CRS84"), EEA, always_xy=True)
    except (CRSError, ProjError) as error:
        raise InputError(f"{start}: its reference system cannot be used ({error}); export with EPSG:4326") from None


def _weight(value: object) -> tuple[float, str]:
    """Weight of a polygon, and what is wrong with it."""
    if not _text(value):
        return 1.0, ""
    try:
        number = float(_text(value))
    except ValueError:
        number = float("nan")
    return (number, "") if 0 < number <= 1000 else (1.0, f"weight {_text(value)} is not a number above 0, up to 1000")


def _wrong_shape(shape: Any) -> str:
    if shape is None or shape.is_empty:
        return "has no outline"
    if shapely.get_dimensions(shape) == 1:
        return "is a line; draw a polygon"
    return "" if np.isfinite(shapely.get_coordinates(shape)).all() else "has coordinates that are no numbers"


def _polygons(shape: shapely.Geometry) -> shapely.Geometry:
    """The areas of a shape whose ring may cross itself; points, and polygons that are sound, stay."""
    if shapely.get_dimensions(shape) == 0 or shape.geom_type in ("Polygon", "MultiPolygon") and shape.is_valid:
        return shape
    sound = shape if shape.is_valid else shapely.make_valid(shape)
    return shapely.union_all([part for part in shapely.get_parts(sound) if shapely.get_dimensions(part) == 2] or [sound])


def _misplaced(sample: Sample, grid: GeoBox, area: shapely.Polygon) -> str:
    if not np.isfinite(shapely.get_coordinates(sample.shape)).all() or not sample.shape.intersects(area):
        return "lies outside of the area; draw it inside"
    if not area.covers(sample.shape):
        return "reaches beyond the area; draw it inside"
    if not _holds_pixel(sample, grid):
        return f"holds the centre of no pixel of {grid.resolution.x:g} m ({sample.shape.area:.0f} m2); draw it larger"
    return ""


def _holds_pixel(sample: Sample, grid: GeoBox) -> bool:
    """Whether a shape in the area of a grid has a pixel: most have the one around a point inside of them."""
    if shapely.get_dimensions(sample.shape) == 0:
        return len(pixels_of(sample, grid)[0]) > 0
    inside = sample.shape.representative_point()
    column, row = ~grid.affine * (inside.x, inside.y)
    centre = grid.affine * (np.floor(column) + 0.5, np.floor(row) + 0.5)
    if shapely.contains_xy(sample.shape, *centre):
        return True
    window = window_of(sample.shape, grid)
    return window is not None and any(mask_of(sample.shape, grid, strip).any() for strip in strips_of(window))


def pixels_of(sample: Sample, grid: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels of a grid whose centre lies in a polygon, or that hold a point."""
    return pixels_in(sample.shape, grid)


def rasterise(samples: Sequence[Sample], grid: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    """Code (y, x) uint8 and number of the polygon (y, x) int32, from 0 in the order given; 0 and -1 elsewhere."""
    codes, numbers = np.zeros(grid.shape.yx, "u1"), np.full(grid.shape.yx, -1, "i4")
    for number, sample in enumerate(samples):
        pixels = pixels_of(sample, grid)
        codes[pixels], numbers[pixels] = sample.code, number
    return codes, numbers


def _shared_pixels(samples: Sequence[Sample], grid: GeoBox) -> Iterator[Fault]:
    """Polygons of two classes that share pixels."""
    if len({sample.code for sample in samples}) < 2:
        return
    found = shared_pixels([sample.shape for sample in samples], [sample.code for sample in samples], grid)
    for told, (a, b, count) in enumerate(found):
        one, other = samples[a], samples[b]
        if told == MOST_SHARED:
            yield Fault((), "more polygons of two classes share pixels; draw them apart")
            return
        yield Fault(
            (one.number, other.number),
            f"{one.with_class} and {other.with_class} share {count} pixel{'s' if count > 1 else ''}; draw them apart",
        )


def as_geojson(samples: Sequence[Sample], *, degrees: bool = True) -> str:
    """Polygons as GeoJSON: in degrees, with eight decimals, for people; or exactly, in EPSG:3035, for the store."""
    turn = transformer(EEA, DEGREES)
    features = []
    for sample in samples:
        shape = sample.shape
        if degrees:
            shape = shapely.transform(shape, lambda x, y: np.round(turn.transform(x, y), DECIMALS), interleaved=False)
        properties = {"class": sample.class_name, "name": sample.name, "weight": sample.weight}
        features.append({"type": "Feature", "properties": properties, "geometry": json.loads(shapely.to_geojson(shape))})
    found: dict[str, Any] = {"type": "FeatureCollection", "features": features}
    if not degrees:
        found["crs"] = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3035"}}
    return json.dumps(found) + "\n"


def of_store(table: dict[str, Any], classes: Sequence[LandClass]) -> tuple[Sample, ...]:
    """Polygons that `as_geojson` wrote for the store; InputError for a class that the production no longer has."""
    found = []
    for number, feature in enumerate(table["features"], 1):
        about = feature["properties"]
        one = class_named(about["class"], classes)
        if isinstance(one, str):
            raise InputError(f"polygon {number} of the round is of class {about['class']}, which this production has not; {one}")
        shape = shapely.from_geojson(json.dumps(feature["geometry"]))
        found.append(Sample(number, shape, one.code, one.name, about["name"], about["weight"]))
    return tuple(found)
