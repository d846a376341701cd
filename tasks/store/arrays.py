"""How layers lie in Zarr: arrays, chunks, shards, and CF coordinates that xarray and GDAL understand."""

from __future__ import annotations

import numpy as np
import zarr
from odc.geo.geobox import GeoBox
from zarr.codecs import ZstdCodec

from imperv.grids import spec_of
from imperv.layers.catalogue import Variable

CHUNK = 500
"""Edge of a Zarr chunk in pixels; divides a block of 1000 pixels at 10 m and of 500 at 20 m."""

ZSTD_LEVEL = 3
"""Zstandard level: beyond it, levels cost more time than they save bytes on these layers."""


def create_arrays(group: zarr.Group, grid: GeoBox, resolution: float, variables: tuple[Variable, ...]) -> None:
    """Empty arrays with CF coordinates and grid mapping."""
    shape, affine, spec = tuple(grid.shape), grid.affine, spec_of(resolution)
    y = affine.f + affine.e * (np.arange(shape[0]) + 0.5)
    x = affine.c + affine.a * (np.arange(shape[1]) + 0.5)
    for name, values, standard in (("y", y, "projection_y_coordinate"), ("x", x, "projection_x_coordinate")):
        group.create_array(name, data=values, dimension_names=[name], attributes={"units": "metre", "standard_name": standard})
    transform = " ".join(repr(v) for v in (affine.c, affine.a, affine.b, affine.f, affine.d, affine.e))
    crs = {**grid.crs.proj.to_cf(), "spatial_ref": grid.crs.to_wkt(), "GeoTransform": transform}  # type: ignore[union-attr]
    group.create_array("spatial_ref", data=np.array(0, "int64"), dimension_names=[], attributes=crs)
    for variable in variables:
        lead = (len(variable.labels),) if variable.axis else ()
        if variable.axis and variable.axis not in group:
            labels = group.create_array(variable.axis, shape=lead, dtype="str", dimension_names=[variable.axis])
            labels[:] = np.array(variable.labels, dtype=object)
        group.create_array(
            variable.name,
            shape=(*lead, *shape),
            dtype=variable.dtype,
            chunks=(*(1 for _ in lead), spec.chunk, spec.chunk),
            shards=(*lead, spec.block, spec.block),
            compressors=ZstdCodec(level=ZSTD_LEVEL),
            fill_value=variable.nodata,
            dimension_names=[*([variable.axis] if lead else []), "y", "x"],
            attributes={"nodata": variable.nodata, "grid_mapping": "spatial_ref"},
        )
