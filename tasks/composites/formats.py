"""Files in any format that GDAL writes and that holds the pixels as they are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import rasterio
import rasterio.drivers
import rasterio.shutil

from imperv.tasks.errors import InputError, WorkError, writing

GEOTIFF = ("cog", "gtiff")
"""What is written as a cloud-optimised GeoTIFF."""

NO_FILES = ("mem", "vrt")
"""Formats that only point elsewhere."""


@cache
def _drivers() -> Mapping[str, str]:
    """Formats of GDAL by their names in small letters."""
    with rasterio.Env() as env:
        return {name.lower(): name for name in env.drivers() if name.lower() not in NO_FILES}


def check_format(name: str) -> None:
    """InputError for a format that GDAL does not know."""
    if name.lower() not in _drivers():
        raise InputError(f"--format: {name} is no format that GDAL writes here, such as GTiff, HFA or ENVI; correct it")


def ending(name: str) -> str:
    """Usual ending of files of a format; that of its name where there is none."""
    if name.lower() in GEOTIFF:
        return ".tif"
    known = {driver.lower(): extension for extension, driver in rasterio.drivers.raster_driver_extensions().items()}
    return f".{known.get(name.lower(), name.lower())}"


def is_file(path: Path, name: str) -> bool:
    """True for what is named as a file of a format, and is no folder: of a GeoTIFF by ``.tif``, of others by any ending."""
    wanted = (".tif", ".tiff") if name.lower() in GEOTIFF else (path.suffix.lower(),)
    return path.suffix.lower() in wanted and path.suffix != "" and not path.is_dir()


@contextmanager
def in_format(path: Path, name: str) -> Iterator[Path]:
    """Path of a GeoTIFF to be written, of which a file of a format is made at the end, with what lies beside it.

    WorkError where the format does not hold the same pixels; nothing has its name then.
    """
    if name.lower() in GEOTIFF:
        yield path
        return
    with writing(path, "--output"), tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        tif, made = Path(folder) / "prepared.tif", Path(folder) / "made"
        yield tif
        made.mkdir()
        if why := _converted(tif, made / path.name, _drivers()[name.lower()]):
            raise WorkError(f"{path}: {name} does not hold the pixels as they are ({why}); choose another --format")
        for file in sorted(made.iterdir(), key=lambda file: file.name == path.name):
            file.replace(path.parent / file.name)


def _converted(tif: Path, path: Path, driver: str) -> str:
    """Make a file of another format; why it is not the same, or nothing."""
    try:
        rasterio.shutil.copy(tif, path, driver=driver)
        with rasterio.open(tif) as own, rasterio.open(path) as other:
            if (own.count, own.dtypes, own.shape) != (other.count, other.dtypes, other.shape):
                return f"{other.count} bands, {', '.join(sorted(set(other.dtypes))) or 'none'}"
            wrong = [k for k in own.indexes if own.checksum(k) != other.checksum(k)]
            return f"band {wrong[0]} differs" if wrong else ""
    except Exception as error:  # GDAL's drivers raise kinds of their own, which rasterio does not export
        return " ".join(str(error).split()) or type(error).__name__
