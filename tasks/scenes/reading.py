"""Pixels of Sentinel-2 scenes and of reference rasters on EPSG:3035 grids, always from full resolution.

Scenes are read as they are, in one window, and resampled by `layers.kernels.resampling`; references go through GDAL's warper.
Overviews are never used: GDAL takes them silently when it resamples, and the production of 2021 got wrong layers by it (ATBD,
section 5).
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import rasterio
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as Area

from imperv.grids.mapping import CELL, Mapping
from imperv.layers.kernels.resampling import bilinear, nearest_weights
from imperv.tasks.errors import SceneError
from imperv.tasks.projections import moved
from imperv.tasks.scenes.access import LOCAL, environment, gdal_path, patiently
from imperv.tasks.scenes.streams import Layout, Stream, Streams, place
from imperv.tasks.settings.scenes import SceneAccess

TOLERANCE = 0.001
"""Error of GDAL's approximated coordinate transformation, source pixels; by default 0.125; 0.01 still moves noise by 50."""

EXACT = 1e-10
"""The same where coordinates are transformed pixel by pixel; GDAL's warper through rasterio refuses 0."""


def open_full_resolution(path: str) -> rasterio.DatasetReader:
    """Open a raster so that GDAL cannot take its overviews."""
    return rasterio.open(gdal_path(path), OVERVIEW_LEVEL="NONE")


def data_bands(source: rasterio.DatasetReader) -> int:
    """Bands of a raster beside those that say where there is data."""
    return sum(meaning is not ColorInterp.alpha for meaning in source.colorinterp)


def is_masked(source: rasterio.DatasetReader) -> bool:
    """True for a raster with a mask, in it or beside it, or an alpha band."""
    return MaskFlags.per_dataset in source.mask_flag_enums[0]


def extent(source: rasterio.DatasetReader) -> tuple[float, float, float, float]:
    """(left, bottom, right, top) of a raster in its reference system, whichever way its rows and columns run."""
    corners = ((x, y) for x in (0, source.width) for y in (0, source.height))
    x, y = zip(*(source.transform * corner for corner in corners), strict=True)
    return min(x), min(y), max(x), max(y)


def read_valid(
    source: rasterio.DatasetReader,
    window: Area | None = None,
    nodata: float = 0,
    others: Collection[float] | None = None,
    *,
    boundless: bool = False,
) -> np.ndarray:
    """Pixels (rows, columns) of the first band, with `nodata` for all that has no data.

    `others` are further values without data in the source, by default that of its header; masked pixels have no data either. A
    window may leave the raster only if `boundless`.
    """
    how = {"boundless": True, "fill_value": nodata} if boundless else {}
    pixels = source.read(1, window=window, **how)
    for value in [source.nodata] if others is None else others:
        if value is not None and value != nodata:
            pixels[pixels == value] = nodata
    if is_masked(source):
        pixels[source.read_masks(1, window=window, boundless=boundless) == 0] = nodata
    return pixels


MARGIN = 4
"""Source pixels around a grid that a kernel may reach."""


def warp(
    source: rasterio.DatasetReader,
    grid: GeoBox,
    resampling: Resampling,
    nodata: float,
    others: Collection[float] = (),
    tolerance: float = TOLERANCE,
) -> np.ndarray:
    """First band of a raster, from `open_full_resolution`, on another grid: (y, x) in the source's data type.

    Pixels without data (`nodata`, `others`, masked ones) never take part in the interpolation: its weights are those of the valid
    neighbours. By the `tolerance` `EXACT` a pixel is the same in any window.
    """
    if others or is_masked(source):
        with _cleaned(source, grid, nodata, others) as clean:
            return warp(clean, grid, resampling, nodata, tolerance=tolerance)
    scale = {}
    if source.crs.is_projected:
        # Or GDAL guesses the ratio of the pixel sizes from the shape of the window, widens its kernel on a grid that lies turned,
        # and the same pixel comes out otherwise in another block.
        scale = {"XSCALE": source.res[0] / abs(grid.resolution.x), "YSCALE": source.res[1] / abs(grid.resolution.y)}
    with WarpedVRT(
        source,
        crs=str(grid.crs),
        transform=grid.affine,
        width=grid.shape.x,
        height=grid.shape.y,
        resampling=resampling,
        src_nodata=nodata,
        nodata=nodata,
        init_dest_nodata=True,
        tolerance=tolerance,
        **scale,
    ) as vrt:
        return vrt.read(1)


