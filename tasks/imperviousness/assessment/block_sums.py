"""Per-block error sums of a prediction over a whole tile, by `layers.statistics.scores` and `layers.statistics.reliability`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from imperv.layers.statistics.reliability import confidence_sums, joint_histogram
from imperv.layers.statistics.scores import bin_sums, density_sums, threshold_counts

EDGE = 64
"""Edge of a spatial block, pixels (640 m): what is held out, and the unit of the bootstrap."""


class BlockSums:
    """Sums by spatial block."""

    def __init__(self) -> None:
        self._sums: dict[tuple[int, int], np.ndarray] = {}

    def add(self, keys: np.ndarray, sums: np.ndarray) -> None:
        """Add (block, statistic) sums of the blocks with these (block, 2) indices."""
        for key, row in zip(map(tuple, keys.tolist()), sums, strict=True):
            held = self._sums.get(key)
            self._sums[key] = row.copy() if held is None else held + row

    @property
    def keys(self) -> frozenset[tuple[int, int]]:
        """Global (row, column) of the blocks, in blocks."""
        return frozenset(self._sums)

    def array(self, keys: Iterable[tuple[int, int]] | None = None) -> np.ndarray:
        """(block, statistic) sums, by rising index."""
        return np.stack([self._sums[key] for key in sorted(self.keys if keys is None else keys)])


@dataclass(frozen=True)
class Judged:
    """Error sums of one prediction of one product and year."""

    density: BlockSums = field(default_factory=BlockSums)
    """`density_sums`; empty where there is no true density."""
    bins: BlockSums = field(default_factory=BlockSums)
    """`bin_sums`, likewise."""
    mask: BlockSums = field(default_factory=BlockSums)
    """`threshold_counts`."""


@dataclass
class Confident:
    """Error sums of one product by confidence."""

    sums: BlockSums = field(default_factory=BlockSums)
    """`confidence_sums`."""
    joint: np.ndarray | None = None
    """`joint_histogram` of spread and error."""


@dataclass(frozen=True)
class Pixels:
    """Chosen pixels of an array, and their spatial blocks."""

    chosen: np.ndarray
    """(y, x) bool."""
    keys: np.ndarray
    """(block, 2) global index of each block."""
    block: np.ndarray
    """(pixel,) block of each chosen pixel."""

    @classmethod
    def of(cls, chosen: np.ndarray, origin: tuple[int, int]) -> Pixels:
        """Label the chosen pixels of an array whose first pixel has the global index `origin`."""
        rows, columns = np.nonzero(chosen)
        rows, columns = (rows + origin[0]) // EDGE, (columns + origin[1]) // EDGE
        low = (int(columns.min()), int(columns.max() - columns.min() + 1)) if len(columns) else (0, 1)
        packed, block = np.unique(rows * low[1] + columns - low[0], return_inverse=True)
        return cls(chosen, np.stack([packed // low[1], packed % low[1] + low[0]], axis=1), block)

    def gather(self, into: BlockSums, sums: Callable[..., np.ndarray], *arrays: np.ndarray) -> None:
        """Add sums over the chosen pixels of (pixel,) arrays."""
        if len(self.block):
            into.add(self.keys, sums(*arrays, self.block, len(self.keys)))

    def judge(self, into: Judged, percent: np.ndarray, density: np.ndarray | None, mask: np.ndarray) -> None:
        """Add the error sums of a prediction, all (pixel,): finite percent, true density, true mask."""
        if density is not None:
            self.gather(into.density, density_sums, percent, density)
            self.gather(into.bins, bin_sums, percent, density)
        # As in the maps: rounded to whole percent, then the threshold.
        self.gather(into.mask, threshold_counts, np.floor(percent + 0.5).astype("u1"), mask)

    def trust(
        self, into: Confident, level: np.ndarray, spread: np.ndarray, error: np.ndarray, wrong: np.ndarray, against: np.ndarray
    ) -> None:
        """Gather errors by confidence; all (pixel,).

        `confidence_sums` takes `level`, `error` and `wrong`; `joint_histogram` takes `spread` and the errors `against` which it
        is ranked.
        """
        self.gather(into.sums, confidence_sums, level, error, wrong)
        found = joint_histogram(spread, against)
        into.joint = found if into.joint is None else into.joint + found
