"""Land of a tile as its references know it: scenes must show it, but not the sea, of which Sentinel-2 takes a strip only."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from rasterio.errors import RasterioError

from imperv.grids import Block
from imperv.tasks.errors import ImpervError
from imperv.tasks.families import family
from imperv.tasks.job import Job
from imperv.tasks.references.references import SEA_BUFFER, RasterReader, about_reference, check_reference, open_reference

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Land:
    """Land of a tile, or of the window of it; every pixel where nothing is known."""

    shape: tuple[int, int]
    """(rows, columns)."""
    known_by: tuple[str, ...] = ()
    """References."""
    bits: np.ndarray | None = None
    """(rows, ceil(columns / 8)) uint8, a bit a pixel; None where nothing is known."""

    @classmethod
    def of(cls, job: Job) -> Land:
        """Land as the first references know it that can be read; what is wrong with others is told when they are made."""
        rows, columns = job.grid(10).shape
        for symbols in family(job.family).land:
            known, bits = [], np.zeros((rows, -(-columns // 8)), np.uint8)
            for symbol in symbols:
                if not getattr(job.production.references, about_reference(symbol).key):
                    continue
                try:
                    found = _land_of(job, symbol)
                except (ImpervError, RasterioError):
                    continue
                if found.any():
                    known.append(symbol)
                    bits |= found
            if known:
                return cls((rows, columns), tuple(known), bits)
        return cls((rows, columns))

    @property
    def words(self) -> str:
        """What it is called in messages."""
        return "land" if self.known_by else "area"

    @property
    def pixels(self) -> int:
        """Pixels of land."""
        return self.shape[0] * self.shape[1] if self.bits is None else int(np.bitwise_count(self.bits).sum())

    def __call__(self, block: Block) -> np.ndarray:
        """(y, x) bool of a block."""
        if self.bits is None:
            return np.ones(block.shape, bool)
        first = block.x0 // 8
        bits = np.unpackbits(self.bits[block.y0 : block.y1, first : -(-block.x1 // 8)], axis=1)
        return bits[:, block.x0 - 8 * first : block.x1 - 8 * first].view(bool)

    def inside(self, job: Job, boxes: Iterable[Bounds]) -> int:
        """Pixels of land inside of any of some boxes (left, bottom, right, top) of EPSG:3035."""
        left, _, _, top = job.bounds
        covered = np.zeros(self.shape, bool)
        for box in set(boxes):
            rows, columns = ((top - box[3], top - box[1]), (box[0] - left, box[2] - left))
            (y0, y1), (x0, x1) = (
                (max(int(first // 10), 0), max(int(-(-last // 10)), 0)) for first, last in (rows, columns)
            )  # fmt: skip
            covered[y0:y1, x0:x1] = True
        if self.bits is None:
            return int(np.count_nonzero(covered))
        return int(np.bitwise_count(np.packbits(covered, axis=1) & self.bits).sum())


def _land_of(job: Job, symbol: str) -> np.ndarray:
    """Land as one reference knows it, a bit a pixel."""
    path, opened = open_reference(job, symbol)
    with opened as source:
        check_reference(job, symbol, source, path)
        read = RasterReader.of(job, symbol, source, path)
    found = np.zeros(read.grid.shape, bool)

    def look(block: Block) -> None:
        found[block.slices] = read(block) < SEA_BUFFER

    with ThreadPoolExecutor(job.production.engine.workers, "land") as pool:
        list(pool.map(look, job.blocks(10)))
    return np.packbits(found, axis=1)
