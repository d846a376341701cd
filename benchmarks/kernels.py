"""Kernels against NumPy, against Numba with a sort or a solve a pixel, and against JRC's nrt; one thread, results compared first."""

from __future__ import annotations

import cv2
import numpy as np
from nrt.fit_methods import ols
from numba import njit
from scipy import ndimage

from benchmarks.timing import Row, compare
from imperv.layers.aggregation import aggregate_mean
from imperv.layers.change_mask import change_mask
from imperv.layers.harmonics import fit_harmonics
from imperv.layers.quantiles import weighted_quantile

DATES = 100
EDGE = 320
"""Pixels each way: 20 MB of observations, more than any cache of one core."""


def rows(_: object = None) -> list[Row]:
    """All comparisons of kernels."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(1)
    return [*_quantile(rng), *_harmonics(rng), _change_mask(rng), _aggregation(rng)]


@njit(nogil=True)
def _by_sorting(values, weights, q, out):
    """A sort a pixel, the fastest way to write it: value and weight packed into one integer."""
    time, pixels = values.shape
    packed = np.empty(time, np.uint32)
    for p in range(pixels):
        total = 0
        for t in range(time):
            weight = np.uint32(weights[t, p]) if values[t, p] else np.uint32(0)
            packed[t] = (np.uint32(values[t, p]) << np.uint32(8)) | weight
            total += weight
        packed.sort()
        so_far = 0
        for t in range(time):
            so_far += packed[t] & np.uint32(255)
            if total and so_far >= q * total and so_far > 0:
                out[p] = packed[t] >> np.uint32(8)
                break


def _quantile(rng: np.random.Generator) -> list[Row]:
    values = rng.integers(1, 10_000, (DATES, EDGE, EDGE)).astype("uint16")
    weights = rng.choice(np.array([0, 1, 5, 10, 50], "uint8"), values.shape)
    few = np.s_[:, :20, :20]
    some = np.s_[:, :80, :80]
    wide = weights[few].astype("int64")
    flat, flat_weights = (np.ascontiguousarray(a[some]).reshape(DATES, -1) for a in (values, weights))
    found = np.zeros(6400, "uint16")

    def numpy() -> np.ndarray:
        return np.quantile(values[few], 0.2, axis=0, weights=wide, method="inverted_cdf")

    def sorting() -> np.ndarray:
        _by_sorting(flat, flat_weights, 0.2, found)
        return found.reshape(80, 80)

    assert np.array_equal(weighted_quantile(values[few], weights[few], 0.2), numpy())
    assert np.array_equal(weighted_quantile(values[some], weights[some], 0.2), sorting())
    index = (values / np.float32(5000) - 1).astype("float32")
    ours = (lambda: weighted_quantile(values, weights, 0.2), EDGE**2)
    floats = (lambda: weighted_quantile(index, weights, 0.9, nodata=np.nan), EDGE**2)
    name = f"weighted quantile, {DATES} dates"
    return [
        compare(f"{name}, uint16", ours, "numpy.quantile", (numpy, 400)),
        compare(f"{name}, uint16", ours, "Numba, a sort a pixel", (sorting, 6400)),
        compare(
            f"{name}, float32", floats, "numpy.quantile",
            (lambda: np.quantile(index[few], 0.9, axis=0, weights=wide, method="inverted_cdf"), 400),
        ),
    ]  # fmt: skip


def _harmonics(rng: np.random.Generator) -> list[Row]:
    dates = np.sort(rng.random(DATES))
    values = rng.normal(0.5, 0.2, (DATES, EDGE, EDGE)).astype("float32")
    weights = rng.choice(np.array([1, 5, 10, 50], "uint8"), values.shape)
    angle = 2 * np.pi * dates[:, None] * np.arange(1, 4)
    design = np.column_stack([np.ones(DATES), *(f(angle[:, k]) for k in range(3) for f in (np.cos, np.sin))])
    few, few_weights = values[:, :60, :60].reshape(DATES, -1), weights[:, :60, :60].reshape(DATES, -1).astype("float64")
    equal = np.ones((DATES, 60, 60), "uint8")

    def batched() -> np.ndarray:
        weighted = design[None] * few_weights.T[:, :, None]
        matrix = weighted.transpose(0, 2, 1) @ design[None]
        right = weighted.transpose(0, 2, 1) @ few.T[:, :, None].astype("float64")
        return np.linalg.solve(matrix, right)[..., 0]

    products = (design[:, :, None] * design[:, None, :]).reshape(DATES, 49)

    def multiplied() -> np.ndarray:
        """The normal matrices of all pixels as one product of matrices: what BLAS does best."""
        matrix = (few_weights.T @ products).reshape(-1, 7, 7)
        return np.linalg.solve(matrix, ((few_weights * few).T @ design)[..., None])[..., 0]

    mine = fit_harmonics(values[:, :60, :60], weights[:, :60, :60], dates).reshape(7, -1).T
    assert np.allclose(mine, batched(), atol=1e-4) and np.allclose(mine, multiplied(), atol=1e-4)
    wide = few.astype("float64")
    assert np.allclose(fit_harmonics(values[:, :60, :60], equal, dates).reshape(7, -1), ols(design, wide)[0], atol=1e-4)
    ours = (lambda: fit_harmonics(values, weights, dates), EDGE**2)
    name = f"harmonics of degree 3, {DATES} dates"
    everywhere = np.ones(values.shape, "uint8")
    return [
        compare(name, ours, "NumPy, batched normal equations", (batched, 3600)),
        compare(name, ours, "NumPy, the same as one product through BLAS", (multiplied, 3600)),
        compare(
            f"{name}, unweighted", (lambda: fit_harmonics(values, everywhere, dates), EDGE**2),
            "JRC nrt, nrt.fit_methods.ols", (lambda: ols(design, wide), 3600),
        ),
    ]  # fmt: skip


def _change_mask(rng: np.random.Generator) -> Row:
    rmsd = ndimage.gaussian_filter(rng.random((2000, 2000)).astype("float32"), 2)

    def peer() -> np.ndarray:
        low, high = np.percentile(rmsd, [97.5, 99.0])
        label, count = ndimage.label(rmsd >= low, np.ones((3, 3)))
        keep = (np.bincount(label.ravel(), minlength=count + 1) >= 8) & (
            ndimage.maximum(rmsd, label, np.arange(count + 1)) >= high
        )
        keep[0] = False
        return keep[label].astype("uint8")

    assert (change_mask(rmsd) != peer()).mean() < 1e-6
    return compare("change mask, 2000 x 2000", (lambda: change_mask(rmsd), rmsd.size), "SciPy ndimage", (peer, rmsd.size))


def _aggregation(rng: np.random.Generator) -> Row:
    layer = rng.choice(np.r_[np.arange(101), 255].astype("uint8"), (5000, 5000))

    def peer() -> np.ndarray:
        valid = layer != 255
        total = np.where(valid, layer, 0).reshape(500, 10, 500, 10).sum(axis=(1, 3), dtype="int64")
        count = valid.reshape(500, 10, 500, 10).sum(axis=(1, 3))
        return np.where(count > 0, np.floor(total / np.maximum(count, 1) + 0.5), 255).astype("uint8")

    assert np.array_equal(aggregate_mean(layer, 10), peer())
    ours = (lambda: aggregate_mean(layer, 10), layer.size)
    return compare("mean aggregation to 100 m, 5000 x 5000", ours, "NumPy", (peer, layer.size))
