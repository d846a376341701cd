"""Pixels of Sentinel-2 bands on the native UTM grid, as the instrument gave them: copied where the file lies on that grid.

A file of another UTM zone is warped, once, by cubic convolution; a file of the grid's zone whose pixels do not lie on it is
refused, because nothing could tell its pixels from measured ones.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.windows import Window as Area

from imperv.grids import Bounds
from imperv.grids.specs import FALSE_NORTHING
from imperv.tasks.errors import InputError
from imperv.tasks.scenes.access import LOCAL, environment, patiently
from imperv.tasks.scenes.bands import PIXEL, SCL
from imperv.tasks.scenes.reading import EXACT, data_bands, extent, open_full_resolution, read_valid, warp
from imperv.tasks.settings.scenes import SceneAccess

T = TypeVar("T")

SHIFT = 0.01
"""Part of a pixel by which edges of pixels may differ and still be the same: rounding of coordinates in metadata."""

REMEDY = "give it as the provider does"

MASK_PIXEL = 60
"""Metres of a pixel of the mask of Level-1C."""

OPAQUE, CIRRUS, SNOWY = 1, 2, 4
"""Bits of the mask of Level-1C as `read_classi` gives it: its three bands."""


@dataclass(frozen=True, eq=False)
class Native:
    """Pixels of a file on a grid."""

    pixels: np.ndarray
    """(y, x), 0 no data and outside of the file; data type of the file."""
    copied: bool
    """True where they are those of the file, False where they were resampled from another UTM zone."""


def read_native(path: str, scene: str, band: str, grid: GeoBox, *, stated: float = 0, access: SceneAccess = LOCAL) -> Native:
    """One band of a scene on a UTM grid of its own pixel size: uint16, of SCL uint8.

    `stated` is the value without data that the item of the scene states. Of another UTM zone reflectance is resampled by cubic
    convolution, SCL by nearest neighbour. InputError if the file is of another kind (floats, several bands, no reference
    system), has pixels of another size than the band, or pixels beside those of the grid; SceneError if it is missing or
    damaged; WorkError if the server of a remote file does not answer.
    """

    def read(source: rasterio.DatasetReader) -> Native:
        check_native(source, path, scene, band)
        others = {float(v) for v in (source.nodata, stated) if v}
        if epsg_of(source) != grid_epsg(grid):
            how = Resampling.nearest if band == SCL else Resampling.cubic
            return Native(warp(source, grid, how, 0, others, tolerance=EXACT), False)
        columns, rows = ~source.transform * (grid.affine.c, grid.affine.f)
        left, top = round(columns), round(rows)
        if max(abs(columns - left), abs(rows - top)) > SHIFT:
            raise ValueError(f"scene {scene}: the pixels of {band} do not lie on those of the grid")
        pixels = np.zeros(grid.shape.yx, source.dtypes[0])
        inside, there = overlap((top, left), pixels.shape, source.shape)
        if pixels[there].size:
            pixels[there] = read_valid(source, Area.from_slices(*inside), 0, others)
        return Native(pixels, True)

    return _opened(path, scene, access, read)


def _opened(path: str, scene: str, access: SceneAccess, use: Callable[[rasterio.DatasetReader], T]) -> T:
    def read() -> T:
        with environment(access, path), open_full_resolution(path) as source:
            return use(source)

    return patiently(path, scene, access, read)


Slices = tuple[slice, slice]


def overlap(first: tuple[int, int], shape: tuple[int, int], within: tuple[int, int]) -> tuple[Slices, Slices]:
    """What a window at (row, column) shows of a raster: slices of the raster, and of the window; empty beside it."""
    pairs = []
    for start, size, whole in zip(first, shape, within, strict=True):
        low, high = min(max(start, 0), whole), max(min(start + size, whole), 0)
        high = max(low, high)
        pairs.append((slice(low, high), slice(low - start, high - start) if high > low else slice(0, 0)))
    (rows, rows_out), (columns, columns_out) = pairs
    return (rows, columns), (rows_out, columns_out)


def check_native(source: rasterio.DatasetReader, path: str, scene: str, band: str) -> None:
    """InputError where an open file cannot be the band as it is delivered."""
    kind, size = "uint8" if band == SCL else "uint16", PIXEL[band]
    if source.dtypes[0] != kind:
        raise InputError(f"scene {scene}: {band} holds {source.dtypes[0]}, not {kind}; {REMEDY} ({path})")
    if data_bands(source) != 1:
        raise InputError(f"scene {scene}: {band} is in a file of {data_bands(source)} bands; name files of one ({path})")
    epsg = epsg_of(source)
    if not epsg:
        raise InputError(f"scene {scene}: {band} is in no UTM zone of WGS 84; {REMEDY} ({path})")
    to = source.transform
    if max(abs(abs(r) - size) for r in (to.a, to.e)) > SHIFT:
        raise InputError(
            f"scene {scene}: {band} has pixels of {abs(to.a):g} m, but is measured at {size} m; "
            f"name the file that is not resampled ({path})"
        )
    if to.a < 0 or to.e > 0 or to.b or to.d:
        raise InputError(f"scene {scene}: {band} is not north up; {REMEDY} ({path})")
    # From the equator.
    east, north = to.c % size, (to.f - (FALSE_NORTHING if epsg // 100 == 327 else 0)) % size
    off = [min(v, size - v) for v in (east, north)]
    if max(off) > SHIFT * size:
        raise InputError(
            f"scene {scene}: the pixels of {band} lie {off[0]:g} m and {off[1]:g} m beside the grid of Sentinel-2, "
            f"so they were resampled; {REMEDY} ({path})"
        )


@dataclass(frozen=True)
class Place:
    """Where a file lies."""

    epsg: int
    """Its UTM zone."""
    bounds: Bounds
    """(left, bottom, right, top) in the zone."""


def place_of(path: str, scene: str, band: str, access: SceneAccess = LOCAL) -> Place:
    """Where a band lies, by its header; errors as `read_native`."""

    def look(source: rasterio.DatasetReader) -> Place:
        check_native(source, path, scene, band)
        return Place(epsg_of(source), extent(source))

    return _opened(path, scene, access, look)


def read_classi(path: str, like: str, scene: str, grid: GeoBox, access: SceneAccess = LOCAL) -> np.ndarray:
    """Mask of a product of Level-1C at the pixels of a grid, (y, x) uint8: `OPAQUE`, `CIRRUS`, `SNOWY` or sums; 0 elsewhere.

    `like` is the file of a band, for a mask without a reference system.
    """
    bits, to, wkt = _classi(path, like, scene, access)
    if _epsg(wkt) == grid_epsg(grid):
        # Pixels of both lie along the same axes.
        columns = np.floor((grid.affine.c + grid.affine.a * (np.arange(grid.shape.x) + 0.5) - to.c) / to.a).astype(int)
        rows = np.floor((grid.affine.f + grid.affine.e * (np.arange(grid.shape.y) + 0.5) - to.f) / to.e).astype(int)
        down, across = (rows >= 0) & (rows < bits.shape[0]), (columns >= 0) & (columns < bits.shape[1])
        out = np.zeros(grid.shape.yx, "uint8")
        out[np.ix_(down, across)] = bits[np.ix_(rows[down], columns[across])]
        return out
    profile = {"driver": "GTiff", "height": bits.shape[0], "width": bits.shape[1], "count": 1, "dtype": "uint8"}
    with rasterio.MemoryFile() as memory:
        with memory.open(**profile, crs=wkt, transform=to) as target:
            target.write(bits, 1)
        with memory.open() as source:
            return warp(source, grid, Resampling.nearest, 0, tolerance=EXACT)


@functools.lru_cache(maxsize=8)  # 3 MB each; asked again for every block
def _classi(path: str, like: str, scene: str, access: SceneAccess) -> tuple[np.ndarray, Affine, str]:
    """The whole mask with its place."""

    def read(source: rasterio.DatasetReader) -> tuple[np.ndarray, Affine, str]:
        if source.count != 3 or source.dtypes[0] != "uint8":
            raise InputError(f"scene {scene}: its mask has {source.count} bands of {source.dtypes[0]}; {REMEDY} ({path})")
        bits = np.zeros(source.shape, "uint8")
        for band, bit in enumerate((OPAQUE, CIRRUS, SNOWY), 1):
            bits[source.read(band) > 0] |= bit
        return bits, source.transform, source.crs.to_wkt() if source.crs else ""

    bits, to, wkt = _opened(path, scene, access, read)
    if not wkt:
        to, wkt = _opened(like, scene, access, lambda s: (s.transform, s.crs.to_wkt()))
        to = to @ Affine.scale(MASK_PIXEL / to.a)
    return bits, to, wkt


def epsg_of(source: rasterio.DatasetReader) -> int:
    """EPSG code of the UTM zone (WGS 84) of an open file; 0 where it is in none."""
    return _epsg(source.crs.to_wkt()) if source.crs else 0


def grid_epsg(grid: GeoBox) -> int:
    """EPSG code of a UTM grid."""
    return int(grid.crs.epsg or 0) if grid.crs is not None else 0


@functools.cache
def _epsg(wkt: str) -> int:
    code = rasterio.crs.CRS.from_wkt(wkt).to_epsg() or 0
    return code if code // 100 in (326, 327) else 0
