"""Maps from windows that overlap, without seams: weights fall to the edges of a window, and windows lie on a lattice.

A pixel's probabilities are the same in whatever strips an image is read. NumPy only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Read = Callable[[int, int, int, int], np.ndarray]
"""Pixels (y, x, band) float32 with NaN of an image: first and last row, first and last column; all inside the image."""

WINDOW_BYTES = 60
"""About the bytes of a pixel and class that a strip takes: sums, weights, answers and copies."""


def starts(length: int, window: int) -> list[int]:
    """First pixels of windows along an axis: half a window apart, the last one ends with the image."""
    if length <= window:
        return [0]
    return [*range(0, length - window, window // 2), length - window]


def taper(window: int) -> np.ndarray:
    """Weights of the pixels of a window along an axis, (window,) float32: they rise to the middle, and never are 0."""
    rising = np.arange(window, dtype="f4") + 0.5
    found: np.ndarray = np.minimum(rising, rising[::-1]) / (window / 2)
    return found


def strip_bytes(width: int, window: int, bands: int, classes: int) -> int:
    """About what a strip of windows across an image takes."""
    return window * width * (8 * bands + 12 * classes) + 16 * window**2 * WINDOW_BYTES


def map_strips(
    shape: tuple[int, int], read: Read, predict: Callable[[np.ndarray], np.ndarray], window: int, classes: int,
    fill: np.ndarray, batch: int = 8, advance: Callable[[int, int], None] = lambda *_: None,
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:  # fmt: skip
    """First row, probabilities (class, y, x) float32 and where there are data (y, x) of strips, from the top of an image.

    `predict` takes (batch, window, window, band); pixels without data, and those beyond a small image, are given `fill`, (band,).
    """
    height, width = shape
    tops, lefts, weight = starts(height, window), starts(width, window), taper(window)
    weight2 = weight[:, None] * weight[None, :]
    sums = np.zeros((classes, window, width), "f4")
    total = np.zeros((window, width), "f4")
    for number, top in enumerate(tops):
        bottom = min(top + window, height)
        pixels = read(top, bottom, 0, width)
        known = np.asarray(np.isfinite(pixels).all(-1))
        pixels = np.where(known[..., None], pixels, fill.astype("f4"))
        for k in range(0, len(lefts), batch):
            group = lefts[k : k + batch]
            windows = np.empty((len(group), window, window, pixels.shape[-1]), "f4")
            windows[:] = fill
            some = [known[:, x : x + window].any() for x in group]
            for index, x in enumerate(group):
                part = pixels[:, x : x + window]
                windows[index, : part.shape[0], : part.shape[1]] = part
            answers = np.moveaxis(predict(windows), -1, 1) if any(some) else np.zeros((len(group), classes, window, window), "f4")
            for x, answer in zip(group, answers, strict=True):
                rows, columns = bottom - top, min(window, width - x)
                sums[:, :rows, x : x + columns] += answer[:, :rows, :columns] * weight2[:rows, :columns]
                total[:rows, x : x + columns] += weight2[:rows, :columns]
        done = (tops[number + 1] if number + 1 < len(tops) else height) - top
        yield top, sums[:, :done] / np.maximum(total[:done], 1e-12), known[:done]
        sums[:, : window - done], total[: window - done] = sums[:, done:].copy(), total[done:].copy()
        sums[:, window - done :], total[window - done :] = 0, 0
        advance(number + 1, len(tops))
