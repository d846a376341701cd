"""Centre-patch classification: a small network sees a patch and answers for its centre; built-up types (BSRLC+).

There is neither padding nor a stride in it, so a map is one pass over the image: the same answers as patch by patch, to rounding.
TensorFlow is imported inside the functions that need it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from imperv.layers.landcover.classes import LandClass
from imperv.layers.network.unet import Normalisation, mean_network

TYPES = (
    LandClass(0, "none", (236, 236, 230)),
    LandClass(1, "residential", (222, 120, 60)),
    LandClass(2, "industrial", (140, 70, 150)),
    LandClass(3, "artificial open", (120, 120, 128)),
)
"""Built-up types; colours are our choice."""

CHUNK = 256
"""Patches predicted at once."""

PIECE = 256
"""Edge of the pieces of a map that are computed at once, pixels."""


class PatchParameters(BaseModel):
    """What shapes a network of patches and its training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patch: int = Field(default=21, ge=5, le=65)
    """Edge of a patch, pixels, odd."""
    filters: int = Field(default=24, ge=4)
    """Filters of each layer."""
    members: int = Field(default=3, ge=1, le=10)
    """Networks whose answers are averaged; each holds out other blocks of ground."""
    shares: float = Field(default=0.5, ge=0, le=1)
    """How far types weigh by their shares in the area, told by the networks' answers: 0 as alike as in the training, 1 all."""
    attention: bool = False
    """Weigh the places of a patch (spatial attention, Woo et al. 2018, arXiv:1807.06521)."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of activations dropped while training."""
    epochs: int = Field(default=40, ge=1)
    """Most passes over the points."""
    batch: int = Field(default=64, ge=1)
    """Patches in a training step."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """Highest learning rate of Adam, lowered to 0 along a cosine."""
    held_out: float = Field(default=0.2, gt=0, lt=1)
    """Share of the blocks of ground whose points a network does not learn from: for scores and for the choice of its epoch."""
    block: int = Field(default=64, ge=1)
    """Edge of these blocks, pixels."""
    seed: int = Field(default=1, ge=0)
    """Start of all random numbers."""

    @model_validator(mode="after")
    def _odd(self) -> Self:
        if self.patch % 2 == 0:
            raise ValueError(f"patch {self.patch} has no centre; write an odd number")
        return self

    @property
    def reach(self) -> int:
        """Pixels around the centre."""
        return self.patch // 2


def dilations(reach: int) -> list[int]:
    """Dilation of each 3 x 3 convolution, growing, so that together they see `reach` pixels each way and no more."""
    found: list[int] = []
    while sum(found) < reach:
        found.append(min(1 + len(found) // 2, reach - sum(found)))
    return found


def build_patch_network(parameters: PatchParameters, features: int, classes: int, seed: int) -> Any:
    """A Keras model: (batch, y, x, feature) standardised -> (batch, y - patch + 1, x - patch + 1, class) probabilities."""
    import keras
    from keras import layers as kl

    numbers = iter(np.random.SeedSequence([seed, 29]).generate_state(64).tolist())
    inputs = x = kl.Input((None, None, features), name="features")
    for k, dilation in enumerate(dilations(parameters.reach)):
        start = keras.initializers.HeNormal(seed=next(numbers))
        x = kl.Conv2D(
            parameters.filters, 3, dilation_rate=dilation, activation="relu", kernel_initializer=start, name=f"conv{k}"
        )(x)  # fmt: skip
        if k == 1 and parameters.attention:
            start = keras.initializers.GlorotUniform(seed=next(numbers))
            weigh = kl.Conv2D(1, 1, activation="sigmoid", kernel_initializer=start, name="attention")
            x = kl.Multiply(name="attended")([x, weigh(_spread(x))])
    x = kl.Dropout(parameters.dropout, seed=next(numbers), name="dropout")(x)
    start = keras.initializers.GlorotUniform(seed=next(numbers))
    answers = kl.Conv2D(classes, 1, activation="softmax", kernel_initializer=start, name="classes")(x)
    return keras.Model(inputs, answers, name=f"patches_{seed}")


def build_members(parameters: PatchParameters, features: int, classes: int) -> Any:
    """A network of all members, as `train_patches` gives it, with weights that are yet to be set."""
    return mean_network([build_patch_network(parameters, features, classes, k) for k in range(parameters.members)])


def _spread(x: Any) -> Any:
    """Mean and highest of the channels of each place."""
    import keras
    from keras import layers as kl

    mean = keras.ops.mean(x, axis=-1, keepdims=True)
    return kl.Concatenate(name="spread")([mean, keras.ops.max(x, axis=-1, keepdims=True)])


@dataclass(frozen=True)
class Points:
    """Training points."""

    patches: np.ndarray
    """(point, patch, patch, feature) float32, NaN no data."""
    target: np.ndarray
    """(point,) number of a class from 0."""
    block: np.ndarray
    """(point,) number of the block of ground that it lies in."""


@dataclass(frozen=True)
class TrainedPatches:
    """Trained networks of patches."""

    model: Any
    """One network: the mean of all members."""
    normalisation: Normalisation
    validation: tuple[tuple[float, ...], ...]
    """Loss of the held-out points of each member after each of its epochs."""
    held_out: np.ndarray
    """(point,) bool: points that a member did not learn from."""
    answers: np.ndarray
    """(point, class) mean probabilities by the members that did not learn from a point; NaN where all did."""
    learnt: np.ndarray
    """(class,) share that each class had in the training, by weight."""


def cut_patches(features: np.ndarray, rows: np.ndarray, columns: np.ndarray, patch: int) -> np.ndarray:
    """Patches around pixels of (feature, y, x): (point, patch, patch, feature); NaN beyond the edge."""
    reach = patch // 2
    padded = np.pad(np.moveaxis(features, 0, -1), ((reach, reach), (reach, reach), (0, 0)), constant_values=np.nan)
    found = np.empty((len(rows), patch, patch, len(features)), "f4")
    for k, (y, x) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
        found[k] = padded[y : y + patch, x : x + patch]
    return found


def normalisation_of(patches: np.ndarray, names: Sequence[str]) -> Normalisation:
    """Mean and deviation of each feature over all pixels of patches with data."""
    flat = patches.reshape(-1, patches.shape[-1]).astype("f8")
    mean, std = np.nanmean(flat, axis=0), np.maximum(np.nanstd(flat, axis=0), 1e-6)
    return Normalisation(tuple(names), tuple(mean.tolist()), tuple(std.tolist()))


def train_patches(
    points: Points, names: Sequence[str], classes: int, parameters: PatchParameters,
    progress: Callable[[int, int], None] | None = None,
) -> TrainedPatches:  # fmt: skip
    """Train members on points; blocks of ground, not points, are held out, and the weights of the best epoch on them are kept.

    Classes weigh alike. Patches are mirrored and turned by quarters. Same points, parameters and number of threads: same weights.
    ValueError with fewer than two classes or blocks.
    """
    import tensorflow as tf

    if len(np.unique(points.target)) < 2:
        raise ValueError("all points are of one class")
    tf.config.experimental.enable_op_determinism()
    normalisation = normalisation_of(points.patches, names)
    x, y = normalisation.apply(points.patches), points.target.astype("i4")
    members, validation, held = [], [], _held_out(points.block, parameters)
    answers, asked = np.zeros((len(y), classes), "f4"), held.sum(axis=0)
    for k, mine in enumerate(held):

        def told(epoch: int, done: int = k * parameters.epochs) -> None:
            if progress:
                progress(done + epoch, len(held) * parameters.epochs)

        model, losses = _train_member(x, y, mine, classes, parameters, k, told)
        members.append(model)
        validation.append(losses)
        answers[mine] += predict_patches(model, x[mine])
    answers /= np.where(asked > 0, asked, np.nan)[:, None]
    there = np.bincount(y, minlength=classes) > 0
    return TrainedPatches(
        mean_network(members), normalisation, tuple(validation), asked > 0, answers, there / np.count_nonzero(there)
    )


def _train_member(
    x: np.ndarray, y: np.ndarray, held: np.ndarray, classes: int, parameters: PatchParameters, number: int,
    told: Callable[[int], None],
) -> tuple[Any, tuple[float, ...]]:  # fmt: skip
    """A network that learns from the points that are not held out, and its losses on those that are."""
    import keras
    import tensorflow as tf

    seed = parameters.seed + 1000 * number
    rng, learning = np.random.default_rng([seed, 31]), np.flatnonzero(~held)
    counts = np.bincount(y[learning], minlength=classes)
    weight = np.where(counts > 0, len(learning) / np.maximum(counts, 1) / max(int((counts > 0).sum()), 1), 0).astype("f4")
    model = build_patch_network(parameters, x.shape[-1], classes, seed)
    steps = -(-len(learning) // parameters.batch)
    rate = keras.optimizers.schedules.CosineDecay(parameters.learning_rate, max(1, steps * parameters.epochs))
    optimizer: Any = keras.optimizers.Adam(rate)
    optimizer.build(model.trainable_variables)

    @tf.function(input_signature=[tf.TensorSpec((None, *x.shape[1:]), tf.float32), tf.TensorSpec((None,), tf.int32)])
    def learn(some: Any, number: Any) -> None:
        with tf.GradientTape() as tape:
            p = tf.gather(model(some, training=True)[:, 0, 0], number, batch_dims=1)
            loss = tf.reduce_mean(tf.gather(tf.constant(weight), number) * -tf.math.log(tf.clip_by_value(p, 1e-7, 1.0)))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    best, losses = model.get_weights(), []
    for epoch in range(parameters.epochs):
        order = rng.permutation(learning)
        for k in range(steps):
            some = order[k * parameters.batch : (k + 1) * parameters.batch]
            learn(_turned(x[some], rng), y[some])
        answers = predict_patches(model, x[held])
        p = np.clip(answers[np.arange(len(answers)), y[held]], 1e-7, 1)
        losses.append(float(np.average(-np.log(p), weights=np.maximum(weight[y[held]], 1e-6))))
        if int(np.argmin(losses)) == epoch:
            best = model.get_weights()
        told(epoch + 1)
    model.set_weights(best)
    return model, tuple(losses)


def _held_out(block: np.ndarray, parameters: PatchParameters) -> np.ndarray:
    """Points that each member does not learn from, (member, point) bool: those of other blocks of ground while there are any."""
    blocks = np.unique(block)
    if len(blocks) < 2:
        raise ValueError("all points lie in one block of ground; lower types.block or name points farther apart")
    count = min(max(1, round(parameters.held_out * len(blocks))), len(blocks) - 1)
    drawn = np.random.default_rng([parameters.seed, 31]).permutation(blocks)
    return np.stack([np.isin(block, np.roll(drawn, -k * count)[:count]) for k in range(parameters.members)])


def _turned(patches: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each batch mirrored and turned at random."""
    if rng.random() < 0.5:
        patches = patches[:, :, ::-1]
    return np.ascontiguousarray(np.rot90(patches, int(rng.integers(4)), (1, 2)))


