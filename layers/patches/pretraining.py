"""Pretraining without labels: two dates of one ground are a pair, and a pixel's features must agree in both (Barlow Twins).

Source: Zbontar et al. 2021, arXiv:2103.03230, whose loss works with small batches, here pixel by pixel: the features of the last
layer before the head. The two crops of a pair are cut with different corners, or the network would find a pixel by the border
that it sees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from imperv.layers.network.unet import Normalisation
from imperv.layers.patches.network import STAGES, build_features
from imperv.layers.patches.sampling import pixels_of

PROJECTED = 128
"""Numbers that the features of a pixel are projected to while they are compared; our choice."""

REDUNDANCY = 1 / PROJECTED
"""Weight of what different numbers share, against what dates do not: both terms sum up to about the same."""

PIXELS = 4096
"""Most pixels of a step that are compared; our choice."""

MARGIN = 32
"""Pixels by which the patches are larger than the crops that the network sees."""

JITTER = 0.1
"""Random shift of each band of a crop, in standard deviations."""

EVERY = 50
"""Steps after which the state is kept."""


class PretrainingParameters(BaseModel):
    """How a network is pretrained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch: int = Field(default=8, ge=2, le=64)
    """Pairs in a step."""
    steps: int = Field(default=1000, ge=1)
    """Steps."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Highest learning rate of Adam."""
    stages: int = Field(default=STAGES, ge=2, le=STAGES)
    """Stages of ResNet-50 in the encoder."""
    seed: int = Field(default=1, ge=0)
    """Start of all random numbers."""


