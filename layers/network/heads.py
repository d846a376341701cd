"""What a U-Net answers, and how its answers are judged: fractions (ATBD 4.3.1), or classes (docs/landcover.md).

A head brings the loss, where an untrained network starts, the ground that crops are balanced towards, and the scores of
held-out ground. TensorFlow is imported inside the functions that need it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from imperv.layers.network.sampling import SEALED_FRACTION, Region, is_sealed
from imperv.layers.statistics.classes import class_counts, class_scores
from imperv.layers.statistics.scores import density_scores, density_sums, estimates, mask_scores_from, threshold_counts

ABSOLUTE_SCALE = 4.0
"""Times the absolute error counts, so that both terms pull about alike where a fraction is undecided; our choice."""

START = (1e-3, 0.5)
"""Limits of the fraction that an untrained network predicts."""

LEAST = 1e-7
"""Limit of probabilities in a logarithm."""

Masks = Sequence[np.ndarray]


class Head(Protocol):
    """What a network answers."""

    @property
    def outputs(self) -> int:
        """Channels of a member."""

    @property
    def activation(self) -> str:
        """Keras' name for what makes channels of numbers: ``sigmoid`` for fractions, ``softmax`` for classes."""

    def loss(self, answer: Any, y: Any, w: Any) -> Any:
        """Weighted sum of the loss of answers (batch, y, x, output) against targets (batch, y, x)."""

    def start(self, regions: Sequence[Region], masks: Masks) -> np.ndarray:
        """Bias of the last layer of an untrained network, (output,): it answers about what the ground of the masks holds."""

    def constant(self, regions: Sequence[Region], masks: Masks, y: np.ndarray, w: np.ndarray) -> float:
        """Mean loss, of targets with weights, of an answer that is the same everywhere: what a model must beat."""

    def special(self, target: np.ndarray) -> np.ndarray:
        """Where a target is what training crops are balanced towards."""

    def scores(self, answer: np.ndarray, y: np.ndarray, w: np.ndarray) -> dict[str, Any]:
        """Scores, with intervals, of answers (crop, y, x, output) to targets (crop, y, x) where the weight is above 0."""


@dataclass(frozen=True)
class FractionHead:
    """Fractions 0..1."""

    absolute: float = 0.0
    """Share of the absolute error in the loss beside the cross-entropy."""

    @property
    def outputs(self) -> int:
        """One."""
        return 1

    @property
    def activation(self) -> str:
        """Of fractions."""
        return "sigmoid"

    def loss(self, answer: Any, y: Any, w: Any) -> Any:
        """As `loss_sum`."""
        import tensorflow as tf

        return loss_sum(tf.clip_by_value(answer[..., 0], LEAST, 1 - LEAST), y, w, self.absolute)

    def start(self, regions: Sequence[Region], masks: Masks) -> np.ndarray:
        """That of the mean.

        Where little is sealed an untrained network otherwise spends its first steps, at a rate that still rises, on unlearning
        one half, and what it loses there of its few examples does not come back (Lin et al. 2017, arXiv:1708.02002, section 3.3).
        """
        share = float(np.clip(mean_target(regions, masks), *START))
        return np.array([np.log(share / (1 - share))])

    def constant(self, regions: Sequence[Region], masks: Masks, y: np.ndarray, w: np.ndarray) -> float:
        """Of the mean of the training ground."""
        p = float(np.clip(mean_target(regions, masks), 1e-6, 1 - 1e-6))
        loss = -(y * np.log(p) + (1 - y) * np.log(1 - p)) * (1 - self.absolute)
        loss = loss + self.absolute * ABSOLUTE_SCALE * np.abs(p - y)
        return float((w * loss).sum(dtype="f8") / w.sum(dtype="f8"))

    def special(self, target: np.ndarray) -> np.ndarray:
        """Sealed ground."""
        return is_sealed(target)

    def scores(self, answer: np.ndarray, y: np.ndarray, w: np.ndarray) -> dict[str, Any]:
        """Against the reference, not the truth, each with a 95 % interval.

        ``mae``, ``rmse``, ``bias`` in percent and ``r2`` of the density; ``precision``, ``recall``, ``f1`` and ``iou`` of the
        mask from `SEALED_FRACTION` on: value, low and high, None where not defined. Intervals are of a bootstrap over crops.
        """
        known = w > 0
        block, predicted, truth = np.nonzero(known)[0], 100 * answer[..., 0][known], 100 * y[known]
        sums = density_sums(predicted, truth, block, len(y))
        cut = 100 * SEALED_FRACTION
        counts = threshold_counts(np.floor(predicted + 0.5).astype("u1"), truth >= cut, block, len(y))
        found = {**estimates([sums], density_scores), **estimates([counts], mask_scores_from(cut))}
        return {name: estimate.to_json() for name, estimate in found.items()}


