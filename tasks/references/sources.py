"""Sources of building footprints as the production file names them, and the sound polygons of each with a count of the others.

A source is a file, a pattern or a folder. What is no polygon, or cannot be mended, is left out and counted by reason.
"""

from __future__ import annotations

import glob
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
import numpy as np
import shapely
from pyproj import CRS, Transformer

from imperv.grids import Bounds
from imperv.tasks.errors import InputError
from imperv.tasks.job import Job
from imperv.tasks.projections import in_degrees
from imperv.tasks.references.shapes import REACH, Vectors, open_vectors, read_batches, widened
from imperv.tasks.store.debris import is_debris
from imperv.tasks.vectors.batches import COLLECTION, MULTIPOLYGON, POLYGON, Batch, fsspec_name
from imperv.tasks.vectors.tags import REASONS

NAMES = re.compile(
    r"\.(gpkg|fgb|shp|gdb|geojson|geojson\.gz|(geo)?parquet|(csv|geojsonl|geojsons|geojsonseq|jsonl|ndjson)(\.gz|\.zst)?)$",
    re.IGNORECASE,
)
"""Files of a folder that are taken for footprints."""

OTHER_THEMES = re.compile(
    r"(gis[._]osm[._])?(adminareas|boundaries|coastlines?|land_?cover|land_?use|natural|places|pofw|points|pois|power(lines)?|"
    r"protected_areas|railways|roads|traffic|transport|water|waterways)(_a)?(_free|_07)?(_\d+)?\..*",
    re.IGNORECASE,
)
"""Names that Geofabrik and its like give to files of anything but buildings, land use among them."""

QUADKEY = re.compile(r"quadkey=([0-3]+)(?=/|$)")
"""Folders by which Microsoft's buildings are sorted: squares of the Bing Maps tile system."""

SWAPPED_WITHIN = 5.0
"""Degrees around a tile within which footprints must come to lie for it to be said that their coordinates are swapped."""


@dataclass(frozen=True)
class Source:
    """One entry of ``references.footprints``."""

    entry: str
    files: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    """Vector files of a folder or pattern that are no footprints by their names."""

    def tally(self) -> Tally:
        """An empty count of it."""
        return Tally(self.entry, self.left_out)


@dataclass
class Tally:
    """Count of a source within a window."""

    entry: str
    left_out: tuple[str, ...] = ()
    """Files of it that are not read."""
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
            **({"files_left_out": [PurePosixPath(name).name for name in self.left_out]} if self.left_out else {}),
        }  # fmt: skip

    def trouble(self, tile: str) -> list[str]:
        """Warnings."""
        found = []
        if not self.used:
            where = f"can be used in tile {tile}" if +self.dropped else f"lies inside tile {tile}"
            found.append(f"no footprint of {self.entry} {where}{self.elsewhere}")
        if self.left_out:
            names = sorted({PurePosixPath(name).name for name in self.left_out})
            listed = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
            found.append(f"{len(self.left_out)} files of {self.entry} are left out, by their names no buildings: {listed}")
        if left_out := +self.dropped:
            reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())
            found.append(f"{left_out.total()} of {self.read} footprints of {self.entry} are left out: {reasons}")
        if self.repaired:
            found.append(f"{self.repaired} of {self.read} footprints of {self.entry} had broken outlines, which were mended")
        return found


def footprint_sources(job: Job) -> list[Source]:
    """Entries of the production file with their files; InputError if there are none, or one has no file."""
    texts = job.production.references.footprints
    if not texts:
        raise InputError(f"references.footprints: is missing; IBUD_ref of tile {job.tile} needs at least one file")
    sources = []
    for text in texts:
        entry = job.path(text)
        try:
            files, left_out = _expanded(entry)
        except (OSError, ValueError, ImportError) as error:
            raise InputError(f"references.footprints: {entry} cannot be listed ({error}); correct the path") from None
        if not files:
            others = f" but {PurePosixPath(left_out[0]).name}, by its name no buildings" if left_out else ""
            raise InputError(f"references.footprints: {entry} stands for no vector file{others}; correct the path")
        sources.append(Source(entry, tuple(f for f in files if _may_touch(f, job.bounds)), tuple(left_out)))
    return sources


def check_footprints(job: Job) -> None:
    """Open every file of every source; InputError if one cannot be used."""
    for source in footprint_sources(job):
        for file in source.files:
            _opened(file)


def _opened(path: str) -> Vectors:
    try:
        return open_vectors(path)
    except InputError as error:
        raise InputError(f"references.footprints: {error}") from None


