"""The answers of the members of a model as one: a mixture of their distributions (Lakshminarayanan et al. 2017)."""

from __future__ import annotations

from math import factorial

import numpy as np
from numba import njit

LEAST = 0.01
"""Least deviation that a network answers, in units of a band's detail."""

EXP = tuple((-1) ** k / factorial(k) for k in range(8))
"""Taylor series of exp(-t)."""

LOG = tuple(2 / k for k in range(1, 12, 2))
"""Series of log((1 + s) / (1 - s)) over s, in powers of its square."""


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def softplus(x):
    """log(1 + exp(x)) of a float32, 5e-7 apart at most; without calls, so that many are computed at once.

    exp(-|x|) is the sixteenth power of that of a sixteenth.
    """
    t = min(abs(x) * np.float32(1 / 16), np.float32(2))
    e = np.float32(EXP[-1])
    for k in range(len(EXP) - 2, -1, -1):
        e = e * t + np.float32(EXP[k])
    for _ in range(4):
        e = e * e
    s = e / (np.float32(2) + e)
    q = s * s
    log = np.float32(LOG[-1])
    for k in range(len(LOG) - 2, -1, -1):
        log = log * q + np.float32(LOG[k])
    return max(x, np.float32(0)) + s * log


@njit(cache=True, nogil=True, error_model="numpy")
def mix(answers, mean, deviation):
    """Mean and deviation of the members' answers.

    Parameters
    ----------
    answers : tuple
        Of each member (row, column, 2 channel) float32, as `network.build` gives them: corrections, then raw deviations, of
        unit x unit pixels each; what these mean is that of training (`network.deviation_of`).
    mean, deviation : array
        (band, y, x) float32, units of the band's detail; written.
    """
    rows, columns, depth = answers[0].shape
    bands, half, unit = len(mean), depth // 2, mean.shape[1] // rows
    share = np.float32(1 / len(answers))
    values = np.empty((len(answers), depth, columns), np.float32)
    level, square = np.empty(columns, np.float32), np.empty(columns, np.float32)
    for y in range(rows):
        for m in range(len(answers)):
            for x in range(columns):
                for c in range(depth):
                    values[m, c, x] = answers[m][y, x, c]
        for c in range(half):
            part, band = c // bands, c % bands
            level[:] = 0
            square[:] = 0
            for m in range(len(answers)):
                one = values[m, c]
                for x in range(columns):
                    level[x] += one[x] * share
            for m in range(len(answers)):
                one, raw = values[m, c], values[m, half + c]
                for x in range(columns):
                    spread = softplus(raw[x] - np.float32(1)) + np.float32(LEAST)
                    apart = one[x] - level[x]
                    square[x] += (spread * spread + apart * apart) * share
            for x in range(columns):
                square[x] = np.sqrt(square[x])
            row, first = y * unit + part // unit, part % unit
            for x in range(columns):
                mean[band, row, first + unit * x] = level[x]
                deviation[band, row, first + unit * x] = square[x]
