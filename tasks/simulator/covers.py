"""Covers of the simulated landscape: their Sentinel-2 reflectance, and how it goes through the year.

Vigour moves a vegetated cover from a dormant to a green spectrum. Values are typical surface reflectances of Central Europe as
published in spectral libraries (ECOSTRESS, KLUM) and seen in Level-2A data.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

BANDS = ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12")
"""Bands in the order of the tables below: four of 10 m, then six of 20 m."""


class Cover(IntEnum):
    """What covers the ground."""

    WATER = 0
    CONIFER = 1
    DECIDUOUS = 2
    MEADOW = 3
    WINTER_CROP = 4
    SUMMER_CROP = 5
    BARE = 6
    CLEARCUT = 7
    GARDEN = 8
    TREE = 9
    GRAVEL = 10
    ASPHALT = 11
    CONCRETE = 12
    TILE_ROOF = 13
    DARK_ROOF = 14
    METAL_ROOF = 15


SEALED = np.array([c >= Cover.ASPHALT for c in Cover])
"""Covers that count as sealed; gravel (tracks, ballast) does not."""

ROOF = np.array([c >= Cover.TILE_ROOF for c in Cover])
"""Covers that are buildings."""

CLCPLUS = np.array([10, 2, 3, 6, 7, 7, 9, 9, 6, 3, 9, 1, 1, 1, 1, 1], np.uint8)
"""CLC+ Backbone code of each cover."""

ROUGHNESS = np.array([0.02, 0.11, 0.09, 0.05, 0.06, 0.06, 0.09, 0.10, 0.09, 0.10, 0.07, 0.05, 0.06, 0.05, 0.05, 0.05], np.float32)
"""Relative brightness variation within an object, as a standard deviation."""

_GREEN_CROP = [0.026, 0.060, 0.030, 0.450, 0.100, 0.320, 0.420, 0.470, 0.210, 0.100]
_SOIL = [0.070, 0.098, 0.138, 0.208, 0.160, 0.176, 0.190, 0.225, 0.300, 0.240]
_BROADLEAF = [0.022, 0.046, 0.024, 0.360, 0.076, 0.250, 0.330, 0.375, 0.165, 0.072]
_LEAFLESS = [0.040, 0.055, 0.066, 0.170, 0.088, 0.125, 0.146, 0.188, 0.215, 0.128]

# One row a cover: B02 B03 B04 B08 B05 B06 B07 B8A B11 B12.
DORMANT = np.array(
    [
        [0.034, 0.042, 0.026, 0.017, 0.024, 0.020, 0.019, 0.015, 0.009, 0.006],
        [0.020, 0.032, 0.026, 0.140, 0.044, 0.108, 0.126, 0.148, 0.080, 0.038],
        _LEAFLESS,
        [0.045, 0.068, 0.076, 0.235, 0.108, 0.175, 0.205, 0.255, 0.240, 0.150],
        _SOIL,
        _SOIL,
        [0.125, 0.160, 0.195, 0.250, 0.212, 0.225, 0.235, 0.262, 0.340, 0.300],
        [0.052, 0.070, 0.092, 0.180, 0.115, 0.140, 0.155, 0.196, 0.270, 0.190],
        [0.048, 0.068, 0.074, 0.205, 0.100, 0.155, 0.180, 0.220, 0.220, 0.145],
        _LEAFLESS,
        [0.100, 0.120, 0.145, 0.190, 0.158, 0.168, 0.176, 0.198, 0.260, 0.225],
        [0.072, 0.082, 0.090, 0.112, 0.096, 0.101, 0.106, 0.117, 0.140, 0.128],
        [0.125, 0.148, 0.165, 0.192, 0.173, 0.179, 0.185, 0.196, 0.228, 0.210],
        [0.062, 0.082, 0.138, 0.192, 0.158, 0.170, 0.180, 0.200, 0.265, 0.228],
        [0.068, 0.075, 0.081, 0.100, 0.086, 0.090, 0.095, 0.104, 0.128, 0.118],
        [0.265, 0.285, 0.300, 0.325, 0.306, 0.312, 0.318, 0.328, 0.325, 0.300],
    ],
    np.float32,
)
"""Reflectance (cover, band) without green leaves; for covers without leaves, always."""

GREEN = DORMANT.copy()
"""Reflectance (cover, band) at full vigour."""
GREEN[Cover.CONIFER] = [0.018, 0.036, 0.020, 0.205, 0.050, 0.150, 0.185, 0.215, 0.095, 0.042]
GREEN[[Cover.DECIDUOUS, Cover.TREE]] = _BROADLEAF
GREEN[[Cover.MEADOW, Cover.WINTER_CROP, Cover.SUMMER_CROP]] = _GREEN_CROP
GREEN[Cover.CLEARCUT] = [0.038, 0.062, 0.058, 0.270, 0.100, 0.200, 0.245, 0.285, 0.240, 0.140]
GREEN[Cover.GARDEN] = [0.030, 0.058, 0.036, 0.360, 0.096, 0.262, 0.335, 0.375, 0.190, 0.095]
GREEN[Cover.BARE] = [0.090, 0.122, 0.138, 0.240, 0.160, 0.195, 0.215, 0.255, 0.300, 0.240]

# Vigour through the year at (time, value); between the points linear. After the crop calendars of Germany and Austria.
_CURVES: dict[Cover, list[tuple[float, float]]] = {
    Cover.CONIFER: [(0, 0.15), (0.2, 0.35), (0.42, 1.0), (0.65, 0.9), (0.85, 0.35), (1, 0.15)],
    Cover.DECIDUOUS: [(0, 0), (0.27, 0.04), (0.37, 0.95), (0.45, 1), (0.70, 0.86), (0.79, 0.6), (0.86, 0.06), (1, 0)],
    Cover.MEADOW: [
        (0, 0.22), (0.16, 0.26), (0.30, 0.85), (0.38, 1), (0.60, 0.86), (0.78, 0.80), (0.90, 0.40), (1, 0.22),
    ],
    Cover.WINTER_CROP: [
        (0, 0.30), (0.15, 0.32), (0.24, 0.62), (0.33, 1), (0.43, 0.92), (0.50, 0.34), (0.535, 0.10), (0.62, 0.13),
        (0.72, 0.16), (0.80, 0.12), (0.89, 0.24), (1, 0.30),
    ],
    Cover.SUMMER_CROP: [
        (0, 0.16), (0.24, 0.12), (0.34, 0.05), (0.41, 0.14), (0.49, 0.72), (0.56, 1), (0.67, 0.90), (0.74, 0.48),
        (0.78, 0.10), (0.90, 0.14), (1, 0.16),
    ],
    Cover.BARE: [(0, 0.1), (0.4, 0.4), (0.7, 0.3), (1, 0.1)],
    Cover.CLEARCUT: [(0, 0.1), (0.28, 0.2), (0.46, 0.75), (0.7, 0.55), (0.85, 0.2), (1, 0.1)],
    Cover.GARDEN: [(0, 0.22), (0.2, 0.32), (0.36, 0.95), (0.5, 0.9), (0.7, 0.82), (0.88, 0.35), (1, 0.22)],
}  # fmt: skip
_CURVES[Cover.TREE] = _CURVES[Cover.DECIDUOUS]


def vigour(
    cover: NDArray[np.integer], time: float, late: NDArray[np.floating], habit: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Vigour of objects at a time of year (fraction), float32: 0 dormant to 1 full green; 0 for covers without leaves.

    `late` is the delay of each object's season, as a fraction of the year; `habit`, 0 to 1, its management: meadows are cut one
    to four times, fields of winter crops above 0.55 carry a catch crop in autumn.
    """
    out = np.zeros(len(cover), np.float32)
    for kind, curve in _CURVES.items():
        of = np.flatnonzero(cover == kind)
        if not len(of):
            continue
        at = np.mod(time - late[of], 1.0)
        points = np.array(curve)
        value = np.interp(at, points[:, 0], points[:, 1])
        if kind == Cover.MEADOW:
            cuts = 1 + np.floor(3.999 * habit[of])
            for k in range(4):
                since = at - (0.375 + 0.115 * k + 0.03 * (habit[of] * 7.3 % 1))
                # Grass needs about five weeks to grow back after a cut.
                value = np.where((since > 0) & (k < cuts), value * (1 - 0.62 * np.exp(-since / 0.045)), value)
        if kind == Cover.WINTER_CROP:
            catch = np.interp(at, [0.58, 0.70, 0.78, 0.95, 1.0], [0, 0.35, 0.55, 0.30, 0.0])
            value = np.where(habit[of] > 0.55, np.maximum(value, catch), value)
        out[of] = value
    return out


def reflectance(
    cover: NDArray[np.integer],
    time: float,
    wet: float,
    late: NDArray[np.floating],
    habit: NDArray[np.floating],
    gain: NDArray[np.floating],
    lush: NDArray[np.floating],
) -> NDArray[np.float32]:
    """Reflectance (object, band) at a time of year; see `vigour` for `time`, `late` and `habit`.

    `wet` is 0 for dry to 1 for wet ground, where soil and asphalt are darker; `gain` and `lush` are the brightness and the vigour
    of each object relative to its cover.
    """
    v = np.clip(vigour(cover, time, late, habit) * lush, 0, 1.1)[:, None]
    dormant = DORMANT[cover] * gain[:, None]
    # Ground shows less the denser the leaves stand, so that its brightness matters little at full vigour.
    ground = dormant * (1 - 0.22 * wet * (cover != Cover.WATER))[:, None]
    green = GREEN[cover] * (0.75 + 0.25 * gain)[:, None]
    return (ground + v * (green - ground)).astype(np.float32)
