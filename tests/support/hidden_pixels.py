"""Rasters of which some pixels mean nothing, in every way that a file can say so; for tests."""

from __future__ import annotations

import numpy as np
import rasterio
from affine import Affine

HIDDEN = ("value", "mask", "mask beside", "alpha", "mask and value")
"""Ways to say that there is no data."""


def hide(path: str, gone: np.ndarray, how: str, south_up: bool = False) -> str:
    """Write a raster of one band again of which some pixels mean nothing, for a reason that it declares; "zero" is none."""
    with rasterio.open(path) as source:
        array, profile = source.read(1), source.profile
    rng = np.random.default_rng(9)
    highest = np.iinfo(array.dtype).max
    # What would be taken for reflectance, and for classes.
    array[gone] = 0 if how == "zero" else rng.integers(1, 12, int(gone.sum()))
    if "value" in how:
        array[gone & (rng.random(gone.shape) < 0.5) if "mask" in how else gone] = highest
        profile["nodata"] = highest
    if south_up:
        t = profile["transform"]
        profile["transform"] = Affine(t.a, 0, t.c, 0, -t.e, t.f + t.e * len(array))
        array, gone = array[::-1], gone[::-1]
    if how == "alpha":
        profile |= {"count": 2, "alpha": "YES", "photometric": "MINISBLACK"}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=how != "mask beside"), rasterio.open(path, "w", **profile) as target:
        target.write(array, 1)
        if "mask" in how:
            target.write_mask(~gone)
        if how == "alpha":
            target.write(np.where(gone, 0, highest).astype(array.dtype), 2)
    return path
