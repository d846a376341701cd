"""Pixels of Sentinel-2 bands on the native UTM grid, as the instrument gave them: copied where the file lies on that grid.

A file of another UTM zone is warped, once, by cubic convolution; a file of the grid's zone whose pixels do not lie on it is
refused, because nothing could tell its pixels from measured ones.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.windows import Window as Area

from imperv.tasks.errors import InputError
from imperv.tasks.scenes.access import LOCAL, environment, patiently
from imperv.tasks.scenes.bands import PIXEL, SCL
from imperv.tasks.scenes.reading import data_bands, open_full_resolution, read_valid, warp
from imperv.tasks.settings.scenes import SceneAccess

SHIFT = 0.01
"""Part of a pixel by which edges of pixels may differ and still be the same: rounding of coordinates in metadata."""


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

    def read() -> Native:
        with environment(access, path), open_full_resolution(path) as source:
            check_native(source, path, scene, band)
            if epsg_of(source) != grid_epsg(grid):
                how = Resampling.nearest if band == SCL else Resampling.cubic
                others = [v for v in (source.nodata, stated) if v]
                return Native(warp(source, grid, how, 0, others), False)
            return Native(copy(source, grid, scene, path, stated), True)

    return patiently(path, scene, access, read)


def check_native(source: rasterio.DatasetReader, path: str, scene: str, band: str) -> None:
    """InputError where an open file cannot be the band as it is delivered."""
    kind, size = "uint8" if band == SCL else "uint16", PIXEL[band]
    if source.dtypes[0] != kind:
        raise InputError(f"scene {scene}: {band} holds {source.dtypes[0]}, not {kind}; give it as the provider does ({path})")
    if data_bands(source) != 1:
        raise InputError(f"scene {scene}: {band} is in a file of {data_bands(source)} bands, one is expected ({path})")
    if source.crs is None or not epsg_of(source):
        raise InputError(f"scene {scene}: {band} is in no UTM zone of WGS 84; give it as the provider does ({path})")
    if max(abs(abs(r) - size) for r in (source.transform.a, source.transform.e)) > SHIFT:
        raise InputError(
            f"scene {scene}: {band} has pixels of {abs(source.transform.a):g} m, it is measured at {size} m; "
            f"name the file that is not resampled ({path})"
        )
    if source.transform.a < 0 or source.transform.e > 0 or source.transform.b or source.transform.d:
        raise InputError(f"scene {scene}: {band} is not north up; give it as the provider does ({path})")


def copy(source: rasterio.DatasetReader, grid: GeoBox, scene: str, path: str, stated: float = 0) -> np.ndarray:
    """Pixels (y, x) of the first band of an open file that lies on a grid; 0 outside of it and where there is no data."""
    columns, rows = ~source.transform * (grid.affine.c, grid.affine.f)
    left, top = round(columns), round(rows)
    if max(abs(columns - left), abs(rows - top)) > SHIFT:
        raise InputError(
            f"scene {scene}: its pixels lie {(columns - left) * source.res[0]:g} m east and {(rows - top) * source.res[1]:g} m "
            f"north of the grid of Sentinel-2; give it as the provider does ({path})"
        )
    height, width = grid.shape.y, grid.shape.x
    pixels = np.zeros((height, width), source.dtypes[0])
    first = max(top, 0), max(left, 0)
    last = min(top + height, source.height), min(left + width, source.width)
    if first[0] < last[0] and first[1] < last[1]:
        area = Area(first[1], first[0], last[1] - first[1], last[0] - first[0])
        others = [v for v in (source.nodata, stated) if v]
        pixels[first[0] - top : last[0] - top, first[1] - left : last[1] - left] = read_valid(source, area, 0, others)
    return pixels


def epsg_of(source: rasterio.DatasetReader) -> int:
    """EPSG code of the UTM zone of an open file; 0 where it is in none."""
    return _epsg(source.crs.to_wkt()) if source.crs else 0


def grid_epsg(grid: GeoBox) -> int:
    """EPSG code of a UTM grid."""
    return int(grid.crs.epsg or 0) if grid.crs is not None else 0


@functools.cache
def _epsg(wkt: str) -> int:
    code = rasterio.crs.CRS.from_wkt(wkt).to_epsg() or 0
    return code if code // 100 in (326, 327) else 0
