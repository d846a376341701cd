"""Monthly composites of a folder of prepared images, as AI4Copernicus has it (5.2.3): ``REFBOA`` and, where it is there, ``LAI``.

Images and their leaf area index are paired by the date in their names. Where the index has no value a look is cloudy.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.windows import Window

from imperv.layers.composites import median_of_looks
from imperv.tasks.delivery.cog import copy_as_cog, draft_form
from imperv.tasks.errors import InputError, WorkError, writing
from imperv.tasks.settings.periods import MONTHS, MonthsOfSpan
from imperv.tasks.store.records import digest_of

IMAGES, INDEX = "REFBOA", "LAI"
"""Folders of images and of their leaf area index."""

DATE = re.compile(r"(?<!\d)(20\d{2})[-_]?(\d{2})[-_]?(\d{2})(?!\d{3})")
"""A day in the name of a file, also with a time after ``T``."""

STRIP_BYTES = 256 * 2**20
"""Memory of the looks at one band of a strip."""

LEAST_ROWS = 16


@dataclass(frozen=True)
class Image:
    """One date."""

    day: dt.date
    path: Path
    index: Path | None
    """Leaf area index of the date."""


def images_of(folder: Path, tile: str = "") -> list[Image]:
    """Images of a folder in order of time, those of a tile where one is named; InputError where there are none."""
    place = folder / IMAGES
    if not place.is_dir():
        raise InputError(f"{folder}: has no folder {IMAGES}; put the images there, and their leaf area index in {INDEX}")
    found = [Image(day, path, None) for day, path in sorted(_by_day(place, tile).items())]
    if not found:
        of = f" of {tile}" if tile else ""
        raise InputError(f"{place}: holds no .tif{of} with a date in its name, such as S2_20180628.tif")
    if not (folder / INDEX).is_dir():
        return found
    # Names of the index may lack the tile.
    index = _by_day(folder / INDEX, tile) or _by_day(folder / INDEX, "")
    if lacking := [image.path.name for image in found if image.day not in index]:
        more = ", ..." if len(lacking) > 3 else ""
        raise InputError(f"{folder / INDEX}: has no file of the date of {', '.join(lacking[:3])}{more}; add it")
    found = [replace(image, index=index[image.day]) for image in found]
    return found


def _by_day(folder: Path, tile: str) -> dict[dt.date, Path]:
    found: dict[dt.date, Path] = {}
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in (".tif", ".tiff") and tile.upper() in p.name.upper()):
        if (match := DATE.search(path.name)) is None:
            continue
        try:
            day = dt.date(*map(int, match.groups()))
        except ValueError:
            continue
        if day in found:
            raise InputError(f"{path}: is of {day}, as {found[day].name} is; name one tile with --tile, or take one of them away")
        found[day] = path
    return found


def compose_folder(folder: Path, season_start: int, tile: str, out: Path) -> dict[str, Path | None]:
    """Write the composites of twelve months from September of a year on; months without an image have none.

    Finished files of the same images stay. InputError for images that do not fit each other or no image in the season, WorkError
    where GDAL fails.
    """
    images = images_of(folder, tile)
    periods = MonthsOfSpan.model_validate({"span": f"{season_start}-09-01/{season_start + 1}-08-31"})
    season = [image for image in images if periods.span.start <= image.day <= periods.span.end]
    if not season:
        first, last = images[0].day, images[-1].day
        raise InputError(
            f"{folder}: no image between {periods.span.start} and {periods.span.end}, they are of {first} to {last}; correct "
            "--season-start"
        )
    grid, names = _check(season)
    with writing(out, "--output"):
        out.mkdir(parents=True, exist_ok=True)
    made: dict[str, Path | None] = {}
    for month in MONTHS:
        period = periods.of(month)[0]
        some = [image for image in season if period.start <= image.day <= period.end]
        path = out / f"{tile or 'composite'}_{month}_{period}.tif"
        made[month] = path if some else None
        if not some:  # of images that are gone
            path.unlink(missing_ok=True)
        if some and not _is_there(path, said := _said(some)):
            _write_month(path, some, grid, names, {"month": str(period), "images": said, "title": "Monthly composite"})
    return made


def _said(images: Sequence[Image]) -> str:
    """What a composite is made of, as its file says."""
    files = [path for image in images for path in (image.path, image.index) if path is not None]
    facts = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return f"{len(images)} images, {digest_of(facts)}"


def _is_there(path: Path, said: str) -> bool:
    if not path.exists():
        return False
    try:
        with rasterio.open(path) as file:
            return bool(file.tags().get("images") == said)
    except RasterioError:
        return False


def _check(images: Sequence[Image]) -> tuple[GeoBox, tuple[str, ...]]:
    """Grid and bands that all images share; InputError where one differs."""
    grids: dict[GeoBox, Path] = {}
    bands: dict[tuple[int, tuple[str, ...]], Path] = {}
    for image in images:
        for path in (image.path, *([image.index] if image.index else [])):
            try:
                with rasterio.open(path) as file:
                    if file.crs is None:
                        raise InputError(f"{path}: has no reference system; prepare it anew")
                    grids.setdefault(GeoBox(file.shape, file.transform, file.crs.to_wkt()), path)
                    if path == image.index and file.count != 1:
                        raise InputError(f"{path}: has {file.count} bands, a leaf area index has one; correct it")
                    if path == image.path:
                        if set(file.dtypes) != {"uint16"}:
                            raise InputError(f"{path}: holds {file.dtypes[0]}, not uint16, reflectance x 10 000; prepare it anew")
                        bands.setdefault((file.count, tuple(d or "" for d in file.descriptions)), path)
            except RasterioError as error:
                raise InputError(f"{path}: cannot be read ({' '.join(str(error).split())}); mend it or take it away") from None
    for what, found in (("grid is", grids), ("bands are", bands)):
        if len(found) > 1:
            first, other, *_ = found.values()
            raise InputError(f"{other}: its {what} not that of {first.name}; prepare both alike")
    (grid,), ((_, names),) = grids, bands
    return grid, names


def _write_month(path: Path, images: Sequence[Image], grid: GeoBox, names: tuple[str, ...], tags: Mapping[str, str]) -> None:
    rows, columns = grid.shape.yx
    step = max(LEAST_ROWS, STRIP_BYTES // (len(images) * columns * 4))
    draft, hidden = path.with_name(f".{path.name}.draft"), path.with_name(f".{path.name}.made")
    try:
        with rasterio.open(draft, "w", **draft_form(grid, len(names), "uint16", 0)) as target:
            for first in range(0, rows, step):
                window = Window(0, first, columns, min(step, rows - first))
                clear = np.stack([_clear(image, window) for image in images], axis=1)
                for band in range(1, len(names) + 1):
                    stack = np.stack([_read(image.path, band, window) for image in images], axis=1)
                    target.write(median_of_looks(stack, clear), band, window=window)
            target.descriptions, target.scales = [name or None for name in names], (1e-4,) * len(names)
            target.update_tags(**tags)
        copy_as_cog(draft, hidden, Resampling.average)
        hidden.replace(path)
    except RasterioError as error:
        raise WorkError(f"{path}: GDAL failed ({' '.join(str(error).split())})") from None
    finally:
        draft.unlink(missing_ok=True)
        hidden.unlink(missing_ok=True)


def _read(path: Path, band: int, window: Window) -> np.ndarray:
    try:
        with rasterio.open(path) as file:
            values: np.ndarray = file.read(band, window=window)
            if file.nodata:
                values[values == file.nodata] = 0
    except RasterioError as error:
        raise WorkError(f"{path}: cannot be read ({' '.join(str(error).split())}); mend it or take it away") from None
    return values


def _clear(image: Image, window: Window) -> np.ndarray:
    """1 where the leaf area index has a value, (y, x) uint8; everywhere without one."""
    if image.index is None:
        return np.ones((window.height, window.width), "uint8")
    with rasterio.open(image.index) as file:
        values = file.read(1, window=window, masked=True)
        known = ~np.ma.getmaskarray(values) & np.isfinite(values.filled(np.nan) if values.dtype.kind == "f" else values.data)
        return (known & (values.data > 0 if file.nodata is None else True)).astype("uint8")
