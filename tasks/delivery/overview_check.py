"""Check of a GeoTIFF's overviews against its pixels: no zoomed-out map may show a class that is not there.

An overview pixel must be one of the pixels that it stands for; of percentages and changes it may be the mean of the valid ones,
as the ATBD aggregates them (4.2.4): 201, never sealed, is no change there. Averages with 255, with 201 as it is, or of colours,
as GDAL makes them of a raster with a colour table, fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numba import njit

from imperv.layers.aggregation import NEVER_SEALED, NO_CHANGE
from imperv.layers.palette import OUTSIDE

ROUNDING = 2
"""Percent that means may be off: each of up to six overviews is made from the next finer one and rounded."""


@dataclass
class Overview:
    """One overview and how many of its pixels are wrong so far."""

    pixels: np.ndarray
    """(y, x) uint8, whole: a quarter of the raster at most."""
    scale: tuple[float, float]
    """Rows and columns of the raster to one of the overview."""
    done: int = 0
    """Rows that have been looked at."""
    wrong: int = 0
    """Pixels that are not what they stand for."""


@dataclass
class OverviewCheck:
    """Takes the raster strip by strip, from the top, and holds every overview against it."""

    overviews: Sequence[Overview]
    averages: bool
    """True for percentages and changes, which have a mean."""
    _tail: np.ndarray | None = field(default=None, repr=False)
    _first: int = 0

    def add(self, strip: np.ndarray, *, last: bool) -> None:
        """Look at the next rows of the raster, (y, x) uint8; `last` for its lowest ones."""
        if not self.overviews:
            return
        base = strip if self._tail is None else np.concatenate([self._tail, strip])
        below = self._first + base.shape[0]
        for overview in self.overviews:
            start, rows, scale = overview.done, overview.pixels.shape[0], overview.scale[0]
            # Only rows whose whole footprint, with its margin, has been read.
            stop = rows if last else max(start, min(rows, int((below - 1) / scale) - 2))
            if stop > start:
                some = overview.pixels[start:stop]
                overview.wrong += _mismatches(base, self._first, some, start, *overview.scale, self.averages, ROUNDING)
                overview.done = stop
        keep = min(max(0, int((o.done - 1) * o.scale[0])) for o in self.overviews)
        self._tail, self._first = base[keep - self._first :], keep


@njit(cache=True, nogil=True)
def _margin(scale):  # pragma: no cover - compiled
    # Where footprints do not end at whole pixels, an overview made from the finer one rounds their edges by one of its pixels.
    return 0 if scale == np.floor(scale) else int(np.ceil(scale / 2))


@njit(cache=True, nogil=True)
def _factor(scale):  # pragma: no cover - compiled
    # 1250 rows at 1:32 are 40, 31.25 to 1: the last one is cut.
    return int(scale) if scale == np.floor(scale) else int(2.0 ** np.ceil(np.log2(scale)))


@njit(cache=True, nogil=True)
def _fits(pixels, value, averages, rounding):  # pragma: no cover - compiled
    total = 0
    count = 0
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            pixel = pixels[y, x]
            if pixel == value:
                return True
            if pixel != OUTSIDE:
                total += pixel if pixel != NEVER_SEALED else NO_CHANGE
                count += 1
    return averages and value < NEVER_SEALED and count > 0 and abs(value * count - total) <= rounding * count


@njit(cache=True, nogil=True)
def _mismatches(base, first, some, start, scale_y, scale_x, averages, rounding):  # pragma: no cover - compiled
    height, width = base.shape
    margin_y, margin_x = _margin(scale_y), _margin(scale_x)
    factor_y, factor_x = _factor(scale_y), _factor(scale_x)
    wrong = 0
    for i in range(some.shape[0]):
        row = start + i
        # Three readings of "the pixels that it stands for": whole factors with a smaller last pixel, equal shares of the raster,
        # and these with a margin. Where the factor divides the raster they are one.
        whole_top, whole_bottom = row * factor_y - first, (row + 1) * factor_y - first
        top, bottom = int(np.floor(row * scale_y)) - first, int(np.ceil((row + 1) * scale_y)) - first
        for j in range(some.shape[1]):
            value = some[i, j]
            if _fits(
                base[max(0, whole_top) : max(0, whole_bottom), j * factor_x : (j + 1) * factor_x], value, averages, rounding
            ):
                continue
            if margin_y == 0 and margin_x == 0:
                wrong += 1
                continue
            left, right = int(np.floor(j * scale_x)), int(np.ceil((j + 1) * scale_x))
            if _fits(base[max(0, top) : bottom, left:right], value, averages, rounding):
                continue
            around = base[max(0, top - margin_y) : bottom + margin_y, max(0, left - margin_x) : right + margin_x]
            if not _fits(around, value, averages, rounding):
                wrong += 1
    return wrong
