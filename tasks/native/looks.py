"""Looks of Sentinel-2 on the native UTM grid: pixels as the instrument gave them, and a mask of what they show.

A look is an overpass. Its granules fill each other pixel by pixel, the newest processing first; a granule of another UTM zone
fills only what no granule of the grid's zone shows. Nothing is resampled but that.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from odc.geo.geobox import GeoBox

from imperv.layers.reflectance import REFLECTANCE_20M, SCL, shift_offset
from imperv.tasks.errors import InputError, SceneError
from imperv.tasks.native.pixels import CIRRUS, OPAQUE, SNOWY, grid_epsg, place_of, read_classi, read_native
from imperv.tasks.scenes.access import LOCAL, files_at_once
from imperv.tasks.scenes.bands import CLASSI, PIXEL
from imperv.tasks.scenes.identifiers import OWN_BASELINE
from imperv.tasks.scenes.scenes import Scene, SceneList
from imperv.tasks.settings.scenes import SceneAccess

NO_DATA, CLEAR, CLOUD, SHADOW, SNOW, RESAMPLED = range(6)
"""Codes of a mask: no data; clear; cloud; cloud shadow; snow or ice; clear, but resampled from another UTM zone."""

SATURATED = 65535
"""Digital number of a pixel that was too bright for the detector, in all products; it stays, offset or not."""

CODES = np.zeros(256, "uint8")
CODES[[1, 2, 4, 5, 6, 7]] = CLEAR
CODES[[8, 9, 10]] = CLOUD
CODES[3] = SHADOW
CODES[11] = SNOW
"""Mask code of a class of SCL. Saturated pixels, dark areas and what is unclassified show the ground."""

READERS = 2
"""Looks whose masks are read at once from local files."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """Granules of one overpass as the instrument gave them."""

    scenes: tuple[Scene, ...]
    """The newest processing first."""

    @property
    def level(self) -> str:
        """``L2A``, surface reflectance, or ``L1C``, top of the atmosphere."""
        return self.scenes[0].level

    @property
    def day(self) -> dt.date:
        """Day of acquisition, UTC."""
        return self.scenes[0].day

    @property
    def name(self) -> str:
        """Satellite, day and MGRS tiles, such as ``S2A 2021-06-12 32TPS 32TPT``."""
        platform = self.scenes[0].overpass.partition("|")[0].upper().replace("SENTINEL-", "S")
        tiles = sorted({scene.mgrs for scene in self.scenes} - {""})
        return " ".join((*([] if platform in ("", "?") else [platform]), str(self.day), *tiles))

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands of reflectance that all granules have."""
        return tuple(band for band in PIXEL if band != SCL and all(band in scene.bands for scene in self.scenes))

    @property
    def masked(self) -> bool:
        """Whether clouds are known of every granule: by the scene classification, or the mask of Level-1C."""
        return all(_mask_band(scene) for scene in self.scenes)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know of it."""
        blind = [scene.id for scene in self.scenes if not _mask_band(scene)]
        return tuple(f"scene {name} has no mask of clouds: all of its pixels with data count as clear" for name in blind)


def looks_of(scenes: SceneList) -> list[Look]:
    """Overpasses in order of time."""
    return [Look(_newest_first(group)) for group in scenes.overpasses.values()]


def _newest_first(scenes: Sequence[Scene]) -> tuple[Scene, ...]:
    # Python's sort is stable: of one baseline the order of the overpass.
    return tuple(sorted(scenes, key=lambda s: s.baseline.replace(OWN_BASELINE, ""), reverse=True))


def check_bands(look: Look, names: Sequence[str], access: SceneAccess = LOCAL) -> None:
    """Look at the headers of all files of a look; errors as `read_native`, and InputError for a band that a granule lacks."""
    for scene in look.scenes:
        for name in (*names, *([SCL] if _mask_band(scene) == SCL else [])):
            place_of(_file(scene, name), scene.id, name, access)


def bands_of(look: Look, names: Sequence[str], grid: GeoBox, access: SceneAccess = LOCAL) -> np.ndarray:
    """Bands of a look on its native grid, (band, y, x) uint16: reflectance x 10 000 without offset, 0 no data.

    All `names` are measured at the pixel size of the grid, whose edges lie on pixels of the granules (`utm_geobox`). Saturated
    pixels are `SATURATED`. ValueError for bands of another pixel size; InputError and SceneError as `read_native`, and
    InputError for a band that a granule lacks.
    """
    if wrong := [name for name in names if PIXEL[name] != abs(grid.resolution.x)]:
        raise ValueError(f"{', '.join(wrong)}: not measured at the {abs(grid.resolution.x):g} m of the grid")
    out = np.zeros((len(names), *grid.shape.yx), "uint16")
    for scene in _own_zone_first(look.scenes, grid, access):
        for name, band in zip(names, out, strict=True):
            if not (missing := band == 0).any():
                continue
            found = read_native(_file(scene, name), scene.id, name, grid, stated=scene.nodata.get(name, 0), access=access)
            np.copyto(band, without_offset(found.pixels, scene.subtract), where=missing)
    return out


def without_offset(pixels: np.ndarray, subtract: int) -> np.ndarray:
    """Digital numbers without the offset: `shift_offset`, but saturated pixels stay `SATURATED`."""
    shifted = shift_offset(pixels, subtract)
    shifted[pixels == SATURATED] = SATURATED
    return shifted


def saturated(names: Sequence[str], values: np.ndarray) -> dict[str, int]:
    """Saturated pixels of each band of `bands_of`, those that have any."""
    counts = zip(names, (values == SATURATED).sum(axis=(1, 2)), strict=True)
    return {name: int(count) for name, count in counts if count}


def _file(scene: Scene, band: str) -> str:
    if band not in scene.bands:
        raise InputError(f"scene {scene.id}: has no {band}; name a scene that has it, or leave the band out")
    return scene.bands[band]


def _own_zone_first(scenes: Sequence[Scene], grid: GeoBox, access: SceneAccess) -> list[Scene]:
    """Granules of the grid's zone, then others."""
    return sorted(scenes, key=lambda s: zone_of(s, access) != grid_epsg(grid)) if len(scenes) > 1 else list(scenes)


