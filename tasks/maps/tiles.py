"""Map tiles: a window of a layer as PNG in the colours of `layers.colouring`, and the values at a place.

A tile of the layer's own level is one reading of its pixels; coarser ones are its own aggregation of them, from full resolution.
What is read of a layer that is made again meanwhile is thrown away (`GoneError`): never a wrong value in silence.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox

from imperv.grids import CRS, Bounds, utm_geobox
from imperv.grids.pyramid import (
    DEEPEST,
    EDGE,
    Cut,
    Warp,
    cut,
    lattice,
    overview_factor,
    pixel_at,
    pixel_size,
    tile_bounds,
    warp,
)
from imperv.layers.colouring import View, coarser, colour_table, on_scale
from imperv.tasks.job import without_data
from imperv.tasks.maps.kept import Kept
from imperv.tasks.maps.layers import MapLayer, Part
from imperv.tasks.maps.opening import GoneError, Opened
from imperv.tasks.maps.pictures import Limits, coded, photograph
from imperv.tasks.maps.pixels import FilePixels, Pixels, StoredPixels

COARSEST = 640
"""Pixels of the coarsest level that is drawn, metres: beyond it a map tile covers more than nine EEA tiles."""

DIRECT = 8
"""Largest factor of an overview that is read from full resolution for one map tile: 2048 x 2048 pixels."""

SHARED = 2
"""Largest factor whose map tiles are made of kept chunks: coarser ones serve few map tiles, and would drive out others."""

STRIP = 1024
"""Rows of a layer read at once for its overviews: a multiple of every factor up to 256."""

CUT = (2.0, 98.0)
"""Percentiles of the pixels that limits are."""

SAMPLED = 9
"""Tiles at most that limits are taken from."""

WINDOW = 500
"""Edge of the window in the middle of a tile that limits are taken from, pixels: one chunk of the store."""

ENTRY = 200
"""What a kept tile takes beside its bytes: an empty one is not free."""

PNG_BYTES = 64 * 2**20
"""Drawn tiles that are kept, bytes."""

OVERVIEW_BYTES = 256 * 2**20
"""Overviews that are kept, bytes."""

CHUNK_BYTES = 48 * 2**20
"""Decoded chunks of stores that are kept for the map tiles beside, bytes: what one screen shows of three bands."""

FILES = 16
"""Files that a thread keeps open."""


@dataclass
class MapTiles:
    """Draws tiles, for any number of threads."""

    pictures: Kept = field(default_factory=lambda: Kept(PNG_BYTES, lambda png: len(png) + ENTRY))
    overviews: Kept = field(default_factory=lambda: Kept(OVERVIEW_BYTES, lambda found: sum(a.nbytes for a in found.values())))
    chunks: Kept = field(default_factory=lambda: Kept(CHUNK_BYTES, lambda found: int(found.nbytes)))
    arrays: Kept = field(default_factory=lambda: Kept(256, lambda found: 1))
    limits: Kept = field(default_factory=lambda: Kept(4096, lambda found: 1))
    local: threading.local = field(default_factory=threading.local)

    def tile(self, layer: MapLayer, z: int, x: int, y: int) -> bytes:
        """PNG of a map tile; empty where the layer has nothing there, or the level is coarser than `COARSEST`.

        Raises
        ------
        ValueError
            For a map tile that there is not.
        GoneError
            If the layer is not there any more as it was.
        """
        name = layer.key, layer.id, z, x, y
        found = self.pictures.get(name)
        if found is None:
            found = self._draw(layer, z, x, y)
            self.pictures.put(name, found)
        return found

    def _draw(self, layer: MapLayer, z: int, x: int, y: int) -> bytes:
        view, pixels, resolution = layer.view, None, layer.layer.resolution
        box = tile_bounds(z, x, y)
        if pixel_size(z) > COARSEST:
            return b""
        cell = resolution * overview_factor(z, resolution)
        for part in layer.parts.values():
            found = self._piece(layer, part, z, x, y) if _meet(part.bounds, box, cell) else None
            if found is None:
                continue
            place, drawn = found
            if pixels is None:
                pixels = np.full((len(view.bands), EDGE, EDGE), view.variable.nodata, drawn.dtype)
            there = ~without_data(drawn, view.variable.nodata)
            pixels[place] = np.where(there, drawn, pixels[place])
        return b"" if pixels is None else self._png(layer, pixels)

    def _piece(self, layer: MapLayer, part: Part, z: int, x: int, y: int) -> tuple[tuple[slice, slice, slice], np.ndarray] | None:
        """What of a map tile a part fills, and its pixels; None where it has none there."""
        if (grid := _native(layer, part)) is not None:
            warped = warp(z, x, y, grid)
            return None if warped is None else ((slice(None),) * 3, self._warped(layer, part, warped))
        below = cut(z, x, y, part.bounds, layer.layer.resolution)
        if below is None:
            return None
        return (slice(None), below.rows.out, below.columns.out), self._below(layer, part, below)

    def _warped(self, layer: MapLayer, part: Part, below: Warp) -> np.ndarray:
        """Pixels (bands, y, x) of a whole map tile from a part on another grid: each shows the cell below its centre."""
        view, factor, inside = layer.view, below.factor, below.inside
        every = below.rows, below.columns
        lowest, highest = ([int(found.min(where=inside, initial=2**31 - 1)) for found in every],
                           [int(found.max(where=inside, initial=0)) for found in every])  # fmt: skip
        if factor > DIRECT:
            cells, lowest = self._overview(layer, part, factor)[0], [0, 0]
        else:
            with self.opened(part, view) as source:
                down, right = (slice(a * factor, (b + 1) * factor) for a, b in zip(lowest, highest, strict=True))
                cells = self._window(part, view, source, down, right, factor)
            if factor > 1:
                cells = coarser(view, cells, factor)
        rows, columns = (np.clip(f, a, b) - a for f, a, b in zip(every, lowest, highest, strict=True))
        found = cells.reshape(len(cells), -1).take(rows * cells.shape[2] + columns, axis=1)
        return found if inside.all() else np.where(inside, found, found.dtype.type(view.variable.nodata))

    def _below(self, layer: MapLayer, part: Part, below: Cut) -> np.ndarray:
        """Pixels (bands, y, x) that the map shows of a part."""
        view, factor = layer.view, below.factor
        if factor > DIRECT:
            cells, starts = self._overview(layer, part, factor)
            return _picked(cells, below.rows.cells - starts[0], below.columns.cells - starts[1])
        with self.opened(part, view) as source:
            (row, column), shape = below.first, source.shape
            rows, columns = below.rows.pixels(factor, row, shape[0]), below.columns.pixels(factor, column, shape[1])
            found = self._window(part, view, source, slice(*rows), slice(*columns), factor)
        if factor > 1:
            # The first cells begin with whole ones: what is missing of them does not count.
            before = [first + start - int(span.cells[0]) * factor for first, (start, _), span in
                      ((row, rows, below.rows), (column, columns, below.columns))]  # fmt: skip
            found = np.pad(found, ((0, 0), (before[0], 0), (before[1], 0)), constant_values=view.variable.nodata)
            found = coarser(view, found, factor)
            return _picked(found, below.rows.cells - below.rows.cells[0], below.columns.cells - below.columns.cells[0])
        return _picked(found, below.rows.cells - row - rows[0], below.columns.cells - column - columns[0])

    def _window(self, part: Part, view: View, source: Pixels, rows: slice, columns: slice, factor: int) -> np.ndarray:
        """Pixels of the bands of a view. What a store holds comes from whole chunks, which serve the map tiles beside too."""
        if not isinstance(source, StoredPixels) or factor > SHARED:
            return source.read(rows, columns, view.bands)
        edges, spans = source.chunk, (rows, columns)
        found = np.empty((len(view.bands), rows.stop - rows.start, columns.stop - columns.start), source.array.dtype)
        for place in product(*(range(s.start // edge, -(-s.stop // edge)) for s, edge in zip(spans, edges, strict=True))):
            chunk = self._chunk(part, view, place, edges)
            starts = [k * edge for k, edge in zip(place, edges, strict=True)]
            inside = [(max(s.start, a), min(s.stop, a + n)) for s, a, n in zip(spans, starts, chunk.shape[1:], strict=True)]
            out, own = ([slice(a - o, b - o) for (a, b), o in zip(inside, begins, strict=True)]
                        for begins in ((rows.start, columns.start), starts))  # fmt: skip
            found[:, *out] = chunk[:, *own]
        return found

    def _chunk(self, part: Part, view: View, place: tuple[int, ...], edges: tuple[int, int]) -> np.ndarray:
        """A chunk of the bands of a view, decoded once; it is kept only if the layer is what it was after the reading."""

        def read() -> np.ndarray:
            with self.opened(part, view) as source:
                rows, columns = (slice(k * n, min((k + 1) * n, size))
                                 for k, n, size in zip(place, edges, source.shape, strict=True))  # fmt: skip
                return source.read(rows, columns, view.bands)

        found: np.ndarray = self.chunks.made((part.path, part.version, view.variable.name, view.bands, place), read)
        return found

    def _overview(self, layer: MapLayer, part: Part, factor: int) -> tuple[np.ndarray, tuple[int, int]]:
        """A part at 1 / `factor`, and the (row, column) of its first cell; all factors in one reading, kept for the next tile."""
        found = self.overviews.made((part.path, part.version, layer.id), lambda: self._read_overviews(layer, part))
        row, column = _corner(layer, part)
        return found[factor], (row // factor, column // factor)

    def _read_overviews(self, layer: MapLayer, part: Part) -> dict[int, np.ndarray]:
        view, resolution = layer.view, layer.layer.resolution
        most = max(
            z_factor for z in range(DEEPEST + 1) if pixel_size(z) <= COARSEST and (z_factor := overview_factor(z, resolution))
        )
        factors = [2**k for k in range(DIRECT.bit_length(), most.bit_length())]
        row, column = _corner(layer, part)
        found: dict[int, list[np.ndarray]] = {factor: [] for factor in factors}
        with self.opened(part, view) as source:
            rows, columns = source.shape
            # Strips begin with whole cells of all factors.
            for start in range(-(row % STRIP), rows, STRIP):
                first, last = max(start, 0), min(start + STRIP, rows)
                strip = source.read(slice(first, last), slice(0, columns), view.bands)
                for factor in factors:
                    before = ((0, 0), (first - start if start < 0 else 0, 0), (column % factor, 0))
                    skipped = before[1][0] // factor * factor  # whole cells above the first row are none of the layer's
                    padded = np.pad(
                        strip, (before[0], (before[1][0] - skipped, 0), before[2]), constant_values=view.variable.nodata
                    )
                    found[factor].append(coarser(view, padded, factor))
        return {factor: np.concatenate(strips, axis=1) for factor, strips in found.items()}

    def _png(self, layer: MapLayer, pixels: np.ndarray) -> bytes:
        view = layer.view
        if without_data(pixels, view.variable.nodata).all():
            return b""
        if view.is_composite:
            return photograph(pixels, view.variable.nodata, self.limits_of(layer))
        codes = pixels[0] if view.palette is not None else on_scale(pixels[0], view.variable.nodata, self.limits_of(layer)[0])
        return coded(codes, colour_table(view.palette, view.variable.nodata))

    def limits_of(self, layer: MapLayer) -> Limits:
        """Limits of a view that is not coded, from windows in the middle of its tiles; 0 to 1 where none has data.

        Composites of the same bands share those of the first layer.
        """
        layer = layer.like or layer
        found: Limits = self.limits.made((layer.key, layer.id), lambda: self._read_limits(layer))
        return found

    def _read_limits(self, layer: MapLayer) -> Limits:
        samples = list(self._samples(layer))
        nodata = layer.view.variable.nodata
        bands = zip(*samples, strict=True) if samples else [()] * len(layer.view.bands)
        valid = [np.concatenate([a[~without_data(a, nodata)] for a in arrays]) if arrays else np.empty(0) for arrays in bands]
        return tuple(tuple(map(float, np.percentile(v, CUT))) if v.size else (0.0, 1.0) for v in valid)  # type: ignore[misc]

    def _samples(self, layer: MapLayer) -> Iterator[np.ndarray]:
        parts = [layer.parts[tile] for tile in sorted(layer.parts)]
        chosen = {round(k * (len(parts) - 1) / max(min(SAMPLED, len(parts)) - 1, 1)) for k in range(min(SAMPLED, len(parts)))}
        for number in sorted(chosen):
            with self.opened(parts[number], layer.view) as source:
                rows, columns = (_middle(size) for size in source.shape)
                yield source.read(rows, columns, layer.view.bands)

    def values(self, layer: MapLayer, easting: float, northing: float) -> dict[str, Any] | None:
        """What a layer holds at a place in EPSG:3035; None where it has no pixel.

        Returns
        -------
        dict
            ``values``: ``label``, ``stored`` value and quantity (``value``) of each band, both None without data, and ``meaning``
            of a code; ``units``.
            Labels are those that are stored: a production may have its own classes.

        Raises
        ------
        GoneError
            If the layer is not there any more as it was, or has not one label for each band.
        """
        part = next((p for p in layer.parts.values() if _holds(p.bounds, easting, northing)), None)
        if part is None:
            return None
        view, resolution = layer.view, layer.layer.resolution
        row, column = int((part.bounds[3] - northing) // resolution), int((easting - part.bounds[0]) // resolution)
        if (grid := _native(layer, part)) is not None:
            row, column = pixel_at(grid, easting, northing)
        with self.opened(part, view) as source:
            row, column = min(row, source.shape[0] - 1), min(column, source.shape[1] - 1)
            pixels = source.read(slice(row, row + 1), slice(column, column + 1))[:, 0, 0]
            labels = _labels(source, view)
        if len(labels) != len(pixels):
            name = layer.layer.symbol
            raise GoneError(f"{name} of tile {part.tile} holds {len(pixels)} bands with {len(labels)} labels; run the tile again")
        missing = without_data(pixels, view.variable.nodata)
        values = [
            {
                "label": label, "stored": None if gone else value, "value": None if gone else value * view.scale,
                "meaning": view.palette.meaning(value) if view.palette is not None and not gone else "",
            }
            for label, value, gone in zip(labels, pixels.tolist(), missing.tolist(), strict=True)
        ]  # fmt: skip
        return {"tile": part.tile, "values": values, "units": layer.units}

    def label_of(self, layer: MapLayer) -> str:
        """Name of the band that a view of one shows, as it is stored; GoneError as `values`."""
        part = next(iter(layer.parts.values()))
        with self.opened(part, layer.view) as source:
            labels = _labels(source, layer.view)
        return labels[layer.view.bands[0]] if len(labels) > layer.view.bands[0] else ""

    def opened(self, part: Part, view: View) -> Opened:
        """The pixels of a part, while they are read."""
        if part.taught is not None:
            return Opened(part, lambda: part.taught.pixels)  # type: ignore[union-attr]
        if part.store is not None:
            return Opened(part, lambda: self.stored(part, view))
        return Opened(part, lambda: self.file(part.path, part.version))

    def stored(self, part: Part, view: View) -> StoredPixels:
        """An array of the store, opened once a version of the layer."""
        assert part.store is not None and part.record is not None
        name = part.path, part.version, view.variable.name
        found: StoredPixels | None = self.arrays.get(name)
        if found is None:
            if not part.store.data_in_place(part.record):
                raise GoneError(f"{part.record.symbol} of tile {part.tile}: its files have gone or changed; run the tile again")
            group = part.store.group(part.record.href)
            found = StoredPixels(group[view.variable.name], group.get(view.variable.axis) if view.variable.axis else None)
            self.arrays.put(name, found)
        return found

    def file(self, path: str, version: str) -> FilePixels:
        """A GeoTIFF, open in this thread alone: GDAL's datasets are not for two."""
        files: OrderedDict[Any, FilePixels] = self.local.__dict__.setdefault("files", OrderedDict())
        if (path, version) not in files:
            # The one driver that is needed: no other format of whatever a folder holds is ever parsed.
            files[path, version] = FilePixels(rasterio.open(path, driver="GTiff"))
            while len(files) > FILES:
                files.popitem(last=False)[1].source.close()
        files.move_to_end((path, version))
        return files[path, version]


