"""Sources of pixels for checks of consistency: a delivered file, another raster, or the store, read by rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rasterio.errors import RasterioError
from rasterio.windows import Window

from imperv.layers.catalogue import CATALOGUE, layers_of
from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.checks.consistency import Source
from imperv.tasks.job import Job
from imperv.tasks.scenes.reading import open_full_resolution, read_valid

Bounds = tuple[float, float, float, float]

_LAYERS = layers_of("imperviousness")

SYMBOLS = {(layer.delivery.part, layer.resolution): symbol for symbol, layer in _LAYERS.items() if layer.delivery}
"""Symbol of a product by layer part and pixel size of its name."""

THEN = {("IMD", 10): "IMD_then", ("IBU", 10): "IBU_then", ("SBU", 100): "SBU_then"}
"""Symbol of a product of the previous production."""

INTERIM = ("IMD_then", "IBU_then", "SBU_then", "IMD_MSK_now", "NDVI_p0_now", "IBUD_now")
"""Layers of the store that relations need beside final ones."""


def file_source(path: Path | str, name: str, bounds: Bounds | None = None, resolution: int = 0) -> Source:
    """A GeoTIFF on the EEA grid, or its part inside bounds; pixels that it does not cover are 255.

    Findings call it `name`. InputError if it cannot be read, does not lie on the grid, or has another pixel size than
    `resolution`, metres (0: any).
    """
    try:
        source = open_full_resolution(str(path))
    except RasterioError as error:
        raise InputError(f"{path}: cannot be opened ({' '.join(str(error).split())}); name a readable raster") from None
    t, size = source.transform, int(source.transform.a)
    left, _, _, top = area = bounds or tuple(source.bounds)
    column, row = (left - t.c) / size if size else 0.5, (t.f - top) / size if size else 0.5
    aligned = (t.a, t.b, t.d, t.e) == (size, 0, 0, -size) and column == round(column) and row == round(row)
    if source.crs != "EPSG:3035" or not aligned or resolution not in (0, size) or source.dtypes[0] != "uint8":
        wanted = f"{resolution} m" if resolution else "whole-metre"
        raise InputError(
            f"{path}: is not a raster of bytes on the {wanted} EEA grid (EPSG:3035, north-up); check a production with --config, "
            "whose store holds its references on the grid"
        )
    columns = round((area[2] - left) / size)

    def read(first: int, stop: int) -> np.ndarray:
        window = Window(round(column), round(row) + first, columns, stop - first)
        return read_valid(source, window, 255, (), boundless=bounds is not None)

    return Source(name, size, area, read)


def stored_source(job: Job, symbol: str) -> Source | None:
    """A layer of the store; None where it is not made or was made for another area."""
    record = job.record(symbol)
    if record is None or not record.made or tuple(record.bbox) != job.bounds or not job.store.data_in_place(record):
        return None
    array = job.array(symbol)
    return Source(symbol, int(CATALOGUE[symbol].resolution), job.bounds, lambda first, stop: np.asarray(array[first:stop]))


def job_sources(job: Job) -> dict[str, Source]:
    """All final layers of a tile that are in the store, and the interim ones that explain them."""
    symbols = [*SYMBOLS.values(), *INTERIM]
    found = {symbol: stored_source(job, symbol) for symbol in symbols}
    return {symbol: source for symbol, source in found.items() if source is not None}


def reference_sources(paths: Mapping[str, Path], bounds: Bounds) -> dict[str, Source]:
    """Layers of then by symbol, from rasters that may reach beyond the bounds; InputError if one cannot be used."""
    return {symbol: file_source(path, path.name, bounds, int(CATALOGUE[symbol].resolution)) for symbol, path in paths.items()}
