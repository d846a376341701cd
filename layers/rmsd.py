"""Distance between the harmonic curves of two years, the indicator of change; ATBD 4.2.2, Figure 6.

The fit of the curves is in `harmonics`, the mask made of the distance in `change_mask`.
"""

from __future__ import annotations

import numpy as np


def rmsd(then: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Root mean squared deviation of two harmonic curves over the year.

    Parameters
    ----------
    then, now : ndarray (2 N + 1, y, x) of float
        Coefficients c0, a1, b1, a2, b2, ... of both years.

    Returns
    -------
    ndarray (y, x) of float32
        In units of the curves (NDVI), >= 0. NaN where any coefficient is NaN.

    Raises
    ------
    ValueError
        If the shapes differ or the number of coefficients is even.

    Notes
    -----
    By Parseval's theorem, RMSD^2 = dc0^2 + 1/2 sum_k (da_k^2 + db_k^2): equal to the integral of ATBD 4.2.2 and not
    only proportional to it, so that the values have a unit. Amplitudes and phases must not be given: phases wrap.
    """
    then = np.asarray(then)
    now = np.asarray(now)
    if then.shape != now.shape or then.ndim != 3 or then.shape[0] % 2 == 0:
        raise ValueError(f"then {then.shape} and now {now.shape} must have one shape (2 degree + 1, y, x)")
    total = np.zeros(then.shape[1:], dtype=np.float32)
    # A term of frequency k > 0 has mean square 1/2 over the year, the constant 1.
    for first, second in zip(then[1:], now[1:], strict=True):
        difference = np.subtract(first, second, dtype=np.float32)
        difference *= difference
        total += difference
    total *= 0.5
    difference = np.subtract(then[0], now[0], dtype=np.float32)
    difference *= difference
    total += difference
    return np.sqrt(total, out=total)
