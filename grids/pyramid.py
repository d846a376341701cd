"""The pyramid of map tiles in EPSG:3035: z/x/y to rectangles, and to the pixels of a grid below them.

Origin (0, 6 000 000); 256 x 256 pixels of 40 960 m at level 0, where one tile holds all of Europe, down to 10 m at level 12, 5 m
at 13 and 2.5 m at 14. Corners of EEA tiles lie on multiples of 100 km = 625 x 160 m, so pixels of both agree exactly:
integers only, no warp. Of a grid in another reference system a map pixel shows the one below its centre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import odc.geo.crs
from affine import Affine
from odc.geo.geobox import GeoBox

from imperv.grids.mapping import CELL, Mapping
from imperv.grids.tiles import CRS
from imperv.grids.windows import Bounds

ORIGIN = (0, 6_000_000)
"""Upper-left corner of all levels in EPSG:3035, metres."""

EDGE = 256
"""Pixels of a map tile each way."""

COARSEST = 40_960
"""Pixel of level 0, metres."""

DEEPEST = 14
"""Level of the finest layers, 2.5 m."""

UNIT = 4
"""Steps of a metre that everything is counted in: centres of 2.5 m lie on multiples of 1.25 m."""


def pixel_size(z: int) -> float:
    """Pixel of a level in metres; ValueError for a level that there is not."""
    if not 0 <= z <= DEEPEST:
        raise ValueError(f"level {z} is not one of 0 to {DEEPEST}")
    return COARSEST / 2**z


def tile_bounds(z: int, x: int, y: int) -> tuple[float, float, float, float]:
    """(left, bottom, right, top) of a map tile in EPSG:3035; ValueError for one that there is not."""
    edge = EDGE * pixel_size(z)
    if not (0 <= x < 2**z and 0 <= y < 2**z):
        raise ValueError(f"level {z} has no tile {x}, {y}: columns and rows are 0 to {2**z - 1}")
    return ORIGIN[0] + x * edge, ORIGIN[1] - (y + 1) * edge, ORIGIN[0] + (x + 1) * edge, ORIGIN[1] - y * edge


def overview_factor(z: int, resolution: float) -> int:
    """Pixels of a layer that become one along an edge: the largest power of two that is no coarser than the level; 1 below it."""
    ratio = pixel_size(z) / resolution
    return 1 << max(0, int(ratio).bit_length() - 1)


@dataclass(frozen=True)
class Span:
    """What of a grid lies below a map tile, along one axis."""

    out: slice
    """Pixels of the map tile, of 0 to 256."""
    cells: np.ndarray
    """Cell below each of them: of `factor` pixels, counted on the level's own lattice."""

    def pixels(self, factor: int, first: int, count: int) -> tuple[int, int]:
        """Pixels [start, end) of a grid that its cells are made of; `first` is its place on the lattice of its pixels."""
        return max(0, int(self.cells[0]) * factor - first), min(count, (int(self.cells[-1]) + 1) * factor - first)


@dataclass(frozen=True)
class Cut:
    """What of a grid lies below a map tile."""

    factor: int
    """Edge of a cell in pixels of the grid."""
    rows: Span
    columns: Span
    first: tuple[int, int]
    """(row, column) of the grid's first pixel on the lattice of its pixels, which begins at `ORIGIN`."""


def cut(z: int, x: int, y: int, bounds: Bounds, resolution: float) -> Cut | None:
    """Which pixels of a grid lie below those of a map tile; None where the two do not meet.

    The grid has `bounds` (left, bottom, right, top) in EPSG:3035, multiples of its `resolution` in metres. Where the level is
    coarser, a map pixel shows a cell of `factor` x `factor` pixels, otherwise the pixel below its centre. ValueError for a map
    tile that there is not, or a grid off the lattice.
    """
    left, _, _, top = tile_bounds(z, x, y)
    factor = overview_factor(z, resolution)
    first_row, first_column = lattice(bounds, resolution)
    columns = _span(left - ORIGIN[0], z, resolution, factor, first_column, round((bounds[2] - bounds[0]) / resolution))
    rows = _span(ORIGIN[1] - top, z, resolution, factor, first_row, round((bounds[3] - bounds[1]) / resolution))
    return Cut(factor, rows, columns, (first_row, first_column)) if rows and columns else None