def mean_target(regions: Sequence[Region], masks: Masks) -> float:
    """Mean target of the pixels of the masks."""
    sums = [(float(r.target[m].sum(dtype="f8")), int(np.count_nonzero(m))) for r, m in zip(regions, masks, strict=True)]
    return sum(s for s, _ in sums) / max(1, sum(n for _, n in sums))


def cross_entropy(p: Any, y: Any, w: Any) -> Any:
    """Weighted sum of the binary cross-entropy of predicted fractions p against fractions y (ATBD 4.3.1)."""
    import tensorflow as tf

    return -tf.reduce_sum(w * (y * tf.math.log(p) + (1 - y) * tf.math.log(1 - p)))


def loss_sum(p: Any, y: Any, w: Any, absolute: float) -> Any:
    """Weighted sum of the loss of predicted fractions p against fractions y.

    The cross-entropy (ATBD 4.3.1), (1 - absolute) of it, asks for the mean of what the reference says of such pixels, the
    absolute error for its median, robust against wrong references (Ghosh et al. 2017, arXiv:1712.09482): where half of the
    buildings are missing or a few metres off, the mean smears a little density over all that looks alike, and a threshold of 10 %
    takes it for built-up.
    """
    import tensorflow as tf

    value = cross_entropy(p, y, w)
    if absolute:
        value = (1 - absolute) * value + absolute * ABSOLUTE_SCALE * tf.reduce_sum(w * tf.abs(p - y))
    return value


@dataclass(frozen=True)
class ClassHead:
    """Probabilities of classes; the target is the number of a class, from 0."""

    weights: tuple[float, ...]
    """Weight of a pixel of each class."""
    focal: float = 0.0
    """Exponent of the focal loss (Lin et al. 2017, arXiv:1708.02002); 0 for the cross-entropy."""
    rare: tuple[bool, ...] = ()
    """Classes that crops are balanced towards; none where it is empty."""

    @classmethod
    def of(cls, regions: Sequence[Region], classes: int, power: float = 0.5, focal: float = 0.0) -> ClassHead:
        """Weights by the frequency in the regions to the power of -`power`, 1 for the mean pixel; rare: below an even share."""
        counts = class_frequency(regions, [region.valid() for region in regions], classes)
        share = counts / max(counts.sum(), 1)
        weights = np.where(share > 0, np.maximum(share, LEAST) ** -power, 0.0)
        weights /= max(float((weights * share).sum()), LEAST)
        return cls(tuple(weights.tolist()), focal, tuple((share < 1 / classes).tolist()))

    @property
    def outputs(self) -> int:
        """One a class."""
        return len(self.weights)

    @property
    def activation(self) -> str:
        """Of classes."""
        return "softmax"

    def loss(self, answer: Any, y: Any, w: Any) -> Any:
        """Cross-entropy, or focal loss, with the weights of classes."""
        import tensorflow as tf

        number = tf.cast(y, tf.int32)
        p = tf.gather(answer, number, batch_dims=3)
        value = -tf.math.log(tf.clip_by_value(p, LEAST, 1.0))
        if self.focal:
            value *= (1 - p) ** self.focal
        return tf.reduce_sum(w * tf.gather(tf.constant(self.weights, tf.float32), number) * value)

    def start(self, regions: Sequence[Region], masks: Masks) -> np.ndarray:
        """Logarithms of the weighted shares of the classes."""
        return np.asarray(np.log(self._prior(regions, masks)))

    def _prior(self, regions: Sequence[Region], masks: Masks) -> np.ndarray:
        counts = class_frequency(regions, masks, self.outputs) * self.weights
        found: np.ndarray = np.clip(counts / max(counts.sum(), LEAST), START[0], 1)
        return found

    def constant(self, regions: Sequence[Region], masks: Masks, y: np.ndarray, w: np.ndarray) -> float:
        """Of the weighted shares of the classes in the training ground."""
        p = self._prior(regions, masks)
        by_class = -np.asarray(self.weights) * np.log(p) * (1 - p) ** self.focal
        return float((w * by_class[y.astype("i8")]).sum(dtype="f8") / w.sum(dtype="f8"))

    def special(self, target: np.ndarray) -> np.ndarray:
        """Ground of rare classes."""
        if not any(self.rare):
            return np.zeros(target.shape, bool)
        known = np.isfinite(target)
        return known & np.asarray(self.rare)[np.where(known, target, 0).astype("i8")]

    def scores(self, answer: np.ndarray, y: np.ndarray, w: np.ndarray) -> dict[str, Any]:
        """Overall accuracy and mean F1 against the reference, not the truth, with intervals of a bootstrap over crops."""
        known = w > 0
        block = np.nonzero(known)[0]
        counts = class_counts(answer.argmax(axis=-1)[known], y[known].astype("i8"), block, len(y), self.outputs)
        return {name: estimate.to_json() for name, estimate in estimates([counts], class_scores(self.outputs)).items()}


