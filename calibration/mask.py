"""Sealing mask (IMD_MSK): where densities are calibrated and mapped; ATBD 4.3.2, Figure 14."""

from __future__ import annotations

import numpy as np

NODATA = 255
"""Code of pixels outside."""

SEALED = 1
"""CLC+ Backbone class "sealed" (CLCplus Backbone product specification)."""

FIRST_OUTSIDE_CLCPLUS = 253
"""CLC+ Backbone codes from here are outside: 253 sea buffer, 254 unclassified, 255 no data."""

FIRST_OUTSIDE_DENSITY = 101
"""Densities are 0 to 100 percent; 254 and 255 are outside."""


def sealing_mask(clcplus: np.ndarray, density: np.ndarray, threshold: float = 90) -> np.ndarray:
    """Sealed pixels: class 1 of CLC+ Backbone, or a density that leaves no doubt.

    Parameters
    ----------
    clcplus : ndarray of uint8, any shape
        CLC+ Backbone classes; 253 to 255 are outside.
    density : ndarray of uint8 or float, same shape
        IMD of then for the mask of then, RIMD for the mask of now; percent. Values above 100, and NaN, are outside.
    threshold : float
        Density from which a pixel is sealed whatever its class, percent.

    Returns
    -------
    ndarray of uint8, same shape
        1 sealed, 0 not, 255 where either input is outside.

    Raises
    ------
    ValueError
        If the shapes differ.

    Notes
    -----
    ATBD 4.3.2, sealing mask creation; the threshold of 90 % is the same for both years there.
    """
    clcplus = np.asarray(clcplus)
    density = np.asarray(density)
    if clcplus.shape != density.shape:
        raise ValueError(f"CLC+ {clcplus.shape} and density {density.shape} differ in shape")
    mask = ((clcplus == SEALED) | (density >= threshold)).astype(np.uint8)
    # Negated, so that NaN is outside.
    mask[(clcplus >= FIRST_OUTSIDE_CLCPLUS) | ~(density < FIRST_OUTSIDE_DENSITY)] = NODATA
    return mask
