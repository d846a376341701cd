"""When the satellites pass, where the sun stands, and what the weather is: overpasses, clouds and their shadows, haze.

Cloud fields belong to an overpass, not to a granule, so that two granules of one overpass show the same clouds.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from imperv.tasks.simulator.covers import BANDS

CLOUD = dict(zip(BANDS, (0.74, 0.71, 0.70, 0.75, 0.72, 0.73, 0.74, 0.76, 0.52, 0.38), strict=True))
"""Reflectance of thick cloud: bright and flat, darker in the short-wave infrared by ice and water absorption."""

HAZE = dict(zip(BANDS, (0.0056, 0.0036, 0.0023, 0.0008, 0.0020, 0.0014, 0.0012, 0.0007, 0.0002, 0.0001), strict=True))
"""Reflectance that one unit of leftover haze adds (falls with wavelength as Rayleigh and aerosol scattering do)."""

FIELD = 1024
"""Largest edge of a cloud field in its cells."""

RELATIVE_ORBITS = (22, 65)
"""Two orbits over the site, three days apart, each repeated every five days by the two satellites."""


@dataclass(frozen=True)
class Overpass:
    """One pass of one satellite."""

    when: dt.datetime
    """Sensing time, UTC."""
    orbit: int
    """Relative orbit."""
    satellite: str
    """A or B."""
    sky: str
    """clear, cumulus, broken, thin or overcast."""
    twice: bool
    """Whether the archive holds it in two processings."""
    swath: tuple[float, float, float] | None
    """Nothing where a x + b y > c (local metres), the swath edge."""
    number: int
    """Position in the year."""

    @property
    def time(self) -> float:
        """Fraction of the year."""
        start = dt.datetime(self.when.year, 1, 1, tzinfo=dt.UTC)
        return (self.when - start) / (start.replace(year=self.when.year + 1) - start)


def overpasses(year: int, count: int, longitude: float, extent: float, seed: tuple[int, ...]) -> list[Overpass]:
    """The overpasses of a year: one drawn from each of `count` equal parts of the passes, 1 to about 140.

    `longitude`, degrees east, gives the local hour; `extent`, the site's edge in metres, the swath edges. ValueError if the
    satellites do not pass that often.
    """
    rng = np.random.default_rng([*seed, 10, year])
    first = dt.date(year, 1, 1) + dt.timedelta(days=int(rng.integers(5)))
    passes = sorted(
        (first + dt.timedelta(days=5 * k + 3 * o), RELATIVE_ORBITS[o], "AB"[k % 2]) for k in range(72) for o in (0, 1)
    )
    passes = [p for p in passes if p[0].year == year]
    if not 1 <= count <= len(passes):
        raise ValueError(f"{count} overpasses a year: choose 1 to {len(passes)}")
    edges = np.linspace(0, len(passes), count + 1)
    picked = [int(rng.integers(int(a), max(int(a) + 1, int(b)))) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    summer = [k for k, p in enumerate(picked) if 5 <= passes[p][0].month <= 9]
    double = summer[len(summer) // 2] if summer else 0
    seen: list[Overpass] = []
    for k, p in enumerate(picked):
        day, orbit, satellite = passes[p]
        # Descending node at 10:30 local solar time; the mean site is passed some minutes before.
        minutes = round(60 * (10.62 - longitude / 15)) + (0 if orbit == RELATIVE_ORBITS[0] else 10)
        when = dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC) + dt.timedelta(minutes=minutes, seconds=31)
        warm = 0.5 - 0.5 * math.cos(2 * math.pi * (p / len(passes) - 0.04))
        share = np.array([0.36 + 0.12 * warm, 0.10 + 0.16 * warm, 0.14, 0.14, 0.26 - 0.16 * warm])
        if not seen or seen[-1].sky == "overcast":
            share[-1] = 0  # No month-long gap: a season without any look would leave the harmonics free to swing.
        sky = str(rng.choice(["clear", "cumulus", "broken", "thin", "overcast"], p=share / share.sum()))
        sky = "clear" if k == double else "overcast" if k == min(1, count - 1) and count > 2 else sky
        swath = None
        # The eastern orbit sees the site at the edge of its swath now and then, for certain once a year.
        cut = rng.random() < 0.3 or (k > 1 and not any(s.swath for s in seen))
        if orbit == RELATIVE_ORBITS[1] and cut and k != double:
            tilt = math.radians(rng.uniform(10, 14))  # Ground track of a descending orbit at 48 degrees north.
            a, b = (math.cos(tilt), math.sin(tilt)) if rng.random() < 0.5 else (-math.cos(tilt), -math.sin(tilt))
            swath = (a, b, (a + b) * extent / 2 + rng.uniform(0.02, 0.42) * extent)
        seen.append(Overpass(when, orbit, satellite, sky, k == double, swath, k))
    return seen


def sun(when: dt.datetime, longitude: float, latitude: float) -> tuple[float, float]:
    """Elevation and azimuth of the sun in degrees (Cooper's declination, mean solar time)."""
    day = when.timetuple().tm_yday
    declination = math.radians(23.45) * math.sin(2 * math.pi * (284 + day) / 365)
    hour = math.radians(15 * (when.hour + when.minute / 60 + longitude / 15 - 12))
    phi = math.radians(latitude)
    sine = math.sin(phi) * math.sin(declination) + math.cos(phi) * math.cos(declination) * math.cos(hour)
    east = -math.cos(declination) * math.sin(hour)
    north = math.cos(phi) * math.sin(declination) - math.sin(phi) * math.cos(declination) * math.cos(hour)
    return math.degrees(math.asin(sine)), math.degrees(math.atan2(east, north)) % 360


def fractal(rng: np.random.Generator, edge: int, slope: float, outer: float) -> NDArray[np.float32]:
    """A periodic random field (edge, edge) of power-law spectrum, zero mean and unit variance.

    Amplitude falls as frequency to minus half the `slope`; frequencies below 1 / `outer` (cells) are damped.
    """
    spectrum = np.fft.rfft2(rng.standard_normal((edge, edge), np.float32))
    f2 = np.fft.fftfreq(edge)[:, None] ** 2 + np.fft.rfftfreq(edge)[None] ** 2
    spectrum *= (f2 + outer**-2.0) ** (-slope / 4)
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, (edge, edge)).astype(np.float32)
    return field / field.std()


