"""Exact share of each pixel inside polygons that may overlap (reference densities, ATBD 4.4.1).

Of 20 000 random buildings on 1000 x 1000 pixels it takes 0.4 s of a core (half of it to dissolve), drawing at 1 m 1.7 s,
`shapely.intersection` with every pixel touched 5.2 s. It is off by 3e-8, drawing at 1 m by 0.09 in the worst pixel and 0.008 in
the root mean square of pixels touched (0.007 on the footprints of Flanders, 0.02 on those of a simulated city).
"""

from __future__ import annotations

from math import ceil, floor

import numpy as np
import shapely
from numba import njit
from odc.geo.geobox import GeoBox

NOTHING = 1e-9
"""Share that is rounding: coordinates of millions of metres are exact to a nanometre."""

INTERIORS_MEET = "T********"
"""DE-9IM pattern of two polygons that share an area, not only a wall."""


def coverage(polygons: np.ndarray, grid: GeoBox) -> np.ndarray:
    """Share of each pixel inside the union of polygons, (y, x) float32 0 to 1, exact but for rounding.

    docs/dev/algorithms.md, section 6. `polygons` are valid shapely Polygons and MultiPolygons in the coordinates of the north-up
    `grid`; overlaps count once, parts outside of the grid do not matter.
    """
    rows, columns = grid.shape
    cover = np.zeros((rows, columns + 1))
    if len(polygons):
        apart = shapely.orient_polygons(dissolve(polygons), exterior_cw=False)
        kind, points, (rings, *_) = shapely.to_ragged_array(apart)
        assert kind in (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
        x, y = ~grid.affine * (points[:, 0], points[:, 1])
        _add_rings(np.ascontiguousarray(x), np.ascontiguousarray(y), np.asarray(rings, "int64"), cover)
    share = np.cumsum(cover[:, :-1], axis=1)
    share[share < NOTHING] = 0
    share[share > 1 - NOTHING] = 1
    return share.astype("float32")


def dissolve(polygons: np.ndarray) -> np.ndarray:
    """Polygons and MultiPolygons of the same union that do not overlap each other; only those that do are merged."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    once = first < second
    first, second = first[once], second[once]
    meet = shapely.relate_pattern(polygons[first], polygons[second], INTERIORS_MEET)
    links = coo_array((np.ones(meet.sum()), (first[meet], second[meet])), shape=(len(polygons),) * 2)
    _, group = connected_components(links, directed=False)
    alone = np.bincount(group)[group] == 1
    order = np.argsort(group[~alone], kind="stable")
    ends = np.flatnonzero(np.diff(group[~alone][order])) + 1
    merged = [shapely.union_all(members) for members in np.split(polygons[~alone][order], ends) if len(members)]
    return np.concatenate([polygons[alone], np.array(merged, dtype=object)])


@njit(cache=True, nogil=True)
def _add_rings(x: np.ndarray, y: np.ndarray, rings: np.ndarray, cover: np.ndarray) -> None:
    """Add to each pixel the area between the edges that cross it and its right side, and to the next what goes on from there.

    Sums along a row are then the shares: the way that fonts are drawn (exact-area accumulation). Exterior rings are
    counter-clockwise on a map, so that their western edges go down the rows.
    """
    rows, columns = cover.shape[0], cover.shape[1] - 1
    for ring in range(len(rings) - 1):
        for k in range(rings[ring], rings[ring + 1] - 1):
            sign = 1.0 if y[k + 1] > y[k] else -1.0
            a, b = (k, k + 1) if sign > 0 else (k + 1, k)
            top, bottom = max(y[a], 0.0), min(y[b], float(rows))
            if top >= bottom:
                continue
            slope = (x[b] - x[a]) / (y[b] - y[a])
            for row in range(floor(top), min(ceil(bottom), rows)):
                upper, lower = max(top, float(row)), min(bottom, row + 1.0)
                x0, x1 = x[a] + (upper - y[a]) * slope, x[a] + (lower - y[a]) * slope
                _add_edge(min(x0, x1), max(x0, x1), sign * (lower - upper), cover[row], columns)


@njit(cache=True, nogil=True)
def _add_edge(left: float, right: float, height: float, cover: np.ndarray, columns: int) -> None:
    """Part of an edge within one row: what is left of the grid covers whole rows, what is right of it nothing."""
    width = right - left
    if right <= 0:
        cover[0] += height
        return
    if left < 0:
        cover[0] += height * (-left / width)
    for column in range(max(floor(left), 0), min(floor(right) + 1, columns)):
        start, end = max(left, float(column)), min(right, column + 1.0)
        part = height * ((end - start) / width) if width > 0 else height
        middle = (start + end) / 2 - column
        cover[column] += part * (1 - middle)
        cover[column + 1] += part * middle
