"""Confidence layers from the spread of an ensemble of models; ATBD 4.7.

The ensemble and its standard deviation are made where models predict; with a single member there is no such layer.
"""

from __future__ import annotations

import numpy as np

from imperv.layers.palette import OUTSIDE as NODATA

LOWEST, HIGHEST = 50, 100
"""Confidence where half of the members say 0 and half 1, and where all agree; percent (ATBD 4.7)."""


def confidence(sd: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Confidence of every pixel, `round(100 - 100 sd)`, clipped to 50..100.

    Parameters
    ----------
    sd : ndarray of float, any shape
        Population standard deviation of the members' predictions as fractions, 0 to 0.5.
    valid : ndarray of bool, same shape
        False outside.

    Returns
    -------
    ndarray of uint8, same shape
        50 to 100 percent; 255 outside and where `sd` is NaN.

    Raises
    ------
    ValueError
        If the shapes differ or `sd` is not of a float type: percent instead of fractions would pass unseen.

    Notes
    -----
    ATBD 4.7.
    """
    sd = np.asarray(sd)
    valid = np.asarray(valid, dtype=bool)
    if sd.shape != valid.shape:
        raise ValueError(f"sd {sd.shape} and valid {valid.shape} differ in shape")
    if sd.dtype.kind != "f":
        raise ValueError(f"sd must hold fractions of a float type, not {sd.dtype}")
    level = np.array(sd)
    level *= 100
    np.subtract(100, level, out=level)
    np.rint(level, out=level)
    np.clip(level, LOWEST, HIGHEST, out=level)
    outside = ~valid | np.isnan(level)
    level[outside] = NODATA
    return level.astype(np.uint8)
