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
from imperv.tasks.job import Job
from imperv.tasks.report.thinning import mean_share, mean_values, prevailing_class, share_of_ones, strongest_change, sums

Bounds = tuple[float, float, float, float]
"""(left, bottom, right, top) in EPSG:3035."""

UNIT = {10: 100, 20: 50, 100: 10}
"""Pixels of a kilometre by resolution: areas are whole kilometres, so that factors which divide it leave no rest."""

CELL = 500
"""Edge of the cells among which the largest changes are looked for, metres."""

TRUE_COLOUR = ("B04", "B03", "B02")
"""Bands of a colour composite as the eye sees it: red, green, blue."""

Thin = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels of a map."""

    codes: np.ndarray
    """(y, x) of codes or values."""
    bounds: Bounds
    """Extent."""
    metres: float
    """Edge of a pixel."""
    thinned: int = 1
    """Layer pixels that one pixel shows, each way."""


def thinning_factor(shape: tuple[int, ...], resolution: int, longest: int) -> int:
    """Smallest factor with which a layer has at most `longest` pixels each way, or the largest that there is."""
    unit = UNIT[resolution]
    factors = [f for f in range(1, unit + 1) if unit % f == 0]
    return next((f for f in factors if max(shape) / f <= longest), unit)


def thinned(job: Job, array: Any, resolution: int, longest: int, thin: Thin, lead: tuple[int, ...] = ()) -> Picture:
    """An array (..., y, x) of a tile, thinned block by block by `thin(pixels, factor)` to at most `longest` pixels each way."""
    factor = thinning_factor(tuple(job.grid(resolution).shape), resolution, longest)
    blocks = job.blocks(resolution)

    def read(block: Block) -> np.ndarray:
        return thin(array[(*lead, *block.slices)], factor)

    parts = on_threads(job, read, blocks)
    rows, columns = job.grid(resolution).shape
    whole = np.empty((rows // factor, columns // factor), parts[0].dtype)
    for block, part in zip(blocks, parts, strict=True):
        y, x = block.y0 // factor, block.x0 // factor
        whole[y : y + part.shape[0], x : x + part.shape[1]] = part
    return Picture(whole, job.bounds, resolution * factor, factor)


def on_threads(job: Job, read: Callable[[Block], Any], blocks: Sequence[Block]) -> list[Any]:
    """Results of `read` for all blocks, in order, on as many threads as the engine has workers."""
    with ThreadPoolExecutor(job.engine.settings.workers, "report") as pool:
        return list(pool.map(read, blocks))


def overview(job: Job, symbol: str, longest: int) -> Picture:
    """A coded layer of a tile, thinned in the way that suits its codes."""
    layer = CATALOGUE[symbol]
    return thinned(job, job.array(symbol), layer.resolution, longest, thin_of(symbol))


def thin_of(symbol: str) -> Thin:
    """How a coded layer is thinned."""
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
    found = [thinned(job, quantiles, 10, longest, mean_values, (QUANTILE_BANDS.index(band),)) for band in TRUE_COLOUR]
    return np.stack([picture.codes for picture in found]), found[0]


def clear_looks(job: Job, period: str, longest: int) -> Picture:
    """Mean number of clear observations of the whole tile, NaN where there is none."""
    return thinned(job, job.group(f"PP_{period}")["observations"], 10, longest, mean_values)


def window_block(job: Job, bounds: Bounds, resolution: int) -> Block:
    """Pixels of a window, cut at the edges of the area."""
    left, _, _, top = job.bounds
    rows, columns = job.grid(resolution).shape
    y0, y1 = (round((top - y) / resolution) for y in (bounds[3], bounds[1]))
    x0, x1 = (round((x - left) / resolution) for x in (bounds[0], bounds[2]))
    return Block(max(y0, 0), max(x0, 0), min(y1, rows), min(x1, columns))


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


@dataclass(frozen=True, eq=False)
class Movement:
    """Change of sealing by cells of `CELL`."""

    gain: np.ndarray
    """(y, x) float64: newly sealed ground, square metres."""
    loss: np.ndarray
    """(y, x) float64: ground that lost its sealing, square metres."""


def movement(job: Job) -> Movement:
    """Gain and loss of sealed ground from IMDC, by cells."""
    array, cell = job.array("IMDC"), CELL // 20
    rows, columns = (edge // cell for edge in job.grid(20).shape)
    gain, loss = np.zeros((rows, columns)), np.zeros((rows, columns))

    def read(block: Block) -> None:
        codes = array[block.slices].astype("i2")
        change = np.where(codes <= 2 * NO_CHANGE, codes - NO_CHANGE, 0) * (20 * 20 / 100)
        y, x = block.y0 // cell, block.x0 // cell
        for out, part in ((gain, np.maximum(change, 0)), (loss, np.maximum(-change, 0))):
            found = sums(part, cell)
            out[y : y + found.shape[0], x : x + found.shape[1]] = found

    on_threads(job, read, job.blocks(20))
    return Movement(gain, loss)


def sealed_ground(job: Job, symbol: str = "IMD_now") -> np.ndarray:
    """Sealed ground by cells of `CELL`: (y, x) float64, square metres."""

    def thin(codes: np.ndarray, factor: int) -> np.ndarray:
        return sums(np.where(codes == NODATA, 0, codes), factor)

    array, cell = job.array(symbol), CELL // 10
    blocks = job.blocks(10)
    parts = on_threads(job, lambda block: thin(array[block.slices], cell), blocks)
    rows, columns = (edge // cell for edge in job.grid(10).shape)
    whole = np.zeros((rows, columns))
    for block, part in zip(blocks, parts, strict=True):
        y, x = block.y0 // cell, block.x0 // cell
        whole[y : y + part.shape[0], x : x + part.shape[1]] = part
    return whole * (10 * 10 / 100)


def best_windows(job: Job, amount: np.ndarray, edge: int, count: int, taken: Sequence[Bounds] = ()) -> list[Bounds]:
    """Windows of `edge` metres with the largest sums of `amount` (cells of `CELL`), without overlaps, with `taken` neither."""
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