@dataclass(frozen=True)
class Weather:
    """Cloud of an overpass on a coarse periodic grid of local coordinates."""

    cell: float
    """Edge of a cell, metres."""
    alpha: NDArray[np.float32]
    """Opacity of cloud, 0..1."""
    bright: NDArray[np.float32]
    """Brightness of cloud relative to `CLOUD`."""
    shade: NDArray[np.float32]
    """Light taken by cloud shadow, 0..1."""
    haze: NDArray[np.float32]
    """Leftover haze, units of `HAZE`."""
    thin: bool
    """Cirrus."""

    def sample(self, field: NDArray[np.float32], x: NDArray, y: NDArray) -> NDArray[np.float32]:
        """A field at local coordinates, bilinear and periodic."""
        n = len(field)
        col, row = np.mod(x / self.cell - 0.5, n).astype(np.float32), np.mod(y / self.cell - 0.5, n).astype(np.float32)
        return cv2.remap(np.pad(field, ((0, 1), (0, 1)), mode="wrap"), col, row, cv2.INTER_LINEAR).astype(np.float32)


_COVERED = {
    "clear": (0.0, 0.012),
    "cumulus": (0.08, 0.38),
    "broken": (0.45, 0.8),
    "thin": (0.35, 0.9),
    "overcast": (1, 1),
}
"""Share of the sky that is covered, from and to."""


def weather(seen: Overpass, elevation: float, azimuth: float, extent: float, seed: tuple[int, ...]) -> Weather:
    """Clouds of an overpass over a site of `extent` metres; elevation and azimuth of the sun in degrees."""
    rng = np.random.default_rng([*seed, 11, seen.when.year, seen.number])
    edge = int(min(FIELD, max(192, (extent + 3000) // 20)))
    edge += edge % 2
    cell = max(20.0, (extent + 3000) / edge)
    low, high = _COVERED[seen.sky]
    covered = rng.uniform(low, high)
    outer = {"cumulus": 1500.0, "clear": 1500.0}.get(seen.sky, 6000.0) / cell
    depth = fractal(rng, edge, 3.2, outer)
    soft = {"thin": 2.6, "broken": 0.9}.get(seen.sky, 0.55)
    if seen.sky == "overcast":
        alpha = np.clip(0.965 + 0.02 * depth, 0.85, 1)
    else:
        edge_at = np.quantile(depth, 1 - covered)
        ramp = np.clip((depth - edge_at) / soft, 0, 1)
        alpha = ramp * ramp * (3 - 2 * ramp) * (rng.uniform(0.12, 0.4) if seen.sky == "thin" else 0.97)
    alpha = cv2.GaussianBlur(alpha.astype(np.float32), (0, 0), 0.7, borderType=cv2.BORDER_REFLECT)
    bright = np.clip(0.72 + 0.16 * depth + 0.05 * fractal(rng, edge, 2.4, 40), 0.4, 1.25).astype(np.float32)
    base = rng.uniform(7000, 9000) if seen.sky == "thin" else rng.uniform(800, 1900)  # Height of the cloud, metres.
    reach = min(base / math.tan(math.radians(max(elevation, 12))), 6000.0) / cell
    toward = math.radians(azimuth + 180)
    shift = (-round(reach * math.cos(toward)), round(reach * math.sin(toward)))
    shade = np.roll(alpha, shift, (0, 1)) * (0.25 if seen.sky == "thin" else 0.62)
    shade = cv2.GaussianBlur(shade.astype(np.float32), (0, 0), 1.0, borderType=cv2.BORDER_REFLECT)
    haze = np.abs(rng.normal(0, 1.0)) * (1 + 0.3 * fractal(rng, edge, 3.5, 8000 / cell))
    return Weather(cell, alpha, bright, shade, np.maximum(haze, 0).astype(np.float32), seen.sky == "thin")