@dataclass(frozen=True)
class PolygonHead:
    """Classes of the ground and of polygons: a target is the number of a class, or the number of classes plus that of a polygon.

    Training crops are balanced towards polygons.
    """

    ground: ClassHead
    """Of the ground, and of polygons by their class."""
    classes: tuple[int, ...]
    """Number of the class of each polygon."""
    weights: tuple[float, ...]
    """Weight of a pixel of each polygon against one of the ground."""

    @classmethod
    def of(
        cls,
        regions: Sequence[Region],
        outputs: int,
        classes: tuple[int, ...],
        weights: tuple[float, ...],
        power: float,
        focal: float,
    ) -> PolygonHead:
        """With the weights of classes that `ClassHead.of` gives the regions."""
        plain = cls(ClassHead((1.0,) * outputs), classes, weights)
        return replace(plain, ground=ClassHead.of(plain._grounds(regions), outputs, power, focal))

    @property
    def outputs(self) -> int:
        """One a class."""
        return self.ground.outputs

    @property
    def activation(self) -> str:
        """As of `ground`."""
        return self.ground.activation

    def _numbers(self, target: np.ndarray) -> np.ndarray:
        """Numbers of classes, float32; NaN stays."""
        found = np.array([*range(self.outputs), *self.classes], "f4")
        known = np.isfinite(target)
        return np.where(known, found[np.where(known, target, 0).astype("i8")], np.float32(np.nan))

    def _grounds(self, regions: Sequence[Region]) -> list[Region]:
        return [replace(region, target=self._numbers(region.target)) for region in regions]

    def loss(self, answer: Any, y: Any, w: Any) -> Any:
        """As of `ground`, with the weights of polygons."""
        import tensorflow as tf

        number = tf.cast(y, tf.int32)
        classes = tf.gather(tf.constant([*range(self.outputs), *self.classes], tf.int32), number)
        weights = tf.gather(tf.constant([1.0] * self.outputs + list(self.weights), tf.float32), number)
        return self.ground.loss(answer, classes, w * weights)

    def start(self, regions: Sequence[Region], masks: Masks) -> np.ndarray:
        """As of `ground`."""
        return self.ground.start(self._grounds(regions), masks)

    def constant(self, regions: Sequence[Region], masks: Masks, y: np.ndarray, w: np.ndarray) -> float:
        """As of `ground`, with the weights of polygons."""
        weights = np.array([1.0] * self.outputs + list(self.weights))[y.astype("i8")]
        total = max(float(w.sum(dtype="f8")), 1e-6)
        share = float((w * weights).sum(dtype="f8")) / total  # `ground` gives a mean over weights, `fitting` one over `w`
        return share * self.ground.constant(self._grounds(regions), masks, self._numbers(y), w * weights)

    def special(self, target: np.ndarray) -> np.ndarray:
        """Polygons."""
        with np.errstate(invalid="ignore"):
            return np.asarray(target >= self.outputs)

    def scores(self, answer: np.ndarray, y: np.ndarray, w: np.ndarray) -> dict[str, Any]:
        """As of `ground`."""
        return self.ground.scores(answer, self._numbers(y), w)


def class_frequency(regions: Sequence[Region], masks: Masks, classes: int) -> np.ndarray:
    """Pixels of each class in the masks, (class,)."""
    found = np.zeros(classes)
    for region, mask in zip(regions, masks, strict=True):
        found += np.bincount(region.target[mask].astype("i8"), minlength=classes)
    return found
