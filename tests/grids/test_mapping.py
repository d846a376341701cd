"""Where pixels lie in other reference systems: exact at nodes, and how far between them, against PROJ at every pixel."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from imperv.grids import Tile, block_grid, window_geobox
from imperv.grids.mapping import CELL, Mapping

SITES = [
    ("E44N26", "EPSG:32632"),
    ("E27N18", "EPSG:32629"),
    ("E30N49", "EPSG:32627"),
    ("E49N53", "EPSG:32635"),
    ("E63N16", "EPSG:32636"),
]
"""Tiles in the middle and at the corners of the area, with a zone of UTM that has them."""


def between_nodes(nodes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bilinear interpolation of node values at every pixel."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    i, j, u, v = y // CELL, x // CELL, (y % CELL) / CELL, (x % CELL) / CELL
    left, right = (nodes[i, k] * (1 - u) + nodes[i + 1, k] * u for k in (j, j + 1))
    return left * (1 - v) + right * v


@pytest.mark.parametrize(("tile", "utm"), SITES)
@pytest.mark.parametrize("resolution", [10, 20])
def test_between_nodes_the_error_is_a_thousandth_of_a_pixel(tile, utm, resolution):
    left, bottom, right, top = Tile(tile).bounds
    for corner in ((left, top - 3000), (right - 3000, bottom)):
        grid = GeoBox((3000 // resolution,) * 2, Affine(resolution, 0, corner[0], 0, -resolution, corner[1] + 3000), "EPSG:3035")
        raster = Affine(resolution, 0, 0, 0, -resolution, 10_000_000)
        columns, rows = Mapping.of(grid, CRS(utm)).in_raster(raster)
        x, y = grid.affine * (np.meshgrid(*(np.arange(n) + 0.5 for n in grid.shape[::-1])))
        x, y = Transformer.from_crs("EPSG:3035", utm, always_xy=True).transform(x, y)
        assert np.abs(between_nodes(columns, grid.shape) - x / resolution).max() < 1e-3
        assert np.abs(between_nodes(rows, grid.shape) - (10_000_000 - y) / resolution).max() < 1e-3


def test_blocks_share_the_nodes_of_their_grid_exactly():
    grid = window_geobox(Tile("E44N26"), 10, (4_420_000, 2_650_000, 4_423_000, 2_652_000))
    whole = Mapping.of(grid, CRS("EPSG:32632"))
    for block in block_grid(grid, 4 * CELL):
        part = Mapping.of(block.geobox(grid), CRS("EPSG:32632"))
        y, x = block.y0 // CELL, block.x0 // CELL
        np.testing.assert_array_equal(part.x, whole.x[y : y + part.x.shape[0], x : x + part.x.shape[1]])
        np.testing.assert_array_equal(part.y, whole.y[y : y + part.y.shape[0], x : x + part.y.shape[1]])


def test_nodes_reach_behind_the_last_pixel():
    for size, nodes in ((1, 2), (CELL, 2), (CELL + 1, 3), (4 * CELL, 5)):
        grid = GeoBox((size, CELL), Affine(10, 0, 0, 0, -10, 0), "EPSG:3035")
        assert Mapping.of(grid, CRS("EPSG:3035")).x.shape == (nodes, 2)


def test_in_the_grids_own_system_positions_are_exact():
    grid = GeoBox((40, 60), Affine(10, 0, 4_420_000, 0, -10, 2_690_000), "EPSG:3035")
    columns, rows = Mapping.of(grid, CRS("EPSG:3035")).in_raster(Affine(10, 0, 4_419_970, 0, -10, 2_690_050))
    np.testing.assert_array_equal(columns[0], 3.5 + CELL * np.arange(4))
    np.testing.assert_array_equal(rows[:, 0], 5.5 + CELL * np.arange(3))


def test_a_raster_may_be_turned():
    grid = GeoBox((25, 25), Affine(10, 0, 100, 0, -10, 900), "EPSG:3035")
    raster = Affine.translation(40, 30) * Affine.rotation(20) * Affine.scale(8, -12)
    columns, rows = Mapping.of(grid, CRS("EPSG:3035")).in_raster(raster)
    x, y = raster * (columns, rows)
    np.testing.assert_allclose(x, 105 + 10 * CELL * np.array([[0, 1], [0, 1]]))
    np.testing.assert_allclose(y, 895 - 10 * CELL * np.array([[0, 0], [1, 1]]))
