"""Check of a GeoTIFF's overviews against its pixels: nobody's zoomed-out map shows a class that is not there.

An overview pixel must be one of the pixels that it stands for; of percentages it may be the mean of the valid ones. An average
with 255 or 201 in it, one of colours as GDAL makes it of a raster with a colour table, or an overview of other pixels is neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numba import njit

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
    """True for percentages."""
    _tail: np.ndarray | None = field(default=None, repr=False)
    _first: int = 0

    def add(self, strip: np.ndarray, *, last: bool) -> None:
        """Look at the next rows of the raster, (y, x) uint8.

        Parameters
        ----------
        strip : ndarray
            Rows that follow those given before.
        last : bool
            True for the lowest rows of the raster.
        """
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
def _mismatches(base, first, some, start, scale_y, scale_x, averages, rounding):  # pragma: no cover - compiled
    height, width = base.shape
    margin_y, margin_x = _margin(scale_y), _margin(scale_x)
    wrong = 0
    for i in range(some.shape[0]):
        top = max(0, int(np.floor((start + i) * scale_y)) - margin_y - first)
        bottom = min(height, int(np.ceil((start + i + 1) * scale_y)) + margin_y - first)
        for j in range(some.shape[1]):
            left = max(0, int(np.floor(j * scale_x)) - margin_x)
            right = min(width, int(np.ceil((j + 1) * scale_x)) + margin_x)
            value = some[i, j]
            found = False
            total = 0
            count = 0
            for y in range(top, bottom):
                for x in range(left, right):
                    pixel = base[y, x]
                    if pixel == value:
                        found = True
                        break
                    if pixel != 255:
                        total += pixel
                        count += 1
                if found:
                    break
            if found:
                continue
            if not averages or value == 255 or count == 0 or abs(value * count - total) > rounding * count:
                wrong += 1
    return wrong
