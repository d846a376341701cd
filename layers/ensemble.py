"""Mean and spread of the predictions of several models (ATBD 4.7; RIMD, RIBUD and their _sd layers).

Which models take part is decided elsewhere; turning the spread into a confidence is in `confidence`.
"""

from __future__ import annotations

import numpy as np

NODATA = 255
"""No data of the percent layers."""


def ensemble(members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean in percent and population standard deviation of the members.

    Parameters
    ----------
    members : (member, y, x) float32
        Predicted fractions 0..1, NaN no data. A pixel that any member lacks has no data.

    Returns
    -------
    mean : (y, x) uint8
        0..100 percent, rounded half up, 255 no data.
    sd : (y, x) float32
        Standard deviation as a fraction, 0..0.5, NaN no data; 0 everywhere if there is one member.

    Raises
    ------
    ValueError
        If there is no member, or the shape is not (member, y, x).

    Notes
    -----
    Source: ATBD 4.7 and Table 1 (RIMD_21, RIMD_21_sd).
    """
    members = np.asarray(members)
    if members.ndim != 3 or not len(members):
        raise ValueError(f"members have shape {members.shape}: expected (member, y, x) with at least one member")
    # Float64, so that a mean of float32 fractions that is exactly half a percent rounds up as documented.
    mean = members.mean(axis=0, dtype="f8")
    valid = np.isfinite(mean)
    percent = np.full(mean.shape, NODATA, "u1")
    percent[valid] = np.clip(np.floor(np.round(100 * mean[valid], 6) + 0.5), 0, 100)
    sd = np.sqrt(np.square(members - mean).mean(axis=0))
    return percent, sd.astype("f4")
