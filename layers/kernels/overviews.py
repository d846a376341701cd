"""Overviews: coded layers at 1/2, 1/4, ... of their resolution, for looking at them from far.

Quantities as the ATBD aggregates them (4.2.4), from full resolution and never over codes that are no quantity; classes by the
pixel in the middle.
"""

from __future__ import annotations

import numpy as np

from imperv.layers.aggregation import aggregate_mean, aggregate_mean_change
from imperv.layers.palette import OUTSIDE, Palette

LARGEST = 512
"""Edge in pixels at which no further overview is needed: one block of a delivered file."""


def overview_factors(shape: tuple[int, int], largest: int = LARGEST) -> tuple[int, ...]:
    """Factors 2, 4, 8, ... until the longer edge of (rows, columns) has at most `largest` pixels; empty for a small raster."""
    factors: list[int] = []
    while -(-max(shape) // (factors[-1] if factors else 1)) > largest:
        factors.append(2 * (factors[-1] if factors else 1))
    return tuple(factors)


def overview(pixels: np.ndarray, factor: int, palette: Palette) -> np.ndarray:
    """Overview, uint8, of a layer or of rows of it that begin with a multiple of `factor`; its codes are those of the palette.

    For quantities the mean of the valid pixels, rounded half up, 255 where there is none; changes with 201 where all are 201,
    which otherwise count as unchanged. For classes the pixel in the middle. Blocks at the edge may be smaller. ValueError for a
    wrong dtype or shape.
    """
    rows, columns = pixels.shape
    if palette.overview == "nearest":
        y, x = (np.minimum(np.arange(0, n, factor) + factor // 2, n - 1) for n in (rows, columns))
        return np.ascontiguousarray(pixels[y[:, None], x])
    spare = (-rows % factor, -columns % factor)
    if any(spare):
        # What is outside does not count, so that a cut block is the mean of what it has.
        pixels = np.pad(pixels, ((0, spare[0]), (0, spare[1])), constant_values=OUTSIDE)
    return (aggregate_mean if palette.overview == "mean" else aggregate_mean_change)(pixels, factor)
