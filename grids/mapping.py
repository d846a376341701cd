"""Where the pixels of a grid lie in rasters of another reference system: exact at nodes, interpolated between them.

The projection is computed at every 25th pixel, once for a grid and a reference system, whatever the number of rasters; a
raster's own grid needs nothing but an affine step. Nothing is read or resampled here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

CELL = 25
"""Pixels between nodes. Meridians turn by tan(latitude) / earth radius, 4e-7 a metre at 70 degrees; times 250 m squared over 8
this is 3 mm at 10 m, 0.0003 pixels, and 0.0006 pixels at 20 m."""


@dataclass(frozen=True)
class Mapping:
    """Coordinates of the pixel centres at the nodes of a grid in another reference system."""

    x: np.ndarray
    """(rows, columns) of nodes, float64; nodes lie at every `CELL`-th pixel from the first, the last at or behind the edge."""
    y: np.ndarray
    """The same for y."""

    @classmethod
    def of(cls, grid: GeoBox, crs: CRS) -> Mapping:
        """Project the nodes of a grid.

        Grids that start on each other's nodes, such as the blocks of a tile, share the values at common nodes exactly.
        """
        rows, columns = (CELL * np.arange(-(-size // CELL) + 1) + 0.5 for size in grid.shape)
        affine = grid.affine
        x, y = np.meshgrid(affine.c + affine.a * columns, affine.f + affine.e * rows)
        if crs != grid.crs:
            assert grid.crs is not None
            x, y = grid.crs.transformer_to_crs(crs)(x, y)
        return cls(x, y)

    def in_raster(self, affine: Affine) -> tuple[np.ndarray, np.ndarray]:
        """Column and row of the nodes in a raster, float64 pixels from its corner; `affine` leads from pixels to coordinates."""
        if affine.b == affine.d == 0:  # exact where coordinates are whole pixels
            return (self.x - affine.c) / affine.a, (self.y - affine.f) / affine.e
        inverse = ~affine
        columns = inverse.a * self.x + inverse.b * self.y + inverse.c
        return columns, inverse.d * self.x + inverse.e * self.y + inverse.f
