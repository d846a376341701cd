"""Which patches teach and which judge: blocks of ground apart, whatever image or date shows them. NumPy and shapely only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

TRIES = 200
"""Random splits of which the best is taken."""

ACROSS = 2
"""Patches across a block of ground, where there are blocks enough; our choice."""

FEWEST_BLOCKS = 10
"""Blocks below which they are as small as a patch."""

TOUCHING = 1e-6
"""Share of a patch's edge by which patches side by side may seem to overlap."""


@dataclass(frozen=True)
class Ground:
    """Where a patch lies."""

    space: str
    """Reference system, or the name of an image that has none: patches of different spaces never overlap."""
    bounds: tuple[float, float, float, float]
    """Left, bottom, right, top in its unit."""

    @property
    def edge(self) -> float:
        """Length of a side."""
        return self.bounds[2] - self.bounds[0]


def _blocks(grounds: Sequence[Ground], across: int) -> np.ndarray:
    """Number of the block of each patch, (patch,) int64, by its centre."""
    edge = across * max(g.edge for g in grounds)
    keys = [
        (g.space, int((g.bounds[0] + g.bounds[2]) / 2 // edge), int((g.bounds[1] + g.bounds[3]) / 2 // edge)) for g in grounds
    ]
    order = {key: number for number, key in enumerate(sorted(set(keys)))}
    return np.array([order[key] for key in keys])


def overlaps(first: Sequence[Ground], second: Sequence[Ground]) -> np.ndarray:
    """Whether each patch of the first lies partly on ground of one of the second, (patch,) bool."""
    found = np.zeros(len(first), bool)
    for space in {g.space for g in second}:
        mine = [k for k, g in enumerate(first) if g.space == space]
        tree = shapely.STRtree([shapely.box(*g.bounds) for g in second if g.space == space])
        smaller = [shapely.box(*g.bounds).buffer(-TOUCHING * g.edge, join_style="mitre") for g in (first[k] for k in mine)]
        if mine:
            found[np.array(mine)[np.unique(tree.query(smaller, predicate="intersects")[0])]] = True
    return found


def split(grounds: Sequence[Ground], counts: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the patches to learn from and of those to judge by; what overlaps both sides is in neither.

    `counts` (patch, class) are the labelled pixels. Of many random choices of blocks that is taken whose judging share of every
    class is nearest to `share`, and which leaves both parts every class, where one does. ValueError where no choice leaves both
    parts a label.
    """
    blocks = _blocks(grounds, ACROSS)
    if blocks.max() + 1 < FEWEST_BLOCKS:
        blocks = _blocks(grounds, 1)
    count = int(blocks.max()) + 1
    if count < 2:
        raise ValueError("all patches show one ground: ground apart is needed to judge by")
    by_block = np.zeros((count, counts.shape[1]))
    np.add.at(by_block, blocks, counts)
    random, there = np.random.default_rng([seed, 31]), by_block.sum(0) > 0
    best: tuple[float, np.ndarray] | None = None
    for _ in range(TRIES):
        held = np.zeros(count, bool)
        held[random.permutation(count)[: min(count - 1, max(1, round(share * count)))]] = True
        shares = by_block[held].sum(0)[there] / by_block.sum(0)[there]
        if not 0 < by_block[held].sum() < by_block.sum():
            continue
        missing = np.count_nonzero((shares == 0) | (shares == 1))
        miss = missing + float(np.abs(shares - share).mean())
        if best is None or miss < best[0]:
            best = miss, held
    if best is None:
        raise ValueError("labels lie in one block of ground only: labels on ground apart are needed to judge by")
    judging = best[1][blocks]
    learning = np.flatnonzero(~judging)
    learning = learning[~overlaps([grounds[int(k)] for k in learning], [grounds[int(k)] for k in np.flatnonzero(judging)])]
    if not counts[learning].sum():
        raise ValueError("every labelled patch overlaps the ground to judge by: labels on ground apart are needed")
    return learning, np.flatnonzero(judging)
