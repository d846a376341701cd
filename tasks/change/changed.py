"""Changed pixels of an area, gathered block by block: what classes are fitted to."""

from __future__ import annotations

import threading

import numpy as np

from imperv.grids import Block
from imperv.layers.cva.classes import MOST_PIXELS, Centre, fit_classes


class Changed:
    """Changed pixels of an area, evenly thinned, whatever the order of the blocks."""

    def __init__(self, blocks: int, threshold: float) -> None:
        self.most, self.threshold = max(1, MOST_PIXELS // blocks), threshold
        self.found: dict[tuple[int, int], np.ndarray] = {}
        self.lock = threading.Lock()

    def add(self, block: Block, vectors: np.ndarray) -> None:
        """Those of a block of vectors (2, y, x)."""
        pixels = vectors[:, np.nan_to_num(vectors[0]) >= self.threshold]
        step = max(1, -(-pixels.shape[1] // self.most))
        with self.lock:
            self.found[block.y0, block.x0] = pixels[:, ::step]

    def classes(self, number: int) -> tuple[Centre, ...]:
        """Classes of them."""
        every = np.concatenate([self.found[key] for key in sorted(self.found)], 1)
        return fit_classes(every[0].astype("f8"), every[1].astype("f8"), self.threshold, number)


def few_classes(found: int, wanted: int) -> str:
    """What a person should know where there are fewer classes than wanted."""
    return f"changed pixels tell {found} classes apart, not {wanted}" if found else "no pixel has changed at this threshold"
