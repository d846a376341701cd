"""Writing a coded raster as the GeoTIFF that is handed over: Byte, LZW, tiled, palette inside, cloud optimised with overviews.

Overviews are computed by `layers.kernels.overviews`: GDAL's averages would mix colours of the palette and codes that are no
quantity.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from imperv.layers.kernels.overviews import overview, overview_factors
from imperv.layers.palette import OUTSIDE, Palette
from imperv.tasks.errors import InputError, WorkError
from imperv.tasks.job import count_codes

BLOCK = 512
"""Edge of a block, pixels."""

DRAFT = ("TILED=YES", f"BLOCKXSIZE={BLOCK}", f"BLOCKYSIZE={BLOCK}", "BIGTIFF=NO")
"""Creation options of the draft that the cloud-optimised file is copied from."""

CLOUD_OPTIMISED = ("COMPRESS=LZW", f"BLOCKSIZE={BLOCK}", "OVERVIEWS=AUTO", "BIGTIFF=NO")
"""Creation options of GDAL's COG driver: all overviews before the pixels, and those of the draft."""

STRIP_ROWS = 2048
"""Rows written at once: whole blocks of the TIFF and whole pixels of every overview; 20 MB of a tile at 10 m."""

LITTLE_ROOM = 2**20
"""Free bytes below which GDAL's failure to write is put down to a full disk; it does not say why itself."""

_BINDINGS = (
    "delivery needs GDAL's Python bindings, which cannot be imported ({error}); install those of the system's version: "
    'pip install "gdal[numpy]==$(gdal-config --version)" (numpy must be there when they are built)'
)


def write_geotiff(
    path: Path,
    grid: GeoBox,
    palette: Palette,
    rows: Callable[[int, int], np.ndarray],
    description: str = "",
    units: str = "",
) -> dict[int, int]:
    """Write a layer strip by strip, by way of a draft beside it: the number of pixels of each code that occurs.

    `rows(first, end)` gives pixels (y, x) uint8; `description` is the band's name in GIS programs, `units` those of the codes,
    empty for classes. WorkError if GDAL cannot write it, or the layer holds codes that cannot be averaged.
    """
    gdal = load_gdal()
    draft, total, failure = path.with_suffix(".draft"), np.zeros(256, np.int64), ""
    gdal.PushErrorHandler("CPLQuietErrorHandler")
    gdal.ErrorReset()
    try:
        _write_draft(gdal, draft, grid, palette, rows, (description, units), total)
        _copy(gdal, draft, path)
    except RuntimeError as error:
        failure = str(error)
    except ValueError as error:  # of the overviews
        raise WorkError(f"{path.name}: {error}; it is not delivered") from None
    finally:
        gdal.PopErrorHandler()
        draft.unlink(missing_ok=True)
    if failure and shutil.disk_usage(path.parent).free < LITTLE_ROOM:
        raise OSError(errno.ENOSPC, "no room left")
    if failure:
        raise WorkError(f"{path.name}: GDAL cannot write it ({' '.join(failure.split())})")
    return {int(code): int(total[code]) for code in np.nonzero(total)[0]}


def load_gdal() -> Any:
    """GDAL's Python bindings, with errors told by their return values; InputError if they are missing."""
    try:
        from osgeo import gdal, gdal_array

        assert gdal_array  # not there where they were built without NumPy; pixels cannot be written then
    except ImportError as error:
        raise InputError(_BINDINGS.format(error=error)) from None
    if not gdal.GetUseExceptions():
        # Said aloud for GDAL 3.7 and later. Errors are asked for: what is raised while a file is closed reaches nobody.
        gdal.DontUseExceptions()
    return gdal


def raise_error(gdal: Any) -> None:
    """Raise what GDAL has noticed since its errors were reset."""
    if gdal.GetLastErrorType() >= gdal.CE_Failure:
        raise RuntimeError(gdal.GetLastErrorMsg())


def _write_draft(
    gdal: Any,
    path: Path,
    grid: GeoBox,
    palette: Palette,
    rows: Callable[[int, int], np.ndarray],
    about: tuple[str, str],
    total: np.ndarray,
) -> None:
    """All pixels and those of the overviews, not compressed; adds the pixels of each code to `total`."""
    factors = overview_factors((grid.shape.y, grid.shape.x))
    dataset = _create(gdal, path, grid, palette, factors, about)
    try:
        for first in range(0, grid.shape.y, STRIP_ROWS):
            strip = np.ascontiguousarray(rows(first, min(first + STRIP_ROWS, grid.shape.y)))
            total += count_codes(strip)
            band = dataset.GetRasterBand(1)
            _write(band, first, strip)
            for k, factor in enumerate(factors):
                _write(band.GetOverview(k), first // factor, overview(strip, factor, palette))
            raise_error(gdal)
        dataset.FlushCache()
    finally:
        dataset = band = None  # closed while errors are quiet
    raise_error(gdal)


def _write(band: Any, row: int, pixels: np.ndarray) -> None:
    # Bytes and not WriteArray, which bindings built without numpy do not have.
    band.WriteRaster(0, row, pixels.shape[1], pixels.shape[0], pixels.reshape(-1).data)


def _create(gdal: Any, path: Path, grid: GeoBox, palette: Palette, factors: Sequence[int], about: tuple[str, str]) -> Any:
    """An empty file with everything but its pixels: what stands before them cannot end up in a side file."""
    from osgeo import osr

    dataset = gdal.GetDriverByName("GTiff").Create(str(path), grid.shape.x, grid.shape.y, 1, gdal.GDT_Byte, list(DRAFT))
    raise_error(gdal)
    reference = osr.SpatialReference()
    reference.ImportFromEPSG((grid.crs.epsg if grid.crs else None) or 0)
    dataset.SetProjection(reference.ExportToWkt())
    dataset.SetGeoTransform(grid.affine.to_gdal())
    table = gdal.ColorTable()
    for code, colour in enumerate(palette.colours):
        table.SetColorEntry(code, (*colour, 255))
    band = dataset.GetRasterBand(1)
    band.SetColorTable(table)
    band.SetNoDataValue(OUTSIDE)
    band.SetDescription(about[0])
    band.SetUnitType(about[1])
    if factors:
        dataset.BuildOverviews("NONE", list(factors))  # room for them; GDAL computes nothing
    raise_error(gdal)
    return dataset


def _copy(gdal: Any, draft: Path, path: Path) -> None:
    """Compress the draft and put its parts in the order of a cloud-optimised file."""
    source = gdal.Open(str(draft))
    raise_error(gdal)
    copy = gdal.GetDriverByName("COG").CreateCopy(str(path), source, 0, list(CLOUD_OPTIMISED))
    del copy, source
    raise_error(gdal)
