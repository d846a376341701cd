"""Tuning: what a person's polygons change of the base model's answer (docs/landcover.md, Tuning).

A multinomial head adds to the logarithms of the base probabilities a linear function of these and of what the networks see last.
It starts at nothing and is held there by penalties: without polygons the answer is the base model's, to the bit. Polygons, not
pixels, are the unit of weight and of cross-validation. NumPy and SciPy only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

STEPS = 254
"""Steps of stored probabilities and features: a byte, with 255 for no data."""

RARE = 0.02
"""Least share of a class that polygons are weighted by."""

LEAST = 0.5 / STEPS
"""Probability that a stored 0 stands for."""

PENALTIES = (3.0, 10.0, 30.0)
"""Penalties that are tried, by left-out polygons, where none is given."""


class TuningParameters(BaseModel):
    """How polygons change the base model's answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    penalty: float | None = Field(default=None, gt=0)
    """Weight of the square of the change against one polygon; by default that of a few which foretells left-out polygons best."""
    base: float = Field(default=20.0, ge=0)
    """Weight of the base model's answer on the ground without polygons, in polygons."""
    shares: float = Field(default=1.0, ge=0, le=1)
    """Classes weigh by their share in the base map to the power of this, however many polygons they have: 1 lets a class that
    covers little change little, 0 counts polygons alike."""
    doubt: float = Field(default=0.1, ge=0, lt=1)
    """Share of polygons that may be wrong: what the base model thinks impossible pulls no harder than this leaves it."""
    pixels: int = Field(default=200, ge=1)
    """Most pixels of a polygon that are learnt from."""
    sample: int = Field(default=1000, ge=0)
    """Pixels of the ground without polygons on which the base model's answer is held."""
    folds: int = Field(default=5, ge=2)
    """Parts of the polygons that are left out in turn."""
    seed: int = Field(default=1, ge=0)
    """Start of all random numbers."""
    epochs: int = Field(default=4, ge=1)
    """Epochs of a training that goes on from the base network, the slow way."""
    steps: int = Field(default=50, ge=1)
    """Steps of each of these."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """Highest learning rate of this training."""


@dataclass(frozen=True)
class Samples:
    """Pixels as the store has them."""

    shares: np.ndarray
    """(pixel, class) uint8 probabilities in steps of 1 / `STEPS`."""
    seen: np.ndarray
    """(pixel, channel) uint8 of what the networks see last."""

    def __len__(self) -> int:
        return len(self.shares)

    def pick(self, index: np.ndarray) -> Samples:
        """Some of them."""
        return Samples(self.shares[index], self.seen[index])


@dataclass(frozen=True)
class Polygons:
    """Pixels of polygons."""

    samples: Samples
    target: np.ndarray
    """(pixel,) number of the class from 0."""
    polygon: np.ndarray
    """(pixel,) number of the polygon from 0."""
    weights: np.ndarray
    """(polygon,) weight of each."""

    def of(self, chosen: np.ndarray) -> Polygons:
        """Those of some polygons, (polygon,) bool."""
        keep = chosen[self.polygon]
        return Polygons(self.samples.pick(keep), self.target[keep], self.polygon[keep], self.weights)


@dataclass(frozen=True)
class Head:
    """What is added to the base model's answer."""

    weights: np.ndarray
    """(1 + class + channel, class) float64."""
    mean: np.ndarray
    """(class + channel,) of the inputs on the ground."""
    std: np.ndarray
    """The same, above 0."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, exactly."""
        return {name: getattr(self, name).tolist() for name in ("weights", "mean", "std")}

    @classmethod
    def from_json(cls, data: Mapping[str, Sequence[Any]]) -> Head:
        """From `to_json`."""
        return cls(*(np.asarray(data[name], "f8") for name in ("weights", "mean", "std")))


def log_shares(shares: np.ndarray) -> np.ndarray:
    """Logarithm of stored probabilities (pixel, class), float32."""
    return np.log(np.maximum(shares.astype("f4") / STEPS, np.float32(LEAST)))


def inputs_of(samples: Samples) -> np.ndarray:
    """What the head is linear in, (pixel, class + channel) float32, not yet standardised."""
    return np.concatenate([log_shares(samples.shares), samples.seen.astype("f4") / STEPS], axis=1)


def nothing(classes: int, channels: int) -> Head:
    """The head that changes nothing."""
    size = classes + channels
    return Head(np.zeros((1 + size, classes)), np.zeros(size), np.ones(size))


def answer(head: Head, samples: Samples) -> np.ndarray:
    """Logits of pixels, (pixel, class) float32; those of the base model where the head is nothing."""
    base = log_shares(samples.shares)
    if not head.weights.any():
        return base
    scaled = (inputs_of(samples) - head.mean.astype("f4")) / head.std.astype("f4")
    return base + head.weights[0].astype("f4") + scaled @ head.weights[1:].astype("f4")


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits (..., class)."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


STEPS_AT_MOST = 60
"""Iterations of a fit; our choice: more change no map."""


