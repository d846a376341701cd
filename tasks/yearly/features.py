"""Yearly features of a block from all looks at it: quantiles of bands, and NDVI (ATBD 4.2.1; docs/dev/algorithms.md, 1 to 3)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from odc.geo.geobox import GeoBox

from imperv.layers.features import QUANTILE_BANDS
from imperv.layers.yearly import yearly_ndvi, yearly_quantile
from imperv.tasks.scenes.streams import Streams
from imperv.tasks.yearly.looks import CLEAR_WEIGHT, Looks, Stack, read_stacks

QUANTILE = 0.2
"""Quantile of reflectance (ATBD Table 3)."""
NDVI_QUANTILE = 0.9
"""Quantile of NDVI (ATBD Table 3)."""

STEPS = (("B04", "B08"), ("B05",), ("B06",), ("B07",), ("B8A",), ("B11",), ("B12",), ("B02",), ("B03",))
"""Bands in the order in which they are read; those of one step are in memory together, with those of the next. NDVI, the largest
step, is followed by 20 m bands, which are small."""

KEPT_BYTES = len(QUANTILE_BANDS) * 2 + 8 * 4 + 2
"""Bytes of the features of a pixel."""

ROWS = 16
"""Rows of pixels in one call of a kernel: enough to keep all threads busy to the end of a small block."""


def yearly_features(
    looks: Looks,
    grid: GeoBox,
    threads: int,
    done: Callable[[], None] = lambda: None,
    told: Callable[[int], None] = lambda count: None,
    streams: Streams | None = None,
) -> dict[str, np.ndarray]:
    """Features of all pixels of a grid.

    Parameters
    ----------
    looks : Looks
        Scenes.
    grid : GeoBox
        10 m pixels, an even number of rows and columns, edges on 20 m pixels.
    threads : int
        Threads that compute, and as many that read local files; of remote ones more are read at once.
    done : callable
        Called after each of `STEPS`.
    told : callable
        Called with the bytes of a file that a reading took, from any thread.
    streams : dict, optional
        Files that were read for the grid above this one; they are left for the one below.

    Returns
    -------
    dict
        ``quantiles`` (10, y, x) uint16, ``ndvi_q90`` (y, x) float32, ``harmonics`` (7, y, x) float32 and ``observations``
        (y, x) uint16: number of overpasses with a clear look.

    Raises
    ------
    SceneError
        If a band of a scene cannot be read.
    """
    shape = grid.shape.yx
    result = {
        "quantiles": np.zeros((len(QUANTILE_BANDS), *shape), "uint16"),
        "ndvi_q90": np.full(shape, np.nan, "float32"),
        "harmonics": np.full((7, *shape), np.nan, "float32"),
        "observations": np.zeros(shape, "uint16"),
    }

    def use(bands: tuple[str, ...], stacks: list[Stack], times: np.ndarray, kernels: ThreadPoolExecutor) -> None:
        if len(stacks) == 2:
            _ndvi(bands, stacks, times, result, kernels)
        else:
            _quantile(bands[0], stacks[0], result, kernels)

    read_stacks(looks, grid, threads, STEPS, use, done=done, told=told, streams=streams)
    return result


def _ndvi(
    bands: tuple[str, ...], stacks: list[Stack], times: np.ndarray, result: dict[str, np.ndarray], kernels: ThreadPoolExecutor
) -> None:
    """Reflectance of red and near infrared, NDVI, its harmonics and the clear looks, from one reading of memory."""
    places = [QUANTILE_BANDS.index(band) for band in bands]

    def compute(first: int) -> None:
        rows = slice(first, first + ROWS)
        (red, red_weights), (nir, nir_weights) = (stack.part(first, first + ROWS) for stack in stacks)
        found = yearly_ndvi(
            red, nir, red_weights, nir_weights, times,
            reflectance_quantile=QUANTILE, ndvi_quantile=NDVI_QUANTILE, clear_weight=CLEAR_WEIGHT,
        )  # fmt: skip
        result["quantiles"][places[0], rows], result["quantiles"][places[1], rows] = found.red, found.nir
        result["ndvi_q90"][rows] = found.ndvi
        result["harmonics"][:, rows] = found.harmonics
        result["observations"][rows] = found.observations

    list(kernels.map(compute, range(0, len(stacks[0].values), ROWS)))


def _quantile(band: str, stack: Stack, result: dict[str, np.ndarray], kernels: ThreadPoolExecutor) -> None:
    """Reflectance of one band; a 20 m pixel gives its value to four of 10 m."""
    out = result["quantiles"][QUANTILE_BANDS.index(band)]
    factor = len(out) // len(stack.values)

    def compute(first: int) -> None:
        values, weights = stack.part(first, first + ROWS)
        reduced = yearly_quantile(values, weights, QUANTILE)
        out[factor * first : factor * (first + ROWS)] = reduced.repeat(factor, axis=0).repeat(factor, axis=1)

    list(kernels.map(compute, range(0, len(stack.values), ROWS)))