@dataclass(frozen=True)
class Warp:
    """What of a grid in another reference system lies below a map tile: the cell below the centre of each of its pixels."""

    factor: int
    """Edge of a cell in pixels of the grid, counted from its corner."""
    rows: np.ndarray
    """(256, 256) rows of cells."""
    columns: np.ndarray
    inside: np.ndarray
    """Where the grid has a pixel."""


def warp(z: int, x: int, y: int, grid: GeoBox) -> Warp | None:
    """Which cells of a grid, in any reference system, lie below the pixels of a map tile; None where the two do not meet.

    Nothing is interpolated but coordinates: a map pixel shows one cell. ValueError for a map tile that there is not.
    """
    left, _, _, top = tile_bounds(z, x, y)
    size = pixel_size(z)
    factor = overview_factor(z, grid.resolution.x)
    assert grid.crs is not None
    nodes = Mapping.of(GeoBox((EDGE, EDGE), Affine(size, 0, left, 0, -size, top), CRS), grid.crs)
    columns, rows = (_between(found) for found in nodes.in_raster(grid.affine))
    inside = (rows >= 0) & (rows < grid.shape.y) & (columns >= 0) & (columns < grid.shape.x)
    if not inside.any():
        return None
    rows, columns = (np.floor(found / factor if factor > 1 else found).astype(np.int32) for found in (rows, columns))
    return Warp(factor, rows, columns, inside)


def pixel_at(grid: GeoBox, easting: float, northing: float) -> tuple[int, int]:
    """(row, column) of the pixel of a grid, in any reference system, at a place in EPSG:3035; outside of it too."""
    assert grid.crs is not None
    column, row = ~grid.affine * odc.geo.crs.CRS(CRS).transformer_to_crs(grid.crs)(easting, northing)
    return math.floor(row), math.floor(column)


_NODE, _PART = (found.reshape(-1, 1) for found in (np.arange(EDGE) // CELL, np.arange(EDGE) % CELL / CELL))


def _between(nodes: np.ndarray) -> np.ndarray:
    """Values of all pixels of a map tile from those at the nodes of a `Mapping`."""
    rows = nodes[_NODE[:, 0]] * (1 - _PART) + nodes[_NODE[:, 0] + 1] * _PART
    left, right = (rows.take(_NODE[:, 0] + step, axis=1).astype(float, copy=False) for step in (0, 1))
    left *= 1 - _PART.T  # in place: memory that is new for every step takes longer than the steps
    right *= _PART.T
    left += right
    return left


def lattice(bounds: Bounds, resolution: float) -> tuple[int, int]:
    """(row, column) of a grid's upper-left pixel, counted from `ORIGIN`; ValueError for a grid off the lattice."""
    row, column = (ORIGIN[1] - bounds[3]) / resolution, (bounds[0] - ORIGIN[0]) / resolution
    if row != int(row) or column != int(column):
        raise ValueError(f"a corner at {bounds[0]:g}, {bounds[3]:g} is no multiple of {resolution:g} m")
    return int(row), int(column)


def _span(start: float, z: int, resolution: float, factor: int, first: int, count: int) -> Span | None:
    """One axis; `start` of the map tile is counted from the origin in the direction of the pixels."""
    step, pixel = round(UNIT * pixel_size(z)), round(UNIT * resolution)
    centres = round(UNIT * start) + step * np.arange(EDGE) + step // 2
    cells = centres // (pixel * factor)
    inside = np.flatnonzero((cells * factor < first + count) & ((cells + 1) * factor > first))
    if not inside.size:
        return None
    out = slice(int(inside[0]), int(inside[-1]) + 1)
    return Span(out, cells[out])
