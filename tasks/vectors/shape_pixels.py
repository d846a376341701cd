"""Pixels of shapes on a grid, and shapes of two classes that share some; what shapes may be is known to `imperv.tasks.samples`.

A shape has the pixels whose centre lies in it, as GDAL tells them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from imperv.grids import Block

MOST_PIXELS = 4_000_000
"""That are looked at at once."""

MOST_CELLS = 8_000_000
"""Pixels of all polygons over each other that are looked at together, pixel by pixel; larger polygons are compared in pairs."""

LEAST_AREA = 1e-4
"""Of two polygons over each other, m2: less is what rounding leaves along a common edge."""


def strips_of(window: Block) -> Iterator[Block]:
    """A window from the north to the south, as many rows at once as memory has room for."""
    rows = max(MOST_PIXELS // (window.x1 - window.x0), 1)
    for y in range(window.y0, window.y1, rows):
        yield Block(y, window.x0, min(y + rows, window.y1), window.x1)


def mask_of(shape: shapely.Geometry, grid: GeoBox, block: Block) -> np.ndarray:
    """Pixels of a block that a shape has, uint8."""
    found: np.ndarray = rasterize(
        [(shape, 1)], block.shape, transform=grid.affine * Affine.translation(block.x0, block.y0), dtype="uint8"
    )
    return found


def pixels_in(shape: shapely.Geometry, grid: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels of a shape."""
    window = window_of(shape, grid)
    if window is None:
        return np.empty(0, "i8"), np.empty(0, "i8")
    rows, columns = np.nonzero(mask_of(shape, grid, window))
    return rows + window.y0, columns + window.x0


def window_of(shape: shapely.Geometry, grid: GeoBox) -> Block | None:
    """Pixels around a shape; None beside the grid."""
    left, bottom, right, top = shape.bounds
    x0, y0 = ~grid.affine * (left, top)
    x1, y1 = ~grid.affine * (right, bottom)
    rows, columns = grid.shape
    top, first, bottom, last = (int(np.floor(v)) for v in (y0, x0, y1, x1))
    block = Block(max(top, 0), max(first, 0), min(bottom + 1, rows), min(last + 1, columns))
    return block if block.y0 < block.y1 and block.x0 < block.x1 else None


def shared_pixels(shapes: Sequence[shapely.Geometry], codes: Sequence[int], grid: GeoBox) -> Iterator[tuple[int, int, int]]:
    """Pairs of shapes of two classes that share pixels, in ascending order, and how many."""
    classes = np.array(codes)
    pairs = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    pairs = pairs[:, (pairs[0] < pairs[1]) & (classes[pairs[0]] != classes[pairs[1]])]
    for a, b in _near(shapes, classes, pairs[:, np.lexsort(pairs[::-1])], grid):
        if count := _shared(shapes[a], shapes[b], grid):
            yield a, b, count


def _near(shapes: Sequence[shapely.Geometry], classes: np.ndarray, pairs: np.ndarray, grid: GeoBox) -> Iterator[tuple[int, int]]:
    """Those of the pairs (2, n), in their order, that may share a pixel: outlines cross in thousands of places without one."""
    from scipy.sparse import csr_array

    cells, owners = _cells(shapes, np.unique(pairs), grid)
    looked = np.zeros(len(shapes), bool)
    looked[owners] = True
    codes = classes[owners]
    first = np.diff(cells, prepend=-1) > 0
    columns, starts = np.cumsum(first) - 1, np.flatnonzero(first)
    mixed = np.zeros(len(starts), bool)
    if len(starts):
        mixed = np.minimum.reduceat(codes, starts) != np.maximum.reduceat(codes, starts)
    owners, columns = owners[mixed[columns]], columns[mixed[columns]]
    held = csr_array((np.ones(len(owners), "i4"), (owners, columns)), shape=(len(shapes), max(len(starts), 1)))
    holders = held.T.tocsr()
    one, near = -1, np.empty(0, "i8")
    for a, b in pairs.T.tolist():
        if a != one:
            one, near = a, (held[[a]] @ holders).indices
        if not (looked[a] and looked[b]) or b in near:
            yield a, b


def _cells(shapes: Sequence[shapely.Geometry], which: np.ndarray, grid: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of polygons, as places in the flat grid in ascending order, and the polygon of each; without large polygons."""
    cells, owners, room = [np.empty(0, "i8")], [np.empty(0, "i8")], MOST_CELLS
    for number in which.tolist():
        window = window_of(shapes[number], grid)
        size = 0 if window is None else (window.y1 - window.y0) * (window.x1 - window.x0)
        if size > MOST_PIXELS or shapes[number].area / grid.resolution.x**2 > room:
            continue
        rows, columns = pixels_in(shapes[number], grid)
        cells.append(rows * grid.shape.x + columns)
        owners.append(np.full(len(rows), number))
        room -= len(rows)
    found = np.concatenate(cells)
    order = np.argsort(found)
    return found[order], np.concatenate(owners)[order]


def _shared(one: shapely.Geometry, other: shapely.Geometry, grid: GeoBox) -> int:
    """Pixels of both shapes; of more than `MOST_PIXELS` what their common area gives."""
    both = shapely.intersection(one, other)
    areas = min(shapely.get_dimensions([one, other])) == 2
    if areas and both.area < LEAST_AREA or (window := window_of(both, grid)) is None:
        return 0
    if (window.y1 - window.y0) * (window.x1 - window.x0) > MOST_PIXELS:
        return round(both.area / grid.resolution.x**2)
    return int(np.count_nonzero(mask_of(one, grid, window) & mask_of(other, grid, window)))
