"""The networks of super-resolution: small residual networks that correct a regression (compare Lanaras et al. 2018, DSen2).

How they are trained is in `training`; what a scene tells them in `statistics`. A model is arrays and a record, its network is
rebuilt by the code here. TensorFlow is imported inside the functions that need it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from itertools import product
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from imperv.layers.network.precision import Precision, policy_of
from imperv.layers.network.weights import from_npz, set_flat_weights, to_npz
from imperv.layers.sharpening.features import Features, feature_count, start_and_features
from imperv.layers.sharpening.mixture import LEAST, mix
from imperv.layers.sharpening.statistics import Statistics, statistics_of
from imperv.layers.sharpening.steps import STEPS, Step

WINDOW = 512
"""Largest edge of the windows that the network sees at once, its own pixels, besides its reach."""

AT_ONCE = 2
"""Windows predicted at once: one alone takes nearly twice as long without AVX-512, where oneDNN has no convolution for it."""


@dataclass(frozen=True)
class Shape:
    """Size of the networks of a model."""

    width: int = 32
    """Filters."""
    blocks: int = 4
    """Residual blocks of two 3 x 3 convolutions."""
    shuffle: int = 1
    """Fine pixels along one of the network's: what is in between lies in channels."""
    members: int = 2
    """Networks, trained alike from different seeds."""

    @property
    def reach(self) -> int:
        """Fine pixels on each side that a pixel's answer depends on, features given."""
        return self.shuffle * (2 * self.blocks + 2)


