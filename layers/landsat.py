"""Landsat Collection 2 Level 2 as arrays: bands of the sensors, reflectance, and weights by the quality bands.

Bits are those of the Landsat 4-7 (LSDS-1618) and 8-9 (LSDS-1619) Collection 2 Level 2 format documents. Which files are read is
decided in `tasks.landsat`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

BANDS = ("blue", "green", "red", "nir08", "swir16", "swir22")
"""The six reflective bands that TM, ETM+ and OLI have in common, by their STAC names."""

QA_PIXEL, QA_RADSAT = "qa_pixel", "qa_radsat"

SENTINEL2 = dict(zip(BANDS, ("B02", "B03", "B04", "B8A", "B11", "B12"), strict=True))
"""The Sentinel-2 band that is nearest in wavelength to each; the near infrared of TM and ETM+ is as wide as B08."""

SEEN = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir08", "B8A": "nir08", "B11": "swir16", "B12": "swir22"}
"""Bands of Sentinel-2 that a band of Landsat stands for. The red edge, B05 to B07, has none."""

TM, ETM, OLI = "tm", "etm+", "oli"

_OLDER = {"blue": 1, "green": 2, "red": 3, "nir08": 4, "swir16": 5, "swir22": 7}
NUMBERS: Mapping[str, Mapping[str, int]] = {
    TM: _OLDER,
    ETM: _OLDER,
    OLI: {"blue": 2, "green": 3, "red": 4, "nir08": 5, "swir16": 6, "swir22": 7},
}
"""Number of each band, as in ``SR_B4``, by sensor."""

MTF: Mapping[str, float] = {TM: 0.28, ETM: 0.28, OLI: 0.33}
"""Modulation transfer at the Nyquist frequency, point spread and pixel together: typical of what is published for the bands."""

SCALE, OFFSET = 2.75e-5, -0.2
"""Reflectance = digital number x scale + offset, where metadata does not say otherwise."""

NO_DATA, LOWEST_VALID = 0, 1
"""Digital number without data, in the files and in reflectance x 10 000; darkest reflectance x 10 000 of a valid pixel."""

FILL, DILATED, CIRRUS, CLOUD, SHADOW, SNOW = range(6)
"""Bits of QA_PIXEL."""

CONFIDENCE = {CLOUD: 8, SHADOW: 10, SNOW: 12, CIRRUS: 14}
"""First of the two bits with the confidence of a condition: 1 low, 2 medium, 3 high."""

MEDIUM = 2
"""Confidence of cloud from which a look is doubtful."""

COVERED = 1
"""Weight of a look at cloud, its surroundings, cirrus, shadow or snow: it counts only where a pixel has no better
one, as on bright roofs that are called cloud at every look."""

DROPPED, OCCLUDED = 9, 11
"""Bits of QA_RADSAT that speak of all bands: a dropped pixel (Landsat 4-7), ground hidden behind terrain (Landsat 8-9)."""


@dataclass(frozen=True)
class QaParameters:
    """What an observation weighs by its quality bands."""

    cloud_dilation: int = 0
    """Pixels of 30 m around cloud that are taken for cloud, beside those that QA_PIXEL calls its surroundings."""
    shadow_dilation: int = 1
    """Pixels around shadow of cloud that are taken for shadow: QA_PIXEL knows no surroundings of it."""
    snow: bool = False
    """Whether snow counts as a clear look."""
    clear: int = 8
    """Weight of a clear look, at most 255."""
    doubtful: int = 2
    """Weight of a look that is called clear, with medium confidence of cloud; more than `COVERED`."""


USUAL = QaParameters()


def reflectance(dn: np.ndarray, scale: float = SCALE, offset: float = OFFSET, nodata: float = NO_DATA) -> np.ndarray:
    """Surface reflectance x 10 000, rounded, of digital numbers: uint16 in and out, 0 no data.

    Valid pixels become at least 1: the atmospheric correction makes dark ones negative. ValueError for another type.
    """
    dn = np.asarray(dn)
    if dn.dtype != np.uint16:
        raise ValueError(f"digital numbers must be uint16, not {dn.dtype}")
    values = np.rint(dn * np.float64(1e4 * scale) + 1e4 * offset)
    found = np.clip(values, LOWEST_VALID, np.iinfo(np.uint16).max).astype(np.uint16)
    found[(dn == NO_DATA) | (dn == nodata)] = NO_DATA
    return found


def quality_weights(qa: np.ndarray, parameters: QaParameters = USUAL) -> np.ndarray:
    """Weight of every pixel by QA_PIXEL, (y, x) uint16 -> uint8: 0 for fill, `COVERED` for what hides the ground, more for clear.

    Cloud and shadow are dilated by discs, so the array must reach farther by as many pixels than what is used of it. ValueError
    for another type or shape.
    """
    qa = np.asarray(qa)
    if qa.dtype != np.uint16 or qa.ndim != 2:
        raise ValueError(f"QA_PIXEL must be (y, x) uint16, not {qa.dtype} of {qa.ndim} axes")
    fill = _bit(qa, FILL)
    covered = _dilated(_bit(qa, CLOUD) & ~fill, parameters.cloud_dilation) | _bit(qa, DILATED) | _bit(qa, CIRRUS)
    covered |= _dilated(_bit(qa, SHADOW) & ~fill, parameters.shadow_dilation)
    if not parameters.snow:
        covered |= _bit(qa, SNOW)
    doubtful = (qa >> CONFIDENCE[CLOUD]) & 3 >= MEDIUM
    weights = np.where(doubtful, parameters.doubtful, parameters.clear).astype(np.uint8)
    weights[covered] = COVERED
    weights[fill] = 0
    return weights


def saturated(radsat: np.ndarray, band: str, sensor: str) -> np.ndarray:
    """True where QA_RADSAT says that a band is saturated, dropped or hidden by terrain; bool of the same shape."""
    everywhere = OCCLUDED if sensor == OLI else DROPPED
    return _bit(radsat, NUMBERS[sensor][band] - 1) | _bit(radsat, everywhere)


def _bit(values: np.ndarray, bit: int) -> np.ndarray:
    return (values >> bit) & 1 > 0


def _dilated(mask: np.ndarray, radius: int) -> np.ndarray:
    """The mask and all pixels whose centre is at most `radius` pixels from one of it."""
    if radius <= 0 or not mask.any():
        return mask
    steps = np.arange(-radius, radius + 1)
    disc = (steps[:, None] ** 2 + steps**2 <= radius**2).astype(np.uint8)
    return cv2.dilate(mask.astype(np.uint8), disc) > 0
