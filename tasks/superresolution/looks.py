"""Looks of Sentinel-2 on the native UTM grid: pixels as the instrument gave them, and a mask of what they show.

A look is an overpass. Its granules fill each other pixel by pixel, the newest processing first; a granule of another UTM zone
fills only what no granule of the grid's zone shows. Nothing is resampled but that.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from odc.geo.geobox import GeoBox

from imperv.layers.reflectance import REFLECTANCE_20M, SCL, shift_offset
from imperv.tasks.errors import InputError
from imperv.tasks.scenes.access import LOCAL
from imperv.tasks.scenes.identifiers import OWN_BASELINE
from imperv.tasks.scenes.native import PIXEL, grid_epsg, read_native
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


@dataclass(frozen=True)
class Look:
    """Granules of one overpass as the instrument gave them."""

    scenes: tuple[Scene, ...]
    """The newest processing first."""
    level: str = "L2A"
    """``L2A``, surface reflectance, or ``L1C``, top of the atmosphere."""

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


def looks_of(scenes: SceneList, level: str = "L2A") -> list[Look]:
    """Overpasses in order of time."""
    return [Look(_newest_first(group), level) for group in scenes.overpasses.values()]


def _newest_first(scenes: Sequence[Scene]) -> tuple[Scene, ...]:
    # Python's sort is stable: of one baseline the order of the overpass.
    return tuple(sorted(scenes, key=lambda s: s.baseline.replace(OWN_BASELINE, ""), reverse=True))


def bands_of(look: Look, names: Sequence[str], grid: GeoBox, access: SceneAccess = LOCAL) -> np.ndarray:
    """Bands of a look on its native grid, (band, y, x) uint16: reflectance x 10 000 without offset, 0 no data.

    All `names` are measured at the pixel size of the grid, whose edges lie on pixels of the granules. Saturated pixels are
    `SATURATED`. ValueError for bands of another pixel size; InputError and SceneError as `read_native`, and InputError for a
    band that a granule lacks.
    """
    if wrong := [name for name in names if PIXEL[name] != abs(grid.resolution.x)]:
        raise ValueError(f"{', '.join(wrong)}: not measured at the {abs(grid.resolution.x):g} m of the grid")
    out = np.zeros((len(names), grid.shape.y, grid.shape.x), "uint16")
    for scene in _own_zone_first(look.scenes, grid):
        for k, name in enumerate(names):
            missing = out[k] == 0
            if not missing.any():
                continue
            found = read_native(_file(scene, name), scene.id, name, grid, stated=scene.nodata.get(name, 0), access=access)
            np.copyto(out[k], without_offset(found.pixels, scene.subtract), where=missing)
    return out


def without_offset(pixels: np.ndarray, subtract: int) -> np.ndarray:
    """Digital numbers without the offset: `shift_offset`, but saturated pixels stay `SATURATED`."""
    shifted = shift_offset(pixels, subtract)
    shifted[pixels == SATURATED] = SATURATED
    return shifted


def _file(scene: Scene, band: str) -> str:
    if band not in scene.bands:
        raise InputError(f"scene {scene.id}: has no {band}; name a scene that has it, or leave the band out")
    return scene.bands[band]


def _own_zone_first(scenes: Sequence[Scene], grid: GeoBox) -> list[Scene]:
    """Granules of the grid's zone, then others; what does not tell its tile counts to the zone."""
    return sorted(scenes, key=lambda s: zone_of(s) not in (0, grid_epsg(grid)))


def zone_of(scene: Scene) -> int:
    """EPSG code of a scene's UTM zone by its MGRS tile; 0 where that is unknown."""
    if not scene.mgrs:
        return 0
    return (32600 if scene.mgrs[2] >= "N" else 32700) + int(scene.mgrs[:2])


def mask_of(look: Look, grid20: GeoBox, access: SceneAccess = LOCAL) -> np.ndarray:
    """What each pixel of 20 m shows, (y, x) uint8: `NO_DATA`, `CLEAR`, `CLOUD`, `SHADOW`, `SNOW` or `RESAMPLED`.

    From the scene classification; a look without one is clear wherever it has data (`Look.masked`).
    """
    mask = np.zeros((grid20.shape.y, grid20.shape.x), "uint8")
    for scene in _own_zone_first(look.scenes, grid20):
        missing = mask == NO_DATA
        if not missing.any():
            break
        found = _codes(scene, grid20, access)
        np.copyto(mask, found, where=missing)
    return mask


def _codes(scene: Scene, grid20: GeoBox, access: SceneAccess) -> np.ndarray:
    """Mask of one granule."""
    band = SCL if SCL in scene.bands else next((b for b in REFLECTANCE_20M if b in scene.bands), "")
    if not band:
        raise InputError(f"scene {scene.id}: has no bands of 20 m; name a scene that has them")
    found = read_native(scene.bands[band], scene.id, band, grid20, stated=scene.nodata.get(band, 0), access=access)
    codes = CODES[found.pixels] if band == SCL else np.where(found.pixels > 0, CLEAR, NO_DATA).astype("uint8")
    return codes if found.copied else np.where(codes == CLEAR, RESAMPLED, codes).astype("uint8")


def rank_looks(scenes: SceneList, grid: GeoBox, access: SceneAccess = LOCAL) -> list[tuple[Look, float, float]]:
    """Looks with the share of an area that has data, and the share that is clear (0 to 1): clearest first, then newest."""
    grid20 = grid.zoom_to(resolution=20)
    found = []
    for look in looks_of(scenes):
        mask = mask_of(look, grid20, access)
        found.append((look, float((mask != NO_DATA).mean()), float(np.isin(mask, (CLEAR, RESAMPLED)).mean())))
    newest = sorted(found, key=lambda f: (f[0].day, f[0].name), reverse=True)
    return sorted(newest, key=lambda f: (f[2], f[1]), reverse=True)
