"""Pixels for a report, read and thinned block by block: overviews of whole layers, and windows at full resolution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from imperv.grids import Block
from imperv.layers.aggregation import NO_CHANGE, NODATA
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.features import QUANTILE_BANDS
from imperv.layers.palette import BUILT_UP, BUILT_UP_CLASSES, CHANGE, CLASSES
from imperv.tasks.imperviousness.report.thinning import (
    mean_share,
    mean_values,
    prevailing_class,
    share_of_ones,
    strongest_change,
    sums,
)
from imperv.tasks.job import Job

Bounds = tuple[float, float, float, float]
"""(left, bottom, right, top) in EPSG:3035."""

UNIT = 1000
"""Windows are multiples of this many metres, so that thinned pixels end at their edges."""

CELL = 500
"""Edge of the cells in which change is summed up, metres."""

TRUE_COLOUR = ("B04", "B03", "B02")
"""Bands of a true-colour composite: red, green, blue."""

Thin = Callable[[np.ndarray, int], np.ndarray]


def made(job: Job, symbol: str) -> bool:
    """Whether a layer has pixels."""
    record = job.record(symbol)
    return record is not None and record.made


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels of a map."""

    codes: np.ndarray
    """(y, x) of codes or values."""
    bounds: Bounds
    metres: float
    """Edge of a pixel."""
    thinned: int = 1
    """Layer pixels that one pixel shows, each way."""


def thinning_factor(shape: tuple[int, ...], resolution: float, longest: int) -> int:
    """Smallest factor with which a layer has at most `longest` pixels each way, or the largest."""
    unit = round(UNIT / resolution)
    factors = [f for f in range(1, unit + 1) if unit % f == 0]
    return next((f for f in factors if max(shape) / f <= longest), unit)


def thinned(job: Job, array: Any, resolution: float, longest: int, thin: Thin, lead: tuple[int, ...] = ()) -> Picture:
    """An array (..., y, x) of a tile, thinned block by block by `thin(pixels, factor)` to at most `longest` pixels each way."""
    factor = thinning_factor(tuple(job.grid(resolution).shape), resolution, longest)
    return Picture(cells(job, array, resolution, factor, thin, lead), job.bounds, resolution * factor, factor)


