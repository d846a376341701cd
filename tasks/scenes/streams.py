"""GeoTIFFs on disks that strips of a grid go down: every block of a file is decoded once, a row at a time.

A strip ends in the middle of blocks. What a whole reading decodes of them is thrown away, and decoded again for the strip below.
Here a block is inflated as far as a strip needs it, and its decompressor waits for the next strip with the few rows that both
need. Files of other kinds (JPEG 2000, other compressions, masks, remote ones) are left to GDAL.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from isal import igzip_lib
from odc.geo.crs import CRS

from imperv.layers.kernels.strips import rows_by_column, sum_differences

PIECE = 1 << 16
"""Bytes of a file that are read at once."""

WAITING_BYTES = 100_000
"""Memory of a decompressor that waits, bytes: 32 KiB of what it has given, its tables, and what it has read ahead."""

KINDS = ("uint8", "uint16")


@dataclass(frozen=True)
class Layout:
    """Where the pixels of a file lie in it."""

    path: str
    dtype: np.dtype
    shape: tuple[int, int]
    """(rows, columns) of the raster."""
    block: tuple[int, int]
    """The same of its blocks."""
    places: np.ndarray
    """(rows, columns, 2) of blocks, int64: offset in the file and size, bytes; 0 for a block without data, not stored."""
    differences: bool
    """True where rows are stored as differences between neighbours (predictor 2)."""
    crs: CRS
    affine: Affine
    nodata: float | None

    @classmethod
    def of(cls, source: rasterio.DatasetReader, path: str, crs: CRS) -> Layout | None:
        """Of an open file without a mask; None where it is none that can be streamed."""
        if not streamable(path) or source.driver != "GTiff" or source.count != 1 or source.dtypes[0] not in KINDS:
            return None
        structure = source.tags(ns="IMAGE_STRUCTURE")
        predictor = structure.get("PREDICTOR", "1")
        usual = (
            structure.get("COMPRESSION") == "DEFLATE"
            and predictor in "12"
            and "NBITS" not in source.tags(1, ns="IMAGE_STRUCTURE")
        )
        with Path(path).open("rb") as file:
            usual = usual and file.read(2) == b"II"
        if not usual:
            return None
        block = source.block_shapes[0]
        return cls(
            path, np.dtype(source.dtypes[0]), source.shape, block, places(source), predictor == "2", crs, source.transform,
            source.nodata,
        )  # fmt: skip


def streamable(path: str) -> bool:
    """True for a path that may be that of a GeoTIFF on a disk."""
    return path.lower().endswith((".tif", ".tiff")) and "://" not in path and not path.startswith("/vsi")


def places(source: rasterio.DatasetReader) -> np.ndarray:
    """Offset and size of each block of an open GeoTIFF, (rows, columns, 2) of blocks, int64; 0 where there is none."""
    height, width = source.block_shapes[0]
    rows, columns = -(-source.height // height), -(-source.width // width)
    return np.array([[place(source, y, x) for x in range(columns)] for y in range(rows)], "int64")


def place(source: rasterio.DatasetReader, row: int, column: int) -> tuple[int, int]:
    """Offset and size of a block of an open GeoTIFF, bytes; 0 for a block without any data, which has no place in the file."""
    offset, size = (int(source.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=1) or 0) for what in ("OFFSET", "SIZE"))
    return offset, size


class _Block:
    """A block that is inflated row by row."""

    def __init__(self, layout: Layout, row: int, column: int) -> None:
        self.at, size = map(int, layout.places[row, column])
        self.end = self.at + size
        self.layout = layout
        self.inflate = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_ZLIB) if size else None
        self.first = 0
        self.rows = np.empty((0, layout.block[1]), layout.dtype)
        """Rows from the `first` on that the strip below needs again."""

    def decode(self, file: int, last: int, room: np.ndarray) -> np.ndarray:
        """Rows from the first that is kept to `last`, in `room`, which holds a block."""
        kept = len(self.rows)
        rows = room[: max(last - self.first, kept)]
        rows[:kept] = self.rows
        if self.inflate is None:
            rows[kept:] = 0
            return rows
        at_once = max(PIECE // rows.strides[0], 1)
        for start in range(kept, len(rows), at_once):
            piece = rows[start : start + at_once]
            stored = np.frombuffer(self._inflated(file, piece.nbytes), rows.dtype).reshape(piece.shape)
            if self.layout.differences:
                sum_differences(stored, piece)
            else:
                piece[:] = stored
        if self.first + len(rows) == self.layout.block[0] and len(rows) > kept:
            while not self.inflate.eof:
                if self._more(file, 1):
                    raise OSError("a block holds more than its rows")
        return rows

    def _inflated(self, file: int, size: int) -> bytes:
        """The next `size` bytes of a block; OSError if the file has no more, or its bytes are none of a block."""
        found: list[bytes] = []
        assert self.inflate is not None
        while size:
            given = self._more(file, size)
            if not given and self.inflate.eof:
                raise OSError("a block ends too early")
            size -= len(given)
            found.append(given)
        return found[0] if len(found) == 1 else b"".join(found)

    def _more(self, file: int, most: int) -> bytes:
        """At most so many bytes of a block, or none if its decompressor has to be fed first; it checks the sum at the end."""
        assert self.inflate is not None
        piece = b""
        if self.inflate.needs_input:
            piece = os.pread(file, min(PIECE, self.end - self.at), self.at)
            self.at += len(piece)
            if not piece:
                raise OSError("a block ends too early")
        trouble = ""
        try:
            return self.inflate.decompress(piece, max_length=most)
        except igzip_lib.IsalError as error:  # type: ignore[misc]
            trouble = str(error)
        raise OSError(f"a block cannot be decoded: {trouble}")

    def keep(self, first: int, rows: np.ndarray) -> None:
        """Keep the rows from `first` on of those that are decoded; those before are not needed again."""
        dropped = min(max(first - self.first, 0), len(rows))
        self.rows, self.first = rows[dropped:].copy(), self.first + dropped


@dataclass(eq=False)
class Stream:
    """A file that is read from top to bottom; of use to one thread at a time."""

    layout: Layout
    _blocks: dict[tuple[int, int], _Block] = field(default_factory=dict)

    def window(
        self, x: np.ndarray, y: np.ndarray, cells: np.ndarray, reach: int
    ) -> tuple[np.ndarray, tuple[int, int], int] | None:
        """Pixels that the wanted cells of a mapping need, each block of the file as far as it is needed.

        `x` and `y` are column and row of the nodes of the mapping in the raster, `cells` those that are wanted, `reach` the
        pixels around them. The window (rows, columns) is 0 where nothing is needed; with it come row and column of its first
        pixel, and the bytes of the blocks that were begun. None beside the raster. OSError if the file is damaged.
        """
        layout = self.layout
        height, width = layout.block
        count = layout.places.shape[1]
        first, last, below, left, right = rows_by_column(x, y, cells, reach, width, count, layout.shape)
        needed = np.flatnonzero(first < last)
        if not needed.size:
            return None
        top, bottom, begun = int(first[needed].min()), int(last[needed].max()), 0
        out, room = np.zeros((bottom - top, right - left), layout.dtype), np.empty(layout.block, layout.dtype)
        file = os.open(layout.path, os.O_RDONLY)
        try:
            for column in needed.tolist():
                start, stop = max(column * width, left), min((column + 1) * width, right)
                for row in range(int(first[column]) // height, (int(last[column]) - 1) // height + 1):
                    a, b = max(int(first[column]) - row * height, 0), min(int(last[column]) - row * height, height)
                    block = self._blocks.get((row, column))
                    if block is None or block.first > a:
                        block = self._blocks[row, column] = _Block(layout, row, column)
                        begun += block.end - block.at
                    rows = block.decode(file, b, room)
                    out[row * height + a - top : row * height + b - top, start - left : stop - left] = rows[
                        a - block.first : b - block.first, start - column * width : stop - column * width
                    ]
                    block.keep(int(below[column]) - row * height, rows)
        finally:
            os.close(file)
        # Blocks of which the cells below reach nothing.
        self._blocks = {place: block for place, block in self._blocks.items() if below[place[1]] < (place[0] + 1) * height}
        return out, (top, int(left)), begun


Streams = dict[str, Stream]
"""Files by their path that the next strip will go on with."""


def require_whole(source: rasterio.DatasetReader, path: str) -> None:
    """OSError if the last block of an open GeoTIFF on a disk lies beyond the end of the file."""
    height, width = source.block_shapes[0]
    if sum(place(source, (source.height - 1) // height, (source.width - 1) // width)) > Path(path).stat().st_size:
        raise OSError("the file ends before its last block")
