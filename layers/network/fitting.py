"""Fitting one U-Net to crops: schedule, averaged weights, early stop, mixed precision, resuming (ATBD 4.3.1).

Crops come from `sampling`, held-out ground from `training`, the loss from `heads`. Every epoch has random numbers of its own, so
a training that was cut off and goes on from its last epoch ends with the same weights as one that was not. TensorFlow is imported
inside the functions that need it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from imperv.layers.features import unsteadiness
from imperv.layers.network.heads import FractionHead, Head
from imperv.layers.network.optimizer import make_optimizer
from imperv.layers.network.unet import NetworkParameters, Normalisation

WARMUP = 0.1
"""Share of the steps over which the learning rate rises."""

AVERAGE_RAMP = 10
"""Steps over which the average of the weights forgets where it began."""

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Features (crop, y, x, feature) with NaN, target (crop, y, x) or (crop, channel, y, x), weight (crop, y, x); float32."""

State = Mapping[str, Any]
"""Everything a training needs to go on after an epoch: arrays and JSON values by name."""


Choice = Callable[[Sequence[float]], int]
"""The epoch whose weights a network is left with, by the validation losses so far."""


def least(losses: Sequence[float]) -> int:
    """The epoch of the least loss, the first of equal ones."""
    return int(np.argmin(losses))


def last(losses: Sequence[float]) -> int:
    """The last epoch: where the validation ground does not tell how long to train."""
    return len(losses) - 1


class Sampler(Protocol):
    """Where the crops of a training come from."""

    @property
    def size(self) -> int:
        """Edge of a crop, pixels."""

    def restart(self, epoch: int) -> None:
        """Go on with the crops of an epoch, whatever was drawn before."""

    def draw(self, count: int) -> Batch:
        """So many crops, features as stored."""


class Schedule(Protocol):
    """How long a network is trained, and how fast; the fields of `NetworkParameters`."""

    @property
    def batch(self) -> int:
        """Crops in a training step."""

    @property
    def epochs(self) -> int:
        """Most epochs; validation follows each."""

    @property
    def learning_rate(self) -> float:
        """Highest learning rate."""

    @property
    def weight_decay(self) -> float:
        """Share of the weights that a step takes away, times the learning rate."""

    @property
    def patience(self) -> int:
        """Epochs without a better validation loss after which the training ends."""

    @property
    def jitter(self) -> float:
        """Random shift of each feature of a crop, in standard deviations."""

    @property
    def averaging(self) -> float:
        """Share of the running average of the weights that a step keeps."""


MakeOptimizer = Callable[[Any, float, str], Any]
"""An optimizer of a rate or schedule, the weight decay, and the name of the last layer."""


class DivergenceError(ValueError):
    """The loss is no longer a number, or the network ends worse than a constant."""


def training_policy(parameters: NetworkParameters) -> str:
    """Name of Keras' number policy: float16 with float32 weights on a GPU unless the parameters say otherwise."""
    import tensorflow as tf

    if parameters.precision == "auto":
        return "mixed_float16" if tf.config.list_logical_devices("GPU") else "float32"
    return "mixed_float16" if parameters.precision == "mixed" else "float32"


def fit(
    member: Any,
    sampler: Sampler,
    checks: Batch,
    normalisation: Normalisation,
    parameters: Schedule,
    steps: int,
    seed: int,
    report: Callable[[int, float, float], None] = lambda *_: None,
    state: State | None = None,
    keep: Callable[[State], None] | None = None,
    head: Head | None = None,
    choice: Choice = least,
    optimizer: MakeOptimizer = make_optimizer,
) -> dict[str, Any]:
    """Train one network in place, leaving the averaged weights of the epoch of its `choice`.

    The network maps standardised (batch, y, x, feature) to what `head` judges, by default fractions; features of `sampler` and
    `checks`, the validation crops, are as stored. `report` gets epoch, training and validation loss. `keep` gets the state after
    every epoch but the last; a training that was cut off goes on from that `state`. Returns ``best_epoch``, and ``loss`` and
    ``validation`` of every epoch. DivergenceError if a loss is not finite.
    """
    import tensorflow as tf

    head, shapes = head or FractionHead(), _signature(checks)
    learn, average, stepper = _learner(member, parameters, steps, shapes, head, optimizer)
    judge = _judge(member, head, shapes)
    moving = [*member.variables, *stepper.variables, *average]
    losses, validation, first, best = [], [], 0, member.get_weights()
    if state is not None:
        for k, variable in enumerate(moving):
            variable.assign(state[f"variable_{k}"])
        best = [state[f"best_{k}"] for k in range(len(best))]
        losses, validation = list(state["loss"]), list(state["validation"])
        first = len(validation)
    for epoch in range(first, parameters.epochs):
        if epoch and epoch - 1 - choice(validation) >= parameters.patience:
            break
        values = [learn(*batch) for batch in _batches(sampler, shapes, normalisation, parameters, steps, seed, epoch)]
        losses.append(float(tf.reduce_mean(tf.stack(values))))
        own = [v.numpy() for v in member.trainable_variables]
        for variable, mean in zip(member.trainable_variables, average, strict=True):
            variable.assign(mean)
        validation.append(_validate(judge, checks, normalisation, parameters.batch))
        if not np.isfinite(losses[-1]) or not np.isfinite(validation[-1]):
            raise DivergenceError(f"the loss of epoch {epoch + 1} is not finite; lower parameters.unet.learning_rate")
        if choice(validation) == epoch:
            best = member.get_weights()
        for variable, value in zip(member.trainable_variables, own, strict=True):
            variable.assign(value)
        report(epoch, losses[-1], validation[-1])
        if keep and epoch + 1 < parameters.epochs:
            arrays = {f"variable_{k}": np.asarray(v) for k, v in enumerate(moving)}
            arrays |= {f"best_{k}": w for k, w in enumerate(best)}
            keep({**arrays, "loss": losses, "validation": validation})
    member.set_weights(best)
    return {"best_epoch": choice(validation), "loss": losses, "validation": validation}


