"""The measured bands of an area, read once, and its surroundings, which its pixels depend on."""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from imperv.grids import Block, block_grid
from imperv.grids.specs import UTM_STEP
from imperv.layers.reflectance import NO_DATA
from imperv.layers.sharpening.enlarging import enlarge
from imperv.layers.sharpening.scene import MARGIN
from imperv.tasks.native.looks import Look, bands_of, saturated
from imperv.tasks.scenes.access import LOCAL, files_at_once
from imperv.tasks.superresolution.mosaics import STRIP_BYTES, mosaic_of
from imperv.tasks.superresolution.request import Request, Tell, engine_of
from imperv.tasks.superresolution.windows import MEASURED, Outlook, read_block, reflectance

TEN = 10
"""Pixels, in metres, that everything is counted in."""

LEAST_GROUND = 5000
"""Edge, in metres, of the ground around small areas that regressions are fitted on; our choice."""

FIT_EDGE = 600
"""Edge of the blocks that are summed up, pixels of 10 m: one for all, so that nothing depends on the memory."""

READ_EDGE = 996
"""Edge of the blocks that are read, pixels of 10 m."""


def surroundings(grid: GeoBox) -> GeoBox:
    """An area with the margin that its pixels depend on, and ground enough to fit on."""
    each = UTM_STEP // TEN
    rows, columns = grid.shape.yx
    down, right = (max(MARGIN // TEN, -(-(LEAST_GROUND // TEN - n) // (2 * each)) * each) for n in (rows, columns))
    return Block(-down, -right, rows + down, columns + right).geobox(grid)


@dataclass(frozen=True)
class Measured:
    """The measured bands of an area in a file without a name, read once; a process that is killed leaves nothing of it."""

    grid: GeoBox
    """Pixels of 10 m."""
    arrays: Mapping[int, np.ndarray]
    """By pixel size, (band, y, x) uint16."""
    pages: mmap.mmap
    """That file: what was read of it is left to the system, or all of it would count as memory of the process."""
    warnings: tuple[str, ...]
    """What a person should know."""

    @classmethod
    def read(
        cls, looks: Sequence[Look], mosaic: bool, bands: Sequence[str], grid: GeoBox, file: Any, request: Request, tell: Tell
    ) -> Measured:
        """Read all bands; those that no look has hold no data."""
        grids = {size: GeoBox.from_bbox(grid.boundingbox, resolution=size, tight=True) for size in MEASURED}
        shapes = {size: (len(names), *grids[size].shape.yx) for size, names in MEASURED.items()}
        file.truncate(2 * sum(map(prod, shapes.values())))
        pages, arrays, start = mmap.mmap(file.fileno(), 0), {}, 0
        for size, shape in shapes.items():
            arrays[size] = np.frombuffer(pages, "uint16", prod(shape), start).reshape(shape)
            start += arrays[size].nbytes
        work = [(size, b) for size in MEASURED for b in block_grid(grids[size], READ_EDGE * TEN // size)]

        def copy(unit: tuple[int, Block]) -> dict[str, int]:
            size, block = unit
            names, here = [n for n in MEASURED[size] if n in bands], block.geobox(grids[size])
            if not names:
                return {}
            found = mosaic_of(looks, names, here, LOCAL) if mosaic else bands_of(looks[0], names, here, LOCAL)
            for name, values in zip(names, found, strict=True):
                arrays[size][(MEASURED[size].index(name), *block.slices)] = values
            pages.madvise(mmap.MADV_DONTNEED)
            return saturated(names, found)

        paths = (path for look in looks for scene in look.scenes for path in scene.bands.values())
        each = READ_EDGE**2 * 2 * 8 + (STRIP_BYTES if mosaic else 0)
        counts = engine_of(request, "read", tell, files_at_once(paths, request.workers, LOCAL)).map(copy, work, each, "read")
        total = {name: sum(c.get(name, 0) for c in counts) for name in bands}
        said = ", ".join(f"{name} {count}" for name, count in total.items() if count)
        return cls(grid, arrays, pages, (f"saturated pixels, which are kept: {said}",) if said else ())

    def __call__(self, size: int, block: Block) -> np.ndarray:
        """As `windows.Read`."""
        found = read_block(self.arrays, size, block).copy()
        self.pages.madvise(mmap.MADV_DONTNEED)
        return found

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of 10 m."""
        rows, columns = self.grid.shape.yx
        return rows, columns

    def parts(self) -> list[Outlook]:
        """Parts of `FIT_EDGE`, without margins."""
        return [Outlook.bare(block) for block in block_grid(self.grid, FIT_EDGE)]


def enlarged(measured: Measured, outlook: Outlook, bands: Sequence[str]) -> np.ndarray:
    """Measured bands of a block on the sharpened pixels, by cubic convolution: (band, y, x) uint16, 0 no data."""
    found: dict[str, np.ndarray] = {}
    for size, names in MEASURED.items():
        pixels = reflectance(measured(size, outlook.at(size)))
        found |= dict(zip(names, enlarge(pixels, size // outlook.resolution)[(slice(None), *outlook.inner)], strict=True))
    whole = np.stack([found[name] for name in bands])
    empty = np.isnan(whole)
    return np.where(empty, NO_DATA, np.clip(np.rint(np.nan_to_num(whole)), 1, np.iinfo(np.uint16).max)).astype(np.uint16)
