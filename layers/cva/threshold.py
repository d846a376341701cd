"""From which amplitude on a pixel has changed: by a distribution, or by what dates between which nothing changed show.

Amplitudes are counted in units of the `body` of their pair (`Noise.body`), in bins of one percent, by pair of dates and cell of
ground, so that whole tiles need no more memory than small areas (docs/change.md, Thresholds).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from imperv.layers.cva.noise import LIGHTEST, Noise

LOWEST, STEP, BINS = 0.01, 0.01, 1400
"""Amplitude of the first bin in units of `Noise.body`, relative width of bins, their number: up to 11 000."""

FEWEST = 1000
"""Quiet pixels that a threshold is read from at least; our choice."""

DRAWS = 2000
"""Of the bootstrap."""


@dataclass(frozen=True)
class Rate:
    """A share of pixels, with its 95 % interval."""

    value: float
    low: float
    high: float
    pixels: int
    """Pixels that it is a share of."""
    found: int
    """Pixels that count."""


def chi_squared(level: float, bands: int) -> float:
    """Amplitude beyond which the share `level` of unchanged pixels lies, were the noise normal."""
    return float(np.sqrt(stats.chi2.isf(level, bands)))


def student(level: float, noise: Noise) -> float:
    """The same with the tails that the noise has."""
    return float(np.sqrt(noise.bands * stats.f.isf(level, noise.bands, noise.freedom)))


def count(amplitude: np.ndarray, cells: np.ndarray, cell_count: int) -> np.ndarray:
    """Pixels by cell and bin, (cell, bin) int32; NaN is left out. `cells` are the cell of every pixel."""
    known = np.isfinite(amplitude)
    place = np.log(np.maximum(amplitude[known], LOWEST) / LOWEST) / np.log1p(STEP)
    flat = cells[known].astype("i8") * BINS + np.minimum(place.astype("i8"), BINS - 1)
    return np.bincount(flat, minlength=cell_count * BINS).reshape(cell_count, BINS).astype("i4")


def edge(number: int | np.ndarray) -> float | np.ndarray:
    """Lower amplitude of a bin."""
    return LOWEST * (1 + STEP) ** number


def beyond(counts: np.ndarray, threshold: float) -> np.ndarray:
    """Pixels (..., bin) at or above a threshold, by the bin that it lies in: summed over bins."""
    first = int(np.ceil(np.log(max(threshold, LOWEST) / LOWEST) / np.log1p(STEP) - 1e-9))
    found: np.ndarray = counts[..., first:].sum(-1)
    return found


def empirical(counts: np.ndarray, level: float, bands: int) -> float:
    """Amplitude beyond which at most the share `level` of pixels counted by bin (bin,) lies.

    Where `level` of them are not one pixel, it is read where one lies beyond, and goes on as Student's tail of the fewest degrees
    of freedom does. ValueError for hardly any pixels.
    """
    pixels = int(counts.sum())
    if pixels < FEWEST:
        raise ValueError(f"{pixels} quiet pixels are too few, at least {FEWEST} are needed")
    read = max(level, 1 / pixels)
    above = counts[::-1].cumsum()[::-1]
    found = float(edge(int(np.argmax(np.append(above, 0) <= read * pixels))))
    tail = stats.f.isf(level, bands, LIGHTEST) / stats.f.isf(read, bands, LIGHTEST)
    return found * float(np.sqrt(tail))


def held_out(counts: np.ndarray, pairs: Sequence[tuple[str, str]], level: float, bands: int) -> tuple[Rate, str]:
    """Measured share of false alarms (pair, cell, bin) at empirical thresholds, and what was held out.

    The threshold of each pair comes from the pairs that share no date with it; where there are none, from all others; of a single
    pair that of each half of its ground from the other half. The interval is that of a bootstrap over cells of ground.
    """
    found = np.zeros(counts.shape[:2], "i8")
    if len(pairs) == 1:
        halves = np.arange(counts.shape[1]) < counts.shape[1] / 2
        for half in (halves, ~halves):
            found[0, half] = beyond(counts[0, half], empirical(counts[0, ~half].sum(0), level, bands))
        return rate(found.sum(0), counts.sum((0, 2))), "each half of the ground, calibrated by the other"
    apart = True
    for number, pair in enumerate(pairs):
        others = [k for k, other in enumerate(pairs) if not set(other) & set(pair)]
        apart &= bool(others)
        others = others or [k for k in range(len(pairs)) if k != number]
        found[number] = beyond(counts[number], empirical(counts[others].sum((0, 1)), level, bands))
    how = "each pair, calibrated by those that share no date with it" if apart else "each pair, calibrated by the others"
    return rate(found.sum(0), counts.sum((0, 2))), how


def at_own(counts: np.ndarray, thresholds: Sequence[float]) -> Rate:
    """Measured share of false alarms (pair, cell, bin) where each pair has a threshold of its own."""
    found = sum(beyond(some, threshold) for some, threshold in zip(counts, thresholds, strict=True))
    return rate(np.asarray(found), counts.sum((0, 2)))


def rate(found: np.ndarray, pixels: np.ndarray) -> Rate:
    """Share of pixels found by cell of ground; false alarms come in clusters, so cells are drawn and not pixels."""
    total, hits = int(pixels.sum()), int(found.sum())
    if not hits:  # rule of three
        return Rate(0.0, 0.0, min(1.0, 3 / max(total, 1)), total, 0)
    used = np.flatnonzero(pixels)
    drawn = np.random.default_rng(1).integers(0, len(used), (DRAWS, len(used)))
    shares = found[used][drawn].sum(1) / pixels[used][drawn].sum(1)
    low, high = np.quantile(shares, (0.025, 0.975))
    return Rate(hits / total, float(low), float(high), total, hits)
