"""Densities of now from the calibration fitted on then; ATBD 4.3.2, Figure 18."""

from __future__ import annotations

import numpy as np
from numba import njit

from imperv.calibration.fit import Calibration

NODATA = 255
"""Code of pixels outside."""


def apply_calibration(calibration: Calibration, ndvi_p0_now: np.ndarray, mask_now: np.ndarray) -> np.ndarray:
    """Imperviousness density (IMD) of now.

    Parameters
    ----------
    calibration : Calibration
        Fitted on then.
    ndvi_p0_now : ndarray (y, x) of float
        Constant of the harmonic fit of NDVI; NaN no data.
    mask_now : ndarray (y, x) of uint8
        Sealing mask: 1 sealed, 0 not, 255 outside.

    Returns
    -------
    ndarray (y, x) of uint8
        1 to 100 percent inside the mask, 0 outside of it, 255 where the mask is 255 or NDVI is NaN.

    Raises
    ------
    ValueError
        If the shapes differ.

    Notes
    -----
    ATBD 4.3.2, application: round(100 clip((R - min) / (max - min), 0, 1)) with R = intercept + slope NDVI_p0, at least
    1 so that the mask stays visible in the density.
    """
    ndvi = np.asarray(ndvi_p0_now)
    mask = np.asarray(mask_now)
    if ndvi.ndim != 2 or ndvi.shape != mask.shape:
        raise ValueError(f"NDVI_p0 {ndvi.shape} and mask {mask.shape} must have one shape (y, x)")
    density = np.empty(mask.shape, dtype=np.uint8)
    _density(ndvi, mask, calibration.intercept, calibration.slope, calibration.minimum, calibration.maximum, density)
    return density


@njit(cache=True, nogil=True)
def _density(ndvi, mask, intercept, slope, minimum, maximum, density):
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            if mask[y, x] == NODATA or np.isnan(ndvi[y, x]):
                density[y, x] = NODATA
            elif mask[y, x] == 1:
                share = (intercept + slope * ndvi[y, x] - minimum) / (maximum - minimum)
                density[y, x] = max(np.rint(100.0 * min(max(share, 0.0), 1.0)), 1.0)
            else:
                density[y, x] = 0