def _expanded(entry: str) -> tuple[list[str], list[str]]:
    """Files of an entry: itself, those of a pattern, or those anywhere below a folder; and such as are no footprints."""
    place, bar, layer = entry.partition("|layername=")
    if place.startswith(("http", "/vsi")) and not place.startswith("/vsis3/"):
        return [entry], []  # web servers and archives list nothing
    if "://" in place or place.startswith("/vsis3/"):
        if not (glob.has_magic(place) or place.endswith("/")):
            return [entry], []
        fs, root = fsspec.core.url_to_fs(fsspec_name(place))
        fixed, pattern = _parted(root, fs.exists)
        if not pattern and not fs.isdir(fixed):
            return [entry], []
        found = fs.glob(f"{glob.escape(fixed)}/{pattern}") if pattern else fs.find(fixed)
        found = [fs.unstrip_protocol(name) for name in found if NAMES.search(name)]
    else:
        fixed, pattern = _parted(place, lambda name: Path(name).exists())
        if pattern:
            found = [str(Path(fixed, name)) for name in glob.glob(pattern, root_dir=fixed, recursive=True)]  # noqa: PTH207
        elif Path(place).is_dir() and Path(place).suffix.lower() != ".gdb":
            below = (p for p in Path(place).rglob("*") if NAMES.search(p.name))
            found = [str(p) for p in below if not any(q.suffix == ".gdb" for q in p.parents)]
        else:
            return [entry], []
    files = [f"{name}{bar}{layer}" for name in sorted(found) if _may_be_footprints(name)]
    return files, [name for name in sorted(found) if not _may_be_footprints(name)]


def _parted(entry: str, exists: Callable[[str], bool]) -> tuple[str, str]:
    """Folder at the beginning of an entry, and the pattern below it: empty for what exists, even with signs of patterns."""
    fixed, rest = "/" if entry.startswith("/") else "", entry.strip("/").split("/")
    while rest and (not glob.has_magic(rest[0]) or exists(f"{fixed}{rest[0]}")):
        fixed += f"{rest.pop(0)}/"
    return fixed.rstrip("/") or "/", "/".join(rest)


def _may_be_footprints(path: str) -> bool:
    """False for files of other themes, and for debris."""
    place = PurePosixPath(path)
    other = OTHER_THEMES.fullmatch(place.name) or any(re.fullmatch("theme=(?!buildings).*", part) for part in place.parts)
    return not (other or is_debris(place))


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
    box = in_degrees(widened(bounds, REACH))
    return box[0] <= east and box[2] >= west and box[1] <= north and box[3] >= south


def sound_polygons(source: Source, bounds: Bounds, tally: Tally, least_confidence: float = 0) -> Iterator[np.ndarray]:
    """Valid polygons of a source that touch a window, both in EPSG:3035, batch by batch; `tally` counts them all."""
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
    shapes, mended, unbuilt = batch.shapes, batch.mended, batch.unbuilt

    def leave_out(bad: np.ndarray, reason: str | None) -> None:
        nonlocal shapes, mended, unbuilt
        if reason is not None:
            tally.dropped[reason] += int(bad.sum())
        shapes, mended, unbuilt = shapes[~bad], mended[~bad], unbuilt[~bad]

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
    shapes[mixed] = _sound_parts(shapes[mixed])
    leave_out(shapely.area(shapes) == 0, "without area")
    window = shapely.box(*bounds)
    shapely.prepare(window)
    leave_out(~shapely.intersects(shapes, window), None)
    for code, reason in REASONS.items():
        leave_out(unbuilt == code, reason)
    tally.used += len(shapes)
    tally.repaired += int(mended.sum())
    return shapes


def _infinite(shapes: np.ndarray) -> np.ndarray:
    points, owner = shapely.get_coordinates(shapes, return_index=True)
    bad = np.zeros(len(shapes), bool)
    bad[owner[~np.isfinite(points).all(axis=1)]] = True
    return bad


def _sound_parts(shapes: np.ndarray) -> np.ndarray:
    """The union of the polygons in each shape, those mended that are broken, without lines and points."""
    parts, owner = _polygons(shapes)
    broken = ~shapely.is_valid(parts)
    mended = shapely.make_valid(parts[broken], method="structure", keep_collapsed=False)
    # A ring drawn twice, there and back or as its own hole, leaves nothing by its structure; its lines have an inside.
    hollow = shapely.area(mended) == 0
    mended[hollow] = shapely.make_valid(parts[broken][hollow], method="linework")
    parts[broken] = mended
    parts, inner = _polygons(parts)
    owner = owner[inner]
    ends = np.searchsorted(owner, np.arange(len(shapes) + 1))
    return np.array([shapely.union_all(parts[a:b]) for a, b in pairwise(ends)], object)


def _polygons(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The polygons in shapes of any kind, however deep, and which shape each belongs to."""
    owner = np.arange(len(shapes))
    while (shapely.get_type_id(shapes) > POLYGON).any():
        shapes, whose = shapely.get_parts(shapes, return_index=True)
        owner = owner[whose]
    areas = shapely.get_type_id(shapes) == POLYGON
    return shapes[areas], owner[areas]


def _elsewhere(vectors: Vectors, bounds: Bounds) -> str:
    """Place of the first footprints of a file, in words."""
    first = next((batch for batch in _batches(vectors, None) if len(batch.shapes)), None)
    if first is None:
        return ""
    if len(_sound(first, Transformer.from_crs(vectors.crs, "EPSG:3035", always_xy=True), bounds, Tally(""))):
        return ", though some of its first ones do: its column of boxes or its index is wrong; write the file anew"
    edges = shapely.total_bounds(first.shapes)
    if not np.isfinite(edges).all():
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
    box = in_degrees(bounds)
    if west <= box[2] and east >= box[0] and south <= box[3] and north >= box[1]:
        return ""  # they lie all around
    middle, degrees = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), SWAPPED_WITHIN
    swapped = abs((south + north) / 2 - middle[0]) < degrees and abs((west + east) / 2 - middle[1]) < degrees
    return f"{text}; longitude and latitude seem to be swapped, write longitude first" if swapped else text
