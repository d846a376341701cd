"""Shifts between dates of the same ground, to hundredths of a pixel: phase correlation of gradients, robust over blocks.

A plane is fitted to the phases of the cross-power spectrum (Hoge 2003, doi:10.1109/TMI.2002.808359).

Gradients, because seasons change levels more than edges; median over blocks, because clouds, crops and water agree with nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

BLOCK = 64
"""Edge of the blocks, pixels; blocks overlap by half."""

SMALL = 32
"""Edge of the blocks where clouds leave fewer than `ENOUGH` of the others."""

ENOUGH = 3
"""Blocks that a scatter can be told from."""

CLEAR = 0.6
"""Least share of a block that both dates saw."""

LARGEST = 2.0
"""Shift in pixels that no pair of products has: blocks with more are wrong."""

BAND = 0.3
"""Cycles a pixel up to which phases are compared: above, aliasing shifts with the pixels, not with the ground."""


@dataclass(frozen=True)
class Registration:
    """Shift of one date against another one."""

    rows: float
    """Pixels down by which ground lies off its place in the reference date; 0 where nothing could be measured."""
    columns: float
    """Pixels to the right."""
    error: float
    """Standard error of both, pixels, from the scatter of blocks; infinite with fewer than three blocks."""
    blocks: int
    """Blocks that agreed."""

    @property
    def shift(self) -> tuple[float, float]:
        """As `dates.fuse` takes it."""
        return self.rows, self.columns


def shift_between(reference: np.ndarray, other: np.ndarray, clear: np.ndarray | None = None, block: int = BLOCK) -> Registration:
    """Shift of `other` against `reference`.

    Parameters
    ----------
    reference, other : ndarray of float32, (band, y, x)
        The same bands of two dates on the same pixels, NaN without data.
    clear : ndarray of bool, (y, x), optional
        Where both dates are free of cloud and shadow.
    block : int
        Edge of the blocks, pixels; images smaller than it are one block.

    Returns
    -------
    Registration

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if reference.shape != other.shape:
        raise ValueError(f"dates of {reference.shape} and {other.shape} pixels cannot be compared")
    known = np.isfinite(reference).all(0) & np.isfinite(other).all(0)
    if clear is not None:
        known &= clear
    usable = cv2.erode(known.astype(np.uint8), np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0).astype(
        bool
    )
    pair = [_gradient(image, known, usable) for image in (reference, other)]
    rows, columns = known.shape
    shifts = np.empty((0, 2))
    for size in sorted({min(edge, rows, columns) for edge in (block, SMALL)}, reverse=True):
        if len(shifts) < ENOUGH:
            windows = [np.s_[:, y : y + size, x : x + size] for y in _starts(rows, size) for x in _starts(columns, size)]
            found = [_phase_shift(pair[0][w], pair[1][w]) for w in windows if usable[w[1:]].mean() >= CLEAR]
            shifts = np.array([f for f in found if max(abs(f[0]), abs(f[1])) <= LARGEST]).reshape(-1, 2)
    if not len(shifts):
        return Registration(0.0, 0.0, float("inf"), 0)
    middle = np.median(shifts, 0)
    off = np.abs(shifts - middle).max(1)
    close = shifts[off <= max(3 * float(np.median(off)), 0.02)]
    middle = close.mean(0)
    error = float(np.sqrt(close.var(0).mean() / (len(close) - 1))) if len(close) >= ENOUGH else float("inf")
    return Registration(float(middle[0]), float(middle[1]), error, len(close))


def _starts(length: int, size: int) -> list[int]:
    """First pixels of blocks that overlap by half and reach the end."""
    return sorted({*range(0, length - size + 1, max(size // 2, 1)), length - size})


def _gradient(image: np.ndarray, known: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Complex gradient (band, y, x) of the roots of the bands, 0 where unknown: edges in all directions in one transform."""
    root = np.sqrt(np.where(known, np.maximum(image, 1), 1)).astype(np.float32)
    right = cv2.filter2D(np.moveaxis(root, 0, -1), -1, np.array([[-0.5, 0, 0.5]], np.float32))
    down = cv2.filter2D(np.moveaxis(root, 0, -1), -1, np.array([[-0.5], [0], [0.5]], np.float32))
    both = np.moveaxis(np.atleast_3d(right + 1j * down), -1, 0)
    return np.where(usable, both, 0)


def _phase_shift(one: np.ndarray, two: np.ndarray) -> tuple[float, float]:
    """Rows and columns by which `two` (band, y, x) lies off `one`: whole pixels by the peak, parts by the plane of phases."""
    size = one.shape[1]
    taper = np.hanning(size + 2)[1:-1]
    window = taper[:, None] * taper
    a, b = (np.fft.fft2(image * window, axes=(1, 2)) for image in (one, two))
    cross = (b * a.conj()).sum(0)
    down, right = np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size), indexing="ij")
    low = np.hypot(down, right) <= BAND
    power = np.abs(cross)
    unit = np.where(low, cross / np.sqrt(np.maximum(power, 1e-12)), 0)
    surface = np.fft.ifft2(unit).real
    peak = np.unravel_index(np.argmax(surface), surface.shape)
    shift = np.array([(p + size // 2) % size - size // 2 for p in peak], dtype=float)
    frequency = 2 * np.pi * np.stack([down[low], right[low]])
    weight = np.sqrt(power[low])
    for _ in range(3):
        rest = np.angle(cross[low] * np.exp(1j * (shift @ frequency)))
        sure = weight * (np.abs(rest) < np.pi / 2)
        square = (sure * frequency) @ frequency.T
        if np.linalg.det(square) <= 1e-9 * np.trace(square) ** 2:
            return float("inf"), float("inf")
        shift = shift - np.linalg.solve(square, (sure * frequency) @ rest)
    return float(shift[0]), float(shift[1])
