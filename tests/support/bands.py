"""One band of a scene on a grid, as the yearly features read it."""

from __future__ import annotations

import numpy as np
from odc.geo.geobox import GeoBox

from imperv.grids.mapping import CELL
from imperv.tasks.scenes.reading import Target, read_window


def read_band(path: str, scene: str, grid: GeoBox, *, classes: bool = False) -> np.ndarray:
    """One band of a scene on a grid, (y, x), 0 no data: bilinear, uint16; SCL (`classes`) by nearest neighbour, uint8."""
    target = Target(grid)
    rows, columns = target.shape
    out = np.zeros((rows, 1, columns), "uint8" if classes else "uint16")
    window = read_window(path, scene, target, classes=classes)
    if window is not None and classes:
        window.weights(target, np.arange(256, dtype="uint8"), out, 0)
    elif window is not None:
        window.bilinear(target, np.ones((-(-rows // CELL), -(-columns // CELL)), bool), 0, out, 0)
    return out[:, 0]
