"""Training data of the models: reference fractions, the spatial split, and random crops (ATBD 4.2.3, 4.3.1).

NumPy only. Regions are arrays in memory; opening files and building the networks do not belong here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

TRAINING, VALIDATION, GUARD = 0, 1, 2
"""Codes of `spatial_split`; guard pixels are in neither part."""

SEALED_CLASS = 1
"""CLC+ Backbone: sealed."""

CLCPLUS_OUTSIDE = 253
"""CLC+ Backbone codes from here on (253 sea buffer, 254, 255) are outside."""

IMD_OUTSIDE = 101
"""IMD codes from here on (254, 255) are outside."""

SEALED_FRACTION = 0.1
"""Targets from here on count as sealed when crops are balanced (the 10 % threshold of ATBD 4.4.2)."""

CANDIDATES = 20_000
"""Pixels of a region that are kept as possible crop centres, per kind."""

_GOLDEN = (5**0.5 - 1) / 2

_MIN_BLOCK = 4
"""Smallest edge of a block of the split, pixels."""

_MIN_BLOCKS = 12
"""Blocks that the valid ground should fill, so that the validation part is more than one corner of a site."""


@dataclass(frozen=True)
class Region:
    """A piece of a tile with what is seen and what is known there."""

    features: np.ndarray
    """(feature, y, x) float32, NaN no data."""
    target: np.ndarray
    """(y, x) float32 fraction 0..1, NaN unknown; (channel, y, x) where several are learnt at once."""
    origin: tuple[int, int]
    """Global (row, column) of the first pixel on the 10 m grid: ``-top / 10 m``, ``left / 10 m`` in EPSG:3035."""

    def valid(self) -> np.ndarray:
        """(y, x) bool: pixels with all features and a known target."""
        known = np.isfinite(self.target)
        return np.isfinite(self.features).all(axis=0) & (known.all(axis=0) if known.ndim > 2 else known)


def imd_reference(imd_then: np.ndarray, clcplus: np.ndarray) -> np.ndarray:
    """Sealed fraction 0..1 to learn: the greater of the old density and CLC+ class 1, which counts as fully sealed.

    Takes (y, x) uint8 density in percent (254 and 255 outside) and CLC+ codes (253 to 255 outside). Where one is outside, the
    other decides; NaN where both are. ValueError if the shapes differ. Source: ATBD 4.2.3 (training data) and 4.3.2: CLC+ "is
    beneficial for improving the detection of low-density areas such as smaller roads".
    """
    density, sealed = _references(imd_then, clcplus)
    return np.fmax(density, sealed)


def density_reference(imd_then: np.ndarray, clcplus: np.ndarray) -> np.ndarray:
    """Sealed fraction 0..1 to learn: the old density where it knows of sealing; CLC+ class 1 adds what it has overlooked.

    The density where it is above 0, else 1 in CLC+ class 1, else 0; inputs, no data and errors as in `imd_reference`. Where both
    say sealed, the density is the better informed: CLC+ calls a pixel sealed from about a third on, and counting that as fully
    sealed teaches a network a mask instead of a density. Source: ATBD 4.2.3 and 4.3.2, which name both inputs and not how they
    are joined; figures in docs/accuracy.md.
    """
    density, sealed = _references(imd_then, clcplus)
    return np.where(density > 0, density, np.fmax(density, sealed))


def _references(imd_then: np.ndarray, clcplus: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Old density and sealed class as fractions, NaN outside."""
    if imd_then.shape != clcplus.shape:
        raise ValueError(f"IMD has shape {imd_then.shape}, CLC+ {clcplus.shape}: they must agree")
    density = np.where(imd_then < IMD_OUTSIDE, imd_then.astype("f4") / 100, np.float32(np.nan))
    sealed = np.where(clcplus < CLCPLUS_OUTSIDE, (clcplus == SEALED_CLASS).astype("f4"), np.float32(np.nan))
    return density, sealed


def _draw(row: np.ndarray, seed: int) -> np.ndarray:
    """Uniform numbers 0..1 from integers, the same on every machine (SplitMix64)."""
    with np.errstate(over="ignore"):
        z = row.astype("i8").view("u8") * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed % 2**32) * np.uint64(0xD1342543DE82EF95)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)) / 2.0**53