@contextmanager
def _cleaned(
    source: rasterio.DatasetReader, grid: GeoBox, nodata: float, others: Collection[float]
) -> Iterator[rasterio.DatasetReader]:
    """The part of a raster that a grid needs, with one value for all that is no data: GDAL's warper knows one, or a mask."""
    west, south, east, north = moved(grid.boundingbox.bbox, str(grid.crs), source.crs.to_wkt())
    corners = [~source.transform @ corner for corner in ((west, south), (west, north), (east, south), (east, north))]
    # A kernel reaches farther where many source pixels fall into one.
    fine = abs(grid.resolution.x) / source.res[0] if source.crs.is_projected else 1
    margin = int(np.ceil(MARGIN * max(1, fine)))
    columns, rows = ([int(np.floor(min(v))) - margin, int(np.ceil(max(v))) + margin] for v in zip(*corners, strict=True))
    window = Area(columns[0], rows[0], columns[1] - columns[0], rows[1] - rows[0])
    pixels = read_valid(source, window, nodata, others, boundless=True)
    profile = {
        "driver": "GTiff", "dtype": pixels.dtype, "count": 1, "height": pixels.shape[0], "width": pixels.shape[1],
        "crs": source.crs, "transform": source.window_transform(window), "nodata": nodata,
    }  # fmt: skip
    with rasterio.MemoryFile() as memory:
        with memory.open(**profile) as clean:
            clean.write(pixels, 1)
        with memory.open() as clean:
            yield clean


@functools.lru_cache(maxsize=128)
def _mapping(shape: tuple[int, int], affine: Affine, system: str, crs: str) -> Mapping:
    """Of a grid, by what it is made of: its own hash writes its system anew.

    Months of a year, and years, have the same grids; a projection takes each new thread a twentieth of a second to begin.
    """
    return Mapping.of(GeoBox(shape, affine, system), _crs(crs))


@dataclass(frozen=True, eq=False)
class Target:
    """A grid that many rasters are brought to; the mapping of its pixels is computed once for each reference system."""

    grid: GeoBox
    _mappings: dict[str, Mapping] = field(default_factory=dict)
    """By the text of a reference system, whose own hash writes it anew every time."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.grid.shape.y, self.grid.shape.x

    @property
    def crs(self) -> CRS:
        """Reference system of the grid."""
        assert self.grid.crs is not None
        return self.grid.crs

    def nodes(self, crs: CRS, affine: Affine) -> tuple[np.ndarray, np.ndarray]:
        """Columns and rows of the grid's nodes in a raster."""
        mapping = self._mappings.get(str(crs))
        if mapping is None:
            mapping = self._mappings[str(crs)] = _mapping(self.grid.shape.yx, self.grid.affine, str(self.crs), str(crs))
        return mapping.in_raster(affine)


@dataclass(frozen=True)
class Window:
    """Pixels of a raster around a grid, not resampled."""

    pixels: np.ndarray
    """(rows, columns)."""
    first: tuple[int, int]
    """Row and column of the first pixel in the raster."""
    crs: CRS
    affine: Affine
    """From pixels of the raster to its coordinates."""
    stored: int = 0
    """Bytes that the blocks of the file take which were read for it."""

    def bilinear(self, target: Target, cells: np.ndarray, subtract: int, out: np.ndarray, overpass: int) -> None:
        """Write reflectance on the target into one overpass of `out` (y, time, x)."""
        bilinear(self.pixels, self.first, *target.nodes(self.crs, self.affine), cells, subtract, out, overpass)

    def weights(self, target: Target, table: np.ndarray, out: np.ndarray, overpass: int, cells: np.ndarray | None = None) -> None:
        """Write weights of classes on the target, or on cells of it, into one overpass of `out` (y, time, x), where higher."""
        x, y = target.nodes(self.crs, self.affine)
        cells = np.ones((x.shape[0] - 1, x.shape[1] - 1), bool) if cells is None else cells
        nearest_weights(self.pixels, self.first, x, y, cells, table, out, overpass)


FILE_SHARE = 0.75
"""Bytes of scene files to one byte of their pixels, where nothing better is known."""

NEIGHBOURS = 2
"""Pixels around the outermost node that the interpolation may ask for."""

FINER = 1.1
"""Reflectance whose pixels are smaller than those of the grid by more than this ratio is averaged by GDAL, not interpolated."""


def read_window(
    path: str,
    scene: str,
    target: Target,
    cells: np.ndarray | None = None,
    *,
    classes: bool = False,
    access: SceneAccess = LOCAL,
    streams: Streams | None = None,
) -> Window | None:
    """The part of a band that a grid needs, each block of the file decoded once; 0 where there is no data, None beside the grid.

    `cells` are those of the mapping that are wanted, all by default; `classes` is True for SCL, uint8, otherwise reflectance,
    uint16. With `streams` the readings of a file go down strip by strip, and none decodes again what another has. SceneError if
    the file is missing, cut short or otherwise unreadable; WorkError if the server of a remote file does not answer.
    """
    streams = {} if streams is None else streams

    def read() -> Window | None:
        if path in streams:
            return _streamed(streams[path], target, cells)
        with environment(access, path), open_full_resolution(path) as source:
            return _window(source, path, scene, target, cells, classes, streams)

    return patiently(path, scene, access, read)


