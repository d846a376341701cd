"""Training of the network of patches: parameters, class weights, held-out ground, early stop (seed 5.2.1, table 7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from imperv.layers.network.fitting import fit
from imperv.layers.network.heads import ClassHead
from imperv.layers.network.unet import Normalisation
from imperv.layers.patches.labels import Classes
from imperv.layers.patches.network import STAGES
from imperv.layers.patches.sampling import PatchSampler
from imperv.layers.statistics.classes import class_counts, class_scores
from imperv.layers.statistics.scores import estimates

FOCAL = 2.0
"""Exponent of the focal loss (Lin et al. 2017, arXiv:1708.02002)."""

POWER = 0.5
"""Classes weigh by their frequency to the power of minus this."""

JUDGED_PIXELS = 2**21
"""Most pixels of held-out ground that judge an epoch: 110 MB of thirteen bands."""


class TrainingParameters(BaseModel):
    """How a network of patches is trained; names and defaults of the seed's table 7 where it has them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight_decay: ClassVar[float] = 0.0
    averaging: ClassVar[float] = 0.0
    """Running statistics of normalised batches belong to the last weights, not to an average of them."""

    criterion: Literal["cross_entropy", "focal_loss"] = "cross_entropy"
    """Loss."""
    data_aug: bool = False
    """Whether patches are turned, mirrored and shifted in brightness."""
    batch: int = Field(default=2, ge=2, le=64)
    """Patches in a step."""
    epochs: int = Field(default=20, ge=1, le=99)
    """Most passes over all patches."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """Highest learning rate of Adam: warmed up, then lowered to 0 along a cosine."""
    patience: int = Field(default=10, ge=1)
    """Epochs without a better loss on held-out ground after which the training ends."""
    validation_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the ground that judges."""
    stages: int = Field(default=STAGES, ge=2, le=STAGES)
    """Stages of ResNet-50 in the encoder; fewer are quicker."""
    seed: int = Field(default=1, ge=0)
    """Start of all random numbers."""

    @property
    def jitter(self) -> float:
        """Random shift of each band of a patch, in standard deviations."""
        return 0.1 if self.data_aug else 0.0


def adam(rate: Any, weight_decay: float, last: str) -> Any:
    """Adam, gradients clipped together at norm 1: Muon's products of matrices would take longer than a step of two patches."""
    import keras

    return keras.optimizers.Adam(rate, global_clipnorm=1.0)


def weighted_head(counts: np.ndarray, parameters: TrainingParameters) -> ClassHead:
    """Loss with weights of classes by their labelled pixels, (class,); 1 for the mean pixel, 0 where there is none."""
    share = counts / max(float(counts.sum()), 1.0)
    weights = np.where(share > 0, np.maximum(share, 1e-9) ** -POWER, 0.0)
    weights = weights / float((weights * share).sum())
    return ClassHead(tuple(weights.tolist()), FOCAL if parameters.criterion == "focal_loss" else 0.0)


def train(
    network: Any, images: Any, labels: Any, nodata: float, classes: Classes, learning: Sequence[int], judging: Sequence[int],
    normalisation: Normalisation, parameters: TrainingParameters,
    report: Callable[[int, float, float], None] = lambda *_: None,
    state: Mapping[str, Any] | None = None, keep: Callable[[Mapping[str, Any]], None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train a network on the patches `learning`; it is left with the weights of the epoch that does best on `judging`.

    Parameters
    ----------
    network : Keras model
        Standardised bands (batch, y, x, band) -> probabilities (batch, y, x, output), such as `network.with_head`.
    images, labels : arrays
        Patches (patch, band, y, x), and their annotations (patch, y, x) uint8; edges are multiples of 2 to the stages.
    nodata : float
        Value of pixels without data.
    classes : Classes
        What is learnt.
    learning, judging : sequences of int
        Patches of each part.
    normalisation : Normalisation
        Of the bands; that of the pretraining where there is a donor.
    parameters : TrainingParameters
        How.
    report, state, keep
        As of `fitting.fit`.

    Returns
    -------
    History: losses, best epoch, steps, class weights, and scores of the judging ground with 95 % intervals of a bootstrap over
    patches.

    Raises
    ------
    DivergenceError
        If a loss is not finite.
    """
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    sampler = PatchSampler(images, labels, learning, nodata, classes, parameters.seed, parameters.data_aug)
    counts = np.zeros(classes.outputs)
    for k in learning:
        _, y, w = sampler.patch(int(k))
        counts += np.bincount(y[w > 0].astype("i8"), minlength=classes.outputs)
    head = weighted_head(counts, parameters)
    steps = -(-len(learning) // parameters.batch)
    most = max(1, JUDGED_PIXELS // sampler.size**2)
    chosen = np.random.default_rng([parameters.seed, 41]).permutation(np.asarray(judging))[:most]
    checks = _stacked(sampler, np.sort(chosen))
    history = fit(
        network, sampler, checks, normalisation, parameters, steps, parameters.seed, report, state, keep, head, optimizer=adam
    )
    answers = _answers(network, normalisation, checks[0], parameters.batch)
    history |= {"steps": steps, "weights": list(head.weights), "scores": scores_of(answers, *checks[1:], classes.outputs)}
    return history


def _stacked(sampler: PatchSampler, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y, w = (np.stack(part) for part in zip(*(sampler.patch(int(k)) for k in numbers), strict=True))
    return x, y, w


def _answers(network: Any, normalisation: Normalisation, x: np.ndarray, batch: int) -> np.ndarray:
    """Number of the most probable class, (patch, y, x) uint8."""
    parts = [
        np.asarray(network(normalisation.apply(x[k : k + batch]), training=False)).argmax(-1) for k in range(0, len(x), batch)
    ]
    return np.concatenate(parts).astype("u1")


def scores_of(answers: np.ndarray, y: np.ndarray, w: np.ndarray, outputs: int) -> dict[str, Any]:
    """Overall accuracy, mean F1, kappa and F1 of each class where the weight is above 0, with 95 % intervals of a bootstrap.

    Patches are drawn again. Answers and targets are numbers of outputs, (patch, y, x).
    """
    known = w > 0
    counts = class_counts(answers[known].astype("i8"), y[known].astype("i8"), np.nonzero(known)[0], len(y), outputs)
    return {name: estimate.to_json() for name, estimate in estimates([counts], class_scores(outputs)).items()}
