"""Bands of Landsat scenes on the 30 m grid of a UTM zone: reflectance x 10 000 and weights, overpass by overpass.

Scenes of the zone share their pixels, which are read as they are; those of another zone are warped. Pixel edges of Landsat lie on
odd multiples of 15 m, 15 m off the edges of Sentinel-2's pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import rasterio
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import box
from rasterio.enums import Resampling
from rasterio.windows import Window

from imperv.grids import Block, utm_code
from imperv.layers.landsat import (
    FILL,
    NO_DATA,
    QA_PIXEL,
    QA_RADSAT,
    USUAL,
    QaParameters,
    quality_weights,
    reflectance,
    saturated,
)
from imperv.tasks.errors import SceneError
from imperv.tasks.landsat.scenes import LandsatScene
from imperv.tasks.native.pixels import overlap
from imperv.tasks.scenes.access import LOCAL, environment, patiently
from imperv.tasks.scenes.reading import open_full_resolution, read_valid, warp
from imperv.tasks.settings.scenes import SceneAccess

PIXEL = 30
"""Metres."""

SHIFT = 15
"""Metres from a multiple of `PIXEL` to the edges of the pixels."""


def landsat_geobox(bounds: Sequence[float], crs: str, epsg: int | None = None) -> GeoBox:
    """Grid of Landsat's 30 m pixels that covers a rectangle (left, bottom, right, top) in `crs`, snapped outward.

    `epsg` is the UTM zone, by default that of the centre of the rectangle.
    """
    outline = box(bounds[0], bounds[1], bounds[2], bounds[3], crs)
    if epsg is None:
        (longitude, latitude) = outline.centroid.to_crs("EPSG:4326").coords[0]
        epsg = utm_code(longitude, latitude)
    # An edge that is straight in one system is curved in the other.
    step = max(bounds[2] - bounds[0], bounds[3] - bounds[1]) / 32
    reach = (outline.segmented(step).to_crs(f"EPSG:{epsg}") if CRS(crs).epsg != epsg else outline).boundingbox
    low = [math.floor((v - SHIFT) / PIXEL) * PIXEL + SHIFT for v in (reach.left, reach.bottom)]
    high = [math.ceil((v - SHIFT) / PIXEL) * PIXEL + SHIFT for v in (reach.right, reach.top)]
    return GeoBox.from_bbox((*low, *high), crs=f"EPSG:{epsg}", resolution=PIXEL, tight=True)


def read_weights(
    scene: LandsatScene, grid: GeoBox, parameters: QaParameters = USUAL, access: SceneAccess = LOCAL
) -> np.ndarray | None:
    """Weight of every pixel of a grid by QA_PIXEL, (y, x) uint8; None where the scene has no weight there.

    The file is read a little beyond the grid, so that a pixel does not depend on the block that it is computed in. SceneError if
    it cannot be read.
    """
    halo = max(parameters.cloud_dilation, parameters.shadow_dilation, 0)
    rows, columns = grid.shape
    around = Block(-halo, -halo, rows + halo, columns + halo).geobox(grid)
    qa = _read(scene, QA_PIXEL, around, 1 << FILL, (), Resampling.nearest, access)
    if qa is None:
        return None
    weights = quality_weights(qa, parameters)[halo : halo + rows, halo : halo + columns]
    return weights if weights.any() else None


def read_reflectance(scene: LandsatScene, band: str, grid: GeoBox, access: SceneAccess = LOCAL) -> np.ndarray | None:
    """Reflectance x 10 000 of one band on a grid, (y, x) uint16, 0 where there is no data or the band is saturated.

    None beside the grid; SceneError if a file cannot be read.
    """
    file = scene.bands[band]
    dn = _read(scene, band, grid, NO_DATA, [file.nodata] if file.nodata else [], Resampling.bilinear, access)
    if dn is None:
        return None
    values = reflectance(dn, file.scale, file.offset, file.nodata)
    if QA_RADSAT in scene.bands:
        radsat = _read(scene, QA_RADSAT, grid, 0, (), Resampling.nearest, access)
        if radsat is not None:
            values[saturated(radsat, band, scene.sensor)] = NO_DATA
    return values


def _read(
    scene: LandsatScene, band: str, grid: GeoBox, nodata: int, others: Sequence[float], kernel: Resampling, access: SceneAccess
) -> np.ndarray | None:
    """Pixels of a file on a grid, `nodata` where it has none; None where it lies beside the grid."""
    path = scene.bands[band].href

    def read() -> np.ndarray | None:
        with environment(access, path), open_full_resolution(path) as source:
            if source.dtypes[0] != "uint16":
                raise SceneError(scene.id, f"{path} holds {source.dtypes[0]}, not uint16")
            if source.crs is None:
                raise SceneError(scene.id, f"{path} has no coordinate reference system")
            offset = _offset(source, grid)
            if offset is None:
                return _warped(source, grid, nodata, others, kernel)
            return _cut(source, *offset, (grid.shape.y, grid.shape.x), nodata, others)

    return patiently(path, scene.id, access, read)


def _offset(source: rasterio.DatasetReader, grid: GeoBox) -> tuple[int, int] | None:
    """Row and column in a file of the first pixel of a grid; None where pixels of the two do not coincide."""
    a, b = source.transform, grid.affine
    if CRS(source.crs.to_wkt()) != grid.crs or (a.a, a.b, a.d, a.e) != (b.a, b.b, b.d, b.e):
        return None
    row, column = (b.f - a.f) / a.e, (b.c - a.c) / a.a
    return (round(row), round(column)) if abs(row - round(row)) + abs(column - round(column)) < 1e-3 else None


def _cut(
    source: rasterio.DatasetReader, row: int, column: int, shape: tuple[int, int], nodata: int, others: Sequence[float]
) -> np.ndarray | None:
    inside, there = overlap((row, column), shape, source.shape)
    out = np.full(shape, nodata, np.uint16)
    if not out[there].size:
        return None
    out[there] = read_valid(source, Window.from_slices(*inside), nodata, others)
    return out


def _warped(
    source: rasterio.DatasetReader, grid: GeoBox, nodata: int, others: Sequence[float], kernel: Resampling
) -> np.ndarray | None:
    pixels = warp(source, grid, kernel, nodata, others)
    return pixels if (pixels != nodata).any() else None
