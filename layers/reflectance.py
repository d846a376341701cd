"""Surface reflectance of Sentinel-2 Level-2A as digital numbers, and the index made of it; ATBD 4.1.2 and 4.2.1.

Holds the shift that brings newer processing baselines to the older range, and NDVI. Which granules need the shift is
the catalogue's matter and not decided here.
"""

from __future__ import annotations

import numpy as np

REFLECTANCE_10M = ("B02", "B03", "B04", "B08")
REFLECTANCE_20M = ("B05", "B06", "B07", "B8A", "B11", "B12")
SCL = "SCL"
BANDS = (*REFLECTANCE_10M, *REFLECTANCE_20M, SCL)
"""Bands that the yearly features need."""

NO_DATA = 0
"""Digital number of a pixel without data in every Level-2A band (Sentinel-2 Products Specification Document)."""

LOWEST_VALID = 1
"""Darkest digital number a valid pixel may have: reflectance 0.0001."""


def shift_offset(dn: np.ndarray, subtract: int) -> np.ndarray:
    """Remove the radiometric offset of Processing Baseline 04.00 and later.

    No data is found first, then the offset is removed, then valid pixels are clipped to at least 1. In any other
    order a pixel darker than the offset would turn into no data, or wrap around to a very bright one.

    Parameters
    ----------
    dn : ndarray of uint16, any shape
        Digital numbers, reflectance x 10 000 + `subtract`; 0 is no data.
    subtract : int
        The offset to remove, 0 to 65 534; 1000 for Baseline 04.00 and later, 0 leaves the data unchanged.

    Returns
    -------
    ndarray of uint16, same shape
        Reflectance x 10 000; 0 is no data.

    Raises
    ------
    ValueError
        If `dn` is not uint16 or `subtract` is out of range.

    Notes
    -----
    Sentinel-2 Products Specification Document, BOA_ADD_OFFSET.
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


def ndvi(nir: np.ndarray, red: np.ndarray) -> np.ndarray:
    """Normalised Difference Vegetation Index, (nir - red) / (nir + red).

    Parameters
    ----------
    nir, red : ndarray of integer or float, same shape
        Reflectance of B08 and B04 in one unit, as digital numbers without offset; 0 is no data.

    Returns
    -------
    ndarray of float32, same shape
        -1 to 1; NaN where either band is 0 (or NaN), or the sum of both is 0.

    Raises
    ------
    ValueError
        If the shapes differ.

    Notes
    -----
    ATBD 4.1.2. Every digital number of 16 bits is exact in float32, so neither sum nor difference can overflow.
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
