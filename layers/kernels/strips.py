"""Rows of a raster that a strip of a grid needs, by column of the file's blocks, and the differences in which files hold them."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def rows_by_column(nodes_x, nodes_y, cells, reach, width, block, shape):
    """Rows that the wanted cells of a mapping need in each column of blocks, and those that cells below may need again.

    Parameters
    ----------
    nodes_x, nodes_y : array
        (rows + 1, columns + 1) float64, column and row of the nodes in the raster.
    cells : array
        (rows, columns) bool, those that are wanted.
    reach : int
        Pixels around a cell that are needed with it.
    width : int
        Pixels of a block across.
    block : int
        Columns of blocks.
    shape : tuple
        (rows, columns) of the raster.

    Returns
    -------
    tuple
        First row, row behind the last, and first row that the cells below reach, (block,) int64 each; first >= last where
        nothing is needed. Then the first column of pixels that is needed, and the one behind the last.
    """
    height, across = shape
    first, last = np.full(block, height, np.int64), np.zeros(block, np.int64)
    below = np.full(block, height, np.int64)
    left, right = np.int64(across), np.int64(0)
    for i in range(cells.shape[0]):
        for j in range(cells.shape[1]):
            lowest = i == cells.shape[0] - 1
            if not cells[i, j] and not lowest:
                continue
            a, b, c, d = nodes_x[i, j], nodes_x[i, j + 1], nodes_x[i + 1, j], nodes_x[i + 1, j + 1]
            west = max(np.int64(np.floor(min(a, b, c, d))) - reach, 0)
            east = min(np.int64(np.ceil(max(a, b, c, d))) + reach, across)
            if west >= east:
                continue
            p, q, r, s = nodes_y[i, j], nodes_y[i, j + 1], nodes_y[i + 1, j], nodes_y[i + 1, j + 1]
            top = max(np.int64(np.floor(min(p, q, r, s))) - reach, 0)
            bottom = min(np.int64(np.ceil(max(p, q, r, s))) + reach, height)
            edge = max(np.int64(np.floor(min(r, s))) - reach, 0)
            wanted = cells[i, j] and top < bottom
            for k in range(west // width, (east - 1) // width + 1):
                if wanted:
                    first[k] = min(first[k], top)
                    last[k] = max(last[k], bottom)
                if lowest:
                    below[k] = min(below[k], edge)
            if wanted:
                left, right = min(left, west), max(right, east)
    return first, last, below, left, right


@njit(cache=True, nogil=True)
def sum_differences(differences, out):
    """Pixels from the horizontal differences of a TIFF (predictor 2), (rows, columns) of one unsigned kind, into `out`."""
    for y in range(out.shape[0]):
        value = np.int64(0)
        for x in range(out.shape[1]):
            value += differences[y, x]
            out[y, x] = value
