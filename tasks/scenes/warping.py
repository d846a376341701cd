"""Bands in memory on another grid, where data and no data end as they do on their own."""

from __future__ import annotations

import numpy as np
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.warp import reproject

from imperv.tasks.scenes.reading import TOLERANCE


def warp_bands(bands: np.ndarray, source: GeoBox, here: GeoBox, kernel: Resampling, nodata: float) -> np.ndarray:
    """Bands (band, y, x) of the grid `source` on the grid `here`, at full resolution; `nodata` takes no part.

    Band by band: of several GDAL takes what one of them lacks for a value, or lets data reach over the edge of what was seen.
    """
    out = np.full((len(bands), *here.shape.yx), nodata, bands.dtype)
    for band, target in zip(bands, out, strict=True):
        reproject(
            band, target, src_transform=source.affine, src_crs=str(source.crs), src_nodata=nodata, dst_transform=here.affine,
            dst_crs=str(here.crs), dst_nodata=nodata, resampling=kernel, tolerance=TOLERANCE, XSCALE=1, YSCALE=1,
        )  # fmt: skip
    return out
