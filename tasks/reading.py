"""Pixels of Sentinel-2 scenes and of reference rasters on EPSG:3035 grids, always from full resolution.

Reflectance is resampled bilinearly among valid pixels only, classes by nearest neighbour. Overviews are never used: GDAL
takes them silently when it resamples, which is how the production of 2021 got wrong layers (ATBD, section 5).
"""

from __future__ import annotations

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.errors import RasterioError, RasterioIOError
from rasterio.vrt import WarpedVRT

from tasks.errors import SceneError

ENVIRONMENT = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_CACHEMAX": 256,
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_NUM_THREADS": 1,
    "VSI_CACHE": False,
}
"""GDAL settings: no directory listings, small cache (megabytes), parallelism over blocks and not inside a read."""


TOLERANCE = 0.001
"""Error of GDAL's approximated coordinate transformation, source pixels; by default 0.125; 0.01 still moves noise by 50."""


def open_full_resolution(path: str) -> rasterio.DatasetReader:
    """Open a raster so that GDAL cannot take its overviews.

    Raises
    ------
    rasterio.errors.RasterioIOError
        If it cannot be opened.
    """
    return rasterio.open(path, OVERVIEW_LEVEL="NONE")


def warp(source: rasterio.DatasetReader, grid: GeoBox, resampling: Resampling, nodata: float) -> np.ndarray:
    """First band of a raster on another grid.

    Pixels without data never take part in the interpolation: weights are those of the valid neighbours.

    Parameters
    ----------
    source : rasterio dataset
        Opened by `open_full_resolution`.
    grid : GeoBox
        Target; may lie partly or wholly outside of the raster.
    resampling : Resampling
        Kernel.
    nodata : float
        Value without data, in the source and in the result.

    Returns
    -------
    ndarray
        (y, x), data type of the source.
    """
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
        tolerance=TOLERANCE,
        **scale,
    ) as vrt:
        return vrt.read(1)


def read_band(path: str, scene: str, grid: GeoBox, *, classes: bool = False) -> np.ndarray:
    """One band of a scene on a grid.

    Parameters
    ----------
    path : str
        File or URL.
    scene : str
        Scene, for messages.
    grid : GeoBox
        Target grid.
    classes : bool
        True for SCL: nearest neighbour, uint8; otherwise bilinear, uint16.

    Returns
    -------
    ndarray
        (y, x), 0 where there is no data.

    Raises
    ------
    SceneError
        If the file is missing, cut short or otherwise unreadable.
    """
    try:
        with rasterio.Env(**ENVIRONMENT), open_full_resolution(path) as source:
            kind = "uint8" if classes else "uint16"
            if source.dtypes[0] != kind:
                raise SceneError(scene, f"{path} holds {source.dtypes[0]}, not {kind}")
            if source.crs is None:
                raise SceneError(scene, f"{path} has no coordinate reference system")
            return warp(source, grid, Resampling.nearest if classes else Resampling.bilinear, 0)
    except (RasterioIOError, RasterioError, OSError) as error:
        detail = str(error.__cause__ or error).splitlines()[0]
    # Raised outside of the handler: GDAL's own error could not travel from a worker process along with it.
    raise SceneError(scene, f"{path} cannot be read ({detail})")
