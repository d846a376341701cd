"""What a person asks `imperv s2 change` for, and what of it cannot be met whatever the scenes are."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from imperv.layers.cva.classes import MOST_CLASSES
from imperv.layers.reflectance import REFLECTANCE_10M
from imperv.tasks.change.quiet import Method
from imperv.tasks.change.settings import AROUND, check_bands, check_reference
from imperv.tasks.engine import Engine
from imperv.tasks.errors import InputError, folder_trouble
from imperv.tasks.native.area import units_of_metre
from imperv.tasks.settings.periods import Period
from imperv.tasks.settings.production import EngineSettings, describe_bytes

LEAST_MEMORY = 2**30
"""Bytes that windows of two dates and blocks take, libraries included."""

RESOLUTIONS = (5.0, 500.0)
"""Pixel sizes that are written, metres."""

FORMS = {"COG": ".tif", "GTiff": ".tif", "HFA": ".img", "ENVI": ".dat", "netCDF": ".nc"}
"""GDAL's formats that can hold the results, with the endings of their files."""

Tell = Callable[[str, int, int], None]
"""Gets the step, what of it is done, and all."""


@dataclass(frozen=True)
class Source:
    """A date as a person names it."""

    path: str
    """Product, item or catalogue (`find_scenes`)."""
    day: Period | None
    """Date in it; None for the only one there is."""

    @classmethod
    def parse(cls, text: str) -> Source:
        """Read ``PATH`` or ``PATH@DATE``."""
        path, mark, day = text.rpartition("@")
        if not mark or not path:
            return cls(text, None)
        try:
            period = Period.parse(day)
        except ValueError:
            return cls(text, None)  # the mark is part of the name
        if period.start != period.end:
            raise InputError(f"{text}: {day} is no date like 2021-06-15")
        return cls(path, period)


@dataclass(frozen=True)
class Request:
    """What a person asks for."""

    first: str
    """The earlier date, `Source.parse`."""
    second: str
    """The later one."""
    out: Path
    """Folder of the files."""
    bands: tuple[str, ...] = REFLECTANCE_10M
    """That changes are computed from."""
    area: str = ""
    """Well-known text or vector file; all that both dates show without."""
    resolution: float = 10
    """Pixel size, metres."""
    projection: str = ""
    """Reference system; the UTM zone of the granules without."""
    classes: int = 4
    reference: tuple[float, ...] = ()
    """Vector that angles are measured from; 1, 0, 0, ... without."""
    confidence: float = 99.99
    """Percent."""
    threshold: Method = "auto"
    quiet: str = ""
    """Catalogue with dates around either date."""
    days: int = 20
    """Days around a date in which quiet pairs are looked for."""
    gap: int = 12
    """Most days between the dates of a quiet pair."""
    cloud_edge: float = 40
    """Metres around clouds that are left out."""
    form: str = "COG"
    """GDAL's name of the format."""
    memory: int = 4 * 2**30
    """Bytes to stay within."""
    workers: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    """Blocks at once."""

    @property
    def level(self) -> float:
        """Nominal share of false alarms."""
        return round(1 - self.confidence / 100, 12)


def checked(request: Request) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Bands and reference vector of a request; InputError where it cannot be met, whatever the scenes are."""
    try:
        bands = check_bands(request.bands)
    except ValueError as error:
        raise InputError(f"--bands: {error}") from None
    try:
        reference = check_reference(request.reference, bands)
    except ValueError as error:
        raise InputError(f"--reference {error}") from None
    if not 50 <= request.confidence < 100:
        raise InputError(f"--confidence: {request.confidence:g} is not between 50 and 100 percent, 100 excluded; 99.99 is usual")
    if not 1 <= request.classes <= MOST_CLASSES:
        raise InputError(f"--classes: {request.classes} is not between 1 and {MOST_CLASSES}")
    if not RESOLUTIONS[0] <= request.resolution <= RESOLUTIONS[1]:
        raise InputError(
            f"--resolution: {request.resolution:g} m is not between {RESOLUTIONS[0]:g} and {RESOLUTIONS[1]:g} m; 10 m is usual"
        )
    if not 0 <= request.cloud_edge <= 1000:
        raise InputError(f"--cloud-edge: {request.cloud_edge:g} m is not between 0 and 1000 m")
    if not 0 <= request.days <= AROUND:
        raise InputError(f"--days: {request.days} is not between 0 and {AROUND}")
    if request.threshold == "quiet" and not request.quiet:
        raise InputError("--threshold quiet needs dates around either date; name their catalogue with --quiet")
    if request.projection and units_of_metre(request.projection) is None:
        raise InputError(f"--projection: {request.projection} is no reference system of a map, such as EPSG:3035")
    if request.form not in FORMS:
        raise InputError(f"--format: {request.form} is none of {', '.join(FORMS)}")
    if request.out.exists() and not request.out.is_dir():
        raise InputError(f"--output: {request.out} is a file; name a folder")
    if trouble := folder_trouble(request.out.parent):
        raise InputError(f"--output: {trouble}")
    if request.memory < LEAST_MEMORY:
        raise InputError(
            f"--memory: {describe_bytes(request.memory)} are too few; at least {describe_bytes(LEAST_MEMORY)} are needed"
        )
    return bands, reference


def engine_of(request: Request, step: str, tell: Tell) -> Engine:
    """Computes blocks of a step within the memory."""
    settings = EngineSettings(memory=request.memory, workers=request.workers)
    return Engine(settings, lambda done, total: tell(step, done, total))
