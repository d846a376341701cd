"""The U-Net that predicts fractions or classes: parameters, network, saving (ATBD 4.2.3, 4.3.1).

How it is trained is in `training`, how it predicts in `prediction`. TensorFlow takes seconds and 600 MB to import, so it
is imported inside the functions that need it. Never fork a process that has used it: the child hangs; spawn works.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from imperv.layers.features import FEATURE_SETS
from imperv.layers.network.weights import set_flat_weights

CLIP = 8.0
"""Standardised features are cut here, in standard deviations, so that a cloud that got through saturates nothing."""


PASSES = 10.0
"""Passes over the training pixels in an epoch, within the fewest and the most steps."""

FRACTION = "fraction"
"""Name of the last layer of a network whose channels are fractions."""

FEWEST_STEPS = 10
"""Fewest steps of an epoch when they follow from the number of pixels."""


class NetworkParameters(BaseModel):
    """What shapes a U-Net and its training, whatever it answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    most_steps: ClassVar[int] = 400
    """Most steps of an epoch when they follow from the number of pixels."""

    features: str
    """Name of a feature set."""
    base_filters: int = Field(default=16, ge=1)
    """Filters of the first level; each level down has twice as many."""
    depth: int = Field(default=3, ge=1, le=6)
    """Times the image is halved."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of activations dropped while training (ATBD 4.3.1)."""
    crop: int = Field(default=64, ge=2)
    """Edge of a training crop, pixels; less where no region holds that much valid ground."""
    batch: int = Field(default=4, ge=1)
    """Crops in a training step."""
    epochs: int = Field(default=20, ge=1)
    """Most epochs a member is trained; validation follows each."""
    steps_per_epoch: int | None = Field(default=None, ge=1)
    """Training steps in an epoch; by default ten passes over the training pixels, 10 at least, 200 at most (classes: 400)."""
    learning_rate: float = Field(default=6e-3, gt=0)
    """Highest learning rate of the optimizer, Muon: warmed up over the first steps, then lowered to 0 along a cosine."""
    weight_decay: float = Field(default=0.5, ge=0)
    """Share of the weights that a step takes away, times the learning rate."""
    patience: int = Field(default=10, ge=1)
    """Epochs without a better validation loss after which a member's training ends."""
    validation_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the ground that is kept for validation (ATBD 4.3.1)."""
    validation_pixels: int = Field(default=200_000, ge=1)
    """About how many pixels a validation uses."""
    split_block: int = Field(default=64, ge=4)
    """Edge of the blocks of the split, pixels; halved on small sites until both parts exist."""
    guard: int = Field(default=4, ge=1)
    """Width of the band between training and validation that is in neither, pixels."""
    balance: float = Field(default=0.5, ge=0, lt=1)
    """Share of the training crops that are centred near sealed ground; the loss is weighted back."""
    jitter: float = Field(default=0.1, ge=0)
    """Random shift of each feature of a training crop, in standard deviations, more of harmonics: years differ in weather."""
    averaging: float = Field(default=0.99, ge=0, lt=1)
    """Share of the running average of the weights that a step keeps; the average is what predicts."""
    precision: Literal["auto", "float32", "mixed"] = "auto"
    """Numbers of the training; auto: 16 bits on a GPU, 32 otherwise."""
    transfer: bool = True
    """Start from the nearest tile's model where there is one (ATBD 4.3.1)."""
    transfer_share: float = Field(default=0.5, gt=0, le=1)
    """Share of the epochs that a training takes which starts from another model."""
    members: int = Field(default=2, ge=1, le=10)
    """Models of a tile, trained alike from different seeds."""
    seed: int = Field(default=1, ge=0)
    """Start of all random numbers."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.crop % 2**self.depth:
            raise ValueError(f"crop {self.crop} must be a multiple of {2**self.depth} (2 to the depth)")
        return self

    @classmethod
    def recorded(cls, values: Mapping[str, Any]) -> Self:
        """Those of a model's record; what it has beside them is of an earlier version and left out."""
        return cls.model_validate({name: value for name, value in values.items() if name in cls.model_fields})

    @property
    def names(self) -> tuple[str, ...]:
        """Features in order."""
        return FEATURE_SETS[self.features]

    @property
    def transfer_epochs(self) -> int:
        """Most epochs of a training that starts from another model."""
        return max(1, round(self.epochs * self.transfer_share))

    def steps(self, pixels: int, crop: int) -> int:
        """Steps of an epoch on so many training pixels with crops of that edge."""
        passes = int(PASSES * pixels / (self.batch * crop**2))
        return self.steps_per_epoch or min(self.most_steps, max(FEWEST_STEPS, passes))

    @property
    def architecture(self) -> tuple[str, int, int]:
        """Features, filters and depth, which a network shares with the one that it starts from."""
        return self.features, self.base_filters, self.depth


