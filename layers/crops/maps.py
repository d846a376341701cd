"""Maps of crops: probabilities as they are stored, the most probable class, and the majority filter (AI4Copernicus 5.2.5)."""

from __future__ import annotations

import cv2
import numpy as np

from imperv.layers.palette import OUTSIDE

NO_DATA = OUTSIDE
"""Of probabilities, codes and confidence."""

STEPS = 254
"""A probability p is stored as round(254 p)."""


def shares_of(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities as they are stored, uint8; NaN is no data."""
    return np.where(np.isnan(probabilities), NO_DATA, np.rint(STEPS * np.nan_to_num(probabilities))).astype("u1")


def classes_of(shares: np.ndarray, size: int = 0) -> np.ndarray:
    """Most probable class of stored probabilities (class, y, x), the first of those that are alike; filtered by `majority`."""
    codes = np.where(shares[0] == NO_DATA, NO_DATA, shares.argmax(axis=0)).astype("u1")
    return majority(codes, size)


def confidence_of(shares: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Percent of the probability of the class of a map, (y, x) uint8, 255 where there is none."""
    known = codes != NO_DATA
    own = np.take_along_axis(shares, np.where(known, codes, 0)[None].astype("i8"), axis=0)[0]
    return np.where(known, np.rint(100 / STEPS * own), NO_DATA).astype("u1")


def majority(codes: np.ndarray, size: int) -> np.ndarray:
    """Each pixel takes the class that most pixels of a square of `size` around it have; its own where that is among the most.

    (y, x) uint8 of codes and 255; 255 stays and does not count. `size` is odd; below 3 nothing changes.
    """
    if size < 3:
        return codes
    best = np.zeros(codes.shape, "f4")
    found = codes.copy()
    kernel = (size, size)
    own = np.zeros(codes.shape, "f4")
    for code in np.unique(codes):
        if code == OUTSIDE:
            continue
        here = codes == code
        count = cv2.boxFilter(here.astype("f4"), -1, kernel, normalize=False, borderType=cv2.BORDER_CONSTANT)
        own[here] = count[here]
        better = count > best + 0.5
        best[better], found[better] = count[better], code
    keep = (own > best - 0.5) | (codes == OUTSIDE)
    return np.where(keep, codes, found)