def predict_patches(model: Any, patches: np.ndarray) -> np.ndarray:
    """Probabilities of the centres of standardised patches, (point, class) float32, patch by patch."""
    parts = [np.asarray(model(patches[k : k + CHUNK], training=False))[:, 0, 0] for k in range(0, len(patches), CHUNK)]
    return np.concatenate(parts)


def predict_dense(model: Any, normalisation: Normalisation, features: np.ndarray, reach: int) -> np.ndarray:
    """Probabilities of all pixels in one pass: (class, y, x) float32, NaN where a pixel itself has no data.

    `features` are (feature, y, x) as stored, NaN no data, with or without `reach` pixels of context: beyond the array there is no
    data, as in `cut_patches`.
    """
    known = np.isfinite(features).all(axis=0)
    plane = normalisation.apply(np.moveaxis(features, 0, -1))
    plane = np.pad(plane, ((reach, reach), (reach, reach), (0, 0)))
    rows, columns = known.shape
    out: np.ndarray | None = None
    for y in range(0, rows, PIECE):
        for x in range(0, columns, PIECE):
            here = plane[None, y : min(y + PIECE, rows) + 2 * reach, x : min(x + PIECE, columns) + 2 * reach]
            answers = np.asarray(model(here, training=False))[0]
            if out is None:
                out = np.empty((answers.shape[-1], rows, columns), "f4")
            out[:, y : y + PIECE, x : x + PIECE] = np.moveaxis(answers, -1, 0)
    assert out is not None
    out[:, ~known] = np.nan
    return out
