"""Shares of classes in an area by a classifier that learnt from points drawn otherwise (Saerens et al. 2002).

M. Saerens, P. Latinne, C. Decaestecker: Adjusting the outputs of a classifier to new a priori probabilities, Neural Computation
14(1), 21-41. NumPy only.
"""

from __future__ import annotations

import numpy as np

ROUNDS = 200
"""Most rounds of expectation and maximisation."""

CLOSE = 1e-5
"""They end where no share moves by more."""


def weights_of(shares: np.ndarray, learnt: np.ndarray, power: float = 1.0) -> np.ndarray:
    """What probabilities are multiplied by where classes have other shares than those that were learnt; (class,) float32.

    A `power` below 1 goes a part of the way, in logarithms: estimated shares are not sure. Classes that nobody taught have 0.
    """
    found = np.divide(shares, learnt, out=np.zeros(len(shares)), where=learnt > 0) ** power
    return np.where(learnt > 0, found, 0).astype("f4")


def shares_of_area(answers: np.ndarray, learnt: np.ndarray) -> np.ndarray:
    """Most probable shares of the classes in an area, (class,) float64, sum 1.

    `answers` are (class, pixel) probabilities of a fair sample of its pixels, `learnt` (class,) the shares of classes in the
    training. ValueError without a pixel.
    """
    if not answers.shape[1]:
        raise ValueError("no pixel to tell shares from")
    found, answers = np.asarray(learnt, "f8"), answers.astype("f8")
    for _ in range(ROUNDS):
        weighted = answers * np.divide(found, learnt, out=np.zeros_like(found), where=learnt > 0)[:, None]
        last, found = found, (weighted / np.maximum(weighted.sum(axis=0), 1e-300)).mean(axis=1)
        found /= found.sum()
        if np.abs(found - last).max() < CLOSE:
            break
    return found
