"""Pixels of a source raster on another grid, by a mapping of pixels that is computed once and used for every date and band.

Reflectance is interpolated bilinearly among valid pixels, classes are taken from the nearest pixel; both follow the rules of
GDAL's warper, which is the check. Where pixels lie is known to `grids.mapping`; files are opened elsewhere.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from imperv.grids.mapping import CELL

_ONE = 1 << 16
"""One pixel, in the units of a position within a pixel."""

_FINE = float(1 << 32)
"""Units of a position in a raster, in a pixel."""

_HALF = 1 << 31
"""Half a pixel, and half a digital number, with 32 bits behind the point."""

LANES = 32
"""Pixels that are placed at once, whole vectors: those beyond a cell's `CELL` are placed anew with the next, or not used."""


@njit(cache=True, nogil=True)
def cells_with_weight(weights, overpass):
    """Cells of the mapping, (ceil(y / CELL), ceil(x / CELL)) bool, in which any pixel of an overpass has weight.

    `weights` are (y, time, x) uint8 of all overpasses.
    """
    rows, _, columns = weights.shape
    found = np.zeros(((rows + CELL - 1) // CELL, (columns + CELL - 1) // CELL), np.bool_)
    for row in range(found.shape[0]):
        for cell in range(found.shape[1]):
            for y in range(row * CELL, min((row + 1) * CELL, rows)):
                any_of_them = np.uint8(0)
                for x in range(cell * CELL, min((cell + 1) * CELL, columns)):
                    any_of_them |= weights[y, overpass, x]
                if any_of_them:
                    found[row, cell] = True
                    break
    return found


@njit(cache=True, nogil=True)
def _start_and_step(nodes, row, cell, share):
    """Position of the first pixel of a row of a cell, and the step to the next, in 2^-32 source pixels.

    Positions depend on the four nodes of a cell only, so that every block of a grid that has the same nodes gets the same.
    """
    left = nodes[row, cell] + share * (nodes[row + 1, cell] - nodes[row, cell])
    right = nodes[row, cell + 1] + share * (nodes[row + 1, cell + 1] - nodes[row, cell + 1])
    return np.int64(np.floor(left * _FINE)), np.int64(np.floor((right - left) / CELL * _FINE))


@njit(cache=True, nogil=True, error_model="numpy")
def bilinear(source, first, nodes_x, nodes_y, cells, subtract, out, overpass):
    """Interpolate one band of one granule into ``out[:, overpass]``, (y, time, x) uint16, 0 no data.

    A pixel gets a value where the source pixel that holds its centre is valid; invalid neighbours take no part, the others share
    their weight. `subtract` digital numbers are removed as in `reflectance.shift_offset`.

    `source` is a window of the raster, (rows, columns) uint16, 0 no data, that holds all neighbours which the raster has, 2^32
    pixels at most; `first` row and column of its first pixel. `nodes_x` and `nodes_y` are (cells + 1, cells + 1) float64: source
    column and row of the pixel centres at the nodes of the mapping, counted from the raster's corner. Only the `cells` that are
    true are written.
    """
    rows, _, columns = out.shape
    flat, across = source.reshape(-1), cells.shape[1]
    room = across * CELL + LANES
    at, right, down = np.empty(room, np.uint32), np.empty(room, np.uint32), np.empty(room, np.uint32)
    upper, lower = np.empty(room, np.uint32), np.empty(room, np.uint32)
    inside = np.zeros(across + 1, np.bool_)
    for y in range(rows):
        row, share = y // CELL, (y % CELL) / CELL
        for cell in range(across):
            inside[cell] = False
            if cells[row, cell]:
                sx, dx, sy, dy = _from_north_west(nodes_x, nodes_y, first, row, cell, share)
                start, stop = cell * CELL, min((cell + 1) * CELL, columns)
                if _inside(source.shape, sx, dx, sy, dy, stop - start - 1):
                    inside[cell] = True
                    _place(np.uint32(source.shape[1]), sx, dx, sy, dy, at, right, down, start)
                else:
                    _line_among_valid(source, sx, dx, sy, dy, subtract, out, y, overpass, start, stop)
        # Cells side by side as one line: what is computed for whole vectors has few ends.
        last = 0
        for begin in range(across):
            if begin < last or not inside[begin]:
                continue
            last = begin + 1
            while inside[last]:
                last += 1
            start, stop = begin * CELL, min(last * CELL, columns)
            _gather(flat, np.uint64(source.shape[1]), at, upper, lower, start, stop)
            if _line_among_four(upper, lower, right, down, subtract, out, y, overpass, start, stop):
                continue
            for cell in range(begin, last):
                start, stop = cell * CELL, min((cell + 1) * CELL, columns)
                if _has_gap(upper, lower, start, stop):
                    sx, dx, sy, dy = _from_north_west(nodes_x, nodes_y, first, row, cell, share)
                    _line_among_valid(source, sx, dx, sy, dy, subtract, out, y, overpass, start, stop)


# Arrays are handed over whole, with the places where to begin and to end: each slice of an array counts those that hold it, with
# an instruction that stops the processor for as long as ten pixels take. Places are unsigned, or each would be checked for
# counting from the end.


@njit(cache=True, nogil=True, error_model="numpy")
def _from_north_west(nodes_x, nodes_y, first, row, cell, share):
    """Place of a row of a cell in a window, seen from the centre of the upper left of the four neighbours, and its steps."""
    sx, dx = _start_and_step(nodes_x, row, cell, share)
    sy, dy = _start_and_step(nodes_y, row, cell, share)
    return sx - _HALF - (np.int64(first[1]) << 32), dx, sy - _HALF - (np.int64(first[0]) << 32), dy


@njit(cache=True, nogil=True, error_model="numpy")
def _inside(shape, sx, dx, sy, dy, last):
    """True where the window has all neighbours of all pixels from the first to the `last` of a row of a cell."""
    west, east, north, south = sx >> 32, (sx + last * dx) >> 32, sy >> 32, (sy + last * dy) >> 32
    across = min(west, east) >= 0 and max(west, east) < shape[1] - 1
    return across and min(north, south) >= 0 and max(north, south) < shape[0] - 1


@njit(cache=True, nogil=True, error_model="numpy")
def _place(width, sx, dx, sy, dy, at, right, down, start):
    """Number of the upper left neighbour of each pixel in the window, and its way to the right and down, 2^-16 pixels."""
    low = np.int64(_ONE - 1)
    for k in range(LANES):
        x = np.uint64(start + k)
        column, row = sx + k * dx, sy + k * dy
        at[x] = np.uint32(np.uint32(row >> 32) * width + np.uint32(column >> 32))
        right[x], down[x] = np.uint32((column >> 16) & low), np.uint32((row >> 16) & low)


@njit(cache=True, nogil=True, error_model="numpy")
def _gather(flat, width, at, upper, lower, start, stop):
    """The two upper and the two lower neighbours of each pixel, the right one in the higher 16 bits."""
    one, high = np.uint64(1), np.uint32(16)
    for x in range(np.uint64(start), np.uint64(stop)):
        here = np.uint64(at[x])
        upper[x] = np.uint32(flat[here]) | (np.uint32(flat[here + one]) << high)
        lower[x] = np.uint32(flat[here + width]) | (np.uint32(flat[here + width + one]) << high)


@njit(cache=True, nogil=True, error_model="numpy")
def _line_among_four(upper, lower, right, down, subtract, out, y, overpass, start, stop):
    """Bilinear values of a line; False if one of the neighbours is no data, the values then being wrong."""
    offset, least, lowest = np.uint32(subtract), np.uint32(subtract + 1), np.uint32(_ONE)
    high, low, one = np.uint32(16), np.uint32(_ONE - 1), np.uint32(_ONE)
    row, layer = np.uint64(y), np.uint64(overpass)
    for x in range(np.uint64(start), np.uint64(stop)):
        a, b, c, d = upper[x] & low, upper[x] >> high, lower[x] & low, lower[x] >> high
        lowest = min(lowest, min(min(a, b), min(c, d)))
        # Modulo 2^32, in which the sums lie.
        north, south = np.uint32((a << high) + (b - a) * right[x]), np.uint32((c << high) + (d - c) * right[x])
        value = np.uint64(north) * np.uint64(one - down[x]) + np.uint64(south) * np.uint64(down[x]) + np.uint64(_HALF)
        out[row, layer, x] = np.uint16(max(np.uint32(value >> np.uint64(32)), least) - offset)
    return lowest > 0


@njit(cache=True, nogil=True, error_model="numpy")
def _has_gap(upper, lower, start, stop):
    """True if a neighbour of a pixel is no data."""
    high, low, lowest = np.uint32(16), np.uint32(_ONE - 1), np.uint32(_ONE)
    for x in range(np.uint64(start), np.uint64(stop)):
        lowest = min(lowest, min(min(upper[x] & low, upper[x] >> high), min(lower[x] & low, lower[x] >> high)))
    return lowest == 0


@njit(cache=True, nogil=True, error_model="numpy")
def _line_among_valid(source, sx, dx, sy, dy, subtract, out, y, overpass, start, stop):
    """Bilinear values of a row of a cell, some of whose neighbours are no data or lie outside of the window."""
    for x in range(start, stop):
        value = _among_valid(source, sx, sy)
        out[y, overpass, x] = max(value, subtract + 1) - subtract if value > 0 else 0
        sx += dx
        sy += dy


@njit(cache=True, nogil=True)
def _among_valid(source, sx, sy):
    """Bilinear value of the valid ones of four neighbours; 0 where the pixel itself is not valid."""
    height, width = source.shape
    i, j, fy, fx = sy >> 32, sx >> 32, (sy >> 16) & 0xFFFF, (sx >> 16) & 0xFFFF
    centre_row, centre_column = i + (fy >= 32768), j + (fx >= 32768)
    if not (0 <= centre_row < height and 0 <= centre_column < width) or source[centre_row, centre_column] == 0:
        return np.int64(0)
    total, weight = np.int64(0), np.int64(0)
    for k in range(2):
        for m in range(2):
            if 0 <= i + k < height and 0 <= j + m < width:
                value = np.int64(source[i + k, j + m])
                if value:
                    share = (fy if k else _ONE - fy) * (fx if m else _ONE - fx)
                    total += share * value
                    weight += share
    return (total + (weight >> 1)) // weight


@njit(cache=True, nogil=True)
def nearest_weights(source, first, nodes_x, nodes_y, cells, table, out, overpass):
    """Weights of one granule by the class of the nearest pixel, in place where they are higher.

    Outside of the raster nothing changes. `source` is the (rows, columns) uint8 scene classification, `table` the (256,) uint8
    weight of every class, `out` the (y, time, x) uint8 weights of all overpasses; the rest as in `bilinear`.
    """
    rows, _, columns = out.shape
    height, width = source.shape
    first_row, first_column = np.int64(first[0]), np.int64(first[1])
    for y in range(rows):
        row, share = y // CELL, (y % CELL) / CELL
        for cell in range(cells.shape[1]):
            if not cells[row, cell]:
                continue
            sx, dx = _start_and_step(nodes_x, row, cell, share)
            sy, dy = _start_and_step(nodes_y, row, cell, share)
            sx -= first_column << 32
            sy -= first_row << 32
            line = out[y, overpass, cell * CELL : min((cell + 1) * CELL, columns)]
            last = line.size - 1
            west, east, north, south = sx >> 32, (sx + last * dx) >> 32, sy >> 32, (sy + last * dy) >> 32
            if max(west, east) < 0 or min(west, east) >= width or max(north, south) < 0 or min(north, south) >= height:
                continue
            for x in range(line.size):
                i, j = sy >> 32, sx >> 32
                if 0 <= i < height and 0 <= j < width:
                    line[x] = max(line[x], table[source[i, j]])
                sx += dx
                sy += dy


@njit(cache=True, nogil=True)
def take_better(values, weights, cells, best, out, overpass):
    """Put one granule's pixels where they are valid and weigh more than what is there, in place.

    `values` (uint16, 0 no data) and `weights` (uint8) of the granule and `best`, the weights (uint8) of what is there, are
    (y, 1, x); `out` is (y, time, x) uint16 of all overpasses. Only the `cells` of the mapping that are true are looked at; there
    `out` is 0 where nothing weighs more than 0.
    """
    for y in range(values.shape[0]):
        for cell in range(cells.shape[1]):
            if not cells[y // CELL, cell]:
                continue
            for x in range(cell * CELL, min((cell + 1) * CELL, values.shape[2])):
                if values[y, 0, x] and weights[y, 0, x] > best[y, 0, x]:
                    best[y, 0, x] = weights[y, 0, x]
                    out[y, overpass, x] = values[y, 0, x]
                elif not best[y, 0, x]:
                    out[y, overpass, x] = 0


@njit(cache=True, nogil=True)
def other_weights(best, cells, weights, overpass):
    """Weights (y, 1, x) of an overpass where `best` are those of what is there in some `cells`; empty where they are the same.

    A granule that weighs less gives the pixels that one of more weight lacks. Where none has any nothing is there to weigh.
    """
    found, differs = weights[:, overpass : overpass + 1].copy(), False
    for y in range(found.shape[0]):
        for x in range(found.shape[2]):
            if cells[y // CELL, x // CELL] and best[y, 0, x]:
                differs |= found[y, 0, x] != best[y, 0, x]
                found[y, 0, x] = best[y, 0, x]
    return found if differs else np.zeros((0, 1, 0), np.uint8)
