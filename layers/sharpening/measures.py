"""How sharpened bands are judged against finer ones that are known: errors, spectra, structure, and where detail comes from.

Every score follows from sums over blocks of ground, so that intervals come from `layers.statistics.scores.estimates`. Widths of
edges are in `edges`. Images are (band, y, x) float32, reflectance x 10 000, NaN without data: pixels that lack a band in any of
the images are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from imperv.layers.sharpening.degradation import degrade
from imperv.layers.statistics.scores import Scores

BLOCK = 64
"""Edge of the blocks of ground that are drawn again for intervals, fine pixels."""

WINDOW = 8
"""Edge of the windows of UIQ, pixels (Wang and Bovik 2002)."""

GAMMA = 0.8
"""Of the correctness scores (Aybar et al. 2024)."""

TEMPERATURE = 0.25
"""Of the softmin that shares a pixel between improvement, omission and hallucination (opensr-test)."""

VISIBLE = 100.0
"""Least distance of any pair of images, reflectance x 10 000, for a pixel to be judged; our choice, somewhat above the noise."""


def block_of(shape: tuple[int, int], edge: int = BLOCK) -> np.ndarray:
    """(y, x) int64: the block of ground of each pixel, from 0."""
    across = -(-shape[1] // edge)
    return (np.arange(shape[0]) // edge)[:, None] * across + (np.arange(shape[1]) // edge)[None]


def _by_block(values: np.ndarray, known: np.ndarray, block: np.ndarray) -> np.ndarray:
    """(block, statistic) sums of (statistic, y, x) over known pixels."""
    count, place = int(block.max()) + 1, block[known]
    return np.stack([np.bincount(place, v[known], count) for v in values], axis=-1)


# errors and spectra ---------------------------------------------------------------------------------------------------


def comparison_sums(sharp: np.ndarray, truth: np.ndarray, edge: int = BLOCK, window: int = WINDOW) -> np.ndarray:
    """Sums for `comparison_scores` for each block of ground, (block, 3 + 3 band) float64.

    Columns: pixels, angles in degrees, windows; then per band the squares of the error, the truth, and UIQ of the windows whose
    first pixel lies in the block. ValueError if the shapes differ.
    """
    if sharp.shape != truth.shape:
        raise ValueError(f"images of {sharp.shape} and {truth.shape} cannot be compared")
    block = block_of(truth.shape[1:], edge)
    known = np.isfinite(sharp).all(0) & np.isfinite(truth).all(0)
    s, t = (np.where(known, image, 0).astype("f8") for image in (sharp, truth))
    quality, whole = uiq_map(s, t, known, window)
    pixels = _by_block(np.stack([np.ones(known.shape), angle(s, t), *(s - t) ** 2, *t]), known, block)
    # An empty window is padded to the image, so that both kinds of sums have the same blocks.
    frame = [(0, known.shape[0] - whole.shape[0]), (0, known.shape[1] - whole.shape[1])]
    first = np.pad(whole, frame)
    windows = _by_block(np.stack([np.pad(q, frame) for q in (np.ones(whole.shape), *quality)]), first, block)
    return np.concatenate([pixels[:, :2], windows[:, :1], pixels[:, 2:], windows[:, 1:]], axis=1)


def comparison_scores(bands: Sequence[str], factor: int) -> Scores:
    """Scores of `comparison_sums`: `rmse`, `sre`, `uiq` (means over the bands) and `rmse.B02` and so on, `sam`, `ergas`.

    * RMSE: root of the mean square error, in the images' unit.
    * SRE in dB: 10 log10(mean^2 / MSE) of the truth's mean (Lanaras et al. 2018). Higher is better.
    * UIQ: 4 cov m m' / ((v + v') (m^2 + m'^2)) over sliding windows (Wang and Bovik 2002); 1 is best.
    * SAM: mean angle between spectra, degrees.
    * ERGAS: 100 / factor times the root of the mean over the bands of (RMSE / mean)^2 (Wald 2000).
    """
    n_bands = len(bands)

    def scores(sums: np.ndarray) -> Mapping[str, np.ndarray]:
        head, square, total, quality = np.split(np.asarray(sums, "f8"), [3, 3 + n_bands, 3 + 2 * n_bands], axis=-1)
        pixels, angles, windows = (head[..., k] for k in range(3))
        mse, mean = _ratio(square, pixels[..., None]), _ratio(total, pixels[..., None])
        rmse, relative = np.sqrt(mse), _ratio(mse, mean**2)
        with np.errstate(divide="ignore"):
            sre = -10 * np.log10(relative)
        uiq = _ratio(quality, windows[..., None])
        result = {"rmse": rmse.mean(-1), "sre": sre.mean(-1), "uiq": uiq.mean(-1), "sam": _ratio(angles, pixels)}
        result["ergas"] = 100 / factor * np.sqrt(relative.mean(-1))
        for name, values in (("rmse", rmse), ("sre", sre), ("uiq", uiq)):
            result |= {f"{name}.{band}": values[..., k] for k, band in enumerate(bands)}
        return result

    return scores


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, NaN where b is 0."""
    return np.divide(a, b, out=np.full(np.broadcast(a, b).shape, np.nan), where=b != 0)


def angle(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """(y, x) degrees between the spectra of two images; 0 where one of them is black."""
    product = (one * two).sum(0)
    length = np.sqrt((one**2).sum(0) * (two**2).sum(0))
    cosine = np.divide(product, length, out=np.ones_like(product), where=length > 0)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def uiq_map(one: np.ndarray, two: np.ndarray, known: np.ndarray, window: int = WINDOW) -> tuple[np.ndarray, np.ndarray]:
    """UIQ (band, y - window + 1, x - window + 1) of every window, by its first pixel, and whether all of it is known.

    Where both images are constant, the score is that of their means, 2 m m' / (m^2 + m'^2), and 1 if both are 0.
    """
    rows, columns = known.shape[0] - window + 1, known.shape[1] - window + 1
    if min(rows, columns) < 1:
        return np.zeros((len(one), 0, 0)), np.zeros((0, 0), bool)

    def mean(image: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(image, cv2.CV_64F, (window, window), anchor=(0, 0))[:rows, :columns]

    result = []
    for x, y in zip(one, two, strict=True):
        # Variances about a common level keep their digits.
        level = float(y[known].mean()) if known.any() else 0.0
        x, y = (np.where(known, image - level, 0) for image in (x, y))
        a, b = mean(x), mean(y)
        spread = np.maximum(mean(x * x) - a * a, 0) + np.maximum(mean(y * y) - b * b, 0)
        covariance = mean(x * y) - a * b
        a, b = a + level, b + level
        square = a * a + b * b
        levels = np.divide(2 * a * b, square, out=np.ones_like(a), where=square > 0)
        shape = np.divide(2 * covariance, spread, out=np.ones_like(a), where=spread > 1e-9 * np.maximum(square, 1e-9))
        result.append(levels * shape)
    return np.stack(result), mean(known.astype("f8")) > 1 - 0.5 / window**2


# opensr-test ----------------------------------------------------------------------------------------------------------

OPENSR_SUMS = ("coarse", "reflectance", "spectral", "pixels", "synthesis", "judged", "improvement", "omission", "hallucination")
"""Columns of `opensr_sums`."""


def opensr_sums(
    coarse: np.ndarray,
    sharp: np.ndarray,
    truth: np.ndarray,
    factor: int,
    sigma: float,
    edge: int = BLOCK,
    visible: float = VISIBLE,
) -> np.ndarray:
    """Sums for `opensr_scores` for each block of ground, (block, 9) float64 with columns `OPENSR_SUMS`.

    Parameters
    ----------
    coarse : ndarray of float32, (band, y / factor, x / factor)
        What the instrument saw.
    sharp, truth : ndarray of float32, (band, y, x)
        Sharpened bands and finer ones.
    factor, sigma
        As of `degrade`, by which sharpened bands are brought to coarse pixels.
    edge, visible
        Edge of blocks, fine pixels, a multiple of the factor; smallest distance that is judged.

    Notes
    -----
    With L the coarse bands enlarged bilinearly, S the sharpened and H the true ones, and d(A, B) the mean over the bands of
    |A - B| at a pixel: d_im = d(S, H) / d(L, H), d_om = d(S, L) / d(L, H), h = d_im + d_om - 1, and

    * improvement = d_im + d_om (1 - exp(-gamma h)),
    * omission = d_om + d_im (1 - exp(-gamma h)),
    * hallucination = exp(-gamma d_im d_om),

    each a distance to that kind of pixel. Shares are softmin(distances / temperature). Pixels where none of the three d exceeds
    `visible` are not judged (Aybar et al. 2024, opensr-test; the images here are of one date and grid, so that neither histograms
    nor positions are matched first). Consistency is distance and angle between `coarse` and the degraded S, synthesis d(S, L).
    """
    block = block_of(truth.shape[1:], edge)
    again = degrade(sharp, factor, sigma)
    low = np.isfinite(again).all(0) & np.isfinite(coarse).all(0)
    c, a = (np.where(low, image, 0).astype("f8") for image in (coarse, again))
    consistent = _by_block(np.stack([np.ones(low.shape), np.abs(c - a).mean(0), angle(c, a)]), low, block[::factor, ::factor])
    size = truth.shape[2], truth.shape[1]
    plain = np.stack([cv2.resize(band, size, interpolation=cv2.INTER_LINEAR) for band in coarse])
    known = np.isfinite(plain).all(0) & np.isfinite(sharp).all(0) & np.isfinite(truth).all(0)
    p, s, t = (np.where(known, image, 0).astype("f8") for image in (plain, sharp, truth))
    reference, wrong, new = (np.abs(x - y).mean(0) for x, y in ((p, t), (s, t), (s, p)))
    judged = known & (np.maximum(np.maximum(reference, wrong), new) > visible)
    shares = correctness(wrong, new, reference)
    fine = _by_block(np.stack([np.ones(known.shape), new]), known, block)
    return np.concatenate([consistent, fine, _by_block(np.stack([np.ones(known.shape), *shares]), judged, block)], axis=1)


def correctness(
    wrong: np.ndarray, new: np.ndarray, reference: np.ndarray, gamma: float = GAMMA, temperature: float = TEMPERATURE
) -> np.ndarray:
    """(3, y, x) shares of improvement, omission and hallucination of each pixel; see `opensr_sums`.

    `wrong`, `new` and `reference` are d(S, H), d(S, L) and d(L, H), 0 or more.
    """
    unit = np.maximum(reference, 1e-6)
    d_im, d_om = np.minimum(wrong / unit, 1e3), np.minimum(new / unit, 1e3)
    fall = 1 - np.exp(-gamma * (d_im + d_om - 1))
    distance = np.stack([d_im + d_om * fall, d_om + d_im * fall, np.exp(-gamma * d_im * d_om)])
    share = np.exp(-(distance - distance.min(0)) / temperature)
    return share / share.sum(0)


def opensr_scores(sums: np.ndarray) -> Mapping[str, np.ndarray]:
    """Scores of (..., 9) `opensr_sums`.

    `reflectance` (reflectance x 10 000) and `spectral` (degrees) are the consistency, `synthesis` (reflectance x 10 000) is the
    detail that was added; `improvement`, `omission` and `hallucination` are shares of what is `judged`, itself a share of pixels.
    """
    part = dict(zip(OPENSR_SUMS, np.moveaxis(np.asarray(sums, "f8"), -1, 0), strict=True))
    result = {name: _ratio(part[name], part["coarse"]) for name in ("reflectance", "spectral")}
    result |= {name: _ratio(part[name], part["pixels"]) for name in ("synthesis", "judged")}
    return result | {name: _ratio(part[name], part["judged"]) for name in ("improvement", "omission", "hallucination")}
