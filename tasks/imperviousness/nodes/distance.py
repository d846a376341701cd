"""OSM_distance: roads and buildings drawn into a mask of the tile, and the distance to it by blocks (ATBD 4.3.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import shapely
from affine import Affine
from rasterio.features import rasterize

from imperv.grids import Block, Bounds
from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.layers.network.sampling import CLCPLUS_OUTSIDE
from imperv.layers.proxy import distance
from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.nodes.clcplus import GIVEN, SEA_BUFFER, not_needed
from imperv.tasks.job import BlockReport, Job, Made, attributes, report, summarise
from imperv.tasks.memory import block_bytes
from imperv.tasks.references.fingerprints import fingerprint
from imperv.tasks.references.sources import Source, footprint_sources, sound_polygons
from imperv.tasks.vectors.osm import PIECE, Theme, read_shapes

CELL = 500
"""Edge in pixels of the squares that shapes are drawn in. They lie on the EEA grid, so that every tile draws the same pixels."""

DRAWN_PIXEL = 2.2
"""Projected memory of the mask of roads and buildings, bytes a pixel: the mask, packed pieces of it."""

DRAWN_SHAPE = 4000
"""The same of a shape that is being drawn, bytes."""

DISTANCE_PIXEL = 22
"""Projected memory of the distance, bytes a pixel: packed and unpacked mask, OpenCV's tables, the result and copies of it."""


def shape_files(job: Job) -> dict[Theme, list[str]]:
    """Paths of roads and buildings of OpenStreetMap; no buildings where the footprints are used (`from_footprints`)."""
    references = job.production.references
    if not references.roads:
        raise InputError(
            f"references.roads: is missing; tile {job.tile} has no CLCplus of now, and its proxy needs roads of OpenStreetMap; "
            "name a file, or references.clcplus_now"
        )
    return {
        "roads": [job.path(p) for p in references.roads],
        "buildings": [job.path(p) for p in references.buildings],
    }


def from_footprints(job: Job) -> list[Source]:
    """Footprints that are used as buildings where no others are named."""
    references = job.production.references
    return [] if references.buildings or not references.footprints else footprint_sources(job)


def files_of(job: Job) -> list[str]:
    """All input files of the distance."""
    footprints = [file.partition("|")[0] for source in from_footprints(job) for file in source.files]
    return [*(path for paths in shape_files(job).values() for path in paths), *footprints]


@dataclass(frozen=True)
class _Gaps:
    """Counts pixels of a block where CLC+ is there for `then` only; may travel to another process."""

    then: Any
    now: Any

    def __call__(self, block: Block) -> int:
        return int(((self.now[block.slices] > SEA_BUFFER) & (self.then[block.slices] < CLCPLUS_OUTSIDE)).sum())


def _pixels_to_fill(job: Job) -> int:
    """Pixels for the proxy in a tile whose CLC+ of `now` has holes."""
    blocks = job.blocks(10)
    size = block_bytes([(int(np.prod(blocks[0].shape)), "uint8")] * 2)
    return sum(job.engine.map(_Gaps(job.array("CLCP_then"), job.array("CLCP_now")), blocks, size, "OSM_distance"))


def make_distance(job: Job, layer: Layer) -> Made:
    """OSM_distance: metres to the nearest road or building; InputError if the tile's mask does not fit into memory."""
    clcplus = job.record("CLCP_now")
    if clcplus is not None and clcplus.made and not _pixels_to_fill(job):
        return Made("", made=False, reason=f"{GIVEN} wherever that of then is")
    files, reach = shape_files(job), job.production.parameters.proxy.reach
    cells = _Cells.around(job, reach)
    job.engine.at_once(int(cells.pixels * DRAWN_PIXEL) + PIECE * DRAWN_SHAPE, layer.symbol)
    footprints, least = from_footprints(job), job.production.references.footprint_confidence
    mask, counts = cells.draw(files, lambda bounds: _polygons(footprints, bounds, least))
    pieces = [(block, np.packbits(mask[cells.outer(block, reach)])) for block in job.blocks(10)]
    del mask
    edge = min(1000, max(job.grid(10).shape)) + 2 * reach // 10
    with job.store.writing_arrays(job.place(layer.symbol), job.grid(10), 10, layer.variables, attributes(job, layer)) as out:
        work = _DistanceBlock(layer.symbol, reach, out[layer.variables[0].name])
        reports = job.engine.map(work, pieces, edge * edge * DISTANCE_PIXEL, layer.symbol)
    digest, statistics = summarise(layer, reports)
    named = {**files, "buildings": files["buildings"] or [source.entry for source in footprints]}
    absent = [theme for theme, paths in named.items() if paths and not counts[theme]]
    warnings = tuple(f"none of the {t} of {', '.join(named[t])} lies in or near tile {job.tile}" for t in absent)
    return Made(digest, {**statistics, **counts, "sources": [p for paths in named.values() for p in paths]}, warnings)