class UNetParameters(NetworkParameters):
    """Parameters of the networks of sealed and built-up fractions."""

    most_steps: ClassVar[int] = 200
    """Twice as many cost twice as much and gain half a point of F1 at most (docs/accuracy.md)."""

    features: Literal["atbd12", "full18"] = "atbd12"
    """Feature set: the twelve of ATBD 4.1.2, or all of ATBD 4.2.3."""
    reference: Literal["density", "outline"] = "density"
    """What CLC+ class 1 adds to the old density: full sealing where that has none, or everywhere
    (docs/dev/algorithms.md, section 6)."""
    align_years: bool = True
    """Take the median difference between the years off the features of `now` before the models see them."""
    absolute: float = Field(default=0.4, ge=0, le=1)
    """Share of the absolute error in the loss beside the cross-entropy: robust against wrong references; 0 is the ATBD's."""


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each feature over the pixels with a target."""

    names: tuple[str, ...]
    """Features in the order of the network's input."""
    mean: tuple[float, ...]
    """In the unit of the feature."""
    std: tuple[float, ...]
    """In the unit of the feature, above 0."""

    def apply(self, features: np.ndarray) -> np.ndarray:
        """Standardised features: (..., feature) float32, no data 0, cut at `CLIP`."""
        scaled = (features - np.asarray(self.mean, "f4")) / np.asarray(self.std, "f4")
        return np.nan_to_num(np.clip(scaled, -CLIP, CLIP), copy=False, nan=0.0)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {key: list(value) for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Sequence[Any]]) -> Normalisation:
        """From `to_json`."""
        return cls(tuple(data["names"]), tuple(map(float, data["mean"])), tuple(map(float, data["std"])))


