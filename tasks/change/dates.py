"""Bands of a date on any grid, where the ground is seen; and the windows of an area that statistics are taken from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from odc.geo.geobox import GeoBox

from imperv.grids import Block, block_grid
from imperv.grids.mapping import CELL
from imperv.layers.reflectance import SCL, shift_offset
from imperv.tasks.errors import InputError
from imperv.tasks.native.looks import CLEAR, CODES, SATURATED, Look
from imperv.tasks.scenes.access import LOCAL
from imperv.tasks.scenes.reading import read_band
from imperv.tasks.settings.scenes import SceneAccess

EDGE = 250
"""Edge of a window, pixels: whole cells of the mapping."""

MOST_PIXELS = 2_000_000
"""Pixels of all windows together: 200 of them lie beyond 99.99 %. Our choice."""

CELLS, SMALLEST_CELL = 400, 8
"""Cells of ground that a bootstrap draws, about so many, and their smallest edge in pixels; our choice."""


def read_date(look: Look, bands: Sequence[str], grid: GeoBox, cloud_edge: float, access: SceneAccess = LOCAL) -> np.ndarray:
    """Bands of a date on a grid, (band, y, x) uint16: reflectance x 10 000 without offset, 0 where the ground is not seen.

    Not seen are pixels without data in a band, saturated ones, clouds, shadows and snow by SCL, and what lies within `cloud_edge`
    pixels of these. Bands are interpolated bilinearly; on the pixels of a band that is its own values. A grid that begins at a
    whole cell of the mapping from another one gets the same pixels. InputError for a band that a granule lacks.
    """
    codes, seen = _classes(look, grid, cloud_edge, access), np.zeros((len(bands), *grid.shape.yx), "uint16")
    for scene in look.scenes:
        if not (missing := (seen == 0).any(0) & codes).any():
            break
        for name, band in zip(bands, seen, strict=True):
            pixels = read_band(_file(scene.bands, scene.id, name), scene.id, grid, access=access)
            bright = pixels == SATURATED
            pixels = shift_offset(pixels, scene.subtract)
            pixels[bright] = 0
            np.copyto(band, pixels, where=missing)
    seen[:, ~codes | (seen == 0).any(0)] = 0
    return seen


def _classes(look: Look, grid: GeoBox, cloud_edge: float, access: SceneAccess) -> np.ndarray:
    """Where a date shows the ground, (y, x) bool."""
    reach = math.ceil(cloud_edge)
    margin = -(-reach // CELL) * CELL
    outer = grid.pad(margin) if margin else grid
    classes = np.zeros(outer.shape.yx, "uint8")
    for scene in look.scenes:
        found = read_band(_file(scene.bands, scene.id, SCL), scene.id, outer, classes=True, access=access)
        np.copyto(classes, found, where=classes == 0)
    clear = CODES[classes] == CLEAR
    if reach:
        hidden = ((classes > 0) & ~clear).astype("uint8")
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        clear &= cv2.dilate(hidden, disc, borderType=cv2.BORDER_CONSTANT, borderValue=0) == 0
    inner = (slice(margin, margin + grid.shape.y), slice(margin, margin + grid.shape.x))
    found_clear: np.ndarray = clear[inner]
    return found_clear


def _file(bands: dict[str, str] | object, scene: str, name: str) -> str:
    assert isinstance(bands, dict)
    if name not in bands:
        raise InputError(f"scene {scene}: has no {name}; name a scene that has it, or leave the band out")
    return str(bands[name])


@dataclass(frozen=True)
class Windows:
    """Parts of a grid that stand for all of it, evenly spread; all of it where it is small."""

    blocks: tuple[Block, ...]
    parts: int
    """Cells of ground along the edge of a window."""

    @classmethod
    def of(cls, grid: GeoBox, most: int = MOST_PIXELS) -> Windows:
        """Of a grid."""
        every = list(block_grid(grid, EDGE))
        across = -(-grid.shape.x // EDGE)
        step = max(1, math.ceil(math.sqrt(len(every) * EDGE**2 / most)))
        middle = (step - 1) // 2
        down = -(-grid.shape.y // EDGE)
        chosen = [
            block for k, block in enumerate(every)
            if k // across % step == min(middle, down - 1) and k % across % step == min(middle, across - 1)
        ]  # fmt: skip
        edge = min(EDGE, *grid.shape.yx)
        parts = max(1, min(round(math.sqrt(CELLS / len(chosen))), edge // SMALLEST_CELL))
        return cls(tuple(chosen), parts)

    @property
    def cells(self) -> int:
        """Cells of ground of all windows."""
        return len(self.blocks) * self.parts**2

    def cells_of(self, number: int) -> np.ndarray:
        """Cell of every pixel of a window, (y, x)."""
        rows, columns = self.blocks[number].shape
        y, x = (np.arange(size) * self.parts // size for size in (rows, columns))
        found: np.ndarray = number * self.parts**2 + y[:, None] * self.parts + x[None, :]
        return found
