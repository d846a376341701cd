"""Coordinates from one reference system to another.

Making a transformer takes thousands of times as long as using it, so that all are kept; systems are named by text, such as
EPSG:3035, and coordinates are x, y or longitude, latitude.
"""

from __future__ import annotations

import functools

from pyproj import Transformer

from imperv.grids import Bounds

EEA, DEGREES = "EPSG:3035", "EPSG:4326"
"""The grid of the EEA, and longitude and latitude."""


@functools.cache
def transformer(source: str, target: str) -> Transformer:
    """Transformer of coordinates; pyproj's ProjError or CRSError where there is none."""
    return Transformer.from_crs(source, target, always_xy=True)


@functools.lru_cache(maxsize=1024)
def moved(bounds: Bounds, source: str, target: str) -> Bounds:
    """(left, bottom, right, top) in another reference system, wide enough for curved edges; ProjError where there is no way."""
    found: Bounds = transformer(source, target).transform_bounds(*bounds, densify_pts=21)
    return found


def in_degrees(bounds: Bounds) -> Bounds:
    """(west, south, east, north) of a rectangle of EPSG:3035."""
    return moved(bounds, EEA, DEGREES)