def cells(job: Job, array: Any, resolution: float, factor: int, thin: Thin, lead: tuple[int, ...] = ()) -> np.ndarray:
    """`thin(pixels, factor)` of a whole array (*lead, y, x), block by block: (..., y // factor, x // factor)."""
    blocks = job.blocks(resolution)
    parts = on_threads(job, lambda block: thin(array[(*lead, *block.slices)], factor), blocks)
    rows, columns = job.grid(resolution).shape
    whole = np.empty((*parts[0].shape[:-2], rows // factor, columns // factor), parts[0].dtype)
    for block, part in zip(blocks, parts, strict=True):
        y, x = block.y0 // factor, block.x0 // factor
        whole[..., y : y + part.shape[-2], x : x + part.shape[-1]] = part
    return whole


def on_threads(job: Job, read: Callable[[Block], Any], blocks: Sequence[Block]) -> list[Any]:
    """Results of `read` for all blocks, in order, on as many threads as the engine has workers."""
    with ThreadPoolExecutor(job.engine.settings.workers, "report") as pool:
        return list(pool.map(read, blocks))


def overview(job: Job, symbol: str, longest: int) -> Picture:
    """A coded layer of a tile, thinned by the rule of its codes."""
    layer = CATALOGUE[symbol]
    return thinned(job, job.array(symbol), layer.resolution, longest, thin_of(symbol))


def thin_of(symbol: str) -> Thin:
    """Rule by which a coded layer is thinned."""
    layer = CATALOGUE[symbol]
    palette = layer.delivery.palette if layer.delivery else None
    if palette is CHANGE:
        return strongest_change
    if palette in (CLASSES, BUILT_UP_CLASSES):
        return prevailing_class
    return share_of_ones if palette is BUILT_UP or layer.codes == BUILT_UP.codes else mean_share


def composite(job: Job, period: str, longest: int) -> tuple[np.ndarray, Picture]:
    """Yearly 20 % quantiles of red, green and blue, (3, y, x) digital numbers, NaN no data; and the picture of the first."""
    quantiles = job.group(f"PP_{period}")["quantiles"]
    found = [thinned(job, quantiles, 10, longest, _mean_above_0, (QUANTILE_BANDS.index(band),)) for band in TRUE_COLOUR]
    return np.stack([picture.codes for picture in found]), found[0]


def clear_looks(job: Job, period: str, longest: int) -> Picture:
    """Mean number of clear observations of the whole tile, NaN where there is none."""
    return thinned(job, job.group(f"PP_{period}")["observations"], 10, longest, _mean_above_0)


def _mean_above_0(a: np.ndarray, factor: int) -> np.ndarray:
    return mean_values(np.where(a > 0, a, np.nan), factor)


def window_block(job: Job, bounds: Bounds, resolution: float) -> Block:
    """Pixels of a window, cut at the edges of the area."""
    left, bottom, right, top = job.bounds
    y0, y1 = (round((top - y) / resolution) for y in (min(bounds[3], top), max(bounds[1], bottom)))
    x0, x1 = (round((x - left) / resolution) for x in (max(bounds[0], left), min(bounds[2], right)))
    return Block(y0, x0, y1, x1)


def window(job: Job, symbol: str, bounds: Bounds) -> Picture:
    """A coded layer inside a window, at full resolution."""
    resolution = CATALOGUE[symbol].resolution
    return Picture(job.array(symbol)[window_block(job, bounds, resolution).slices], bounds, resolution)


def window_composite(job: Job, period: str, bounds: Bounds) -> np.ndarray:
    """Yearly quantiles of red, green and blue inside a window: (3, y, x) float32, NaN no data."""
    slices = window_block(job, bounds, 10).slices
    quantiles = job.group(f"PP_{period}")["quantiles"]
    bands = np.stack([quantiles[(QUANTILE_BANDS.index(band), *slices)] for band in TRUE_COLOUR]).astype("f4")
    bands[bands == 0] = np.nan
    return bands


def movement(job: Job) -> np.ndarray:
    """Gain and loss of sealed ground from IMDC by cells of `CELL`: (2, y, x) float64, square metres."""

    def thin(codes: np.ndarray, factor: int) -> np.ndarray:
        change = np.where(codes <= 2 * NO_CHANGE, codes.astype("i2") - NO_CHANGE, 0)
        return np.stack([sums(np.maximum(side, 0), factor) for side in (change, -change)])

    return cells(job, job.array("IMDC"), 20, CELL // 20, thin) * (20 * 20 / 100)


def sealed_ground(job: Job, symbol: str) -> np.ndarray:
    """Sealed ground by cells of `CELL`: (y, x) float64, square metres."""

    def thin(codes: np.ndarray, factor: int) -> np.ndarray:
        return sums(np.where(codes == NODATA, 0, codes), factor)

    return cells(job, job.array(symbol), 10, CELL // 10, thin) * (10 * 10 / 100)


def best_windows(job: Job, amount: np.ndarray, edge: int, count: int, taken: Sequence[Bounds] = ()) -> list[Bounds]:
    """Windows of `edge` metres with the largest sums of `amount` (cells of `CELL`), without overlaps, also with `taken`."""
    size = min(edge // CELL, *amount.shape)
    total = np.lib.stride_tricks.sliding_window_view(amount, (size, size)).sum(axis=(2, 3))
    left, _, _, top = job.bounds
    for one in taken:
        _mute(total, round((top - one[3]) / CELL), round((one[0] - left) / CELL), size)
    found: list[Bounds] = []
    while len(found) < count and total.max() > 0:
        y, x = np.unravel_index(int(total.argmax()), total.shape)
        x0, y1 = left + int(x) * CELL, top - int(y) * CELL
        found.append((x0, y1 - size * CELL, x0 + size * CELL, y1))
        _mute(total, int(y), int(x), size)
    return found


def _mute(total: np.ndarray, y: int, x: int, size: int) -> None:
    """Windows that would overlap one of the given position."""
    total[max(y - size + 1, 0) : y + size, max(x - size + 1, 0) : x + size] = 0
