"""Change mask (CHM): where the curves of two years differ enough to call a difference real; ATBD 4.2.5.

Thresholds and patches are found on whole tiles, never on blocks: a patch that a block edge cuts could lose its strong
pixel or fall below the sieve. The mask at coarser resolutions is `aggregation.aggregate_fraction`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import pairwise

import cv2
import numpy as np
from numba import njit
from pydantic import BaseModel, ConfigDict, Field, model_validator

from imperv.layers.kernels.percentiles import CountDigits, count_digits, exact_percentiles
from imperv.layers.palette import OUTSIDE as NODATA

_NEIGHBOURS = 8

STRIP = 1000
"""Rows that are labelled at once: on a tile 40 MB of labels, and little is searched where strips meet."""


class ChangeMaskParameters(BaseModel):
    """Parameters of the change mask."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    lower: float = Field(default=97.5, ge=0, le=100)
    """Percentile of the tile's RMSD from which a pixel belongs to a patch (ATBD 4.2.5)."""

    upper: float = Field(default=99.0, ge=0, le=100)
    """Percentile of the tile's RMSD that at least one pixel of a patch must reach (ATBD 4.2.5)."""

    sieve: int = Field(default=8, ge=1)
    """Smallest patch, in pixels of 10 m (ATBD 4.2.5)."""

    @model_validator(mode="after")
    def _lower_is_lower(self) -> ChangeMaskParameters:
        if self.lower > self.upper:
            raise ValueError(f"lower ({self.lower}) must not be above upper ({self.upper})")
        return self


def change_mask(rmsd: np.ndarray, lower: float = 97.5, upper: float = 99.0, sieve: int = 8) -> np.ndarray:
    """Change mask of a tile: thresholds, candidates, and patches in one go.

    Parameters
    ----------
    rmsd : ndarray (y, x) of float32 or float64
        RMSD of the whole tile at 10 m, in NDVI units; NaN outside.
    lower, upper : float
        Percentiles 0 to 100 of the valid pixels.
    sieve : int
        Smallest patch in pixels.

    Returns
    -------
    ndarray (y, x) of uint8
        1 change, 0 none, 255 where `rmsd` is NaN.

    Raises
    ------
    ValueError
        For wrong shapes or dtypes, or lower > upper.

    Notes
    -----
    ATBD 4.2.5, Figures 11 and 12.
    """
    low, high = thresholds(rmsd, lower, upper)
    return sieve_mask(threshold_mask(rmsd, low, high), sieve)


def thresholds(rmsd: np.ndarray, lower: float = 97.5, upper: float = 99.0) -> tuple[float, float]:
    """Two percentiles (0 to 100), with linear interpolation, of the valid pixels of a tile, in the precision of `rmsd`.

    `rmsd` is float32 or float64 (y, x), NaN outside; NaN if no pixel is valid. ValueError for wrong shapes or dtypes, or lower >
    upper.
    """
    rmsd = _checked(rmsd)
    return counted_thresholds(partial(count_digits, rmsd), lower, upper, rmsd.dtype)


def counted_thresholds(count: CountDigits, lower: float, upper: float, dtype: np.dtype | type) -> tuple[float, float]:
    """The same of a tile that is not held in memory: `count` is `percentiles.count_digits` of all blocks, added up."""
    if not 0 <= lower <= upper <= 100:
        raise ValueError(f"percentiles must be 0 <= lower <= upper <= 100, not {lower} and {upper}")
    # Back to the precision of the pixels, so that a threshold that falls on a pixel's value equals it.
    low, high = exact_percentiles(count, (lower, upper), dtype).astype(dtype)
    return float(low), float(high)


def threshold_mask(rmsd: np.ndarray, low: float, high: float) -> np.ndarray:
    """Candidates of change (CHM_raw), uint8: 0 below `low`, 1 from `low`, 2 from `high`, 255 where `rmsd` is NaN.

    A pixel of RMSD 0 is never a candidate: its curves are equal, even where most of the tile's are and the thresholds are 0 too.
    ValueError for wrong shapes or dtypes.
    """
    rmsd = _checked(rmsd)
    raw = np.empty(rmsd.shape, dtype=np.uint8)
    _code(rmsd, low, high, raw)
    return raw