def zone_of(scene: Scene, access: SceneAccess = LOCAL) -> int:
    """EPSG code of a scene's UTM zone, by its MGRS tile, or else by a file."""
    if scene.mgrs:
        return (32600 if scene.mgrs[2] >= "N" else 32700) + int(scene.mgrs[:2])
    band = data_band(scene)
    return place_of(scene.bands[band], scene.id, band, access).epsg


def data_band(scene: Scene) -> str:
    """A band of 20 m of a scene; InputError where it has none."""
    band = next((b for b in REFLECTANCE_20M if b in scene.bands), "")
    if not band:
        raise InputError(f"scene {scene.id}: has no bands of 20 m; name a scene that has them")
    return band


def _mask_band(scene: Scene) -> str:
    """What tells its clouds; empty where nothing does."""
    return next((band for band in (SCL, CLASSI) if band in scene.bands), "")


def mask_of(look: Look, grid20: GeoBox, access: SceneAccess = LOCAL, codes: np.ndarray = CODES) -> np.ndarray:
    """What each pixel of 20 m shows, (y, x) uint8: `NO_DATA`, `CLEAR`, `CLOUD`, `SHADOW`, `SNOW` or `RESAMPLED`.

    From the scene classification by a table of 256 `codes`, or the mask of Level-1C (which knows no shadows); a look without
    either is clear wherever it has data (`Look.warnings`).
    """
    mask = np.zeros(grid20.shape.yx, "uint8")
    for scene in _own_zone_first(look.scenes, grid20, access):
        if not (missing := mask == NO_DATA).any():
            break
        np.copyto(mask, _codes(scene, grid20, access, codes), where=missing)
    return mask


def _codes(scene: Scene, grid20: GeoBox, access: SceneAccess, table: np.ndarray) -> np.ndarray:
    """Mask of one granule."""
    band = SCL if SCL in scene.bands else data_band(scene)
    found = read_native(scene.bands[band], scene.id, band, grid20, stated=scene.nodata.get(band, 0), access=access)
    codes = table[found.pixels] if band == SCL else np.where(found.pixels > 0, CLEAR, NO_DATA).astype("uint8")
    if band != SCL and CLASSI in scene.bands:
        bits = read_classi(scene.bands[CLASSI], scene.bands[band], scene.id, grid20, access)
        codes[(codes == CLEAR) & (bits & SNOWY > 0)] = SNOW
        codes[(codes != NO_DATA) & (bits & (OPAQUE | CIRRUS) > 0)] = CLOUD
    if not found.copied:
        codes[codes == CLEAR] = RESAMPLED
    return codes


def shows_ground(mask: np.ndarray) -> np.ndarray:
    """Where a mask says that the ground is seen, clear or resampled: bool."""
    return np.isin(mask, (CLEAR, RESAMPLED))


def rank_looks(
    scenes: SceneList,
    grid: GeoBox,
    access: SceneAccess = LOCAL,
    lost: dict[str, str] | None = None,
    inside: np.ndarray | None = None,
) -> list[tuple[Look, float, float]]:
    """Looks with the share of an area that has data, and the share that is clear (0 to 1): clearest first, then newest.

    The area is a grid, or the pixels of 20 m of it that are `inside`, (y, x) bool.
    A damaged look is left out, and named in `lost` with its reason; SceneError if all are.
    """
    grid20 = GeoBox.from_bbox(grid.boundingbox, resolution=20, tight=True)
    looks = looks_of(scenes)

    def shares(look: Look) -> tuple[Look, float, float] | SceneError:
        try:
            mask = mask_of(look, grid20, access)
        except SceneError as error:
            return error
        mask = mask if inside is None else mask[inside]
        return look, float((mask != NO_DATA).mean()), float(shows_ground(mask).mean())

    paths = (path for scene in scenes.scenes for path in scene.bands.values())
    with ThreadPoolExecutor(files_at_once(paths, READERS, access), "rank") as pool:
        found = list(pool.map(shares, looks))
    errors = [f for f in found if isinstance(f, SceneError)]
    if errors and len(errors) == len(found):
        raise errors[0]
    for error in errors:
        log.warning("%s; left out", error)
        if lost is not None:
            lost[error.scene] = error.reason
    newest = sorted((f for f in found if not isinstance(f, SceneError)), key=lambda f: (f[0].day, f[0].name), reverse=True)
    return sorted(newest, key=lambda f: (f[2], f[1]), reverse=True)
