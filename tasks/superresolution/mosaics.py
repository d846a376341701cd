"""Mosaic of a span: median of the clear looks of each pixel, on the native grid. What no look shows clear has no data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from odc.geo.geobox import GeoBox

from imperv.grids import factor
from imperv.layers.reflectance import median_of_data
from imperv.layers.scl import scl_weights
from imperv.tasks.native.looks import CLEAR, CLOUD, CODES, NO_DATA, RESAMPLED, Look, bands_of, mask_of, shows_ground
from imperv.tasks.scenes.access import LOCAL
from imperv.tasks.settings.scenes import SceneAccess

CLEAR_WEIGHT = 50
"""SCL weight of vegetation, soil and water (ATBD Table 6)."""

STRIP_BYTES = 256 * 2**20
"""Memory of the looks at one band of a strip of rows; our choice."""

BYTES = 6
"""Bytes of a pixel and look: the value, its copy while it is sorted, and masks."""

SURE = np.where((CODES == CLEAR) & (scl_weights(np.arange(256, dtype="uint8")) < CLEAR_WEIGHT), CLOUD, CODES).astype("uint8")
"""Mask code of a class of SCL, `CLEAR` only where a mosaic is made of it."""


def mosaic_of(looks: Sequence[Look], names: Sequence[str], grid: GeoBox, access: SceneAccess = LOCAL) -> np.ndarray:
    """Median of each band over the clear looks of each pixel, (band, y, x) uint16 as `bands_of`; 0 where no look is clear.

    Clear is SCL weight 50 (vegetation, soil, water), of Level-1C what its mask leaves. A pixel of 60 m is clear where all nine
    of 20 m are. Halves are rounded up. Strips of rows are done one after the other in `STRIP_BYTES`, but for what one row of
    60 m takes.
    """
    out = np.zeros((len(names), *grid.shape.yx), "uint16")
    for rows, strip in _strips(grid, len(looks)):
        clear = np.array([_clear(look, strip, access) for look in looks], bool)
        stack = np.empty((len(looks), *strip.shape.yx), "uint16")
        for k, name in enumerate(names):
            for look, values, ground in zip(looks, stack, clear, strict=True):
                values[:] = bands_of(look, [name], strip, access)[0] if ground.any() else 0
                values[~ground] = NO_DATA
            out[k, rows] = median_of_data(stack)
    return out


def mosaic_mask(looks: Sequence[Look], grid20: GeoBox, access: SceneAccess = LOCAL) -> tuple[np.ndarray, np.ndarray]:
    """Mask of a mosaic (`NO_DATA`, `CLEAR`, or `RESAMPLED` where all of its looks are) and its number of clear looks: (y, x)."""
    mask, count = np.zeros(grid20.shape.yx, "uint8"), np.zeros(grid20.shape.yx, "uint16")
    for look in looks:
        codes = mask_of(look, grid20, access, SURE)
        count += shows_ground(codes)
        mask[codes == CLEAR] = CLEAR
        mask[(codes == RESAMPLED) & (mask == NO_DATA)] = RESAMPLED
    return mask, count


def _strips(grid: GeoBox, looks: int) -> Iterator[tuple[slice, GeoBox]]:
    """Rows of whole 60 m, as many as memory allows."""
    step = factor(60, abs(grid.resolution.x))
    fit = STRIP_BYTES // max(1, looks * grid.shape.x * BYTES) // step * step
    height = max(step, fit)
    for first in range(0, grid.shape.y, height):
        rows = slice(first, min(first + height, grid.shape.y))
        yield rows, grid[rows, :]


def _clear(look: Look, grid: GeoBox, access: SceneAccess) -> np.ndarray:
    """Where a look shows the ground, on pixels of 10, 20 or 60 m."""
    pixel = round(abs(grid.resolution.x))
    grid20 = GeoBox.from_bbox(grid.boundingbox, resolution=20, tight=True)
    clear = shows_ground(mask_of(look, grid20, access, SURE))
    if pixel == 60:
        return np.asarray(clear.reshape(grid.shape.y, 3, grid.shape.x, 3).all(axis=(1, 3)))
    return clear.repeat(20 // pixel, axis=0).repeat(20 // pixel, axis=1)