def sieve_mask(raw: np.ndarray, sieve: int = 8) -> np.ndarray:
    """Keep 8-connected patches with a strong pixel and at least `sieve` pixels: 1 change, 0 none, 255 outside (ATBD 4.2.5).

    `raw` is uint8 (y, x) from `threshold_mask`; ValueError if not. Patches are OpenCV's connected components of strips, joined
    where strips meet: this takes a byte a pixel, 9 a patch and 5 a pixel of one strip beyond the input; labels of the whole tile
    would take 5 a pixel.
    """
    raw = np.asarray(raw)
    if raw.ndim != 2 or raw.dtype != np.uint8:
        raise ValueError(f"raw must be uint8 (y, x), not {raw.dtype} {raw.shape}")
    if raw.size == 0:
        return raw.copy()
    strips = [raw[top : top + STRIP] for top in range(0, len(raw), STRIP)]
    first, areas, strong, edges = zip(*_measured(strips), strict=True)
    areas, strong = np.concatenate(areas), np.concatenate(strong)
    patch = np.arange(len(areas), dtype=np.int32)
    for (_, above), (below, _) in pairwise(edges):
        _join(patch, above, below)
    kept = _kept(patch, areas, strong, sieve)
    mask = np.empty_like(raw)
    for k, strip in enumerate(strips):
        # Labelled once more, the same: cheaper than labels of four bytes a pixel that are kept.
        _write(strip, _label(strip)[1], kept[first[k] :], mask[k * STRIP : (k + 1) * STRIP])
    return mask


def _measured(strips: Iterable[np.ndarray]) -> Iterator[tuple[int, np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]]:
    """Of every strip its first label in the tile, area and strength by label, and the tile's labels of its first and last row."""
    first = 0
    for strip in strips:
        count, labels = _label(strip)
        areas, strong = np.zeros(count, dtype=np.int32), np.zeros(count, dtype=np.bool_)
        _measure(strip, labels, areas, strong)
        top, bottom = (np.where(row > 0, row + first, 0) for row in (labels[0], labels[-1]))
        del labels
        yield first, areas, strong, (top, bottom)
        first += count


def _label(strip: np.ndarray) -> tuple[int, np.ndarray]:
    """Number of labels, 0 included, and the label of every candidate (int32, 0 where there is none)."""
    candidates = np.where(strip == NODATA, np.uint8(0), strip)
    return cv2.connectedComponents(candidates, connectivity=_NEIGHBOURS, ltype=cv2.CV_32S)


def _checked(rmsd: np.ndarray) -> np.ndarray:
    rmsd = np.asarray(rmsd)
    if rmsd.ndim != 2 or rmsd.dtype not in (np.float32, np.float64):
        raise ValueError(f"rmsd must be float32 or float64 (y, x), not {rmsd.dtype} {rmsd.shape}")
    return rmsd


@njit(cache=True, nogil=True)
def _code(rmsd, low, high, raw):
    for y in range(rmsd.shape[0]):
        for x in range(rmsd.shape[1]):
            value = rmsd[y, x]
            if np.isnan(value):
                raw[y, x] = NODATA
            elif value > 0 and value >= low:
                raw[y, x] = 2 if value >= high else 1
            else:
                raw[y, x] = 0


@njit(cache=True, nogil=True)
def _measure(raw, labels, areas, strong):
    for y in range(raw.shape[0]):
        for x in range(raw.shape[1]):
            label = labels[y, x]
            if label:
                areas[label] += 1
                if raw[y, x] == 2:
                    strong[label] = True


@njit(cache=True, nogil=True)
def _root(patch, label):
    while patch[label] != label:
        patch[label] = patch[patch[label]]
        label = patch[label]
    return label


@njit(cache=True, nogil=True)
def _join(patch, above, below):
    """Labels of two rows that touch become one patch, of the lowest label."""
    width = len(above)
    for x in range(width):
        if above[x]:
            for other in range(max(x - 1, 0), min(x + 2, width)):
                if below[other]:
                    one, two = _root(patch, above[x]), _root(patch, below[other])
                    patch[max(one, two)] = min(one, two)


@njit(cache=True, nogil=True)
def _kept(patch, areas, strong, sieve):
    """Whether the patch of each label is kept; `areas` and `strong` become those of patches."""
    for label in range(len(patch)):
        # The lowest label of a patch comes first, so that all others point at it by now.
        patch[label] = patch[patch[label]]
        if patch[label] != label:
            areas[patch[label]] += areas[label]
            strong[patch[label]] |= strong[label]
    for label in range(len(patch)):
        strong[label] = strong[patch[label]] and areas[patch[label]] >= sieve
    return strong


@njit(cache=True, nogil=True)
def _write(raw, labels, kept, mask):
    for y in range(raw.shape[0]):
        for x in range(raw.shape[1]):
            label = labels[y, x]
            mask[y, x] = kept[label] if label else raw[y, x]
