"""Models of crops: learnt from series, asked for probabilities; networks, forests and boosted trees behind one call.

How they are kept in files is in `tasks.crops.model_files`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from imperv.layers.crops.networks import Trainer, Trainings, answering, drawing
from imperv.layers.crops.parameters import NETWORKS, TrainingParameters
from imperv.layers.crops.series import Calendar, Series, Variation, features_of, fill_gaps, index_bands
from imperv.layers.crops.trees import boost, grow_forest
from imperv.layers.network.unet import CLIP, mean_network

AT_ONCE = 8192
"""Samples that a network sees at once."""

VARIANTS, MOST_ROWS = 10, 100_000
"""Variants of a sample that trees learn from beside it, while all are no more rows than that: many samples vary enough."""

Answer = Callable[[np.ndarray], np.ndarray]
"""(sample, step, feature) float32 -> (sample, class) float32."""

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""


@dataclass(frozen=True)
class Inputs:
    """What a model sees of a series."""

    bands: tuple[str, ...]
    """In order."""
    calendar: Calendar
    indices: bool = True
    """Whether indices go with the bands."""
    mean: tuple[float, ...] = ()
    """Of each feature; empty where they are not standardised."""
    std: tuple[float, ...] = ()
    """The same."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names in order."""
        return (*self.bands, *(index_bands(self.bands) if self.indices else ()))

    def prepare(self, values: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Features of samples as of `fill_gaps`, standardised."""
        filled = fill_gaps(values, seen)
        features = features_of(filled, self.bands) if self.indices else filled
        if not self.mean:
            return features
        features -= np.asarray(self.mean, "f4")
        features /= np.asarray(self.std, "f4")
        return np.clip(features, -CLIP, CLIP, out=features)


@dataclass(frozen=True)
class CropModel:
    """A model that can be asked."""

    kind: str
    """As of `TrainingParameters`, or ``other`` for what somebody else has trained."""
    classes: tuple[str, ...]
    """Names by number."""
    inputs: Inputs
    answer: Answer
    """What it says of features."""
    body: Any
    """Keras model, forest or booster."""

    def probabilities(self, values: np.ndarray) -> np.ndarray:
        """(sample, class) float32 of (sample, step, band) float32 reflectance, NaN without a look; NaN for what has none."""
        out = np.full((len(values), len(self.classes)), np.nan, "f4")
        for first in range(0, len(values), AT_ONCE):
            part = values[first : first + AT_ONCE]
            seen = np.isfinite(part).all(axis=2)
            known = seen.any(axis=1)
            if known.any():
                features = self.inputs.prepare(np.nan_to_num(part[known]), seen[known])
                out[first : first + len(part)][known] = self.answer(features)
        return out


def without_looks(values: np.ndarray) -> np.ndarray:
    """(sample,) bool: no step has all bands."""
    return np.asarray(~np.isfinite(values).all(axis=2).any(axis=1))


class Learner:
    """Learns models of one kind from samples of one shape; what takes seconds to begin is begun once."""

    def __init__(self, parameters: TrainingParameters, like: Series) -> None:
        self.parameters, self.classes = parameters, like.classes
        self.inputs = Inputs(like.bands, like.calendar, bool(index_bands(like.bands)))
        self.trainer: Trainer | None = None
        if parameters.kind in NETWORKS:
            self.trainer = Trainer(parameters, like.calendar.count, len(self.inputs.features), len(like.classes))

    def learn(
        self, series: Series, seed: int, told: Progress = lambda *_: None, workers: int = 1, trainings: Trainings | None = None
    ) -> CropModel:
        """A model of samples that have a look each; ValueError if a training diverges.

        Networks that `trainings` has are not trained again.
        """
        seen = np.isfinite(series.values).all(axis=2)
        values = np.nan_to_num(series.values)
        plain = self.inputs.prepare(values, seen)
        if self.trainer is None:
            copies = min(VARIANTS, MOST_ROWS // len(values) - 1) if self.parameters.variants else 0
            vary, random = Variation(), np.random.default_rng(seed)
            varied = [self.inputs.prepare(*vary(values, seen, random)) for _ in range(copies)]
            return self._trees(np.concatenate([plain, *varied]), np.tile(series.labels, 1 + len(varied)), seed, workers)
        size = plain.shape[-1]
        flat = plain.reshape(-1, size)
        inputs = Inputs(
            self.inputs.bands, self.inputs.calendar, self.inputs.indices,
            tuple(flat.mean(axis=0, dtype="f8").tolist()), tuple(np.maximum(flat.std(axis=0, dtype="f8"), 1e-6).tolist()),
        )  # fmt: skip
        draw = drawing(values, seen, inputs.prepare, self.parameters.variants)
        weights = class_weights(series.labels, len(self.classes)) if self.parameters.class_weights else np.ones(len(values))
        members, epochs = [], self.parameters.n_epochs
        for k in range(self.parameters.members):
            tell = partial(_tell, told, k * epochs, self.parameters.members * epochs)
            found = self.trainer.train(draw, series.labels, weights, 1000 * seed + k, tell, trainings)
            members.append(self.trainer.rebuilt(found, f"member_{k}"))
        network = mean_network(members)
        return CropModel(self.parameters.kind, self.classes, inputs, answering(network), network)

    def _trees(self, features: np.ndarray, labels: np.ndarray, seed: int, workers: int) -> CropModel:
        kind = self.parameters.kind
        grow = grow_forest if kind == "forest" else boost
        body = grow(flat(features), labels, len(self.classes), self.parameters.class_weights, seed, workers)
        return CropModel(kind, self.classes, self.inputs, trees_answer(kind, body), body)


def _tell(told: Progress, before: int, total: int, done: int) -> None:
    told(before + done, total)


def flat(features: np.ndarray) -> np.ndarray:
    """Steps and features of a sample as one row."""
    return features.reshape(len(features), -1)


def trees_answer(kind: str, body: Any) -> Answer:
    """What a forest or a booster says."""
    if kind == "forest":
        return lambda features: body(flat(features))

    def boosted(features: np.ndarray) -> np.ndarray:
        return np.asarray(body.inplace_predict(flat(features)), "f4")

    return boosted


def class_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """(sample,) float64: samples over classes that there are, over the samples of its own; their mean is 1."""
    counts = np.bincount(labels, minlength=classes)
    return np.asarray(len(labels) / (counts > 0).sum() / counts[labels])
