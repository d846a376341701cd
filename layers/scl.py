"""Weights of observations from the Sentinel-2 Scene Classification Layer (SCL); ATBD 4.2.1 and Table 6.

The weights steer quantiles and harmonics. Whether a band has a value at all is not known here:
a pixel of digital number 0 weighs 0 where the observation is used (`quantiles`, `harmonics`).
"""

from __future__ import annotations

import numpy as np

SCL_WEIGHTS: dict[int, int] = {0: 0, 1: 0, 2: 0, 3: 10, 4: 50, 5: 50, 6: 50, 7: 10, 8: 5, 9: 1, 10: 1, 11: 1}
"""SCL class -> weight, without unit (ATBD Table 6). Vegetation, bare soil and water count most. Cloud, cirrus and
snow still count 1, so that a pixel with only cloudy looks gets a value too."""

_TABLE = np.zeros(256, dtype=np.int16)
_TABLE[list(SCL_WEIGHTS)] = list(SCL_WEIGHTS.values())


def scl_weights(scl: np.ndarray) -> np.ndarray:
    """Weight of every pixel of a scene classification.

    Parameters
    ----------
    scl : ndarray of uint8, any shape
        SCL classes 0 to 11. Classes outside of the table weigh 0.

    Returns
    -------
    ndarray of int16, same shape
        Weights 0 to 50.

    Raises
    ------
    ValueError
        If `scl` is not uint8.

    Notes
    -----
    ATBD Table 6.
    """
    scl = np.asarray(scl)
    if scl.dtype != np.uint8:
        raise ValueError(f"SCL must be uint8, not {scl.dtype}")
    return _TABLE[scl]
