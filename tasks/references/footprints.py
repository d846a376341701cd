"""Share of each pixel covered by building footprints, the union of any number of sources (ATBD 4.4.1).

Every source is read once a tile and its sound polygons are laid down by block of work, so that neither a country nor a tile is
ever held.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
import zarr
from odc.geo.geobox import GeoBox

from imperv.grids import Block
from imperv.layers.catalogue import Layer
from imperv.layers.kernels.coverage import coverage
from imperv.tasks.errors import disk_trouble
from imperv.tasks.family.findings import Remark, doubtful, fine
from imperv.tasks.job import BlockReport, Job, Made, attributes, report, summarise
from imperv.tasks.references.fingerprints import fingerprint
from imperv.tasks.references.sources import Tally, footprint_sources, sound_polygons
from imperv.tasks.store.file_systems import discard
from imperv.tasks.store.store import TEMPORARY, Store

PIXEL_BYTES = 40
"""Projected memory of a pixel of a block: sums, shares, and what is counted of them."""

POLYGON_BYTES = 2000
"""Projected memory of a polygon of a block, with its part of the index and of merged outlines; 0.9 kB with five corners."""

PIECES = pa.schema([("outline", pa.binary())])
"""Polygons of a block: well-known binary in EPSG:3035."""


def count_footprints(job: Job) -> list[Tally]:
    """Count of each source inside the area; InputError if no footprints are named or a file cannot be used."""
    least = job.production.references.footprint_confidence
    tallies = []
    for source in footprint_sources(job):
        tallies.append(source.tally())
        for _ in sound_polygons(source, job.bounds, tallies[-1], least):
            pass
    return tallies


def look_at_footprints(job: Job, symbol: str) -> Iterator[Remark]:
    """What `imperv config check` says of building footprints."""
    key = f"{job.tile}: references.footprints"
    tallies = count_footprints(job)
    for tally in tallies:
        files = "" if tally.files == 1 else f" ({tally.files} files)"
        yield fine(f"{key}: {tally.entry}{files}, {tally.used} polygons in the area")
        yield from (doubtful(f"{key}: {line}") for line in tally.trouble(str(job.tile)))
    if not any(tally.used for tally in tallies):
        yield doubtful(f"{key}: 0 usable footprints: no model of built-up can learn from this tile; name files that cover it")


@dataclass(frozen=True)
class _FootprintBlock:
    """One block; may travel to another process."""

    store: Store
    folder: str
    counts: Mapping[Block, int]
    grid: GeoBox
    out: zarr.Array
    layer: Layer

    def __call__(self, block: Block) -> BlockReport:
        polygons = np.array([], object)
        if self.counts.get(block):
            with self.store.fs.open(f"{self.folder}/{_piece(block)}", "rb") as file, pa.ipc.open_stream(file) as stream:
                outlines = stream.read_all().column("outline").to_numpy()
            polygons = shapely.from_wkb(outlines)
        share = coverage(polygons, block.geobox(self.grid))
        self.out[block.slices] = share
        return report({self.layer.symbol: share}, self.layer)


def make_footprints(job: Job, layer: Layer) -> Made:
    """Building density from footprints on the layer's grid; InputError if none are named or a file cannot be used."""
    grid, blocks, place = job.grid_of(layer), job.blocks_of(layer), job.place(layer.symbol)
    with _scratch(job.store, place.data) as (folder, local):
        tallies, counts = _lay_down(job, grid, blocks, local)
        if not job.store.is_local:
            for piece in sorted(local.iterdir()):
                job.store.fs.put_file(str(piece), f"{folder}/{piece.name}")
        with job.store.writing_arrays(place, grid, layer.resolution, layer.variables, attributes(job, layer)) as out:
            work = _FootprintBlock(job.store, folder, counts, grid, out[layer.variables[0].name], layer)
            size = int(np.prod(blocks[0].shape)) * PIXEL_BYTES + max(counts.values(), default=0) * POLYGON_BYTES
            digest, statistics = summarise(layer, job.engine.map(work, blocks, size, layer.symbol))
    used = sum(t.used for t in tallies)
    warnings = [] if used else [f"no footprint lies inside tile {job.tile}"]
    warnings += [line for tally in tallies for line in tally.trouble(str(job.tile))]
    return Made(digest, {**statistics, "footprints": used, "sources": [t.statistics() for t in tallies]}, tuple(warnings))


@contextlib.contextmanager
def _scratch(store: Store, place: str) -> Iterator[tuple[str, Path]]:
    """A folder of the store that ends with the block, where every worker reaches it, and where to write what goes there."""
    folder = store.full(f"{place}{TEMPORARY}{uuid.uuid4().hex[:8]}")
    with contextlib.ExitStack() as stack:
        if store.is_local:
            try:
                Path(folder).mkdir(parents=True)
            except OSError as error:
                raise disk_trouble(error, folder) from error
        local = Path(folder if store.is_local else stack.enter_context(TemporaryDirectory()))
        try:
            yield folder, local
        finally:
            with contextlib.suppress(OSError):
                discard(store.fs, folder)


def _piece(block: Block) -> str:
    return f"{block.y0}_{block.x0}.arrows"


def _lay_down(job: Job, grid: GeoBox, blocks: Sequence[Block], folder: Path) -> tuple[list[Tally], dict[Block, int]]:
    """Write the polygons of all sources into a file for each block that they touch; what was found, and polygons by block."""
    least = job.production.references.footprint_confidence
    boxes = shapely.STRtree([shapely.box(*block.geobox(grid).boundingbox.bbox) for block in blocks])
    tallies: list[Tally] = []
    counts = dict.fromkeys(blocks, 0)
    with contextlib.ExitStack() as stack:
        writers: dict[int, pa.RecordBatchWriter] = {}
        for source in footprint_sources(job):
            tallies.append(source.tally())
            for polygons in sound_polygons(source, job.bounds, tallies[-1], least):
                outlines = shapely.to_wkb(polygons)
                which, where = boxes.query(polygons, predicate="intersects")
                for number in np.unique(where):
                    inside = outlines[which[where == number]]
                    if number not in writers:
                        file = stack.enter_context((folder / _piece(blocks[number])).open("wb"))
                        writers[number] = stack.enter_context(pa.ipc.new_stream(file, PIECES))
                    writers[number].write_batch(pa.record_batch([pa.array(inside, pa.binary())], schema=PIECES))
                    counts[blocks[number]] += len(inside)
    return tallies, counts


def footprints_external(job: Job, layer: Layer) -> dict[str, Any]:
    """The files of footprints, and the least confidence of those that are used."""
    files = [file.partition("|")[0] for source in footprint_sources(job) for file in source.files]
    return {"files": fingerprint(job, *files), "footprint_confidence": job.production.references.footprint_confidence}
