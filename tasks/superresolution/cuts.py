"""Cuts of a scene that are shown as they are: where it has most detail, as measured and as sharpened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from imperv.grids import Block
from imperv.grids.specs import UTM_STEP
from imperv.layers.catalogue import CATALOGUE
from imperv.layers.catalogue.superresolution import SHARP
from imperv.layers.reflectance import NO_DATA, REFLECTANCE_10M
from imperv.tasks.delivery.cog import CUT
from imperv.tasks.job import Job
from imperv.tasks.native.looks import shows_ground
from imperv.tasks.scenes.bands import PIXEL
from imperv.tasks.superresolution.windows import MEASURED, reflectance

STRONGEST = 0.7
"""Largest difference of neighbours that counts, in logarithms of reflectance: a single bright roof is no city."""

GLARE = 200.0
"""Reflectance x 10 000 that is added before logarithms: dark water is noise."""


def detail_by_cell(job: Job) -> np.ndarray:
    """Mean difference of neighbours in red and near infrared by cells of 60 m, (y, x) float32; 0 where a pixel is not clear."""
    layer, array, mask = CATALOGUE["SR_B10"], job.array("SR_B10"), job.array("SR_mask")
    bands = [REFLECTANCE_10M.index(band) for band in ("B04", "B08")]
    each = UTM_STEP // 10
    rows, columns = job.grid_of(layer).shape
    found = np.zeros((rows // each, columns // each), "f4")
    for block in job.blocks_of(layer):
        pixels = np.stack([array[(band, *block.slices)] for band in bands])
        light = np.log(pixels + np.float32(GLARE))
        high, wide = block.shape
        steps = np.zeros((high, wide), "f4")
        for axis in (1, 2):
            change = np.minimum(np.abs(np.diff(light, axis=axis)), STRONGEST).sum(0)
            steps[: high - (axis == 1), : wide - (axis == 2)] += change
        clear = shows_ground(mask[block.coarser(2).slices])
        known = (pixels != NO_DATA).all(0) & np.kron(clear, np.ones((2, 2), bool))
        shape = (high // each, each, wide // each, each)
        found[block.coarser(each).slices] = np.where(known.reshape(shape).all((1, 3)), steps.reshape(shape).mean((1, 3)), 0)
    return found


def sharpest(detail: np.ndarray, metres: int) -> Block:
    """The square of `metres`, in cells of 60 m, with most detail (`detail_by_cell`); cut where the scene is smaller."""
    size = min(detail.shape[0], metres // UTM_STEP), min(detail.shape[1], metres // UTM_STEP)
    total = np.pad(detail, ((1, 0), (1, 0))).cumsum(0, dtype="f8").cumsum(1)
    found = (
        total[size[0] :, size[1] :] - total[: -size[0], size[1] :] - total[size[0] :, : -size[1]] + total[: -size[0], : -size[1]]
    )
    y, x = np.unravel_index(int(found.argmax()), found.shape)
    return Block(int(y), int(x), int(y) + size[0], int(x) + size[1])


def measured_cut(job: Job, cut: Block, bands: Iterable[str], resolution: int) -> np.ndarray:
    """Measured bands of a cut, each pixel repeated: (band, y, x) float32 at `resolution`, NaN without data."""
    found = []
    for name in bands:
        size = PIXEL[name]
        array = job.array(f"SR_B{size}")
        pixels = reflectance(np.asarray(array[(MEASURED[size].index(name), *cut.scaled(UTM_STEP // size).slices)]))
        found.append(pixels.repeat(size // resolution, 0).repeat(size // resolution, 1))
    return np.stack(found)


def sharp_cut(job: Job, symbol: str, cut: Block, bands: Iterable[str]) -> np.ndarray:
    """Sharpened bands of a cut, (band, y, x) float32, NaN without data."""
    array, block = job.array(symbol), cut.scaled(round(UTM_STEP / CATALOGUE[symbol].resolution))
    return np.stack([reflectance(np.asarray(array[(SHARP.index(name), *block.slices)])) for name in bands])


def limits_of(bands: np.ndarray) -> list[tuple[float, float]]:
    """Values of each band (band, y, x) that are black and white; (0, 1) without data."""
    return [tuple(np.quantile(known, CUT).tolist()) if (known := band[np.isfinite(band)]).size else (0.0, 1.0) for band in bands]


def differing(shown: Sequence[tuple[str, tuple[str, ...]]], resolution: float) -> list[tuple[str, tuple[str, ...]]]:
    """Composites with a band that is measured at larger pixels."""
    return [(name, bands) for name, bands in shown if any(PIXEL[band] > resolution for band in bands)]
