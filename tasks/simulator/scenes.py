"""Pixels of a simulated overpass in a granule: reflectance of ten bands and the scene classification (SCL)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from imperv.tasks.simulator.covers import BANDS, ROOF, ROUGHNESS, Cover, reflectance
from imperv.tasks.simulator.granules import Granule, Scenery, local_coordinates, scenery
from imperv.tasks.simulator.landscape import MARGIN, Landscape
from imperv.tasks.simulator.sky import CLOUD, HAZE, Overpass, Weather, fractal

TEXTURE = 512
"""Edge of the periodic texture of the ground, pixels of 10 m."""

NOISE = 0.0018
"""Noise of a band, reflectance (signal-to-noise ratio of about 100 over dark land, as specified for MSI)."""

Floats = NDArray[np.float32]

_SPREAD = {
    Cover.TILE_ROOF: 0.14, Cover.DARK_ROOF: 0.22, Cover.METAL_ROOF: 0.28, Cover.ASPHALT: 0.17, Cover.CONCRETE: 0.18,
    Cover.WINTER_CROP: 0.14, Cover.SUMMER_CROP: 0.14, Cover.BARE: 0.15, Cover.CLEARCUT: 0.12, Cover.GRAVEL: 0.12,
}  # fmt: skip


@dataclass(frozen=True)
class Traits:
    """How each object of a landscape differs from the mean of its cover in a year."""

    cover: NDArray[np.int64]
    """Cover."""
    gain: Floats
    """Relative brightness."""
    lush: Floats
    """Relative vigour."""
    late: Floats
    """Delay of the season, fraction of the year."""
    habit: Floats
    """Management, 0..1."""

    def table(self, numbers: NDArray[np.int64], seen: Overpass, wet: float, seed: tuple[int, ...]) -> Floats:
        """Reflectance (object, band) of some objects at an overpass."""
        # Noise of a date is drawn for all objects, so that it does not depend on how the site is cut.
        jitter = np.random.default_rng([*seed, 13, seen.when.year, seen.number]).standard_normal(len(self.cover), np.float32)
        lush = self.lush[numbers] * (1 + 0.03 * jitter[numbers])
        return reflectance(self.cover[numbers], seen.time, wet, self.late[numbers], self.habit[numbers], self.gain[numbers], lush)


def traits(land: Landscape, year: int) -> Traits:
    """Traits of all objects; brightness and habits stay from year to year, seasons shift."""
    rng, n = np.random.default_rng([*land.seed, 3]), len(land.drawing)
    cover = land.drawing.cover[year].astype(np.int64)
    spread = np.array([_SPREAD.get(c, 0.06) for c in Cover], np.float32)[cover]
    gain = np.exp(spread * rng.standard_normal(n, np.float32))
    lush = np.clip(1 + 0.09 * rng.standard_normal(n, np.float32), 0.6, 1.2)
    late = 0.016 * rng.standard_normal(n, np.float32)
    habit = rng.random(n, np.float32)
    rng = np.random.default_rng([*land.seed, 4, year])
    late = late + np.float32(0.010 * rng.standard_normal()) + 0.006 * rng.standard_normal(n, np.float32)
    lush = lush * (1 + 0.03 * rng.standard_normal(n, np.float32))
    return Traits(cover, gain, lush, late, habit)


@dataclass(frozen=True)
class Ground:
    """What a strip of a granule sees in a year, at 10 m and 20 m: all that does not change from date to date."""

    sceneries: tuple[Scenery, Scenery]
    numbers: tuple[NDArray[np.int64], NDArray[np.int64]]
    x: tuple[NDArray, NDArray]
    y: tuple[NDArray, NDArray]
    texture: tuple[Floats, Floats]
    """Relative brightness and relative near infrared (rows, columns, 2)."""
    roofs: tuple[Floats, Floats]
    """Share of buildings around a pixel, for the shadows they cast."""


def ground(land: Landscape, granule: Granule, rows: slice, year: int, corner: tuple[float, float]) -> Ground:
    """Sample a landscape for some rows (10 m, even numbers) of a granule."""
    rng = np.random.default_rng([*land.seed, 5])
    pattern = np.stack([fractal(rng, TEXTURE, 1.6, 30), fractal(rng, TEXTURE, 2.2, 60)], axis=-1)
    parts = []
    for pixel in (10.0, 20.0):
        part = rows if pixel == 10 else slice(rows.start // 2, rows.stop // 2)
        x, y = local_coordinates(granule, part, pixel, corner)
        seen, numbers = scenery(land.drawing, year, x, y, pixel, land.extent, MARGIN)
        cover = land.drawing.cover[year][numbers]
        static = seen.mix(np.stack([ROUGHNESS[cover], ROOF[cover]], axis=1).astype(np.float32))
        at = np.mod((y // 10).astype(np.int64), TEXTURE), np.mod((x // 10).astype(np.int64), TEXTURE)
        texture = pattern[at] * static[..., :1] * np.array([0.8, 0.6] if pixel == 10 else [0.6, 0.5], np.float32)
        roofs = cv2.GaussianBlur(np.ascontiguousarray(static[..., 1]), (0, 0), 15 / pixel)
        parts.append((seen, numbers, x, y, texture, roofs))
    return Ground(*zip(*parts, strict=True))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Picture:
    """Pixels of an overpass in a strip of a granule."""

    reflectance: dict[str, Floats]
    """Band -> reflectance; below 0 where there is no data."""
    scl: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    """Scene classification of an ordinary and of a more careful processing."""


def render(land: Landscape, of: Ground, look: Traits, seen: Overpass, clouds: Weather, elevation: float, index: int) -> Picture:
    """One overpass over a strip; the sun's `elevation` in degrees; `index`, one for each strip of each granule, seeds noise."""
    common = np.random.default_rng([*land.seed, 14, seen.when.year, seen.number])
    wet = float(np.clip(common.normal(0.55 + 0.3 * math.cos(2 * math.pi * seen.time), 0.25), 0, 1))
    gain = 1 + 0.020 * common.standard_normal() - 0.03 * math.cos(2 * math.pi * seen.time)
    tilt = 0.010 * common.standard_normal(len(BANDS), np.float32)
    rng = np.random.default_rng([*land.seed, 15, seen.when.year, seen.number, index])
    drift = rng.uniform(-2.5, 2.5, 2)  # Relative registration of MSI: better than 0.3 pixels.
    shadows = 0.10 * min(1 / math.tan(math.radians(max(elevation, 10))), 3.5)
    bands: dict[str, Floats] = {}
    nothing = []
    for k, names in enumerate((BANDS[:4], BANDS[4:])):
        pixel, columns = (10, 20)[k], slice(0, 4) if k == 0 else slice(4, 10)
        table = look.table(of.numbers[k], seen, wet, land.seed)[:, columns]
        refl = of.sceneries[k].mix(table)
        infrared = np.array([0.2, 0.2, -0.4, 1] if k == 0 else [0.1, 0.8, 1, 1, -0.3, -0.4], np.float32)
        refl *= 1 + of.texture[k][..., :1] + of.texture[k][..., 1:] * infrared
        refl *= (gain * (1 - shadows * of.roofs[k]))[..., None] * (1 + tilt[columns])
        x, y = of.x[k], of.y[k]
        shift = np.array([[1, 0, drift[0] / pixel], [0, 1, drift[1] / pixel]])
        for piece in range(0, refl.shape[2], 3):  # OpenCV moves at most four bands at once.
            part = np.ascontiguousarray(refl[..., piece : piece + 3])
            moved = cv2.warpAffine(part, shift, part.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
            refl[..., piece : piece + 3] = moved.reshape(part.shape)
        alpha, shade = clouds.sample(clouds.alpha, x, y), clouds.sample(clouds.shade, x, y)
        bright, haze = clouds.sample(clouds.bright, x, y), clouds.sample(clouds.haze, x, y)
        light = 1 - shade * (1 - alpha)
        # Cirrus hardly shows in the short-wave infrared; water cloud does.
        for b, name in enumerate(names):
            opaque = alpha * (0.35 if clouds.thin and name in ("B11", "B12") else 1.0)
            value = (refl[..., b] * light + haze * np.float32(HAZE[name])) * (1 - opaque) + opaque * bright * CLOUD[name]
            noise = rng.standard_normal(value.shape, np.float32)
            bands[name] = (value + noise * (NOISE + 0.008 * value)).astype(np.float32)
        gone = ~of.sceneries[k].seen
        gone = cv2.dilate(gone.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        if seen.swath is not None:
            a, b_, c = seen.swath
            gone |= a * x + b_ * y > c
        nothing.append(gone)
    fine, coarse = nothing
    coarse |= fine.reshape(coarse.shape[0], 2, coarse.shape[1], 2).any(axis=(1, 3))
    fine |= np.repeat(np.repeat(coarse, 2, 0), 2, 1)
    scl = tuple(_classify(bands, of, clouds, rng, careful) for careful in (False, True))
    for name in BANDS:
        bands[name][fine if name in BANDS[:4] else coarse] = -1
    for classes in scl:
        classes[coarse] = 0
    return Picture(bands, (scl[0], scl[1]))


def _half(a: Floats) -> Floats:
    """Means of 2 x 2 pixels."""
    return cv2.resize(a, (a.shape[1] // 2, a.shape[0] // 2), interpolation=cv2.INTER_AREA).astype(np.float32)


def _classify(
    bands: dict[str, Floats], of: Ground, clouds: Weather, rng: np.random.Generator, careful: bool
) -> NDArray[np.uint8]:
    """SCL at 20 m: it misses thin cloud and soft edges and takes bright roofs for cloud, less so if `careful`."""
    blue, green, red, nir = (_half(bands[b]) for b in BANDS[:4])
    x, y = of.x[1], of.y[1]
    alpha, shade = clouds.sample(clouds.alpha, x, y), clouds.sample(clouds.shade, x, y)
    wobble = (clouds.sample(clouds.bright, x, y) - 0.72) / 0.16 + 0.4 * rng.standard_normal(alpha.shape, np.float32)
    ndvi = (nir - red) / np.maximum(nir + red, 1e-3) + 0.02 * wobble
    scl = np.where(ndvi > 0.40, 4, np.where(ndvi > 0.34, 7, 5)).astype(np.uint8)
    scl[(nir < 0.11) & (red < 0.055) & (ndvi < 0.55)] = 2
    scl[(nir < 0.075) & (green > nir) & (bands["B11"] < 0.05)] = 6
    dim = shade * (1 - alpha)
    scl[dim > (0.20 if careful else 0.30 + 0.07 * wobble)] = 3
    edge = alpha + (0 if careful else 0.05) * wobble
    if clouds.thin:
        scl[edge > (0.07 if careful else 0.14)] = 10
    else:
        scl[edge > (0.12 if careful else 0.26)] = 8
        scl[edge > (0.45 if careful else 0.60)] = 9
        scl[(edge > 0.9) & (wobble < -1.6)] = 10
    if not careful:
        roof = (blue > rng.uniform(0.17, 0.34)) & (alpha < 0.1)
        scl[roof] = 8
        scl[roof & (blue > 0.33)] = 9
    return scl