def _learner(
    member: Any, parameters: Schedule, steps: int, shapes: list[Any], head: Head, make: MakeOptimizer
) -> tuple[Callable[..., Any], list[Any], Any]:
    """One training step as a graph, the running average of the weights, and the optimizer."""
    import keras
    import tensorflow as tf

    total = parameters.epochs * steps
    rise = max(1, round(WARMUP * total))
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, total - rise), warmup_target=parameters.learning_rate, warmup_steps=rise
    )
    optimizer: Any = make(rate, parameters.weight_decay, member.layers[-1].name)
    scaled = any(layer.compute_dtype == "float16" for layer in member.layers)
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(member.trainable_variables)
    average = [tf.Variable(v, trainable=False) for v in member.trainable_variables]

    @tf.function(input_signature=shapes)
    def learn(x: Any, y: Any, w: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = head.loss(member(x, training=True), y, w) / tf.maximum(tf.reduce_sum(w), 1.0)
            value = optimizer.scale_loss(loss) if scaled else loss
        optimizer.apply(tape.gradient(value, member.trainable_variables), member.trainable_variables)
        count = tf.cast(optimizer.iterations, tf.float32)
        decay = tf.minimum(parameters.averaging, count / (AVERAGE_RAMP + count))
        for mean, variable in zip(average, member.trainable_variables, strict=True):
            mean.assign(decay * mean + (1 - decay) * variable)
        return loss

    return learn, average, optimizer


def _judge(member: Any, head: Head, shapes: list[Any]) -> Callable[..., Any]:
    import tensorflow as tf

    @tf.function(input_signature=shapes)
    def judge(x: Any, y: Any, w: Any) -> Any:
        return head.loss(member(x, training=False), y, w)

    return judge


def _signature(checks: Batch) -> list[Any]:
    import tensorflow as tf

    return [tf.TensorSpec((None, *part.shape[1:]), tf.float32) for part in checks]


def _batches(
    sampler: Sampler, shapes: list[Any], normalisation: Normalisation, parameters: Schedule, steps: int, seed: int, epoch: int
) -> Any:
    """Batches of an epoch as a `tf.data` set, drawn when they are asked for.

    Repeatable trainings draw nothing ahead: TensorFlow does not allow it. A set from a generator would make the process give
    large arrays back to the system after every operation, which without oneDNN doubles the time of a step. And nothing is tuned:
    there is nothing to tune, and the end of an epoch would wait for the tuning thread, half as long as the epoch took.
    """
    import tensorflow as tf

    rng = np.random.default_rng([seed, 17, epoch])
    spread = np.asarray(normalisation.std) * unsteadiness(normalisation.names)
    sampler.restart(epoch)

    def draw(_: Any) -> Batch:
        x, y, w = sampler.draw(parameters.batch)
        x += (parameters.jitter * rng.standard_normal((len(x), 1, 1, x.shape[-1])) * spread).astype("f4")
        return normalisation.apply(x), y, w

    def batch(number: Any) -> tuple[Any, ...]:
        values = tf.numpy_function(draw, [number], [spec.dtype for spec in shapes], stateful=True)
        return tuple(tf.ensure_shape(value, spec.shape) for value, spec in zip(values, shapes, strict=True))

    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.range(steps).map(batch).with_options(options)


def _validate(judge: Callable[..., Any], checks: Batch, normalisation: Normalisation, batch: int) -> float:
    x, y, w = checks
    sums = [
        float(judge(normalisation.apply(x[k : k + batch]), y[k : k + batch], w[k : k + batch])) for k in range(0, len(x), batch)
    ]
    return sum(sums) / float(w.sum(dtype="f8"))
