"""Blocks of a pixel grid: the units of work inside a tile, with halo.

Blocks start at the grid's upper-left corner, and are cut at the lower and right edge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from odc.geo.geobox import GeoBox

BLOCK_METRES = 10_000
"""Edge of a block: 1000 pixels of 10 m, 500 of 20 m, 100 of 100 m, so that blocks agree at every resolution."""


@dataclass(frozen=True)
class Block:
    """A window of pixels in a grid: rows `y0` to `y1`, columns `x0` to `x1`, ends excluded."""

    y0: int
    x0: int
    y1: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def slices(self) -> tuple[slice, slice]:
        """Slices that cut the block from an array whose last axes are (y, x)."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def scaled(self, factor: int) -> Block:
        """The same block on a grid whose pixels are `factor` times finer."""
        return Block(self.y0 * factor, self.x0 * factor, self.y1 * factor, self.x1 * factor)

    def coarser(self, factor: int) -> Block:
        """The pixels of a grid `factor` times coarser that hold it."""
        return Block(self.y0 // factor, self.x0 // factor, -(-self.y1 // factor), -(-self.x1 // factor))

    def pieces(self, edge: int) -> Iterator[Block]:
        """Parts of it, row by row, of `edge` pixels each way."""
        for y in range(self.y0, self.y1, edge):
            for x in range(self.x0, self.x1, edge):
                yield Block(y, x, min(y + edge, self.y1), min(x + edge, self.x1))

    def geobox(self, grid: GeoBox) -> GeoBox:
        """Pixel grid of the block; it may lie partly outside of `grid` when it was padded."""
        return grid.translate_pix(self.x0, self.y0).crop((self.y1 - self.y0, self.x1 - self.x0))


def block_grid(grid: GeoBox, edge: int | tuple[int, int] | None = None) -> Iterator[Block]:
    """All blocks of a grid, row by row, of `edge` pixels each way, or (rows, columns); 10 km by default."""
    rows, columns = grid.shape
    size = edge or max(1, round(BLOCK_METRES / abs(grid.resolution.x)))
    down, across = (size, size) if isinstance(size, int) else size
    for y in range(0, rows, down):
        for x in range(0, columns, across):
            yield Block(y, x, min(y + down, rows), min(x + across, columns))


def pad_clipped(block: Block, halo: int, shape: tuple[int, int]) -> Block:
    """The block grown by `halo` pixels on every side, cut at the edges of a grid of `shape`."""
    return Block(max(block.y0 - halo, 0), max(block.x0 - halo, 0), min(block.y1 + halo, shape[0]), min(block.x1 + halo, shape[1]))


def inner_slices(block: Block, outer: Block) -> tuple[slice, slice]:
    """Slices that cut `block` from an array that holds `outer`."""
    return (
        slice(block.y0 - outer.y0, block.y1 - outer.y0),
        slice(block.x0 - outer.x0, block.x1 - outer.x0),
    )