def spatial_split(
    shape: tuple[int, int],
    origin: tuple[int, int],
    block: int,
    share: float = 0.2,
    guard: int = 4,
    seed: int = 1,
    fold: int = 0,
) -> np.ndarray:
    """Part of each pixel, (y, x) uint8: 0 training, 1 validation, 2 guard band, by square blocks of space (ATBD 4.3.1).

    A pixel's part follows from its global position and the seed alone, so overlapping regions and neighbouring tiles agree.
    Along a row of blocks the validation blocks are spread evenly (a Kronecker sequence with a random start in each row), so that
    small areas do not miss a part by bad luck. The guard band is taken from the training side.

    `origin` is the global (row, column) of the first pixel; `block` the edge of a block and `guard` (1 to `block`) the width of
    the band, pixels; `share`, between 0 and 1, that of the validation. Folds 0, 1, 2 ... of one seed hold out different blocks,
    none twice before 1 / `share` of them. ValueError for a block, share or guard out of range.
    """
    if block < 1 or not 0 < share < 1 or not 1 <= guard <= block:
        raise ValueError(f"no split with block {block}, share {share}, guard {guard}: need 0 < share < 1, 1 <= guard <= block")

    first = [(index - guard) // block for index in origin]
    last = [(index + count - 1 + guard) // block for index, count in zip(origin, shape, strict=True)]
    rows, cols = (np.arange(a, b + 1) for a, b in zip(first, last, strict=True))
    picked = (_draw(rows, seed)[:, None] + cols * _GOLDEN % 1 + fold * share) % 1 < share

    def chosen(dy: int, dx: int) -> np.ndarray:
        i, j = ((np.arange(n) + o + d) // block - f for n, o, d, f in zip(shape, origin, (dy, dx), first, strict=True))
        return picked[np.ix_(i, j)]

    validation = chosen(0, 0)
    # The band is not wider than a block: looking that far in eight directions meets every block that comes near enough.
    steps = (-guard, 0, guard)
    near = np.logical_or.reduce([chosen(dy, dx) for dy in steps for dx in steps])
    return np.where(validation, VALIDATION, np.where(near, GUARD, TRAINING)).astype("u1")


def choose_split(
    valid: Sequence[np.ndarray],
    origins: Sequence[tuple[int, int]],
    block: int,
    share: float = 0.2,
    guard: int = 4,
    seed: int = 1,
    fold: int = 0,
) -> tuple[list[np.ndarray], int]:
    """`spatial_split` of all regions of a training with one block size, halved on small sites until both parts are really there.

    `block` is the greatest that is tried; the guard band narrows with it, to no less than one pixel. Returns the splits and the
    block size in pixels. The validation part is between half and one and a half of the share asked for, or, if no block size
    reaches that, as near to the share as any comes. ValueError if no block size gives both parts a pixel.
    """
    best: tuple[float, int, list[np.ndarray]] | None = None
    count = sum(int(np.count_nonzero(v)) for v in valid)
    size = block
    while size // 2 >= _MIN_BLOCK and count < _MIN_BLOCKS * size * size:
        size //= 2
    while size >= min(_MIN_BLOCK, block):
        band = max(1, min(guard, size // 4))
        splits = [spatial_split(v.shape, o, size, share, band, seed, fold) for v, o in zip(valid, origins, strict=True)]
        held = sum(int(np.count_nonzero(v & (s == VALIDATION))) for v, s in zip(valid, splits, strict=True))
        learnt = sum(int(np.count_nonzero(v & (s == TRAINING))) for v, s in zip(valid, splits, strict=True))
        if held and learnt:
            miss = abs(held / (held + learnt) - share) / share
            if best is None or miss < best[0]:
                best = miss, size, splits
            if miss <= 0.5:
                return splits, size
        size //= 2
    if best is None:
        raise ValueError(f"too few pixels with features and reference to train on: {count}")
    return best[2], best[1]


def crop_size(valid: Sequence[np.ndarray], largest: int, multiple: int) -> int:
    """Edge of the training crops, at least `multiple` and a multiple of it: `largest`, or less where no region is so large."""
    extent = 0
    for mask in valid:
        rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(rows):
            extent = max(extent, min(rows[-1] - rows[0], cols[-1] - cols[0]) + 1)
    return max(multiple, min(largest, int(extent)) // multiple * multiple)


def cut(array: np.ndarray, row: int, col: int, size: int, fill: float) -> np.ndarray:
    """(..., size, size) piece of an array (..., y, x) from (row, col) on, `fill` beyond its edges."""
    height, width = array.shape[-2:]
    ya, yb, xa, xb = max(row, 0), min(row + size, height), max(col, 0), min(col + size, width)
    if (ya, yb, xa, xb) == (row, row + size, col, col + size):
        return array[..., ya:yb, xa:xb]
    out = np.full((*array.shape[:-2], size, size), fill, array.dtype)
    if ya < yb and xa < xb:
        out[..., ya - row : yb - row, xa - col : xb - col] = array[..., ya:yb, xa:xb]
    return out


def is_sealed(target: np.ndarray) -> np.ndarray:
    """Where a fraction counts as sealed."""
    found: np.ndarray = target >= SEALED_FRACTION
    return found


class CropSampler:
    """Random training crops (features, target, weight) from regions, balanced towards ground that is `special`, such as sealed.

    A part of the crops (`balance`, 0 to less than 1) is centred near special training pixels, the rest near any training pixel.
    The weight of a crop makes up for that, so that the expected loss is that of an even sample and predicted fractions keep their
    level. Crops are mirrored and turned by quarters: the features are made pixel by pixel, no direction is special. `masks` are
    the valid training pixels of each region; same seed, same crops. ValueError if there is no training pixel.
    """

    def __init__(
        self, regions: Sequence[Region], masks: Sequence[np.ndarray], size: int, balance: float = 0.5, seed: int = 1,
        special: Callable[[np.ndarray], np.ndarray] = is_sealed,
    ) -> None:  # fmt: skip
        self._regions, self._masks, self.size = list(regions), list(masks), size
        self._is_special = special
        self._seed, self._rng = seed, np.random.default_rng([seed, 7])
        self._any, any_counts = self._centres(self._masks)
        chosen = [m & special(r.target) for r, m in zip(self._regions, self._masks, strict=True)]
        self._special, special_counts = self._centres(chosen)
        self.pixels, self.special_pixels = int(any_counts.sum()), int(special_counts.sum())
        if not self.pixels:
            raise ValueError("no region has a training pixel")
        self._balance = balance if self.special_pixels else 0.0
        self._any_share = any_counts / self.pixels
        self._special_share = special_counts / max(self.special_pixels, 1)

    def _centres(self, masks: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
        """Flat indices of at most `CANDIDATES` pixels of each mask, and the number of all."""
        kept, counts = [], np.zeros(len(masks), "i8")
        for k, mask in enumerate(masks):
            index = np.flatnonzero(mask)
            counts[k] = len(index)
            kept.append(self._rng.choice(index, CANDIDATES, replace=False) if len(index) > CANDIDATES else index)
        return kept, counts

    def restart(self, epoch: int) -> None:
        """Go on with the crops of an epoch, whatever was drawn before."""
        self._rng = np.random.default_rng([self._seed, 7, epoch])

    def let_go(self) -> None:
        """Forget the regions: TensorFlow keeps whom it has drawn from as long as the process lives."""
        self._regions, self._masks, self._any, self._special = [], [], [], []

    def draw(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A batch of features (count, size, size, feature), target and weight (count, size, size), all float32.

        Features are NaN where there is no data and beyond a region; the target is 0..1, (count, channel, size, size) if regions
        have channels. The weight is 0 where a pixel is not in the training part or has no data, else that of its crop.
        """
        size, rng = self.size, self._rng
        features = np.empty((count, size, size, self._regions[0].features.shape[0]), "f4")
        target = np.zeros((count, *self._regions[0].target.shape[:-2], size, size), "f4")
        weight = np.zeros((count, size, size), "f4")
        for k in range(count):
            balanced = rng.random() < self._balance
            region = int(rng.choice(len(self._regions), p=self._special_share if balanced else self._any_share))
            centres = (self._special if balanced else self._any)[region]
            row, col = divmod(int(rng.choice(centres)), self._masks[region].shape[1])
            row, col = row - int(rng.integers(size)), col - int(rng.integers(size))
            x = cut(self._regions[region].features, row, col, size, np.nan)
            y = cut(self._regions[region].target, row, col, size, np.nan)
            m = cut(self._masks[region], row, col, size, False)
            w = self._weight(m, y)
            if rng.random() < 0.5:
                x, y, m = x[..., ::-1], y[..., ::-1], m[..., ::-1]
            turn = int(rng.integers(4))
            features[k] = np.moveaxis(np.rot90(x, turn, (1, 2)), 0, -1)
            m = np.rot90(m, turn)
            target[k] = np.where(m, np.rot90(y, turn, (-2, -1)), 0)
            weight[k] = np.where(m, w, 0)
        return features, target, weight

    def _weight(self, mask: np.ndarray, target: np.ndarray) -> float:
        """Probability of the crop in an even sample over its probability here."""
        pixels = int(np.count_nonzero(mask))
        if not self._balance or not pixels:
            return 1.0
        special = np.count_nonzero(self._is_special(target[..., mask]))
        ratio = (special / pixels) / (self.special_pixels / self.pixels)
        return 1 / (1 - self._balance + self._balance * ratio)
