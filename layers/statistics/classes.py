"""Scores of a coded map against a truth: confusion, overall accuracy, F1 of classes (Congalton 1991).

Every score follows from a confusion matrix of each block of space; `scores.estimates` draws blocks again for intervals.
NumPy only.
"""

from __future__ import annotations

import numpy as np

from imperv.layers.statistics.scores import Scores


def class_counts(predicted: np.ndarray, truth: np.ndarray, block: np.ndarray, blocks: int, classes: int) -> np.ndarray:
    """Confusion matrix of each block, flattened: (block, classes * classes) float64, row the truth, column the prediction.

    `predicted` and `truth` are numbers of classes from 0, (pixel,); `block` is the block of each pixel, 0 to `blocks` - 1.
    """
    index = (block.astype("i8") * classes + truth) * classes + predicted
    return np.bincount(index, minlength=blocks * classes**2).reshape(blocks, classes**2).astype("f8")


def class_scores(classes: int) -> Scores:
    """Of sums of `class_counts`: ``oa``, ``f1`` (mean over the classes of the truth), ``kappa``, and ``f1_k`` of each class.

    The F1 of a class is 2 hits / (mapped + true); NaN, and not in the mean, where the truth has none of it.
    """

    def scores(counts: np.ndarray) -> dict[str, np.ndarray]:
        matrix = np.asarray(counts, "f8").reshape(*counts.shape[:-1], classes, classes)
        hits, true, mapped = np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-1), matrix.sum(-2)
        total = true.sum(-1)
        with np.errstate(all="ignore"):
            f1 = np.where(true > 0, 2 * hits / (true + mapped), np.nan)
            oa = hits.sum(-1) / total
            chance = (true * mapped).sum(-1) / total**2
            kappa = (oa - chance) / (1 - chance)
            there = np.isfinite(f1)
            mean = np.where(there, f1, 0).sum(-1) / there.sum(-1)
        return {"oa": oa, "f1": mean, "kappa": kappa} | {f"f1_{k}": f1[..., k] for k in range(classes)}

    return scores


def blocks_of(shape: tuple[int, int], edge: int, origin: tuple[int, int] = (0, 0)) -> tuple[np.ndarray, int]:
    """Number of the square block of space of each pixel, (y, x) from 0, and how many there are; `origin` in pixels."""
    rows, columns = ((np.arange(n) + o) // edge for n, o in zip(shape, origin, strict=True))
    rows, columns = rows - rows[0], columns - columns[0]
    across = int(columns[-1]) + 1
    return rows[:, None] * across + columns[None, :], across * (int(rows[-1]) + 1)


PIECE = 2**18
"""Pixels that are counted at once: NumPy counts a copy of eight bytes a pixel."""


def joint_histogram(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pixels of each pair of codes of two uint8 arrays of one shape, (256, 256) int64: row of the first, column of the second."""
    index = ((first.astype(np.uint16) << 8) | second).reshape(-1)
    pieces = (index[k : k + PIECE] for k in range(0, index.size, PIECE))
    return sum((np.bincount(piece, minlength=65536) for piece in pieces), np.zeros(65536, np.int64)).reshape(256, 256)
