"""Sources of building footprints as the production file names them, and the sound polygons of each with a count of the others.

A source is a file, a pattern or a folder. What is no polygon, or cannot be mended, is left out and counted by reason.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import shapely
from pyproj import CRS, Transformer

from tasks.errors import InputError
from tasks.job import Job
from tasks.shape_batches import Batch, Bounds, fsspec_name
from tasks.vectors import REACH, Vectors, open_vectors, read_batches

NAMES = re.compile(
    r"\.(gpkg|fgb|shp|gdb|geojson|geojson\.gz|(geo)?parquet|(csv|geojsonl|geojsons|geojsonseq|jsonl|ndjson)(\.gz|\.zst)?)$",
    re.IGNORECASE,
)
"""Files of a folder that are taken for footprints."""

QUADKEY = re.compile(r"quadkey=([0-3]+)(?=/|$)")
"""Folders by which Microsoft's buildings are sorted: squares of the Bing Maps tile system."""

SWAPPED_WITHIN = 5.0
"""Degrees around a tile within which footprints must come to lie for it to be said that their coordinates are swapped."""

POLYGON, MULTIPOLYGON, COLLECTION = 3, 6, 7


@dataclass(frozen=True)
class Source:
    """One entry of ``references.footprints``."""

    entry: str
    files: tuple[str, ...]


@dataclass
class Tally:
    """What was found in a source within a window."""

    entry: str
    files: int = 0
    used: int = 0
    repaired: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    elsewhere: str = ""
    """Where its footprints lie if none is inside."""

    @property
    def read(self) -> int:
        """Shapes inside the window, and those that lie nowhere."""
        return self.used + self.dropped.total()

    def statistics(self) -> dict[str, Any]:
        """For the record."""
        return {
            "source": self.entry, "files": self.files, "read": self.read, "used": self.used, "repaired": self.repaired,
            "dropped": dict(sorted((+self.dropped).items())),
        }  # fmt: skip

    def trouble(self, tile: str) -> list[str]:
        """Warnings."""
        found = []
        if not self.used:
            found.append(f"no footprint of {self.entry} lies inside tile {tile}{self.elsewhere}")
        if left_out := +self.dropped:
            reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())
            found.append(f"{left_out.total()} of {self.read} footprints of {self.entry} are left out: {reasons}")
        if self.repaired:
            found.append(f"{self.repaired} of {self.read} footprints of {self.entry} had broken outlines, which were mended")
        return found


def footprint_sources(job: Job) -> list[Source]:
    """The entries of the production file with the files that they stand for.

    Raises
    ------
    InputError
        If there are none, or an entry stands for no file.
    """
    texts = job.production.references.footprints
    if not texts:
        raise InputError(f"references.footprints: is missing; IBUD_ref of tile {job.tile} needs at least one file")
    sources = []
    for text in texts:
        entry = job.path(text)
        try:
            files = _expanded(entry)
        except (OSError, ValueError, ImportError) as error:
            raise InputError(f"references.footprints: {entry} cannot be listed ({error}); correct the path") from None
        if not files:
            raise InputError(f"references.footprints: {entry} stands for no vector file; correct the path")
        sources.append(Source(entry, tuple(f for f in files if _may_touch(f, job.bounds))))
    return sources


def check_footprints(job: Job) -> None:
    """Open every file of every source.

    Raises
    ------
    InputError
        If one cannot be used.
    """
    for source in footprint_sources(job):
        for file in source.files:
            _opened(file)


def _opened(path: str) -> Vectors:
    try:
        return open_vectors(path)
    except InputError as error:
        raise InputError(f"references.footprints: {error}") from None


def _expanded(entry: str) -> list[str]:
    """Files of an entry: itself, those of a pattern, or those anywhere below a folder."""
    if "://" in entry or entry.startswith(("/vsis3/", "/vsicurl/")):
        if not (has_magic(entry) or entry.endswith("/")) or entry.startswith(("http", "/vsicurl")):
            return [entry]
        fs, root = fsspec.core.url_to_fs(fsspec_name(entry))
        found = fs.glob(root) if has_magic(entry) else fs.find(root)
        return sorted(fs.unstrip_protocol(name) for name in found if NAMES.search(name))
    path = Path(entry)
    if path.is_dir() and path.suffix.lower() != ".gdb":
        found = [str(p) for p in path.rglob("*") if NAMES.search(p.name) and not any(q.suffix == ".gdb" for q in p.parents)]
        return sorted(found)
    if has_magic(entry) and not path.exists():
        return sorted(glob(entry, recursive=True))  # noqa: PTH207 (a pattern of pathlib needs a folder to begin in)
    return [entry]


def _may_touch(path: str, bounds: Bounds) -> bool:
    """False for a file whose quadkey lies elsewhere."""
    match = QUADKEY.search(path)
    if match is None:
        return True
    row = column = 0
    for digit in match[1]:
        row, column = 2 * row + int(digit) // 2, 2 * column + int(digit) % 2
    squares = 2 ** len(match[1])
    west, east = (360 * x / squares - 180 for x in (column, column + 1))
    north, south = (math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * y / squares)))) for y in (row, row + 1))
    left, bottom, right, top = bounds
    reached = (left - REACH, bottom - REACH, right + REACH, top + REACH)
    box = Transformer.from_crs("EPSG:3035", "OGC:CRS84", always_xy=True).transform_bounds(*reached, densify_pts=21)
    return box[0] <= east and box[2] >= west and box[1] <= north and box[3] >= south


