"""From probabilities of crops to maps: the majority filter of codes (AI4Copernicus 5.2.5, morphological operators)."""

from __future__ import annotations

import cv2
import numpy as np

from imperv.layers.palette import OUTSIDE


def majority(codes: np.ndarray, size: int, classes: int) -> np.ndarray:
    """Each pixel takes the class that most pixels of a square of `size` around it have; its own where that is among the most.

    (y, x) uint8 of codes 0 to `classes` - 1 and 255; 255 stays and does not count. `size` is odd; below 3 nothing changes.
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
