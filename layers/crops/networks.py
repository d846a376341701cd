"""Networks that tell crops apart: a long short-term memory, and convolutions in time; building and training them.

TensorFlow is imported inside the functions that need it. Features are standardised and without gaps (`series`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from imperv.layers.crops.parameters import TrainingParameters
from imperv.layers.crops.series import Variation

UNITS = 128
"""Units of the memory; our choice, as the document names none."""

FILTERS, WIDTH, DEPTH = 64, 5, 3
"""Convolutions in time: their number each, steps that they see, and layers (Pelletier et al. 2019, arXiv:1811.10166)."""

HIDDEN = 128
"""Units of the layer before the answer."""

DROPOUT = {"tempcnn": 0.3, "lstm": 0.3}
"""Share of activations dropped while training."""

WEIGHT_DECAY = 0.01
"""Share of the weights that a step takes away, times the learning rate."""

WARMUP = 0.05
"""Share of the steps in which the learning rate rises."""

AT_ONCE = 2**16
"""Samples whose variants are made at once."""

KEEP_EVERY = 60.0
"""Seconds after which what was trained is kept: a training that is cut off loses so much."""

State = Mapping[str, Any]
"""``finished``: weights of the trainings that have ended, in order, each with {}; ``member``: the one that was cut off."""

Draw = Callable[[np.random.Generator, np.ndarray], np.ndarray]
"""Gives the standardised features of some samples, by number, for one pass: (sample, step, feature)."""


def build_network(kind: str, steps: int, features: int, classes: int, seed: int, name: str = "crops") -> Any:
    """A Keras model of (sample, step, feature) -> (sample, class) probabilities; nothing random is taken from global state."""
    import keras
    from keras import layers as kl

    numbers = iter(np.random.SeedSequence([seed, 23]).generate_state(64).tolist())

    def start() -> Any:
        return keras.initializers.GlorotUniform(seed=next(numbers))

    def drop(x: Any) -> Any:
        return kl.Dropout(DROPOUT[kind], seed=next(numbers))(x)

    def settled(x: Any) -> Any:
        return drop(kl.ReLU()(kl.BatchNormalization()(x)))

    inputs = x = kl.Input((steps, features), name="series")
    if kind == "lstm":
        memory = keras.initializers.Orthogonal(seed=next(numbers))
        x = drop(kl.LSTM(UNITS, kernel_initializer=start(), recurrent_initializer=memory)(x))
    else:
        for _ in range(DEPTH):
            x = settled(kl.Conv1D(FILTERS, WIDTH, padding="same", use_bias=False, kernel_initializer=start())(x))
        x = settled(kl.Dense(HIDDEN, use_bias=False, kernel_initializer=start())(kl.Flatten()(x)))
    answers = kl.Dense(classes, activation="softmax", kernel_initializer=start(), name="classes")(x)
    return keras.Model(inputs, answers, name=name)


class Trainings:
    """The trainings of one command, in an order that is always the same: those of a run that was cut off are not done again."""

    def __init__(self, state: State | None = None, keep: Callable[[State], None] = lambda _: None) -> None:
        self._finished: list[tuple[list[np.ndarray], dict[str, Any]]] = list(state["finished"]) if state else []
        self._member: Mapping[str, Any] = state["member"] if state else {}
        self._keep, self._kept, self._at = keep, time.monotonic(), 0

    def next(self) -> tuple[list[np.ndarray] | None, Mapping[str, Any]]:
        """Weights of the training that begins, if it has ended before, and its state if it was cut off."""
        self._at += 1
        if self._at <= len(self._finished):
            return self._finished[self._at - 1][0], {}
        member, self._member = self._member, {}
        return None, member

    def goes_on(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """The state of the present one, which is asked for when it is time to keep it."""
        if time.monotonic() - self._kept >= KEEP_EVERY:
            self._keep({"finished": self._finished, "member": state()})
            self._kept = time.monotonic()

    def ended(self, weights: list[np.ndarray]) -> None:
        """The present one has these weights."""
        self._finished.append((weights, {}))
        self.goes_on(dict)


class Trainer:
    """Trains networks of one shape: what TensorFlow compiles is made once for all of them."""

    def __init__(self, parameters: TrainingParameters, steps: int, features: int, classes: int) -> None:
        import keras
        import tensorflow as tf

        self.parameters, self.shape = parameters, (steps, features, classes)
        self.network = network = build_network(parameters.kind, steps, features, classes, 0)
        self.optimizer = optimizer = keras.optimizers.AdamW(
            parameters.learning_rate, weight_decay=WEIGHT_DECAY, global_clipnorm=1.0
        )
        optimizer.build(network.trainable_variables)

        @tf.function(input_signature=[
            tf.TensorSpec((None, steps, features), tf.float32), tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None,), tf.float32),
        ])  # fmt: skip
        def learn(x: Any, y: Any, w: Any) -> Any:
            with tf.GradientTape() as tape:
                each = keras.losses.sparse_categorical_crossentropy(y, network(x, training=True))
                loss = tf.reduce_sum(w * each) / tf.reduce_sum(w)
            optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
            return loss

        self.learn = learn

    def train(
        self, draw: Draw, labels: np.ndarray, weights: np.ndarray, seed: int, told: Callable[[int], None] = lambda _: None,
        trainings: Trainings | None = None,
    ) -> list[np.ndarray]:  # fmt: skip
        """Weights of a network that has learnt from passes over samples; `weights` (sample,) are those of the loss.

        What `trainings` has of it is not done again; the bits are the same. ValueError if the loss is not finite.
        """
        trainings = trainings or Trainings()
        found, state = trainings.next()
        if found is not None:
            told(self.parameters.n_epochs)
            return found
        parameters = self.parameters
        random = np.random.default_rng([seed, 29])
        self._begin(seed, state, random)
        size, shards, first = parameters.batch_size, -(-len(labels) // AT_ONCE), int(state.get("epoch", 0))
        steps = sum(-(-len(part) // size) for part in np.array_split(labels, shards))
        rates = islice(_rates(parameters.learning_rate, steps * parameters.n_epochs), steps * first, None)
        for epoch in range(first, parameters.n_epochs):
            every = random.permutation(len(labels)) if shards > 1 else np.arange(len(labels))
            for shard in np.array_split(every, shards):
                features, order = draw(random, shard), random.permutation(len(shard))
                # The last batch is filled with others, so that its mean and its step are like those of all.
                order = np.concatenate([order, random.permutation(len(shard))])
                for start in range(0, len(shard), size):
                    here = order[start : start + size]
                    some = shard[here]
                    self.optimizer.learning_rate.assign(next(rates))
                    loss = self.learn(features[here], labels[some].astype("i4"), weights[some].astype("f4"))
            if not np.isfinite(float(loss)):
                raise ValueError(f"the loss of epoch {epoch + 1} is not finite; lower the learning rate")
            told(epoch + 1)
            trainings.goes_on(lambda done=epoch + 1: self._state(done, random))  # type: ignore[misc]
        trainings.ended(learnt := list(self.network.get_weights()))
        return learnt

    def _begin(self, seed: int, state: Mapping[str, Any], random: np.random.Generator) -> None:
        """Bring network, optimizer and random numbers to the start of a training, or to where it was cut off."""
        import tensorflow as tf

        start = build_network(self.parameters.kind, *self.shape, seed)
        for variable, begun in zip(self.network.variables, start.variables, strict=True):  # the states of dropout are among them
            variable.assign(begun)
        for variable in self.optimizer.variables:
            variable.assign(tf.zeros_like(variable))
        if state:
            for k, variable in enumerate(self._moving()):
                variable.assign(state[f"variable_{k}"])
            random.bit_generator.state = state["random"]

    def _moving(self) -> list[Any]:
        return [*self.network.variables, *self.optimizer.variables]

    def _state(self, epoch: int, random: np.random.Generator) -> dict[str, Any]:
        arrays = {f"variable_{k}": np.asarray(v) for k, v in enumerate(self._moving())}
        return {**arrays, "epoch": epoch, "random": random.bit_generator.state}

    def rebuilt(self, weights: Sequence[np.ndarray], name: str) -> Any:
        """A network of its own with such weights."""
        network = build_network(self.parameters.kind, *self.shape, 0, name)
        network.set_weights(list(weights))
        return network


def _rates(highest: float, steps: int) -> Iterator[float]:
    """Learning rate of each step."""
    rise = max(1, round(WARMUP * steps))
    for step in range(steps):
        yield highest * min(1.0, (step + 1) / rise) * 0.5 * (1 + np.cos(np.pi * step / steps))


def drawing(values: np.ndarray, seen: np.ndarray, prepare: Callable[[np.ndarray, np.ndarray], np.ndarray], vary: bool) -> Draw:
    """Passes over samples as of `fill_gaps`: variants of them, or themselves; `prepare` makes features of values and seen."""
    variation = Variation()

    def draw(random: np.random.Generator, some: np.ndarray) -> np.ndarray:
        here = values[some], seen[some]
        return prepare(*(variation(*here, random) if vary else here))

    return draw


def answering(network: Any) -> Callable[[np.ndarray], np.ndarray]:
    """A compiled function of a network: (sample, step, feature) float32 -> (sample, class) float32."""
    import tensorflow as tf

    steps, features = network.input_shape[1:]
    answer = tf.function(
        lambda x: network(x, training=False), input_signature=[tf.TensorSpec((None, steps, features), tf.float32)]
    )
    return lambda x: np.asarray(answer(x))


def load_network(path: str) -> Any:
    """A whole Keras model from a ``.keras`` or ``.h5`` file; ValueError if it is none, or not one of series."""
    import keras

    class LSTM(keras.layers.LSTM):
        """Of files that Keras 2 wrote, which name an option that is gone."""

        def __init__(self, *given: Any, time_major: bool = False, **named: Any) -> None:
            if time_major:
                raise ValueError("an LSTM with the time first cannot be read")
            super().__init__(*given, **named)

    try:
        own = {"LSTM": LSTM} if path.endswith(".h5") else None
        network = keras.saving.load_model(path, custom_objects=own, compile=False, safe_mode=True)
    except Exception as error:  # the formats' libraries raise kinds of their own
        raise ValueError(f"it cannot be read as a Keras model ({str(error).splitlines()[0][:200]})") from None
    shapes = network.input_shape, network.output_shape
    if not all(isinstance(shape, tuple) for shape in shapes) or len(shapes[0]) != 3 or len(shapes[1]) != 2:
        raise ValueError(f"its input is {shapes[0]} and its output {shapes[1]}; (N, steps, bands) and (N, classes) are needed")
    return network