def sound_polygons(source: Source, bounds: Bounds, tally: Tally, least_confidence: float = 0) -> Iterator[np.ndarray]:
    """Polygons of a source that touch a window, in EPSG:3035, batch by batch.

    Parameters
    ----------
    source : Source
        Its files are read one after another.
    bounds : (left, bottom, right, top)
        Window in EPSG:3035.
    tally : Tally
        Counts what is found.
    least_confidence : float
        Lowest confidence of footprints that carry one.

    Yields
    ------
    (n,) array of valid shapely Polygons and MultiPolygons

    Raises
    ------
    InputError
        If a file cannot be used.
    """
    for path in source.files:
        tally.files += 1
        vectors = _opened(path)
        to_grid = Transformer.from_crs(vectors.crs, "EPSG:3035", always_xy=True)
        for batch in _batches(vectors, bounds, least_confidence):
            polygons = _sound(batch, to_grid, bounds, tally)
            if len(polygons):
                yield polygons
    if not tally.used and source.files:
        tally.elsewhere = _elsewhere(_opened(source.files[0]), bounds)


def _batches(vectors: Vectors, bounds: Bounds | None, least_confidence: float = 0) -> Iterator[Batch]:
    try:
        yield from read_batches(vectors, bounds, least_confidence)
    except InputError as error:
        raise InputError(f"references.footprints: {error}") from None


def _sound(batch: Batch, to_grid: Transformer, bounds: Bounds, tally: Tally) -> np.ndarray:
    """Valid polygons of a batch that touch the window."""
    tally.dropped += batch.dropped
    shapes, mended = batch.shapes, batch.mended

    def leave_out(bad: np.ndarray, reason: str | None) -> None:
        nonlocal shapes, mended
        if reason is not None:
            tally.dropped[reason] += int(bad.sum())
        shapes, mended = shapes[~bad], mended[~bad]

    leave_out(shapely.is_empty(shapes), "empty")
    leave_out(_infinite(shapes), "with coordinates that are no numbers")
    shapes = shapely.transform(shapes, lambda x, y: to_grid.transform(x, y), interleaved=False)
    leave_out(_infinite(shapes), "outside of the reference system")
    left, bottom, right, top = shapely.bounds(shapes).T
    leave_out((left > bounds[2]) | (right < bounds[0]) | (bottom > bounds[3]) | (top < bounds[1]), None)
    leave_out(~np.isin(shapely.get_type_id(shapes), (POLYGON, MULTIPOLYGON, COLLECTION)), "no polygons")
    broken = ~shapely.is_valid(shapes)
    mended = mended | broken
    mixed = broken | (shapely.get_type_id(shapes) == COLLECTION)
    shapes[mixed] = [_polygonal(shape) for shape in shapely.make_valid(shapes[mixed])]
    leave_out(shapely.area(shapes) == 0, "without area")
    window = shapely.box(*bounds)
    shapely.prepare(window)
    leave_out(~shapely.intersects(shapes, window), None)
    tally.used += len(shapes)
    tally.repaired += int(mended.sum())
    return shapes


def _infinite(shapes: np.ndarray) -> np.ndarray:
    points, owner = shapely.get_coordinates(shapes, return_index=True)
    bad = np.zeros(len(shapes), bool)
    bad[owner[~np.isfinite(points).all(axis=1)]] = True
    return bad


def _polygonal(shape: shapely.Geometry) -> shapely.Geometry:
    """The areas of a mended shape, without the lines and points that came of it."""
    parts = shapely.get_parts(shapely.get_parts(shape))
    areas = parts[shapely.get_type_id(parts) == POLYGON]
    return shapely.union_all(areas) if len(areas) else shapely.Polygon()


def _elsewhere(vectors: Vectors, bounds: Bounds) -> str:
    """Where the first footprints of a file lie, in words."""
    first = next((batch.shapes for batch in _batches(vectors, None) if len(batch.shapes)), None)
    edges = None if first is None else shapely.total_bounds(first)
    if edges is None or not np.isfinite(edges).all():
        return ""
    to_degrees = Transformer.from_crs(vectors.crs, "OGC:CRS84", always_xy=True)
    west, south, east, north = to_degrees.transform_bounds(*edges)
    if CRS(vectors.crs).is_geographic:
        west, south, east, north = edges
        if max(abs(west), abs(east)) > 360 or max(abs(south), abs(north)) > 180:
            return f": its coordinates, such as {west:g}, {south:g}, are no degrees; correct its reference system"
    if not np.isfinite((west, south, east, north)).all():
        return ": its coordinates are outside of its reference system; correct that"
    text = f": its first ones lie at longitude {west:.2f} to {east:.2f}, latitude {south:.2f} to {north:.2f}"
    box = Transformer.from_crs("EPSG:3035", "OGC:CRS84", always_xy=True).transform_bounds(*bounds, densify_pts=21)
    middle, degrees = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), SWAPPED_WITHIN
    swapped = abs((south + north) / 2 - middle[0]) < degrees and abs((west + east) / 2 - middle[1]) < degrees
    return f"{text}; longitude and latitude seem to be swapped, write longitude first" if swapped else text
