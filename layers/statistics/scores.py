"""Scores of densities and masks against a truth, with intervals from a bootstrap over blocks of space.

NumPy only. Every score follows from sums over pixels, which are kept for each block of space: whole tiles are judged piece by
piece, and blocks, not pixels, are drawn again, as neighbouring pixels err alike. Confidence classes are in `reliability`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

DENSITY_SUMS = ("pixels", "absolute", "square", "error", "truth", "truth_square")
"""Columns of the sums of a density: of 1, |p - t|, (p - t)^2, p - t, t and t^2."""

CODES = 101
"""Whole percents 0..100: thresholds that a mask can be cut at."""

BINS = 10
"""Classes of predicted density, for the expected calibration error."""

DRAWS = 1000
"""Bootstrap samples of an interval."""

LEVEL = 0.95
"""Share of the bootstrap samples within an interval."""

Scores = Callable[[np.ndarray], Mapping[str, np.ndarray]]
"""From sums (..., block's statistics), blocks added up, to scores (...)."""


@dataclass(frozen=True)
class Estimate:
    """A score with its interval."""

    value: float
    """NaN where it is not defined, such as the precision of a mask without a pixel."""
    low: float
    """NaN where fewer than two blocks were judged."""
    high: float
    """The same."""

    def to_json(self) -> dict[str, float | None]:
        """As a JSON object; None for NaN."""
        return {k: None if np.isnan(v) else round(v, 6) for k, v in vars(self).items()}


def percent_text(score: Mapping[str, float | None] | None) -> str:
    """A score as of `Estimate.to_json` in percent with its interval, such as ``78.1 % [70.0, 85.0]``; a dash for none."""
    if not score or score["value"] is None:
        return "–"
    text = f"{100 * score['value']:.1f} %"
    low, high = score["low"], score["high"]
    return text if low is None or high is None else f"{text} [{100 * low:.1f}, {100 * high:.1f}]"


# sums -----------------------------------------------------------------------------------------------------------------


def density_sums(predicted: np.ndarray, truth: np.ndarray, block: np.ndarray, blocks: int) -> np.ndarray:
    """Sums of a density for each block, (block, 6) float64 with columns `DENSITY_SUMS`, from finite percent of each pixel.

    `block` is the block of each pixel, 0 to `blocks` - 1.
    """
    p, t = predicted.astype("f8"), truth.astype("f8")
    error = p - t
    terms = (np.ones_like(error), np.abs(error), error**2, error, t, t**2)
    return np.stack([np.bincount(block, term, blocks) for term in terms], axis=-1)


def threshold_counts(percent: np.ndarray, truth: np.ndarray, block: np.ndarray, blocks: int) -> np.ndarray:
    """Pixels of each block by predicted percent and by whether they are in the true mask: enough for a mask of any threshold.

    (block, 202) float64: percent 0..100 outside the true mask, then inside. `percent` is uint8, a predicted mask as 0 and 100.
    """
    index = (block.astype("i8") * 2 + truth) * CODES + percent
    return np.bincount(index, minlength=blocks * 2 * CODES).reshape(blocks, 2 * CODES).astype("f8")


def bin_sums(predicted: np.ndarray, truth: np.ndarray, block: np.ndarray, blocks: int) -> np.ndarray:
    """Sums for the expected calibration error of a density, from inputs as of `density_sums`: (block, 3 * BINS) float64.

    For each class of predicted density of 10 percent: pixels, then sums of the prediction, then of the truth.
    """
    k = np.clip((predicted * BINS / 100).astype("i8"), 0, BINS - 1) + block.astype("i8") * BINS
    parts = [np.bincount(k, w, blocks * BINS).reshape(blocks, BINS) for w in (np.ones(len(k)), predicted, truth)]
    return np.concatenate(parts, axis=1)


# scores ---------------------------------------------------------------------------------------------------------------


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, NaN where b is 0."""
    return np.divide(a, b, out=np.full(np.broadcast(a, b).shape, np.nan), where=b != 0)


def density_scores(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Mean absolute error, root mean squared error and bias in percent, and R2, from (..., 6) sums of `density_sums`.

    R2 is 1 - sum of squared errors / sum of squares about the mean of the truth; NaN where the truth is constant.
    """
    n, absolute, square, error, t, t2 = np.moveaxis(np.asarray(sums, "f8"), -1, 0)
    spread = t2 - _ratio(t * t, n)
    return {
        "mae": _ratio(absolute, n),
        "rmse": np.sqrt(_ratio(square, n)),
        "bias": _ratio(error, n),
        "r2": 1 - _ratio(square, np.where(spread > 1e-9 * t2, spread, 0)),
    }


def confusion(counts: np.ndarray, threshold: float) -> np.ndarray:
    """(..., 4) true positives, false positives, false negatives and true negatives of (..., 202) `threshold_counts`.

    A pixel is in the predicted mask from `threshold` percent on.
    """
    first = int(np.clip(np.ceil(threshold), 0, CODES))
    outside, inside = counts[..., :CODES], counts[..., CODES:]
    parts = inside[..., first:], outside[..., first:], inside[..., :first], outside[..., :first]
    return np.stack([part.sum(axis=-1) for part in parts], axis=-1)


def mask_scores(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall, F1 and intersection over union from (..., 4) of `confusion`; NaN where nothing divides."""
    tp, fp, fn, _ = np.moveaxis(np.asarray(matrix, "f8"), -1, 0)
    return {
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "iou": _ratio(tp, tp + fp + fn),
    }


def mask_scores_from(threshold: float) -> Scores:
    """Scores of `threshold_counts` cut at a threshold in percent."""
    return lambda counts: mask_scores(confusion(counts, threshold))


def best_threshold(counts: np.ndarray) -> tuple[int, float]:
    """Threshold of 1..100 percent with the highest F1, and that F1: what a mask could reach if its threshold knew the truth."""
    total = counts.reshape(-1, 2 * CODES).sum(axis=0)
    f1 = np.array([mask_scores(confusion(total, k))["f1"] for k in range(1, CODES)])
    if np.isnan(f1).all():
        return 0, float("nan")
    return int(np.nanargmax(f1)) + 1, float(np.nanmax(f1))


def calibration_error(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Expected calibration error in percent from (..., 30) `bin_sums`.

    The mean over all pixels of |mean prediction - mean truth| of the pixel's class of predicted density (Guo et al. 2017,
    arXiv:1706.04599, for fractions in place of probabilities).
    """
    n, p, t = np.split(np.asarray(sums, "f8"), 3, axis=-1)
    return {"ece": _ratio(np.abs(p - t).sum(axis=-1), n.sum(axis=-1))}


# bootstrap ------------------------------------------------------------------------------------------------------------


def drawn_sums(sums: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """(draw, statistic) sums of as many blocks as there are, drawn with replacement.

    The same seed and number of blocks draw the same blocks: sums of two methods over the same blocks stay paired.
    """
    blocks = len(sums)
    times = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), size=draws)
    return times.astype("f8") @ sums


def estimates(parts: Sequence[np.ndarray], scores: Scores, draws: int = DRAWS, seed: int = 1) -> dict[str, Estimate]:
    """Scores of one or more trials with intervals.

    `parts` are the sums of each trial, (block, statistic), such as one for each seed of a training. Gives the median over the
    trials, and the central 95 % of that median when the blocks of each trial are drawn again (percentile bootstrap with blocks
    of space as units).
    """
    return _summary(*_values(parts, scores, draws, seed), min(map(len, parts)))


def differences(
    ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], scores: Scores, draws: int = DRAWS, seed: int = 1
) -> dict[str, Estimate]:
    """Ours minus theirs: median over the trials of the differences, with intervals from drawing the same blocks for both.

    ValueError if the trials or their blocks are not the same in number.
    """
    if [len(p) for p in ours] != [len(p) for p in theirs]:
        raise ValueError("only results of the same trials and blocks can be compared in pairs")
    (value, drawn), (value2, drawn2) = (_values(parts, scores, draws, seed) for parts in (ours, theirs))
    return _summary(
        {k: v - value2[k] for k, v in value.items()}, {k: v - drawn2[k] for k, v in drawn.items()}, min(map(len, ours))
    )


def _values(
    parts: Sequence[np.ndarray], scores: Scores, draws: int, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Scores (trial,) and scores of the bootstrap samples (trial, draw)."""
    found = [scores(part.sum(axis=0)) for part in parts]
    drawn = [scores(drawn_sums(part, draws, seed + k)) for k, part in enumerate(parts)]
    return tuple({name: np.stack([one[name] for one in many]) for name in many[0]} for many in (found, drawn))  # type: ignore[return-value]


def _summary(value: Mapping[str, np.ndarray], drawn: Mapping[str, np.ndarray], blocks: int) -> dict[str, Estimate]:
    nan, result = float("nan"), {}
    for name in value:
        low = high = nan
        samples = np.median(drawn[name], axis=0)
        samples = samples[np.isfinite(samples)]
        if blocks > 1 and len(samples):
            low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        result[name] = Estimate(float(np.median(value[name])), float(low), float(high))
    return result
