"""Which pixels of a prepared scene get no data: clouds, land or sea, and what lies outside of the area."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.warp import reproject

from imperv.layers.reflectance import SCL
from imperv.tasks.errors import InputError
from imperv.tasks.native.area import read_area
from imperv.tasks.native.looks import CLEAR, CLOUD, NO_DATA, Look, mask_of


def clouds_of(look: Look, grid20: GeoBox, classes: tuple[int, ...] | None) -> np.ndarray:
    """Clouds at 20 m, (y, x) bool: by some classes of SCL, or by the mask of Level-1C where they are None.

    Of several granules that one tells whose pixels are taken.
    """
    if classes is None:
        scenes = (replace(s, bands={name: path for name, path in s.bands.items() if name != SCL}) for s in look.scenes)
        found: np.ndarray = mask_of(Look(tuple(scenes)), grid20) == CLOUD
        return found
    codes = np.full(256, CLEAR, "uint8")
    codes[0] = NO_DATA
    codes[list(classes)] = CLOUD
    found = mask_of(look, grid20, codes=codes) == CLOUD
    return found


def land_by_shape(path: Path, grid: GeoBox, degrees: tuple[float, float, float, float]) -> np.ndarray:
    """Land on a grid, (y, x) bool, by polygons, of which those within bounds in degrees are looked at."""
    area = read_area(path, "--land").within(degrees)
    return np.zeros(grid.shape.yx, bool) if area is None else area.inside(grid)


def land_by_elevation(path: Path, grid: GeoBox) -> np.ndarray:
    """Land on a grid, (y, x) bool, by a model of elevation, whose 0 and no data are sea; InputError where it cannot be read."""
    out = np.full(grid.shape.yx, np.nan, "float32")
    try:
        with rasterio.open(path) as source:
            if source.crs is None:
                raise InputError(f"--dem: {path} has no reference system; give it one")
            reproject(
                rasterio.band(source, 1), out, dst_transform=grid.affine, dst_crs=str(grid.crs), dst_nodata=np.nan,
                resampling=Resampling.nearest,
            )  # fmt: skip
    except RasterioError as error:
        raise InputError(f"--dem: {path} cannot be read ({' '.join(str(error).split())}); name a raster") from None
    found: np.ndarray = np.isfinite(out) & (out != 0)
    return found
