"""Minimum mapping unit: patches of a map that are too small take the class around them (docs/landcover.md)."""

from __future__ import annotations

import cv2
import numpy as np

EIGHT = np.ones((3, 3), "u1")


def sieve(codes: np.ndarray, least: int, nodata: int = 255) -> np.ndarray:
    """A coded map (y, x) uint8 whose patches of fewer than `least` pixels take the class that most of their neighbours have.

    Patches hang together by edges. Neighbours are the pixels around a patch, corners included, with data; where classes are alike
    the lowest code decides. All patches are judged by the map as it was, so that a pixel depends on nothing farther away than
    `least` + 1 pixels.
    """
    out = codes.copy()
    if least < 2:
        return out
    for code in np.unique(codes[codes != nodata]).tolist():
        count, labels, about, _ = cv2.connectedComponentsWithStats((codes == code).astype("u1"), connectivity=4)
        for number in np.flatnonzero(about[:count, cv2.CC_STAT_AREA] < least).tolist():
            if not number:
                continue
            x, y, width, height = about[number, :4].tolist()
            rows, columns = slice(max(y - 1, 0), y + height + 1), slice(max(x - 1, 0), x + width + 1)
            patch = labels[rows, columns] == number
            around = (cv2.dilate(patch.astype("u1"), EIGHT) > 0) & ~patch
            near = codes[rows, columns][around]
            near = near[near != nodata]
            if near.size:
                out[rows, columns][patch] = np.bincount(near).argmax()
    return out
