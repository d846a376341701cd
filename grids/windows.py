"""Windows of a tile for trials: an area in EPSG:3035 snapped outward to whole kilometres, cut to the tile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from odc.geo.geobox import GeoBox

from imperv.grids.tiles import CRS, Tile, check_divides

Bounds = tuple[float, float, float, float]
"""(left, bottom, right, top)."""

KILOMETRE = 1000
"""Windows and every delivered grid start on whole kilometres (EEA check `origin`), metres."""


def snap_outward(bbox: Sequence[float]) -> tuple[int, int, int, int]:
    """Bounds (left, bottom, right, top) moved outward to whole kilometres.

    ValueError if they are not four finite numbers with left < right and bottom < top.
    """
    if len(bbox) != 4 or not all(math.isfinite(v) for v in bbox) or bbox[0] >= bbox[2] or bbox[1] >= bbox[3]:
        raise ValueError(f"bbox {list(bbox)} is not [left, bottom, right, top] in EPSG:3035 metres")
    low = [int(math.floor(v / KILOMETRE)) * KILOMETRE for v in bbox[:2]]
    high = [int(math.ceil(v / KILOMETRE)) * KILOMETRE for v in bbox[2:]]
    return low[0], low[1], high[0], high[1]


def window_geobox(tile: Tile, resolution: float, bbox: Sequence[float] | None = None) -> GeoBox:
    """Pixel grid of a tile, or of the part of it inside `bbox` snapped outward to whole kilometres.

    ValueError if the area does not touch the tile, or the resolution does not divide it.
    """
    return _geobox(tile, resolution, None if bbox is None else tuple(bbox))


@lru_cache(maxsize=10_000)  # asked again and again for the same few grids
def _geobox(tile: Tile, resolution: float, bbox: tuple[float, ...] | None) -> GeoBox:
    if bbox is None:
        return tile.geobox(resolution)
    check_divides(resolution)
    area, whole = snap_outward(bbox), tile.bounds
    left, bottom = max(area[0], whole[0]), max(area[1], whole[1])
    right, top = min(area[2], whole[2]), min(area[3], whole[3])
    if left >= right or bottom >= top:
        raise ValueError(f"the area {list(area)} does not touch tile {tile} with bounds {list(whole)}")
    return GeoBox.from_bbox((left, bottom, right, top), crs=CRS, resolution=resolution, tight=True)
