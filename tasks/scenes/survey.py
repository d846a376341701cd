"""Headers of the files of scenes, before their pixels are used: extent, readability, agreement."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import rasterio
from pyproj.exceptions import ProjError
from rasterio.shutil import copy
from rasterio.windows import Window

from imperv.grids import CRS, Bounds
from imperv.tasks.errors import SceneError, WorkError
from imperv.tasks.projections import moved
from imperv.tasks.scenes.access import LOCAL, environment, files_at_once, gdal_path, is_remote, patiently
from imperv.tasks.scenes.reading import data_bands, extent, is_masked, read_valid
from imperv.tasks.scenes.scenes import BANDS, SCL, Scene
from imperv.tasks.scenes.streams import require_whole, streamable
from imperv.tasks.settings.scenes import SceneAccess

MARGIN = 100
"""Metres added around a raster, for the curvature of its edges in another reference system."""

SKIPPED = "another file of the scene cannot be had"

AGREE = 1.5
"""Pixels by which the edges of two bands of a scene may differ: extents of 10 and 20 m bands round differently."""

DRIVERS = ("GTiff", "JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID")
"""Accepted GDAL drivers; other formats can refer to other files, and to other servers."""

LARGEST = 20_000
"""Edge in pixels beyond which a file is no Sentinel-2 granule, which has 10 980."""


CLASSES = range(1, 12)
"""Classes of SCL that mean something; 0 is no data."""

NODATA = re.compile(rb"<NoDataValue>([^<]+)</NoDataValue>")
"""In the description of a raster by GDAL."""


class HasFiles(Protocol):
    """A scene of any sensor."""

    @property
    def id(self) -> str:
        """Its name."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Its files."""


@dataclass(frozen=True)
class Header:
    """Header of a file."""

    crs: str
    """Well-known text; empty if it has none."""
    bounds: Bounds
    """In its own reference system."""
    pixel: float
    """Edge of a pixel in units of the reference system."""
    dtype: str
    nodata: float | None = None
    """Value without data that it declares; None if it declares none."""
    masked: bool = False
    """True where a mask or an alpha band says where there is data."""
    layers: int = 1
    """Bands of the file, an alpha band left out."""
    stated: float = 0
    """Value without data that the item of the scene states."""


@dataclass(frozen=True)
class Survey:
    """Findings from the headers of all files of some scenes."""

    bounds: dict[str, Bounds] = field(default_factory=dict)
    """(left, bottom, right, top) of sound scenes in EPSG:3035, by id; none where unknown."""
    lost: dict[str, str] = field(default_factory=dict)
    """Scenes that cannot be used, by id, and why."""


def survey(scenes: Iterable[Scene], workers: int, access: SceneAccess = LOCAL, needed: Sequence[str] = BANDS) -> Survey:
    """Look at the header of every file, and at the end of local ones, which those cut short lack.

    `workers` local files are opened at once, of remote files `access.concurrency`. WorkError if a server does not answer: no
    scene is lost by that.
    """
    scenes = list(scenes)
    found = Survey()
    gone: set[str] = set()

    def header(scene: Scene, band: str) -> Header:
        # The other files of a scene are not waited for when one cannot be had.
        if scene.id in gone:
            raise SceneError(scene.id, SKIPPED)
        try:
            return _header(scene, band, access)
        except SceneError:
            gone.add(scene.id)
            raise

    with ThreadPoolExecutor(files_at_once(_paths(scenes), workers, access), "survey") as pool:
        # All files of a scene at once, or few scenes on a slow server would be waited for one file after the other.
        asked = [{band: pool.submit(header, s, band) for band in _in_order(needed)} for s in scenes]
        try:
            for scene, headers in zip(scenes, asked, strict=True):
                try:
                    bands = _results(headers)
                    if trouble := disagreement(bands):
                        found.lost[scene.id] = trouble
                    elif box := _on_the_grid(bands):
                        found.bounds[scene.id] = box
                except SceneError as error:
                    found.lost[scene.id] = error.reason
        finally:
            pool.shutdown(cancel_futures=True)
    return found


def _results(headers: Mapping[str, Future[Header]]) -> dict[str, Header]:
    """Headers of all bands; the error is that of the first band that could not be had by itself."""
    wait(headers.values())
    errors = [error for future in headers.values() if (error := future.exception()) is not None]
    if errors:
        raise next((e for e in errors if not (isinstance(e, SceneError) and e.reason == SKIPPED)), errors[0])
    return {band: future.result() for band, future in headers.items()}


def _paths(scenes: Iterable[Scene]) -> Iterator[str]:
    return (path for scene in scenes for path in scene.bands.values())


def _in_order(needed: Sequence[str]) -> list[str]:
    """Bands, the classification first."""
    return sorted(needed, key=lambda band: band != SCL)


