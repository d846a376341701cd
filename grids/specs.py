"""Resolutions that layers may have, each with the edges of its blocks, shards and chunks, and native UTM grids."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from odc.geo.geobox import GeoBox
from odc.geo.geom import box


@dataclass(frozen=True)
class GridSpec:
    """How a layer of one resolution is cut; edges in pixels."""

    resolution: float
    """Pixel size, metres."""
    block: int
    """Block of work, which is one shard of the store: no two blocks write the same object."""
    chunk: int
    """Chunk of the store; divides the block."""
    tiles: bool = True
    """Whether it divides the 100 km of a tile, and the kilometre of a window; else for UTM grids only."""


SPECS: dict[float, GridSpec] = {
    spec.resolution: spec
    for spec in (
        GridSpec(2.5, 2000, 500),
        GridSpec(5, 2000, 500),
        GridSpec(10, 1000, 500),
        GridSpec(20, 500, 500),
        GridSpec(30, 500, 500, tiles=False),
        GridSpec(60, 500, 500, tiles=False),
        GridSpec(100, 500, 500),
    )
}
"""By pixel size in metres."""

UTM_STEP = 60
"""Corners of the native UTM grids lie on multiples of it from the equator, as those of Sentinel-2's granules do: pixels of 10, 20
and 60 m share their edges."""

FALSE_NORTHING = 10_000_000
"""Metres at the equator in the UTM zones of the south, no multiple of 60."""


def spec_of(resolution: float) -> GridSpec:
    """How layers of a resolution are cut; ValueError if no layer has it."""
    if resolution not in SPECS:
        raise ValueError(f"resolution {resolution} m is not one of {', '.join(f'{r:g}' for r in SPECS)} m")
    return SPECS[resolution]


def factor(coarse: float, fine: float) -> int:
    """Pixels of the finer resolution along an edge of one of the coarser; ValueError where they do not fit."""
    ratio = coarse / fine
    if ratio < 1 or ratio != int(ratio):
        raise ValueError(f"pixels of {coarse:g} m are not whole pixels of {fine:g} m")
    return int(ratio)


def utm_code(longitude: float, latitude: float) -> int:
    """EPSG code of the UTM zone (WGS 84) of a place in degrees; without the exceptions of Norway and Svalbard."""
    zone = min(int((longitude + 180) // 6) + 1, 60)
    return (32600 if latitude >= 0 else 32700) + zone


def utm_geobox(bounds: Sequence[float], crs: str, resolution: float, epsg: int | None = None) -> GeoBox:
    """Native UTM grid that covers a rectangle, snapped outward to whole multiples of 60 m from the equator.

    Parameters
    ----------
    bounds : sequence of float
        (left, bottom, right, top) in `crs`.
    crs : str
        Reference system of the bounds, such as ``"EPSG:3035"``.
    resolution : float
        Pixel size in metres: one of `SPECS` that divides 60 m, or is 60 m.
    epsg : int, optional
        UTM zone; by default that of the centre of the rectangle.

    Raises
    ------
    ValueError
        For a resolution whose pixels do not end on multiples of 60 m.
    """
    factor(UTM_STEP, spec_of(resolution).resolution)
    outline = box(bounds[0], bounds[1], bounds[2], bounds[3], crs)
    if epsg is None:
        (longitude, latitude) = outline.centroid.to_crs("EPSG:4326").coords[0]
        epsg = utm_code(longitude, latitude)
    # An edge that is straight in one system is curved in the other.
    reach = outline.segmented(max(bounds[2] - bounds[0], bounds[3] - bounds[1]) / 32).to_crs(f"EPSG:{epsg}").boundingbox
    return snap_utm((reach.left, reach.bottom, reach.right, reach.top), epsg, resolution)


def snap_utm(bounds: Sequence[float], epsg: int, resolution: float) -> GeoBox:
    """The same of a rectangle (left, bottom, right, top) in the zone."""
    south = FALSE_NORTHING % UTM_STEP if epsg // 100 == 327 else 0
    left, bottom = (math.floor((v - o) / UTM_STEP) * UTM_STEP + o for v, o in zip(bounds[:2], (0, south), strict=True))
    right, top = (math.ceil((v - o) / UTM_STEP) * UTM_STEP + o for v, o in zip(bounds[2:], (0, south), strict=True))
    return GeoBox.from_bbox((left, bottom, right, top), crs=f"EPSG:{epsg}", resolution=resolution, tight=True)
