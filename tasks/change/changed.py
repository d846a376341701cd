"""Changed pixels of an area, gathered block by block: what classes are fitted to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imperv.layers.cva.classes import MOST_PIXELS, Centre, fit_classes


def changed_pixels(vectors: np.ndarray, threshold: float, blocks: int) -> np.ndarray:
    """Those of one of so many blocks, (2, pixel) of vectors (2, y, x), evenly thinned."""
    pixels: np.ndarray = vectors[:, np.nan_to_num(vectors[0]) >= threshold]
    return pixels[:, :: max(1, -(-pixels.shape[1] // max(1, MOST_PIXELS // blocks)))]


def classes_of(parts: Sequence[np.ndarray], threshold: float, number: int) -> tuple[Centre, ...]:
    """Classes of the changed pixels of all blocks, row by row."""
    every = np.concatenate(parts, 1)
    return fit_classes(every[0].astype("f8"), every[1].astype("f8"), threshold, number)


def few_classes(found: int, wanted: int) -> str:
    """What a person should know where there are fewer classes than wanted."""
    return f"changed pixels tell {found} classes apart, not {wanted}" if found else "no pixel has changed at this threshold"