def _header(scene: Scene, band: str, access: SceneAccess) -> Header:
    path = scene.bands.get(band)
    if path is None:
        raise SceneError(scene.id, f"{band} is missing")
    if not is_remote(path) and "://" not in path and not path.startswith("/vsi") and not Path(path).is_file():
        raise SceneError(scene.id, f"{path} does not exist")

    def read() -> Header:
        with environment(access, path), rasterio.open(gdal_path(path)) as source:
            if source.driver not in DRIVERS:
                raise SceneError(scene.id, f"{path} is a {source.driver}, neither GeoTIFF nor JPEG 2000")
            if max(source.shape) > LARGEST:
                raise SceneError(scene.id, f"{path} has {source.width} x {source.height} pixels, a granule at most 10980 x 10980")
            if streamable(path) and source.driver == "GTiff":
                require_whole(source, path)
            elif not is_remote(path):
                read_valid(source, _last_pixel(source))
            crs = source.crs.to_wkt() if source.crs else ""
            masked = is_masked(source)
            return Header(
                crs, extent(source), source.res[0], source.dtypes[0], _declared(source), masked, data_bands(source),
                scene.nodata.get(band, 0),
            )  # fmt: skip

    return patiently(path, scene.id, access, read)


def _last_pixel(source: rasterio.DatasetReader) -> Window:
    return Window(source.width - 1, source.height - 1, 1, 1)


def _declared(source: rasterio.DatasetReader) -> float | None:
    """Value without data of a header, to the letter: rasterio passes over one that no pixel can have."""
    if source.nodata is not None:
        return float(source.nodata)
    with rasterio.MemoryFile(ext=".vrt") as memory:
        copy(source, memory.name, driver="VRT")
        found = NODATA.search(memory.read())
    return float(found[1]) if found else None


def disagreement(bands: dict[str, Header]) -> str:
    """Contradiction between the files of a scene; empty if there is none."""
    first_band, first = next(iter(bands.items()))
    for band, header in bands.items():
        kind = "uint8" if band == SCL else "uint16"
        if header.dtype != kind:
            return f"{band} holds {header.dtype}, not {kind}"
        if header.layers != 1:
            return f"{band} holds {header.layers} bands, not one"
        if not header.crs:
            return f"{band} has no coordinate reference system"
        if header.crs != first.crs:
            names = (rasterio.crs.CRS.from_wkt(h.crs).to_string() for h in (header, first))
            if len(set(shown := list(names))) > 1:
                return f"{band} is in {shown[0]}, {first_band} in {shown[1]}"
        allowed = AGREE * max(header.pixel, first.pixel)
        if max(abs(a - b) for a, b in zip(header.bounds, first.bounds, strict=True)) > allowed:
            return f"{band} covers {_extent(header)}, {first_band} {_extent(first)}"
    return _without_data(bands)


def _without_data(bands: dict[str, Header]) -> str:
    """Impossible or contradicting no-data values of a scene; empty if there are none."""
    declared: dict[float, str] = {}
    for band, header in bands.items():
        value, says_all = header.nodata, header.nodata is None and header.masked
        if value is not None and not (value.is_integer() and 0 <= value <= np.iinfo(header.dtype).max):
            return f"{band} says that {value:g} is no data, which no pixel of {header.dtype} can be"
        if header.stated not in (value or 0, 0) and not says_all:
            return f"{band} has {value or 0:g} for no data, its item {header.stated:g}"
        if band == SCL:
            if value in CLASSES:
                return f"{band} says that its class {value:g} is no data"
        elif not says_all:
            declared.setdefault(value or 0, band)
    if len(declared) > 1:
        (one, first), (other, second) = list(declared.items())[:2]
        return f"{first} has {one:g} for no data, {second} {other:g}"
    return ""


def _extent(header: Header) -> str:
    left, bottom, right, top = header.bounds
    return f"{right - left:g} x {top - bottom:g} m from {left:g}, {top:g}"


def _on_the_grid(bands: dict[str, Header]) -> Bounds | None:
    """Extent of a scene in EPSG:3035, a little wider; None where unknown."""
    header = bands[SCL]
    try:
        left, bottom, right, top = moved(header.bounds, header.crs, str(CRS))
    except ProjError:
        return None
    if not np.isfinite((left, bottom, right, top)).all():
        return None
    return left - MARGIN, bottom - MARGIN, right + MARGIN, top + MARGIN


def damaged(scenes: Iterable[HasFiles], workers: int, access: SceneAccess = LOCAL) -> dict[str, str]:
    """Scenes of which pixels cannot be read, and why: all pixels of local files, of remote ones the last, which costs a block."""

    def trouble(scene: HasFiles) -> str:
        try:
            for path in scene.paths:
                _read_through(path, scene.id, access)
        except SceneError as error:
            return error.reason
        return ""

    scenes = list(scenes)
    with ThreadPoolExecutor(files_at_once((path for s in scenes for path in s.paths), workers, access), "damage") as pool:
        found = zip(scenes, pool.map(trouble, scenes), strict=True)
        return {scene.id: why for scene, why in found if why}


def _read_through(path: str, scene: str, access: SceneAccess) -> None:
    def read() -> None:
        with environment(access, path), rasterio.open(gdal_path(path)) as source:
            if is_remote(path):
                read_valid(source, _last_pixel(source))
                return
            for _, window in source.block_windows(1):
                read_valid(source, window)

    patiently(path, scene, access, read)


def readable(scenes: Iterable[HasFiles], workers: int, access: SceneAccess = LOCAL) -> set[str]:
    """Ids of scenes that were lost and whose files look sound now; none while a server is silent."""
    scenes = list(scenes)
    hasty = access.model_copy(update={"patience": 0.0})
    try:
        lost = survey((s for s in scenes if isinstance(s, Scene)), workers, hasty).lost
        sound = [scene for scene in scenes if scene.id not in lost]
        lost |= damaged(sound, workers, hasty)
    except WorkError:
        return set()
    return {scene.id for scene in sound} - lost.keys()