def _native(layer: MapLayer, part: Part) -> GeoBox | None:
    """The grid of a part that is not in EPSG:3035, as `Job.grid_of` has it."""
    return None if layer.layer.grid == "eea" else _utm(part.bounds, layer.layer.resolution)


@lru_cache(maxsize=1024)
def _utm(bounds: Bounds, resolution: float) -> GeoBox:
    return utm_geobox(bounds, CRS, resolution)


def _corner(layer: MapLayer, part: Part) -> tuple[int, int]:
    """(row, column) of a part's first pixel on the lattice that its cells are counted on."""
    return lattice(part.bounds, layer.layer.resolution) if layer.layer.grid == "eea" else (0, 0)


def _labels(source: Pixels, view: View) -> tuple[str, ...]:
    """Names of the bands: those that are stored before those of the catalogue."""
    return (source.labels or view.variable.labels) if view.variable.labels else ("",)


def _picked(cells: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(bands, rows, columns) of cells by their indices, which rise by one ratio: without a copy where they are neighbours."""
    for axis, index in ((1, rows), (2, columns)):
        first, last = int(index[0]), int(index[-1]) + 1
        cells = cells[(slice(None),) * axis + (slice(first, last),)] if last - first == index.size else cells.take(index, axis)
    return cells


def _middle(size: int) -> slice:
    start = max(0, (size - WINDOW) // 2)
    return slice(start, min(start + WINDOW, size))


def _meet(bounds: Bounds, box: Bounds, cell: float) -> bool:
    """Whether a grid, or a cell that it has a part of, may lie below a map tile."""
    return (
        bounds[0] - cell < box[2] and box[0] < bounds[2] + cell and bounds[1] - cell < box[3] and box[1] < bounds[3] + cell
    )  # fmt: skip


def _holds(bounds: tuple[float, float, float, float], easting: float, northing: float) -> bool:
    left, bottom, right, top = bounds
    return left <= easting < right and bottom < northing <= top