def configure_threads(count: int) -> bool:
    """Import TensorFlow, limit it to `count` threads and look for devices.

    False if TensorFlow had started before: its threads stay as they are. What its libraries print about themselves meanwhile is
    not shown: it goes past Python to the file descriptor.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # As `flows` has it: without AVX-512 TensorFlow leaves oneDNN out, though it is faster there too (docs/performance.md).
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        import tensorflow as tf

        # Networks of an ensemble, each traced once, are taken for one that is traced again and again, and warned about.
        tf.get_logger().setLevel("ERROR")
        tf.config.threading.set_intra_op_parallelism_threads(count)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.list_logical_devices()
    except RuntimeError:
        return False
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    return True


def build_unet(
    parameters: NetworkParameters, seed: int, name: str = "unet", policy: str = "float32", outputs: int = 1, activation: str = ""
) -> Any:
    """A classical U-Net: double 3 x 3 convolutions, max-pooling, skips joined by concatenation, up-convolutions.

    A Keras model of (batch, y, x, feature) standardised features -> (batch, y, x, 1) fraction 0..1 or, with more `outputs`,
    (batch, y, x, outputs) probabilities of classes, or independent fractions if `activation` is ``"sigmoid"``; y and x are
    multiples of 2 to the depth. `seed` starts weights and dropout,
    nothing random is taken from global state; `policy` is Keras' number policy of all layers but the last. Source: ATBD 4.3.1;
    Ronneberger et al. 2015, arXiv:1505.04597 (here with padding, so that sizes agree).
    """
    import keras
    from keras import layers as kl

    numbers = iter(np.random.SeedSequence([seed, 11]).generate_state(256).tolist())

    def conv(x: Any, filters: int, label: str) -> Any:
        start = keras.initializers.HeNormal(seed=next(numbers))
        return kl.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer=start, dtype=policy, name=label)(x)

    def double(x: Any, filters: int, label: str) -> Any:
        x = conv(x, filters, f"{label}_conv1")
        x = kl.Dropout(parameters.dropout, seed=next(numbers), dtype=policy, name=f"{label}_dropout")(x)
        return conv(x, filters, f"{label}_conv2")

    inputs = x = kl.Input((None, None, len(parameters.names)), name="features")
    skips = []
    for level in range(parameters.depth):
        x = double(x, parameters.base_filters << level, f"down{level}")
        skips.append(x)
        x = kl.MaxPooling2D(dtype=policy, name=f"down{level}_pool")(x)
    x = double(x, parameters.base_filters << parameters.depth, "bottom")
    for level in reversed(range(parameters.depth)):
        filters = parameters.base_filters << level
        start = keras.initializers.HeNormal(seed=next(numbers))
        x = kl.Conv2DTranspose(filters, 2, strides=2, kernel_initializer=start, dtype=policy, name=f"up{level}_up")(x)
        x = kl.Concatenate(dtype=policy, name=f"up{level}_skip")([skips[level], x])
        x = double(x, filters, f"up{level}")
    start = keras.initializers.GlorotUniform(seed=next(numbers))
    answer = activation or ("sigmoid" if outputs == 1 else "softmax")
    last = FRACTION if answer == "sigmoid" else "classes"
    answers = kl.Conv2D(outputs, 1, activation=answer, kernel_initializer=start, dtype="float32", name=last)(x)
    return keras.Model(inputs, answers, name=name)


def mean_network(members: Sequence[Any]) -> Any:
    """One Keras model of several with one input and other names each: the mean of their answers."""
    import keras

    if len(members) == 1:
        return members[0]
    inputs = keras.layers.Input(members[0].input_shape[1:], name=members[0].inputs[0].name)
    return keras.Model(inputs, keras.layers.Average(name="mean")([one(inputs) for one in members]), name="members")


def join_members(members: Sequence[Any]) -> Any:
    """One Keras model of several: (batch, y, x, feature) -> (batch, y, x, member), outputs of a member one after the other."""
    import keras

    inputs = keras.layers.Input(members[0].input_shape[1:], name="features")
    outputs = [member(inputs) for member in members]
    joined = keras.layers.Concatenate(name="members")(outputs) if len(outputs) > 1 else outputs[0]
    return keras.Model(inputs, joined, name="members")


def rebuild(parameters: NetworkParameters, weights: np.ndarray, outputs: int = 1) -> Any:
    """The joined model of some parameters with given weights, (n,) in its order; ValueError if their number does not fit."""
    widest = parameters.base_filters << parameters.depth
    if 9 * widest**2 * parameters.members <= weights.size:  # or a network of any size would be built before it is refused
        model = join_members([build_unet(parameters, 0, f"member_{k}", outputs=outputs) for k in range(parameters.members)])
        if set_flat_weights(model, weights):
            return model
    raise ValueError(
        f"{weights.size} weights do not fit {parameters.members} networks of {parameters.base_filters} filters and depth "
        f"{parameters.depth} on {len(parameters.names)} features"
    )


def split_members(model: Any) -> list[Any]:
    """The single models of a joined one, in order."""
    count = sum(layer.name.startswith("member_") for layer in model.layers)
    if not count:
        raise ValueError("it has no members")
    return [model.get_layer(f"member_{k}") for k in range(count)]


def save_model(model: Any, path: Path | str) -> None:
    """Write a model as a Keras file; the name must end in ``.keras``. Missing folders are made."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    model.save(path)


def load_model(path: Path | str) -> Any:
    """Read a model written by `save_model`; ValueError if there is no such file, or it is not a model of this module."""
    import keras

    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        split_members(model)
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a U-Net model: {str(error).splitlines()[0]}") from error
    return model
