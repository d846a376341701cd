"""Windows of a scene for the sharpening: where they lie, and pixels to and from the store's integers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from imperv.grids import Block, inner_slices, pad_clipped
from imperv.grids.specs import UTM_STEP
from imperv.layers.catalogue.superresolution import NO_DEVIATION, SHARP
from imperv.layers.reflectance import COASTAL, NO_DATA, REFLECTANCE_10M, REFLECTANCE_20M
from imperv.layers.sharpening.degradation import degrade
from imperv.layers.sharpening.scene import MARGIN, TO_10, Dates, SceneModel, finer_sigma, to_5, to_10
from imperv.layers.sharpening.steps import STEPS

MEASURED = {10: REFLECTANCE_10M, 20: REFLECTANCE_20M, 60: COASTAL}
"""Bands by their pixel size."""

Read = Callable[[int, Block], np.ndarray]
"""(pixel size, block of such pixels) -> bands of that size, (band, y, x) uint16."""


@dataclass(frozen=True)
class Outlook:
    """A block with the margin that its pixels depend on, in pixels of 60 m, cut at the edge of the grid."""

    block: Block
    """Pixels of `resolution` that are wanted."""
    resolution: int
    outer: Block
    """Pixels of 60 m that are read."""

    @classmethod
    def of(cls, block: Block, resolution: int, shape: tuple[int, int]) -> Outlook:
        """Around a block of a grid of `shape` pixels, whole pixels of 60 m."""
        each = UTM_STEP // resolution
        whole = shape[0] // each, shape[1] // each
        return cls(block, resolution, pad_clipped(block.coarser(each), MARGIN // UTM_STEP, whole))

    @classmethod
    def bare(cls, block: Block) -> Outlook:
        """A block of pixels of 10 m without margin, whole pixels of 60 m."""
        return cls(block, 10, block.coarser(UTM_STEP // 10))

    def at(self, resolution: int) -> Block:
        """What is read, in pixels of another size."""
        return self.outer.scaled(UTM_STEP // resolution)

    @property
    def inner(self) -> tuple[slice, slice]:
        """Slices that cut the block from what was read."""
        return inner_slices(self.block, self.at(self.resolution))

    @property
    def pixels(self) -> int:
        """Pixels of 10 m that are read."""
        rows, columns = self.at(10).shape
        return rows * columns


def read_block(arrays: Mapping[int, Any], size: int, block: Block) -> np.ndarray:
    """A block of arrays by pixel size, (band, y, x) each; with arrays given, a `Read`."""
    return np.asarray(arrays[size][(slice(None), *block.slices)])


def window(read: Read, outlook: Outlook) -> dict[str, np.ndarray]:
    """Measured bands as the sharpening wants them."""
    found: dict[str, np.ndarray] = {}
    for size, names in MEASURED.items():
        found |= dict(zip(names, reflectance(read(size, outlook.at(size))), strict=True))
    return found


def reflectance(pixels: np.ndarray) -> np.ndarray:
    """float32 with NaN, of stored uint16 with 0, for no data."""
    return np.where(pixels == NO_DATA, np.float32(np.nan), pixels.astype(np.float32))


def stored(bands: Mapping[str, np.ndarray]) -> np.ndarray:
    """(band, y, x) uint16 in the order of `SHARP`, 0 no data; what has data is 1 at least."""
    found = np.stack([bands[name] for name in SHARP])
    empty = np.isnan(found)
    found = np.clip(np.rint(np.where(empty, 0, found)), 1, np.iinfo(np.uint16).max).astype(np.uint16)
    found[empty] = NO_DATA
    return found


def stored_deviation(bands: Mapping[str, np.ndarray]) -> np.ndarray:
    """(band, y, x) uint16 in the order of `SHARP`, `NO_DEVIATION` without data."""
    found = np.stack([bands[name] for name in SHARP])
    return np.where(np.isnan(found), NO_DEVIATION, np.clip(np.rint(np.nan_to_num(found)), 0, NO_DEVIATION - 1)).astype(np.uint16)


@dataclass
class Sharpened:
    """A sharpened block."""

    bands: np.ndarray
    """(band, y, x) uint16."""
    deviation: np.ndarray
    """(band, y, x) uint16."""
    lack: dict[str, tuple[float, int]]
    """By band: sum of squares of what the bands, degraded again, lack of the measured ones, and the measured pixels."""


def sharpen_block(read: Read, outlook: Outlook, model: SceneModel, dates: Callable[[Outlook], Dates] | None = None) -> Sharpened:
    """Sharpen a block to the pixels of its outlook, 10 m or 5 m; `dates` gives further dates for 5 m."""
    measured = window(read, outlook)
    sharp, spread = to_10(measured, model)
    if outlook.resolution == 5:
        sharp, spread = to_5(measured, sharp, spread, model, dates(outlook) if dates is not None else None)
    whole = stored(sharp)
    inner = outlook.inner
    lack = {
        name: _lack(reflectance(whole[k]), measured[name], outlook, spread_of(name, outlook.resolution, model))
        for k, name in enumerate(SHARP)
    }
    return Sharpened(whole[:, inner[0], inner[1]], stored_deviation({n: s[inner] for n, s in spread.items()}), lack)


def spread_of(band: str, resolution: int, model: SceneModel) -> float:
    """Point spread of a measured band in pixels of a sharpened one; 0 where it is measured at those."""
    step = next((name for name in TO_10 if band in STEPS[name].bands), "")
    if resolution == 10:
        return model.sigma(step) if step else 0.0
    return finer_sigma(step, model) if step else model.sigma("10to5")


def _lack(sharp: np.ndarray, measured: np.ndarray, outlook: Outlook, sigma: float) -> tuple[float, int]:
    """Of one band, over the measured pixels that begin inside the block."""
    factor = len(sharp) // len(measured)
    difference = measured - (degrade(sharp, factor, sigma) if factor > 1 else sharp)
    rows, columns = (slice(-(-s.start // factor), -(-s.stop // factor)) for s in outlook.inner)
    inside = difference[rows, columns]
    known = np.isfinite(inside)
    return float((inside[known].astype("f8") ** 2).sum()), int(known.sum())


def consistency(parts: list[dict[str, tuple[float, int]]]) -> dict[str, float]:
    """Root mean square by band of what the sharpened bands, degraded again, lack; reflectance x 10 000."""
    found = {}
    for name in SHARP:
        total, count = (sum(part[name][k] for part in parts) for k in (0, 1))
        if count:
            found[name] = round((total / count) ** 0.5, 4)
    return found
