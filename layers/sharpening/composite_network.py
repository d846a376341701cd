"""A network that adds detail to composites of Landsat at 10 m: residual, alone or trained against a discriminator (SRGAN).

Ledig et al. 2017 (arXiv:1609.04802), here for six bands and a factor of 3: residual blocks on coarse pixels, then a transposed
convolution whose kernel is its stride, which is a pixel shuffle. The network corrects a start that is made without it
(`composites`). A model is arrays and a record. TensorFlow is imported inside the functions that need it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from imperv.layers.network.weights import from_npz, set_flat_weights, to_npz
from imperv.layers.sharpening.composites import FACTOR
from imperv.layers.sharpening.regression import detail

TRIES = 100
"""Crops drawn for one without holes."""


@dataclass(frozen=True)
class NetworkParameters:
    """Size and training of the generator, and of the discriminator if there is one."""

    width: int = 32
    """Filters."""
    blocks: int = 4
    """Residual blocks of two 3 x 3 convolutions."""
    dropout: float = 0.1
    """Share of the channels of coarse pixels that are dropped while training."""
    crop: int = 24
    """Edge of a training crop, coarse pixels."""
    batch: int = 8
    """Crops in a step."""
    steps: int = 1200
    """Training steps."""
    learning_rate: float = 1e-3
    """Highest learning rate of Adam, warmed up over the first tenth, then lowered to 0 along a cosine."""
    adversarial: float = 0.0
    """Weight of the adversarial loss beside the absolute error; 0 trains without a discriminator."""
    averaging: float = 0.99
    """Share of the running average of the weights that a step keeps."""
    seed: int = 1
    """Start of all random numbers."""


@dataclass(frozen=True)
class Pair:
    """Ground of which the composite at 10 m is known."""

    composite: np.ndarray
    """(band, y, x) float32: Landsat on the scale of Sentinel-2, reflectance x 10 000, NaN without data."""
    start: np.ndarray
    """(band, 3 y, 3 x): the same on fine pixels, by `composites.plain` or `sharpen`; NaN without data, as in the target."""
    target: np.ndarray
    """(band, 3 y, 3 x): Sentinel-2 on the same pixels."""


@dataclass(frozen=True)
class CompositeModel:
    """A trained generator."""

    parameters: NetworkParameters
    mean: np.ndarray
    """(band,) of composites, reflectance x 10 000."""
    deviation: np.ndarray
    """(band,) standard deviation of composites."""
    unit: np.ndarray
    """(band,) root mean square of the corrections."""
    weights: np.ndarray
    """(n,) float32 in the order of `build_generator`."""
    record: dict[str, Any] = field(default_factory=dict)
    """From what it was trained, and its figures; JSON values."""

    @cached_property
    def network(self) -> Any:
        """The Keras model; ValueError if the weights do not fit."""
        network = build_generator(self.parameters, len(self.mean))
        if not set_flat_weights(network, self.weights):
            raise ValueError(f"{self.weights.size} weights do not fit {self.parameters}, which has {network.count_params()}")
        return network

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "network"}

    def correct(self, composite: np.ndarray, start: np.ndarray) -> np.ndarray:
        """The start with the detail that the network adds, (band, 3 y, 3 x) float32; NaN where the start is.

        Where a composite or start has no data, the network sees their means, and nothing is added to the coarse pixel.
        """
        known = np.isfinite(composite).all(0) & np.isfinite(_unshuffled(start)).all(-1)
        fine = np.kron(known, np.ones((FACTOR, FACTOR), bool))
        whole = np.where(known, composite, self.mean[:, None, None]).astype("f4")
        told = np.where(fine, start, np.kron(whole, np.ones((1, FACTOR, FACTOR), "f4")))
        answer = self.network(features(whole, told, self.mean, self.deviation, self.unit)[None], training=False).numpy()[0]
        return (start + np.where(fine, np.moveaxis(answer, -1, 0) * self.unit[:, None, None], 0)).astype("f4")

    def save(self, path: Path | str) -> None:
        """Write one ``.npz`` file; nothing in it is code."""
        head = {"parameters": asdict(self.parameters), "record": self.record}
        arrays = {name: getattr(self, name) for name in ("mean", "deviation", "unit")}
        Path(path).write_bytes(to_npz(head, weights=self.weights.astype("f2"), **arrays))

    @classmethod
    def load(cls, path: Path | str) -> CompositeModel:
        """Read what `save` wrote; ValueError if it cannot be read."""
        try:
            head, arrays = from_npz(Path(path).read_bytes())
            mean, deviation, unit = (arrays[name] for name in ("mean", "deviation", "unit"))
            weights, parameters = arrays["weights"].astype("f4"), NetworkParameters(**head["parameters"])
            return cls(parameters, mean, deviation, unit, weights, head["record"])
        except Exception as error:
            raise ValueError(f"{path} cannot be read as a model of composites: {str(error).splitlines()[0]}") from error


def features(composite: np.ndarray, start: np.ndarray, mean: np.ndarray, deviation: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """What the generator sees of each coarse pixel, (y, x, 10 band) float32: its bands, and what the start says of its thirds."""
    level = (composite - mean[:, None, None]) / deviation[:, None, None]
    inside = (start - np.kron(composite, np.ones((1, FACTOR, FACTOR), "f4"))) / unit[:, None, None]
    return np.concatenate([np.moveaxis(level, 0, -1), _unshuffled(inside)], -1).astype("f4")


def _unshuffled(image: np.ndarray) -> np.ndarray:
    """(band, 3 y, 3 x) as (y, x, 9 band)."""
    bands, rows, columns = image.shape
    blocks = image.reshape(bands, rows // FACTOR, FACTOR, columns // FACTOR, FACTOR)
    return blocks.transpose(1, 3, 0, 2, 4).reshape(rows // FACTOR, columns // FACTOR, -1)


def build_generator(parameters: NetworkParameters, bands: int) -> Any:
    """A Keras model: (batch, y, x, 10 band) features -> (batch, 3 y, 3 x, band) corrections; untrained it corrects nothing."""
    import keras
    from keras import layers as kl

    numbers = iter(np.random.SeedSequence([parameters.seed, 29]).generate_state(4 * parameters.blocks + 8).tolist())

    def conv(x: Any, filters: int, activation: str | None = None) -> Any:
        start = keras.initializers.HeNormal(seed=next(numbers))
        return kl.Conv2D(filters, 3, padding="same", activation=activation, kernel_initializer=start)(x)

    inputs = kl.Input((None, None, bands * (1 + FACTOR**2)), name="features")
    x = first = conv(inputs, parameters.width, "relu")
    for _ in range(parameters.blocks):
        y = conv(conv(x, parameters.width, "relu"), parameters.width)
        x = kl.Add()([x, kl.SpatialDropout2D(parameters.dropout, seed=next(numbers))(y)])
    x = kl.Add()([first, conv(x, parameters.width)])
    shuffle = keras.initializers.HeNormal(seed=next(numbers))
    x = kl.Conv2DTranspose(parameters.width, FACTOR, strides=FACTOR, activation="relu", kernel_initializer=shuffle)(x)
    return keras.Model(inputs, kl.Conv2D(bands, 3, padding="same", kernel_initializer="zeros", name="last")(x), name="generator")


def build_discriminator(parameters: NetworkParameters, bands: int) -> Any:
    """A Keras model: (batch, y, x, band) fine images -> (batch, y / 4, x / 4, 1) raw answers, one a patch of about 22 pixels."""
    import keras
    from keras import layers as kl

    numbers = iter(np.random.SeedSequence([parameters.seed, 31]).generate_state(8).tolist())
    inputs = x = kl.Input((None, None, bands), name="image")
    for filters, stride in ((32, 1), (32, 2), (64, 1), (64, 2)):
        start = keras.initializers.HeNormal(seed=next(numbers))
        x = kl.LeakyReLU(0.2)(kl.Conv2D(filters, 3, strides=stride, padding="same", kernel_initializer=start)(x))
    return keras.Model(inputs, kl.Conv2D(1, 3, padding="same", name="real")(x), name="discriminator")


def train(
    pairs: Sequence[Pair], parameters: NetworkParameters, sigma: float, told: Callable[[int, float], None] = lambda *_: None
) -> CompositeModel:
    """Train a generator on ground whose composite at 10 m is known.

    Crops are turned and mirrored. What is learned is the detail that the target has beyond the start; levels differ by the days
    that were seen, which nothing tells. `sigma` is the point spread as of `degrade`. With `adversarial` above 0 the discriminator
    of patches sees composites at 10 m, real and made, and the generator is also asked to deceive it (least squares, Mao et al.
    2017). `told` gets the step and the mean absolute error. ValueError where a pair is too small or full of holes.
    """
    if any(min(p.composite.shape[1:]) < parameters.crop + 2 for p in pairs):
        raise ValueError(f"training crops of {parameters.crop} coarse pixels do not fit into the ground")
    import keras
    import tensorflow as tf

    bands = len(pairs[0].composite)
    pairs = [replace(p, target=p.start + detail(p.target - p.start, FACTOR, sigma)) for p in pairs]
    mean = np.mean([np.nanmean(p.composite, (1, 2)) for p in pairs], 0)
    deviation = np.mean([np.nanstd(p.composite, (1, 2)) for p in pairs], 0)
    unit = np.sqrt(np.mean([np.nanmean((p.target - p.start) ** 2, (1, 2)) for p in pairs], 0))
    model = CompositeModel(parameters, mean.astype("f4"), deviation.astype("f4"), unit.astype("f4"), np.empty(0, "f4"))
    generator = build_generator(parameters, bands)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, parameters.steps * 9 // 10), warmup_target=parameters.learning_rate, warmup_steps=parameters.steps // 10 + 1
    )
    optimizer = keras.optimizers.Adam(rate, clipnorm=1.0)
    optimizer.build(generator.trainable_variables)
    average = [tf.Variable(v, trainable=False) for v in generator.trainable_variables]
    adversary = _adversary(parameters, bands) if parameters.adversarial else None

    @tf.function(reduce_retracing=True)
    def learn(x: Any, start: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            answer = generator(x, training=True)
            error = tf.reduce_mean(tf.abs(answer - y))
            loss = error
            if adversary is not None:
                loss += parameters.adversarial * tf.reduce_mean((adversary[0](start + answer, training=True) - 1) ** 2)
        optimizer.apply(tape.gradient(loss, generator.trainable_variables), generator.trainable_variables)
        if adversary is not None:
            adversary[1](start + y, start + answer)
        count = tf.cast(optimizer.iterations, tf.float32)
        keep = tf.minimum(parameters.averaging, count / (10 + count))
        for slow, fast in zip(average, generator.trainable_variables, strict=True):
            slow.assign(keep * slow + (1 - keep) * fast)
        return error

    rng = np.random.default_rng([parameters.seed, 37])
    for step in range(parameters.steps):
        told(step, float(learn(*map(tf.constant, _draw(pairs, model, rng)))))
    weights = np.concatenate([np.ravel(v.numpy()) for v in average]).astype("f4")
    return CompositeModel(parameters, model.mean, model.deviation, model.unit, weights)


def _adversary(parameters: NetworkParameters, bands: int) -> tuple[Any, Callable[[Any, Any], None]]:
    """The discriminator, and what trains it on real and made images."""
    import keras
    import tensorflow as tf

    judge = build_discriminator(parameters, bands)
    optimizer = keras.optimizers.Adam(parameters.learning_rate / 4, beta_1=0.5, clipnorm=1.0)
    optimizer.build(judge.trainable_variables)

    def learn(real: Any, made: Any) -> None:
        with tf.GradientTape() as tape:
            right = tf.reduce_mean((judge(real, training=True) - 1) ** 2)
            loss = right + tf.reduce_mean(judge(tf.stop_gradient(made), training=True) ** 2)
        optimizer.apply(tape.gradient(loss, judge.trainable_variables), judge.trainable_variables)

    return judge, learn


def _draw(pairs: Sequence[Pair], model: CompositeModel, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A batch of features, starts in units of the corrections, and corrections; channels last."""
    size = model.parameters.crop
    batch: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for _ in range(TRIES * model.parameters.batch):
        if len(batch) == model.parameters.batch:
            break
        pair = pairs[int(rng.integers(len(pairs)))]
        y, x = (int(rng.integers(1, side - size)) for side in pair.composite.shape[1:])
        turns, mirrored = int(rng.integers(4)), rng.random() < 0.5
        # Fine pixels lie half of one right of and below the thirds of coarse ones; turned, they lie to another side. One more row
        # and column, above and to the left, make room.
        coarse = pair.composite[:, y : y + size, x : x + size]
        fine = np.s_[:, FACTOR * y - 1 : FACTOR * (y + size), FACTOR * x - 1 : FACTOR * (x + size)]
        parts = [np.rot90(a[..., ::-1] if mirrored else a, turns, (1, 2)) for a in (coarse, pair.start[fine], pair.target[fine])]
        if not all(np.isfinite(part).all() for part in parts):
            continue
        coarse, start, target = parts[0], parts[1][:, 1:, 1:], parts[2][:, 1:, 1:]
        unit = model.unit[:, None, None]
        level = (start - model.mean[:, None, None]) / unit
        seen = features(coarse, start, model.mean, model.deviation, model.unit)
        batch.append((seen, np.moveaxis(level, 0, -1), np.moveaxis((target - start) / unit, 0, -1)))
    if len(batch) < model.parameters.batch:
        raise ValueError(f"hardly a crop of {size} coarse pixels is without holes; train on other ground or smaller crops")
    seen, level, correction = (np.stack(part).astype("f4") for part in zip(*batch, strict=True))
    return seen, level, correction