Pair = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Two crops (y, x, feature) float32 with NaN, and the (row, column) of the same ground in each, (pixel, 2) int32."""


def barlow_twins(first: Any, second: Any) -> Any:
    """The loss of two projections (pixel, number): 0 where they are equal and their numbers tell different things."""
    import tensorflow as tf

    count = tf.cast(tf.shape(first)[0], tf.float32)

    def standard(z: Any) -> Any:
        mean, variance = tf.nn.moments(z, 0)
        return (z - mean) / tf.sqrt(variance + 1e-5)

    products = tf.matmul(standard(first), standard(second), transpose_a=True) / count
    same = tf.linalg.diag_part(products)
    others = tf.reduce_sum(tf.square(products)) - tf.reduce_sum(tf.square(same))
    return tf.reduce_sum(tf.square(1 - same)) + REDUNDANCY * others


def within(values: Any, places: Any) -> Any:
    """Projections (pixel, number) less their mean in each place, (pixel,) from 0: what parts pixels of one place.

    Without it the easiest thing that dates agree on is which place they show, and few places are seen.
    """
    import tensorflow as tf

    mean = tf.math.unsorted_segment_mean(values, places, tf.reduce_max(places) + 1)
    return values - tf.gather(mean, places)


def pairs_of(grounds: Sequence[Any]) -> list[list[int]]:
    """Patches that show the same ground, for each ground with at least two of them."""
    found: dict[Any, list[int]] = {}
    for number, ground in enumerate(grounds):
        found.setdefault(ground, []).append(number)
    return [numbers for numbers in found.values() if len(numbers) > 1]


class DatePairs:
    """Crops of two dates of one ground, whose corners differ by up to `MARGIN`."""

    def __init__(self, images: Any, places: Sequence[Sequence[int]], nodata: float) -> None:
        self._images, self._places, self._nodata = images, places, nodata
        self.size = int(images.shape[-1]) - MARGIN

    def draw(self, random: np.random.Generator) -> Pair:
        """One pair; both are turned and mirrored alike. The ground that both show with data is what is compared."""
        dates = random.choice(self._places[int(random.integers(len(self._places)))], 2, replace=False)
        turn, mirrored = int(random.integers(4)), random.random() < 0.5
        views, corners = [], random.integers(0, MARGIN + 1, (2, 2))
        for number, (row, column) in zip(dates, corners, strict=True):
            whole = pixels_of(np.asarray(self._images[int(number)]), self._nodata)
            whole = np.rot90(whole[:, ::-1] if mirrored else whole, turn)
            views.append(whole[row : row + self.size, column : column + self.size])
        low, high = corners.max(0), corners.min(0) + self.size
        parts = [v[tuple(map(slice, low - c, high - c))] for v, c in zip(views, corners, strict=True)]
        where = np.argwhere(np.isfinite(parts[0][..., 0]) & np.isfinite(parts[1][..., 0])) + low
        return views[0], views[1], (where - corners[0]).astype("i4"), (where - corners[1]).astype("i4")


def draw_batch(source: Any, random: np.random.Generator, normalisation: Normalisation, batch: int) -> tuple[np.ndarray, ...]:
    """Crops of a step, standardised, and (crop, row, column) of the pixels that are compared in each: at most `PIXELS`."""
    firsts, seconds, here, there = [], [], [], []
    spread = np.asarray(normalisation.std, "f4")
    for k in range(batch):
        a, b, at, to = source.draw(random)
        if chosen := min(len(at), PIXELS // batch):
            picked = random.choice(len(at), chosen, replace=False)
            here.append(np.c_[np.full(chosen, k), at[picked]])
            there.append(np.c_[np.full(chosen, k), to[picked]])
        shift = (JITTER * random.standard_normal((2, a.shape[-1])) * spread).astype("f4")
        firsts.append(normalisation.apply(a + shift[0]))
        seconds.append(normalisation.apply(b + shift[1]))
    empty = np.zeros((0, 3))
    return np.stack(firsts), np.stack(seconds), *(np.concatenate([empty, *p]).astype("i4") for p in (here, there))


def learn_features(
    features: Any, source: Any, normalisation: Normalisation, parameters: PretrainingParameters,
    report: Callable[[int, float], None] = lambda *_: None,
    state: Mapping[str, Any] | None = None, keep: Callable[[Mapping[str, Any]], None] | None = None,
) -> list[float]:  # fmt: skip
    """Teach a network of features in place, with pairs of a source such as `DatePairs`; the mean loss of every `EVERY` steps.

    `keep` gets all that is needed to go on every `EVERY` steps, `report` the step and the loss.
    """
    import keras
    import tensorflow as tf
    from keras import layers as kl

    start = keras.initializers.HeNormal(seed=parameters.seed)
    projector = keras.Sequential(
        [
            kl.Input((features.output_shape[-1],)),
            kl.Dense(PROJECTED, kernel_initializer=start, use_bias=False),
            kl.BatchNormalization(),
            kl.ReLU(),
            kl.Dense(PROJECTED, kernel_initializer=keras.initializers.HeNormal(seed=parameters.seed + 1), use_bias=False),
        ]
    )
    rise = max(1, parameters.steps // 20)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, parameters.steps - rise), warmup_target=parameters.learning_rate, warmup_steps=rise
    )
    optimizer = keras.optimizers.Adam(rate, global_clipnorm=1.0)
    variables = [*features.trainable_variables, *projector.trainable_variables]
    optimizer.build(variables)

    @tf.function(reduce_retracing=True)
    def learn(a: Any, b: Any, here: Any, there: Any) -> Any:
        with tf.GradientTape() as tape:
            both = features(tf.concat([a, b], 0), training=True)
            first, second = tf.split(both, 2)
            places = here[:, 0]
            loss = barlow_twins(
                within(projector(tf.gather_nd(first, here), training=True), places),
                within(projector(tf.gather_nd(second, there), training=True), places),
            )
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    moving, losses, recent, begin = [*features.variables, *projector.variables, *optimizer.variables], [], [], 0
    if state is not None:
        for k, variable in enumerate(moving):
            variable.assign(state[f"variable_{k}"])
        losses, begin = list(state["loss"]), int(state["step"])
    for step in range(begin, parameters.steps):
        random = np.random.default_rng([parameters.seed, 43, step])
        a, b, here, there = draw_batch(source, random, normalisation, parameters.batch)
        if len(here) < 2:  # clouds everywhere
            continue
        recent.append(float(learn(tf.constant(a), tf.constant(b), tf.constant(here), tf.constant(there))))
        if not np.isfinite(recent[-1]):
            raise ValueError(f"the loss of step {step + 1} is not finite; lower the learning rate")
        report(step, recent[-1])
        if (step + 1) % EVERY == 0 or step + 1 == parameters.steps:
            losses.append(float(np.mean(recent)))
            recent = []
            if keep and step + 1 < parameters.steps:
                arrays = {f"variable_{k}": np.asarray(v) for k, v in enumerate(moving)}
                keep({**arrays, "loss": losses, "step": step + 1})
    return losses


def pretrain(
    images: Any, grounds: Sequence[Any], nodata: float, normalisation: Normalisation, parameters: PretrainingParameters,
    report: Callable[[int, float], None] = lambda *_: None,
    state: Mapping[str, Any] | None = None, keep: Callable[[Mapping[str, Any]], None] | None = None,
) -> tuple[Any, dict[str, Any]]:  # fmt: skip
    """A network of features that has seen dates of places, and what it took: losses, places, patches.

    `images` are patches (patch, band, y, x) that are `MARGIN` larger than what the network sees, `grounds` where each lies.
    ValueError where no ground is shown twice.
    """
    places = pairs_of(grounds)
    if not places:
        raise ValueError("no ground is shown by two dates; give images of one grid")
    features = build_features(len(normalisation.names), parameters.stages, parameters.seed)
    losses = learn_features(features, DatePairs(images, places, nodata), normalisation, parameters, report, state, keep)
    return features, {"loss": losses, "places": len(places), "patches": sum(map(len, places))}
