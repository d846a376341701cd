"""Iteratively reweighted multivariate alteration detection (Nielsen 2007), by SciPy: what change vectors are held against."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh
from scipy.stats import chi2


def mad(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """MAD variates (pixel, band), by growing correlation, and canonical correlations of two dates (pixel, band)."""
    bands = first.shape[1]
    both = np.hstack([first, second])
    mean = np.average(both, axis=0, weights=weights)
    apart = both - mean
    covariance = (apart * weights[:, None]).T @ apart / weights.sum()
    xx, yy, xy = covariance[:bands, :bands], covariance[bands:, bands:], covariance[:bands, bands:]
    squares, a = eigh(xy @ np.linalg.solve(yy, xy.T), xx)  # a' xx a = 1
    b = np.linalg.solve(yy, xy.T @ a)
    b /= np.sqrt(np.einsum("ij,ik,kj->j", b, yy, b))
    return apart[:, :bands] @ a - apart[:, bands:] @ b, np.sqrt(np.clip(squares, 0, 1))


def irmad(first: np.ndarray, second: np.ndarray, rounds: int = 30, settled: float = 1e-6) -> np.ndarray:
    """Chi-squared distance of each pixel; weights are its probability of no change, until the correlations stay."""
    weights, before = np.ones(len(first)), np.zeros(first.shape[1])
    distance = np.zeros(len(first))
    for _ in range(rounds):
        variates, correlations = mad(first, second, weights)
        distance = (variates**2 / np.maximum(2 * (1 - correlations), 1e-12)).sum(1)
        if np.abs(correlations - before).max() < settled:
            break
        weights, before = chi2.sf(distance, first.shape[1]), correlations
    return distance