def _streamed(stream: Stream, target: Target, cells: np.ndarray | None) -> Window | None:
    """The part of a file that a grid needs beyond what has been read of it."""
    layout = stream.layout
    x, y = target.nodes(layout.crs, layout.affine)
    if cells is None:
        cells = np.ones((x.shape[0] - 1, x.shape[1] - 1), bool)
    found = stream.window(x, y, cells, NEIGHBOURS)
    if found is None:
        return None
    pixels, first, stored = found
    if layout.nodata:
        pixels[pixels == layout.nodata] = 0
    return Window(pixels, first, layout.crs, layout.affine, stored)


def _window(
    source: rasterio.DatasetReader,
    path: str,
    scene: str,
    target: Target,
    cells: np.ndarray | None,
    classes: bool,
    streams: Streams,
) -> Window | None:
    """The part of an open band that a grid needs."""
    kind = "uint8" if classes else "uint16"
    if source.dtypes[0] != kind:
        raise SceneError(scene, f"{path} holds {source.dtypes[0]}, not {kind}")
    if source.crs is None:
        raise SceneError(scene, f"{path} has no coordinate reference system")
    crs = _crs(source.crs.to_wkt())
    x, y = target.nodes(crs, source.transform)
    if not classes and max(np.ptp(x[0]) / (x.shape[1] - 1), np.ptp(y[:, 0]) / (y.shape[0] - 1)) > FINER * CELL:
        pixels = warp(source, target.grid, Resampling.bilinear, 0, [source.nodata] if source.nodata else [])
        corners = (
            max(int(y.min()), 0),
            max(int(x.min()), 0),
            min(int(y.max()) + 1, source.height),
            min(int(x.max()) + 1, source.width),
        )
        return Window(pixels, (0, 0), target.crs, target.grid.affine, stored_bytes(source, *corners))
    layout = None if is_masked(source) else Layout.of(source, path, crs)
    if layout is not None:
        streams[path] = Stream(layout)
        return _streamed(streams[path], target, cells)
    wanted = np.ones_like(x, bool) if cells is None else _corners(cells)
    top, left = (max(int(np.floor(v[wanted].min())) - NEIGHBOURS, 0) for v in (y, x))
    bottom = min(int(np.ceil(y[wanted].max())) + NEIGHBOURS, source.height)
    right = min(int(np.ceil(x[wanted].max())) + NEIGHBOURS, source.width)
    if top >= bottom or left >= right:
        return None
    pixels = read_valid(source, Area(left, top, right - left, bottom - top))
    return Window(pixels, (top, left), crs, source.transform, stored_bytes(source, top, left, bottom, right))


def stored_bytes(source: rasterio.DatasetReader, top: int, left: int, bottom: int, right: int) -> int:
    """Bytes of all blocks of a file that a window touches; of a file that is no TIFF, `FILE_SHARE` of the pixels."""
    if top >= bottom or left >= right:
        return 0
    height, width = source.block_shapes[0]
    rows, columns = range(top // height, -(-bottom // height)), range(left // width, -(-right // width))
    if source.driver != "GTiff":
        return int(FILE_SHARE * len(rows) * height * len(columns) * width * np.dtype(source.dtypes[0]).itemsize)
    return sum(place(source, y, x)[1] for y in rows for x in columns)


@functools.cache
def _crs(wkt: str) -> CRS:
    return CRS(wkt)


def _corners(cells: np.ndarray) -> np.ndarray:
    """Nodes at the corners of cells."""
    nodes = np.zeros((cells.shape[0] + 1, cells.shape[1] + 1), bool)
    for y in (0, 1):
        for x in (0, 1):
            nodes[y : y + cells.shape[0], x : x + cells.shape[1]] |= cells
    return nodes


def read_band(path: str, scene: str, grid: GeoBox, *, classes: bool = False, access: SceneAccess = LOCAL) -> np.ndarray:
    """One band of a scene on a grid, (y, x), 0 no data: bilinear, uint16; SCL (`classes`) by nearest neighbour, uint8."""
    target = Target(grid)
    rows, columns = target.shape
    out = np.zeros((rows, 1, columns), "uint8" if classes else "uint16")
    window = read_window(path, scene, target, classes=classes, access=access)
    if window is not None and classes:
        window.weights(target, np.arange(256, dtype="uint8"), out, 0)
    elif window is not None:
        window.bilinear(target, np.ones((-(-rows // CELL), -(-columns // CELL)), bool), 0, out, 0)
    return out[:, 0]
