"""Two dates compared on the windows of an area: their noise, and how many pixels have which amplitude."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from imperv.layers.cva.noise import Noise, Sample, fit_noise
from imperv.layers.cva.threshold import BINS, count
from imperv.layers.cva.vectors import change_vectors, sample_of
from imperv.tasks.change.dates import Windows

FIT_PIXELS = 10_000
"""Pixels that the noise is fitted to: its parameters are known to a percent. Our choice."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Of two dates."""

    noise: Noise
    counts: np.ndarray
    """Pixels by cell of ground and bin of the amplitude in units of `Noise.body`, (cell, bin) int32."""
    clear: float
    """Share of the windows that both dates show."""


def seen_by_both(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Where two dates, (band, y, x) with 0 for no data, show the ground: (y, x) bool."""
    found: np.ndarray = (first[0] > 0) & (second[0] > 0)
    return found


def noise_of(pairs: Iterable[tuple[np.ndarray, np.ndarray]], pixels: int) -> Noise:
    """Noise of two dates from windows of both, of so many clear pixels in all; ValueError as `fit_noise`."""
    step = max(1, int((pixels / FIT_PIXELS) ** 0.5))
    parts = [sample_of(first, second, seen_by_both(first, second), step) for first, second in pairs]
    return fit_noise(Sample.joined(parts).thinned(FIT_PIXELS))


def compare(first: Sequence[np.ndarray], second: Sequence[np.ndarray], windows: Windows, counted: bool = True) -> Comparison:
    """Compare two dates on windows of both; ValueError as `fit_noise`."""
    both = [seen_by_both(a, b) for a, b in zip(first, second, strict=True)]
    pixels, size = sum(int(found.sum()) for found in both), sum(found.size for found in both)
    noise = noise_of(zip(first, second, strict=True), pixels)
    counts = np.zeros((windows.cells, BINS), "i4")
    reference = np.eye(noise.bands)[0].tolist()
    for number, (a, b, valid) in enumerate(zip(first, second, both, strict=True)):
        if counted and valid.any():
            amplitude, _ = change_vectors(a, b, valid, noise, reference)
            for side in (slice(0, 1), slice(-1, None)):  # where gradients are not known
                amplitude[side], amplitude[:, side] = np.nan, np.nan
            counts += count(amplitude / noise.body, windows.cells_of(number), windows.cells)
    return Comparison(noise, counts, pixels / max(size, 1))