def _polygons(sources: Sequence[Source], bounds: Bounds, least_confidence: float) -> Iterator[np.ndarray]:
    for source in sources:
        yield from sound_polygons(source, bounds, source.tally(), least_confidence)


@dataclass(frozen=True)
class _Cells:
    """Squares of the EEA grid that cover an area and its surroundings."""

    row: int
    """Global index of the first row and column of pixels, counted from the origin of EPSG:3035 to the south-east."""
    column: int
    shape: tuple[int, int]
    """Pixels, whole cells."""
    area: tuple[int, int]
    """Global index of the first pixel of the area."""

    @classmethod
    def around(cls, job: Job, reach: int) -> _Cells:
        row, column = job.global_index()
        margin = reach // 10
        first = [(index - margin) // CELL * CELL for index in (row, column)]
        last = [
            -(-(index + n + margin) // CELL) * CELL for index, n in zip((row, column), job.grid(10).shape, strict=True)
        ]  # fmt: skip
        return cls(first[0], first[1], (last[0] - first[0], last[1] - first[1]), (row, column))

    @property
    def pixels(self) -> int:
        return self.shape[0] * self.shape[1]

    def outer(self, block: Block, reach: int) -> tuple[slice, slice]:
        """Part of the mask that a block of the area needs."""
        margin = reach // 10
        y, x = self.area[0] - self.row, self.area[1] - self.column
        return (
            slice(y + block.y0 - margin, y + block.y1 + margin),
            slice(x + block.x0 - margin, x + block.x1 + margin),
        )

    def draw(
        self, files: dict[Theme, list[str]], more_buildings: Callable[[Bounds], Iterator[np.ndarray]]
    ) -> tuple[np.ndarray, dict[str, int]]:
        """(y, x) bool, True where a road or a building touches a pixel; and the number of each."""
        mask = np.zeros(self.shape, bool)
        left, top = 10 * self.column, -10 * self.row
        bounds = (left, top - 10 * self.shape[0], left + 10 * self.shape[1], top)
        counts: dict[str, int] = {}
        for theme, paths in files.items():
            pieces = (piece for path in paths for piece in read_shapes(path, theme, bounds))
            counts[theme] = sum(self._draw_piece(mask, piece) for piece in pieces)
        counts["buildings"] += sum(self._draw_piece(mask, piece) for piece in more_buildings(bounds))
        return mask, counts

    def _draw_piece(self, mask: np.ndarray, shapes: np.ndarray) -> int:
        """Draw some shapes, each in all cells that it may touch; their number."""
        if not len(shapes):
            return 0
        left, bottom, right, top = shapely.bounds(shapes).T / 10
        rows = [np.floor((v - self.row) / CELL).astype(int) for v in (-top, -bottom)]
        columns = [np.floor((v - self.column) / CELL).astype(int) for v in (left, right)]
        of_cell: dict[tuple[int, int], list[Any]] = {}
        for k, (r0, r1, c0, c1) in enumerate(zip(*rows, *columns, strict=True)):
            for cell in product(
                range(max(r0, 0), min(r1 + 1, self.shape[0] // CELL)), range(max(c0, 0), min(c1 + 1, self.shape[1] // CELL))
            ):
                of_cell.setdefault(cell, []).append(shapes[k])
        for (r, c), found in of_cell.items():
            place = Affine(10, 0, 10 * (self.column + c * CELL), 0, -10, -10 * (self.row + r * CELL))
            drawn = rasterize(found, out_shape=(CELL, CELL), transform=place, all_touched=True, dtype="uint8")
            mask[r * CELL : (r + 1) * CELL, c * CELL : (c + 1) * CELL] |= drawn.view(bool)
        return len(shapes)


@dataclass(frozen=True)
class _DistanceBlock:
    """One block of OSM_distance; may travel to another process."""

    symbol: str
    reach: int
    out: Any

    def __call__(self, piece: tuple[Block, np.ndarray]) -> BlockReport:
        block, packed = piece
        margin = self.reach // 10
        rows, columns = (n + 2 * margin for n in block.shape)
        mask = np.unpackbits(packed, count=rows * columns).reshape(rows, columns).view(bool)
        found = np.ascontiguousarray(distance(mask, self.reach)[margin : rows - margin, margin : columns - margin])
        self.out[block.slices] = found
        return report({self.symbol: found}, CATALOGUE[self.symbol])


def distance_external(job: Job, layer: Layer) -> dict[str, Any]:
    """The files of roads and footprints, where they are needed."""
    known = job.record("CLCP_now") is not None or not job.production.references.clcplus_now
    needed = known and not not_needed(job, layer.symbol)
    return {"files": fingerprint(job, *(files_of(job) if needed else ()))}
