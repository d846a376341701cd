"""Surface reflectance of Sentinel-2 Level-2A as digital numbers, and the index made of it; ATBD 4.1.2 and 4.2.1.

Holds the shift that brings newer processing baselines to the older range, and NDVI. Which granules need the shift is
the catalogue's matter and not decided here.
"""

from __future__ import annotations

import re

import numpy as np

REFLECTANCE_10M = ("B02", "B03", "B04", "B08")
REFLECTANCE_20M = ("B05", "B06", "B07", "B8A", "B11", "B12")
REFLECTANCE_60M = ("B01", "B09", "B10")
"""B10 in Level-1C only."""
COASTAL = ("B01", "B09")
"""Bands of 60 m that the surface is seen in."""
SCL = "SCL"
BANDS = (*REFLECTANCE_10M, *REFLECTANCE_20M, SCL)
"""Bands that the yearly features need."""
ALL_BANDS = (*REFLECTANCE_10M, *REFLECTANCE_20M, *REFLECTANCE_60M, SCL)
"""Bands that a family may need."""

SPECTRAL: dict[str, tuple[str, float, float]] = {
    "B01": ("coastal", 0.4427, 0.021), "B02": ("blue", 0.4924, 0.066), "B03": ("green", 0.5598, 0.036),
    "B04": ("red", 0.6646, 0.031), "B05": ("rededge071", 0.7041, 0.015), "B06": ("rededge075", 0.7405, 0.015),
    "B07": ("rededge078", 0.7828, 0.020), "B08": ("nir", 0.8328, 0.106), "B8A": ("nir08", 0.8647, 0.021),
    "B09": ("nir09", 0.9451, 0.020), "B10": ("cirrus", 1.3735, 0.031), "B11": ("swir16", 1.6137, 0.091),
    "B12": ("swir22", 2.2024, 0.175),
}  # fmt: skip
"""STAC's common name, centre and full width at half maximum in micrometres of each band, Sentinel-2A; of the other satellites
they differ by up to 17 nm (ESA, Sentinel-2 Spectral Response Functions, COPE-GSEG-EOPG-TN-15-0007, 3.0)."""


def band_name(text: str) -> str:
    """Name of a band of Sentinel-2 however it is written, such as ``B04`` of ``b4``; empty for other texts."""
    found = re.fullmatch(r"[bB]?0*(\d{1,2}|8[aA])", text.strip())
    name = f"B{found[1].upper().zfill(2)}" if found else ""
    return name if name in SPECTRAL else ""


NO_DATA = 0
"""Digital number of a pixel without data in every Level-2A band (Sentinel-2 Products Specification Document)."""

LOWEST_VALID = 1
"""Darkest digital number a valid pixel may have: reflectance 0.0001."""


def shift_offset(dn: np.ndarray, subtract: int) -> np.ndarray:
    """Remove the radiometric offset of Processing Baseline 04.00 and later (Products Specification Document, BOA_ADD_OFFSET).

    No data (0) is found first, then `subtract` (0 to 65 534; usually 1000) is removed, then valid pixels are clipped to at least
    1. In any other order a pixel darker than the offset would turn into no data, or wrap around to a very bright one. uint16 in
    and out; ValueError for another type or a subtraction out of range.
    """
    dn = np.asarray(dn)
    if dn.dtype != np.uint16:
        raise ValueError(f"digital numbers must be uint16, not {dn.dtype}")
    if not 0 <= subtract < np.iinfo(np.uint16).max:
        raise ValueError(f"subtract must be 0 to 65534, not {subtract}")
    # Raising dark pixels before the subtraction gives the same as clipping after it, and cannot wrap around.
    shifted = np.maximum(dn, np.uint16(subtract + LOWEST_VALID))
    shifted -= np.uint16(subtract)
    shifted[dn == NO_DATA] = NO_DATA
    return shifted


def median_of_data(stack: np.ndarray) -> np.ndarray:
    """Median (y, x) of (look, y, x) uint16 without 0, which is no data; halves rounded up; 0 where all are. Sorts in place."""
    stack.sort(axis=0)
    count = (stack > 0).sum(axis=0)
    first = len(stack) - count
    low, high = (
        np.take_along_axis(stack, np.minimum(first + k, len(stack) - 1)[None], axis=0)[0].astype("uint32")
        for k in (np.maximum(count - 1, 0) // 2, count // 2)
    )
    return ((low + high + 1) // 2 * (count > 0)).astype("uint16")


def ndvi(nir: np.ndarray, red: np.ndarray) -> np.ndarray:
    """Normalised Difference Vegetation Index, (nir - red) / (nir + red), float32 -1 to 1; ATBD 4.1.2.

    `nir` and `red` are B08 and B04 in one unit, without offset, 0 no data. NaN where either is 0 or NaN, or their sum is 0.
    ValueError if the shapes differ. Every digital number of 16 bits is exact in float32, so neither sum nor difference can
    overflow.
    """
    nir = np.asarray(nir)
    red = np.asarray(red)
    if nir.shape != red.shape:
        raise ValueError(f"nir {nir.shape} and red {red.shape} differ in shape")
    total = nir.astype(np.float32)
    index = total - red
    total += red
    total[(nir == NO_DATA) | (red == NO_DATA) | (total == 0)] = np.nan
    index /= total
    return index