def fit_head(polygons: Polygons, ground: Samples, parameters: TuningParameters, penalty: float) -> Head:
    """Fit the head to polygons, with the base model's answer held on the ground; the same inputs give the same head.

    The loss is the sum over polygons of the mean cross-entropy of their pixels, against a target that the class of the polygon
    shares with the base model by `doubt`; plus `penalty` times half the squared weights; plus `base` times the mean
    Kullback-Leibler divergence from the base model on the ground.
    """
    from scipy.optimize import minimize

    classes, channels = polygons.samples.shares.shape[1], polygons.samples.seen.shape[1]
    empty = nothing(classes, channels)
    if not len(polygons.target):
        return empty
    known = ground if len(ground) else polygons.samples
    inputs = inputs_of(known).astype("f8")
    mean, std = inputs.mean(axis=0), np.maximum(inputs.std(axis=0), 0.02)
    x, base = _design(polygons.samples, mean, std), log_shares(polygons.samples.shares).astype("f8")
    counts = np.bincount(polygons.polygon, minlength=len(polygons.weights))
    weight = polygons.weights[polygons.polygon] / counts[polygons.polygon]
    aim = (1 - parameters.doubt) * np.eye(classes)[polygons.target] + parameters.doubt * softmax(base)
    x0, base0 = _design(ground, mean, std), log_shares(ground.shares).astype("f8")
    held = parameters.base / max(len(ground), 1)
    p0 = softmax(base0)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(-1, classes)
        value = 0.5 * penalty * float(np.square(w).sum())
        gradient = penalty * w
        for design, logit, target, share in ((x, base, aim, weight), (x0, base0, p0, np.full(len(x0), held))):
            if not len(design):
                continue
            logits = logit + design @ w
            logits -= logits.max(axis=1, keepdims=True)
            total = np.log(np.exp(logits).sum(axis=1, keepdims=True))
            value -= float((share[:, None] * target * (logits - total)).sum())
            gradient += design.T @ (share[:, None] * (np.exp(logits - total) - target))
        return value, gradient.ravel()

    first = np.zeros((1 + len(mean)) * classes)
    found = minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": STEPS_AT_MOST})
    return Head(found.x.reshape(-1, classes), mean, std)


def _design(samples: Samples, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    scaled = (inputs_of(samples).astype("f8") - mean) / std
    return np.concatenate([np.ones((len(scaled), 1)), scaled], axis=1)


@dataclass(frozen=True)
class Tuned:
    """A head and how it does on polygons that it has not seen."""

    head: Head
    penalty: float
    left_out: np.ndarray
    """(pixel,) class of each pixel by a head that has not seen its polygon."""
    losses: Mapping[float, float]
    """Penalties tried -> loss of left-out polygons."""


def tune(polygons: Polygons, ground: Samples, parameters: TuningParameters) -> Tuned:
    """Choose the penalty by left-out polygons, and fit to all of them; on one thread, as the products are small."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return _tuned(polygons, ground, parameters)


def _tuned(polygons: Polygons, ground: Samples, parameters: TuningParameters) -> Tuned:
    classes = polygons.samples.shares.shape[1]
    fold = folds_of(polygons, parameters)
    polygons = by_shares(polygons, ground, parameters.shares)
    tried = (parameters.penalty,) if parameters.penalty else PENALTIES
    losses: dict[float, float] = {}
    answers: dict[float, np.ndarray] = {}
    counts = np.bincount(polygons.polygon, minlength=len(polygons.weights))
    share = polygons.weights[polygons.polygon] / np.maximum(counts[polygons.polygon], 1)
    whole: dict[float, Head] = {}
    for penalty in tried:
        whole[penalty] = fit_head(polygons, ground, parameters, penalty)
        found = np.zeros((len(polygons.target), classes), "f4")
        for k in range(int(fold.max(initial=-1)) + 1):
            head = fit_head(polygons.of(fold != k), ground, parameters, penalty)
            mine = fold[polygons.polygon] == k
            found[mine] = softmax(answer(head, polygons.samples.pick(mine)))
        p = np.maximum(found[np.arange(len(found)), polygons.target], LEAST)
        # Bounded, so that one wrong polygon does not decide.
        losses[penalty] = float((share * (1 - p)).sum() / max(share.sum(), LEAST))
        answers[penalty] = found.argmax(axis=1)
    best = min(tried, key=lambda penalty: (losses[penalty], -penalty))
    return Tuned(whole[best], best, answers[best], losses)


def by_shares(polygons: Polygons, ground: Samples, power: float) -> Polygons:
    """The polygons with weights that give each class its share of the ground by the base model, to a power.

    A person draws as many polygons of rare classes as of others; taken as they are, they would have the map full of them. A share
    counts as `RARE` at least. The mean weight stays.
    """
    if not power or not len(ground) or not len(polygons.target):
        return polygons
    shares = np.maximum(softmax(log_shares(ground.shares)).mean(axis=0), RARE) ** power
    classes = np.zeros(len(polygons.weights), int)
    classes[polygons.polygon] = polygons.target
    drawn = np.bincount(classes, polygons.weights, len(shares)) ** power
    weights = polygons.weights * (shares / np.maximum(drawn, LEAST))[classes]
    return replace(polygons, weights=weights * polygons.weights.sum() / max(float(weights.sum()), LEAST))


def folds_of(polygons: Polygons, parameters: TuningParameters) -> np.ndarray:
    """Part of each polygon, (polygon,): those of a class are dealt out one by one, in an order drawn by the seed."""
    rng = np.random.default_rng([parameters.seed, 37])
    count = len(polygons.weights)
    classes = np.zeros(count, int)
    classes[polygons.polygon] = polygons.target
    order = rng.permutation(count)
    order = order[np.argsort(classes[order], kind="stable")]
    fold = np.empty(count, int)
    fold[order] = np.arange(count) % min(parameters.folds, max(count, 1))
    return fold
