"""Comparison of a map with a reference raster on its grid, in blocks of pixels, strip by strip.

Finer densities are averaged; everything else is resampled by nearest neighbour.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.assessment.codes import Reading
from imperv.tasks.imperviousness.assessment.estimators import Sample, scatter_of
from imperv.tasks.imperviousness.checks.consistency import Source
from imperv.tasks.job import count_codes
from imperv.tasks.scenes.reading import warp

BLOCK_METRES = 1000
"""Edge of the blocks, metres: our choice, beyond which errors of neighbouring pixels are hardly correlated."""

STRIP_METRES = BLOCK_METRES
"""Height of a strip, whole blocks: some ten values of eight bytes are held of its every pixel."""


def sample_of_raster(source: Source, reference: rasterio.DatasetReader, legend: Reading, path: Path) -> tuple[Sample, np.ndarray]:
    """Compare a map with a reference raster of the same codes: blocks with valid pixels in both, and the map's histogram (256,).

    The raster is opened by `tasks.scenes.reading.open_full_resolution`. InputError if it holds values that the layer does not
    have.
    """
    left, bottom, right, top = source.bounds
    pixel, k = source.resolution, len(legend.names)
    columns, height = round((right - left) / pixel), round((top - bottom) / pixel)
    edge, step, wide = BLOCK_METRES // pixel, STRIP_METRES // pixel, -(-columns // (BLOCK_METRES // pixel))
    matrices, moments, histogram = [], [], np.zeros(256, np.int64)
    scatter = np.zeros((101 - legend.lowest, 101 - legend.lowest), np.int64)
    dense = legend.kind in ("density", "change")
    block_of_column = np.arange(columns) // edge
    for row in range(0, height, step):
        strip = source.read(row, min(row + step, height))
        histogram += count_codes(strip)
        grid = GeoBox(strip.shape, Affine(pixel, 0, left, 0, -pixel, top - row * pixel), "EPSG:3035")
        value, classes = _reference_on(grid, reference, legend, path)
        both = (legend.class_of[strip] >= 0) & (classes >= 0)
        block = ((np.arange(len(strip)) // edge)[:, np.newaxis] * wide + block_of_column)[both]
        count = -(-len(strip) // edge) * wide
        cell = (block * k + legend.class_of[strip[both]]) * k + classes[both]
        found = np.bincount(cell, minlength=count * k * k).reshape(count, k, k)
        some = found.sum(axis=(1, 2)) > 0
        matrices.append(found[some])
        if dense:
            m, r = legend.value_of[strip[both]], value[both]
            parts = (np.ones_like(m), m, r, m * m, r * r, m * r, np.abs(m - r))
            moments.append(np.stack([np.bincount(block, part, count) for part in parts], axis=1)[some])
            scatter += scatter_of(m, r, legend.lowest)
    return Sample(np.concatenate(matrices), np.concatenate(moments) if dense else None, scatter if dense else None), histogram


def _reference_on(grid: GeoBox, reference: rasterio.DatasetReader, legend: Reading, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Values and classes of a reference raster on the map's grid; class -1 where it has none."""
    kind = reference.dtypes[0]
    nodata = np.nan if kind.startswith("float") else 255
    # A no-data tag on a valid code, such as 0, is a mistake of the writer.
    if reference.nodata is not None and not (kind == "uint8" and legend.class_of[int(reference.nodata)] >= 0):
        nodata = reference.nodata
    finer = legend.kind == "density" and reference.crs.is_projected and reference.res[0] < grid.resolution.x
    found = warp(reference, grid, Resampling.average if finer else Resampling.nearest, nodata).astype(np.float64)
    found[found == nodata] = np.nan
    found[found == 255] = np.nan
    if legend.kind == "change":  # coded like the map
        codes = np.where(np.isnan(found), 255, found).astype(np.int64)
        _refuse_codes((codes < 0) | (codes > 255), codes, path)
        value = legend.value_of[codes]
        return value, legend.class_of[codes]
    known = ~np.isnan(found)
    if legend.kind == "density":
        _refuse_codes(known & ((found < 0) | (found > 100)), found, path)
        return found, np.where(known, legend.classes(found), -1)
    codes = np.where(known, found, 255).astype(np.int64)
    _refuse_codes(known & ((codes < 0) | (codes > 255) | (legend.class_of[np.clip(codes, 0, 255)] < 0)), codes, path)
    return found, legend.class_of[codes]


def _refuse_codes(wrong: np.ndarray, values: np.ndarray, path: Path) -> None:
    if wrong.any():
        raise InputError(
            f"reference {path}: holds {values[wrong][0]:g}, which the layer does not have; recode it or choose another --layer"
        )
