"""The area that a person draws: any vector file, in any reference system, anywhere on Earth."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from odc.geo.geobox import GeoBox
from pyproj import CRS
from pyproj.exceptions import CRSError, ProjError
from rasterio.features import geometry_mask
from shapely import affinity

from imperv.grids import Bounds, snap_utm
from imperv.tasks.errors import InputError
from imperv.tasks.projections import DEGREES, transformer

PIECES = 64
"""Parts of the longer side into which edges are cut: what is straight in one reference system is curved in another."""

CENTIMETRES = 2
"""Decimals of metres to which corners are rounded before they are snapped, so that what is drawn on pixels stays on them."""


@dataclass(frozen=True, eq=False)
class Area:
    """An area of interest."""

    shape: shapely.Geometry
    """Polygons, with corners close enough for any reference system."""
    crs: str
    """Reference system of them."""
    name: str
    """File that it was read from."""

    @property
    def bounds(self) -> Bounds:
        """(west, south, east, north) in degrees; west > east across the antimeridian."""
        parts = shapely.get_parts(self.to(DEGREES))
        west, south, east, north = (float(v) for v in shapely.total_bounds(parts))
        if east - west > 180:  # GeoJSON cuts there (RFC 7946, 3.1.9)
            lefts, rights = shapely.bounds(parts)[:, 0], shapely.bounds(parts)[:, 2]
            if not ((lefts < 0) & (rights > 0)).any():
                west, east = float(lefts[lefts >= 0].min()), float(rights[rights <= 0].max())
        return west, south, east, north

    def to(self, crs: str) -> shapely.Geometry:
        """The polygons in another reference system."""
        if crs == self.crs:
            return self.shape
        turn = transformer(self.crs, crs)
        return shapely.transform(self.shape, lambda x, y: turn.transform(x, y, errcheck=True), interleaved=False)

    def within(self, bounds: Bounds) -> Area | None:
        """What of it lies within (west, south, east, north) in degrees; None where nothing does. No pole lies within them."""
        west, south, east, north = bounds
        shape, turns = self.to(DEGREES), (-360, 0, 360)
        found = [shapely.intersection(shape, shapely.box(west + turn, south, east + turn, north)) for turn in turns]
        moved = [affinity.translate(s, -turn) for s, turn in zip(found, turns, strict=True)]
        clipped = shapely.union_all([p for s in moved for p in shapely.get_parts(s) if p.geom_type == "Polygon"])
        if clipped.is_empty:
            return None
        return Area(shapely.segmentize(clipped, max(east - west, north - south) / PIECES), DEGREES, self.name)

    def grid(self, epsg: int, resolution: float) -> GeoBox:
        """Native grid of a UTM zone around it."""
        left, bottom, right, top = (round(float(v), CENTIMETRES) for v in self.to(f"EPSG:{epsg}").bounds)
        return snap_utm((left, bottom, right, top), epsg, resolution)

    def inside(self, grid: GeoBox, touched: bool = False) -> np.ndarray:
        """Pixels of a grid in any reference system whose centre lies in it, or that it touches: (y, x) bool."""
        shape = [self.to(str(grid.crs))]
        found: np.ndarray = geometry_mask(shape, grid.shape.yx, grid.affine, all_touched=touched, invert=True)
        return found


def units_of_metre(crs: str) -> float | None:
    """Units of a projected reference system to a metre, 0 of one in degrees; None of others, or what is none."""
    try:
        found = CRS.from_user_input(crs)
    except CRSError:
        return None
    if found.is_projected:
        return float(1 / found.axis_info[0].unit_conversion_factor)
    return 0.0 if found.is_geographic else None


def area_of(text: str) -> Area:
    """The area of WKT in degrees, or of a vector file (`read_area`); InputError for others."""
    if not re.match(r"\s*(multi)?polygon\b", text, re.IGNORECASE):
        return read_area(Path(text))
    try:
        shape = shapely.make_valid(shapely.force_2d(shapely.from_wkt(text)))
    except shapely.errors.ShapelyError as error:
        raise InputError(f"--aoi: {text[:60]} is no well-known text ({str(error).splitlines()[0]}); correct it") from None
    parts = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]
    return _area(shapely.union_all(parts), DEGREES, True, "--aoi", "the area")


def read_area(path: Path, option: str = "--aoi") -> Area:
    """Polygons of a vector file; without a reference system its coordinates are degrees. InputError where it has none.

    `option` is what names the file, for messages.
    """
    import geopandas  # takes a second to import
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    from imperv.tasks.vectors.batches import ogr_name

    try:
        found: Any = pyogrio.read_dataframe(ogr_name(str(path)), columns=[], force_2d=True, use_arrow=False)
    except (DataSourceError, DataLayerError, OSError) as error:
        raise InputError(f"{option}: {path} cannot be read ({str(error).splitlines()[0]}); name a vector file") from None
    shapes = list(found.geometry) if isinstance(found, geopandas.GeoDataFrame) else []
    parts = [p for s in shapes if s is not None for p in shapely.get_parts(shapely.make_valid(s)) if p.geom_type == "Polygon"]
    crs = found.crs.to_wkt() if found.crs is not None else DEGREES
    return _area(shapely.union_all(parts), crs, found.crs is None or found.crs.is_geographic, option, str(path))


def _area(shape: shapely.Geometry, crs: str, geographic: bool, option: str, name: str) -> Area:
    """Polygons that a person named, checked and with close corners."""
    if shape.is_empty:
        raise InputError(f"{option}: {name} holds no polygon; draw the area as one")
    left, bottom, right, top = shape.bounds
    if geographic and (max(abs(left), abs(right)) > 360 or max(abs(bottom), abs(top)) > 90):
        raise InputError(f"{option}: {name}: {left:g} {bottom:g} are no degrees; write the file with its reference system")
    area = Area(shapely.segmentize(shape, max(right - left, top - bottom) / PIECES), crs, name)
    try:
        degrees = area.to(DEGREES).bounds
    except ProjError:
        degrees = (np.inf,)
    if not np.isfinite(degrees).all():
        raise InputError(f"{option}: {name}: lies outside of its reference system; correct the file")
    return area