@dataclass(frozen=True)
class Model:
    """Trained networks of one step."""

    step: str
    """Key of `STEPS`."""
    shape: Shape
    """Size."""
    weights: tuple[np.ndarray, ...]
    """(n,) float32 of each member, in the order of `build`."""
    record: dict[str, Any] = field(default_factory=dict)
    """From what data and by which command it was trained, and its figures; JSON values."""
    trust: tuple[float, ...] = ()
    """Share of the correction of each band that is taken, 0 to 1; all of it where there is none (`training.trusted`)."""
    precision: Precision = "float32"
    """Numbers in which the networks predict."""

    @property
    def members(self) -> int:
        """Number of networks."""
        return len(self.weights)

    @property
    def reach(self) -> int:
        """Fine pixels on each side that a sharpened pixel depends on, back-projection of the start included."""
        return self.shape.reach + 16 * STEPS[self.step].factor

    @cached_property
    def networks(self) -> list[Any]:
        """Keras models of the members; see `build`."""
        return [rebuild(STEPS[self.step], self.shape, weights, self.precision) for weights in self.weights]

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("networks", "_run")}

    @cached_property
    def _run(self) -> Any:
        """All members on (batch, y, x, channel) windows, an answer of `build` of each, as one graph."""
        import tensorflow as tf

        networks = self.networks

        @tf.function
        def run(x: Any) -> Any:
            return [network(x, training=False) for network in networks]

        return run

    def predict(
        self, guides: np.ndarray, coarse: np.ndarray, sigma: float, scene: Statistics | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sharpened bands, before the last back-projection, and their deviation.

        Parameters
        ----------
        guides : ndarray of float32, (guide, y, x)
            Reflectance x 10 000, NaN without data: there the bands are only enlarged.
        coarse : ndarray of float32, (band, y / factor, x / factor)
            Bands to be sharpened, NaN without data.
        sigma : float
            Point spread between coarse and fine pixels, standard deviation in fine pixels.
        scene : Statistics, optional
            Statistics of the whole scene, where the arrays are a window of it; by default those of the arrays.

        Returns
        -------
        tuple of two ndarrays of float32, (band, y, x)
            Bands and standard deviations, reflectance x 10 000; NaN where a band has no data, and nowhere else.

        Raises
        ------
        ValueError
            If the arrays do not fit the step.
        """
        step = STEPS[self.step]
        check(step, guides, coarse)
        scene = scene or statistics_of(step, guides, coarse, sigma)
        start, features = start_and_features(step, scene, guides, coarse, sigma)
        correction, deviation = self.correct(features)
        unit = scene.band_detail[:, None, None]
        if self.trust:
            correction *= np.array(self.trust, "f4")[:, None, None]
        blind = np.isnan(guides).any(0)
        if blind.any():
            correction[:, blind] = 0
        # In place: new arrays of a scene take as long as all of the features.
        correction *= unit
        correction += start
        deviation *= unit
        np.copyto(deviation, np.nan, where=np.isnan(start))
        return correction, deviation

    def correct(self, features: np.ndarray | Features) -> tuple[np.ndarray, np.ndarray]:
        """Corrections and deviations, (band, y, x) in units of the bands' detail, of features (y, x, feature).

        Windows are computed with all that they depend on, so that no edge shows.
        """
        rows, columns, depth = features.shape
        unit, halo = self.shape.shuffle, self.shape.reach
        found = np.empty((2, len(STEPS[self.step].bands), rows, columns), "f4")
        counts = [max(1, ceil((n - 2 * halo) / (unit * WINDOW))) for n in (rows, columns)]
        if counts != [1, 1] and counts[0] % 2 and counts[1] % 2:  # the last one would be alone
            counts[counts.index(max(counts))] += 1
        windows = list(product(*(_spans(n, halo, count, unit) for n, count in zip((rows, columns), counts, strict=True))))
        size = [(span.seen.stop - span.seen.start) // unit for span in windows[0]]
        seen = np.empty((min(AT_ONCE, len(windows)), *size, unit**2 * depth), "f4")
        for first in range(0, len(windows), AT_ONCE):
            group = windows[first : first + AT_ONCE]
            for window, (down, right) in zip(seen, group, strict=True):
                if isinstance(features, Features):
                    features.write(window, down.seen.start, right.seen.start, unit)
                else:
                    window[:] = pack(features[down.seen, right.seen], unit)
            answers = [answer.numpy() for answer in self._run(seen)]
            for k, (down, right) in enumerate(group):
                inner = tuple(slice(span.inner.start // unit, span.inner.stop // unit) for span in (down, right))
                mix(tuple(answer[k][inner] for answer in answers), *found[:, :, down.kept, right.kept])
        return found[0], found[1]


@dataclass(frozen=True)
class _Span:
    """Rows or columns of a window."""

    seen: slice
    """What the network sees."""
    kept: slice
    """What its answer is kept of."""

    @property
    def inner(self) -> slice:
        """What is kept, counted from the first that is seen."""
        return slice(self.kept.start - self.seen.start, self.kept.stop - self.seen.start)


def _spans(size: int, halo: int, count: int, unit: int) -> list[_Span]:
    """Windows along an axis, all of one size, or the graph is traced again.

    At both ends of the axis there is no halo: a frame of zeros lies around the scene only, as in training.
    """
    edge = min(size, unit * ceil((size + 2 * halo * (count - 1)) / count / unit))
    found, done = [], 0
    for k in range(count):
        start = min(k * (edge - 2 * halo), size - edge)
        stop = size if k == count - 1 else start + edge - halo
        found.append(_Span(slice(start, start + edge), slice(done, stop)))
        done = stop
    return found


def deviation_of(spread: Any) -> Any:
    """Deviation, in units of a band's detail, of a network's second answer."""
    import tensorflow as tf

    return LEAST + tf.nn.softplus(spread - 1)


def check(step: Step, guides: np.ndarray, coarse: np.ndarray) -> None:
    """ValueError if arrays do not fit a step."""
    rows, columns = coarse.shape[1:]
    if len(coarse) != len(step.bands) or guides.shape != (len(step.guides), rows * step.factor, columns * step.factor):
        raise ValueError(
            f"step {step.name}: {len(step.guides)} guides and {len(step.bands)} bands {step.factor} times as coarse expected, "
            f"guides are {guides.shape}, bands {coarse.shape}"
        )


def pack(image: np.ndarray, unit: int) -> np.ndarray:
    """(..., y, x, channel) with blocks of `unit` x `unit` pixels in channels; both sides are whole multiples."""
    if unit == 1:
        return image
    *rest, rows, columns, depth = image.shape
    blocks = image.reshape(*rest, rows // unit, unit, columns // unit, unit, depth)
    return np.moveaxis(blocks, -4, -3).reshape(*rest, rows // unit, columns // unit, unit * unit * depth)


def unpack(image: np.ndarray, unit: int) -> np.ndarray:
    """The inverse of `pack`."""
    if unit == 1:
        return image
    *rest, rows, columns, depth = image.shape
    blocks = image.reshape(*rest, rows, columns, unit, unit, depth // unit**2)
    return np.moveaxis(blocks, -3, -4).reshape(*rest, rows * unit, columns * unit, depth // unit**2)


def build(step: Step, shape: Shape, seed: int, precision: Precision = "float32") -> Any:
    """A residual network: (batch, y, x, feature) -> (batch, y, x, 2 band): correction and raw deviation; see `deviation_of`.

    With `Shape.shuffle` pixels and channels are packed: corrections of all pixels of a block come first, then deviations. The
    last layer starts at zero, so that an untrained network corrects nothing, and computes in float32, not in `precision`.
    """
    import keras
    from keras import layers as kl

    policy = policy_of(precision)
    numbers = iter(np.random.SeedSequence([seed, 17]).generate_state(4 * shape.blocks + 4).tolist())

    def conv(x: Any, filters: int, label: str, activation: str | None = None) -> Any:
        start = keras.initializers.HeNormal(seed=next(numbers))
        return kl.Conv2D(filters, 3, padding="same", activation=activation, kernel_initializer=start, dtype=policy, name=label)(x)

    inputs = kl.Input((None, None, feature_count(step) * shape.shuffle**2), name="features")
    x = conv(inputs, shape.width, "first", "relu")
    for k in range(shape.blocks):
        y = conv(x, shape.width, f"block{k}_conv1", "relu")
        y = conv(y, shape.width, f"block{k}_conv2")
        x = kl.Add(dtype=policy, name=f"block{k}")([x, y])
    channels = 2 * len(step.bands) * shape.shuffle**2
    outputs = kl.Conv2D(channels, 3, padding="same", kernel_initializer="zeros", dtype="float32", name="last")(x)
    return keras.Model(inputs, outputs, name=f"sharpen_{step.name}")


def rebuild(step: Step, shape: Shape, weights: np.ndarray, precision: Precision = "float32") -> Any:
    """The network of a shape with given weights, (n,) in the order of its layers; ValueError if their number does not fit."""
    if 9 * 2 * shape.blocks * shape.width**2 <= weights.size:  # or a network of any size would be built before it is refused
        network = build(step, shape, 0, precision)
        if set_flat_weights(network, weights):
            return network
    raise ValueError(f"{weights.size} weights do not fit a network of step {step.name} and {shape}")


def save(model: Model, path: Path | str) -> None:
    """Write a model as one ``.npz`` file (`to_bytes`)."""
    Path(path).write_bytes(to_bytes(model))


def to_bytes(model: Model) -> bytes:
    """A model as NumPy's ``.npz``: weights in half precision and a JSON record; nothing in it is code."""
    shape = {name: getattr(model.shape, name) for name in Shape.__dataclass_fields__}
    step = STEPS[model.step]
    head = {
        "step": model.step,
        "bands": step.bands,
        "guides": step.guides,
        "shape": shape,
        "record": model.record,
        "trust": model.trust,
    }
    return to_npz(head, **{f"member_{k}": w.astype("f2") for k, w in enumerate(model.weights)})


def load(path: Path | str) -> Model:
    """Read a model written by `save`; ValueError as `from_bytes`, or if the file cannot be read."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read as a model of super-resolution: {error}") from error
    return from_bytes(content, str(path))


def from_bytes(content: bytes, path: str = "a model") -> Model:
    """Read what `to_bytes` gave; ValueError, which names `path`, if that is impossible, or its bands are not the step's today."""
    try:
        head, arrays = from_npz(content)
        weights = tuple(arrays[f"member_{k}"].astype("f4") for k in range(len(arrays)))
        name, shape = head["step"], Shape(**head["shape"])
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a model of super-resolution: {str(error).splitlines()[0]}") from error
    step = STEPS.get(name)
    if step is None or (list(step.bands), list(step.guides)) != (head["bands"], head["guides"]):
        what = f"{', '.join(head['bands'])} by {', '.join(head['guides']) or 'no guide'}"
        raise ValueError(f"{path} is a model of {what}, which no step has")
    model = Model(name, shape, weights, head["record"], tuple(head.get("trust", ())))
    for member in weights:
        if member.size != size_of(step, shape):
            raise ValueError(f"{path}: {member.size} weights do not fit a network of step {name} and {shape}")
    return model


def size_of(step: Step, shape: Shape) -> int:
    """Weights of a network."""
    inside, unit, width = feature_count(step), shape.shuffle**2, shape.width
    outside = 2 * len(step.bands) * unit
    return (9 * inside * unit + 1) * width + 2 * shape.blocks * (9 * width + 1) * width + (9 * width + 1) * outside


def shipped(step: str) -> Model | None:
    """The model that comes with the package; None where the regression is better."""
    file = resources.files("imperv.layers.sharpening").joinpath("data", f"{step}.npz")
    with resources.as_file(file) as path:
        return load(path) if path.is_file() else None


def cost(model: Model) -> int:
    """Multiply-adds of all members for a fine pixel."""
    return model.members * (size_of(STEPS[model.step], model.shape) // model.shape.shuffle**2)
