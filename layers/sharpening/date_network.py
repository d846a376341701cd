"""The network that sharpens the bands of 10 m to 5 m from several dates: it turns what the dates tell (`evidence`) into detail.

It works on coarse pixels, what lies within them is in channels (Shi et al. 2016). `benchmarks/sharpening_dates.py` trains it, on
scenes whose truth is known. TensorFlow is imported inside the functions that need it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from imperv.layers.network.precision import Precision, policy_of
from imperv.layers.network.weights import from_npz, set_flat_weights, to_npz
from imperv.layers.sharpening.back_projection import back_project
from imperv.layers.sharpening.dates import Shift, noise_of
from imperv.layers.sharpening.enlarging import enlarge, fill
from imperv.layers.sharpening.evidence import PRIOR, TERMS, evidence
from imperv.layers.sharpening.network import deviation_of, pack, unpack
from imperv.layers.sharpening.statistics import Statistics, statistics_of
from imperv.layers.sharpening.steps import STEPS

STEP = STEPS["10to5"]

ROUNDS = 20
"""Rounds of back-projection of the image that the network corrects."""

GAIN = 4.0
"""Coefficients are multiplied by this, so that they are about as large as the other features."""

CLIP = 10.0
"""Coefficients are cut here."""

HALO = 96
"""Fine pixels around a window that its result depends on."""


@dataclass(frozen=True)
class DateModel:
    """A trained network."""

    width: int
    """Filters."""
    blocks: int
    """Residual blocks of two 3 x 3 convolutions."""
    weights: np.ndarray
    """(n,) float32 in the order of `build`."""
    record: dict[str, Any] = field(default_factory=dict)
    """From what data and by which command it was trained, and its figures; JSON values."""
    precision: Precision = "float32"
    """Numbers in which the network predicts."""

    @cached_property
    def _network(self) -> Any:
        network = build(self.width, self.blocks, precision=self.precision)
        if not set_flat_weights(network, self.weights):
            raise ValueError(f"{self.weights.size} weights do not fit a network of {self.width} filters and {self.blocks} blocks")
        return network

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_network"}

    def predict(
        self,
        reference: np.ndarray,
        others: Sequence[np.ndarray],
        shifts: Sequence[Shift],
        sigma: float,
        masks: Sequence[np.ndarray] | None = None,
        scene: Statistics | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bands of the reference date at half the pixel size, before the last back-projection, and their deviation.

        Parameters
        ----------
        reference, others, shifts, sigma, masks
            As of `dates.fuse`.
        scene : Statistics, optional
            Of step ``10to5`` over the whole reference date, where the arrays are a window of it; by default those of the arrays.

        Returns
        -------
        tuple of two ndarrays of float32, (band, 2 y, 2 x)
            Bands and standard deviations, reflectance x 10 000; NaN in pixels without data in the reference, and nowhere else.
        """
        factor = STEP.factor
        empty = np.isnan(reference)
        start, features, unit = start_and_features(reference, others, shifts, sigma, masks, scene)
        answer = self._network(features[None], training=False)
        correction, raw = (part.numpy()[0] for part in (answer[..., : features_out()], answer[..., features_out() :]))
        sharp = start + unit * np.moveaxis(unpack(correction, factor), -1, 0)
        deviation = unit * np.moveaxis(unpack(deviation_of(raw).numpy(), factor), -1, 0)
        gone = np.kron(empty, np.ones((1, factor, factor), bool))
        sharp[gone], deviation[gone] = np.nan, np.nan
        return sharp, deviation


def features_out() -> int:
    """Channels of a correction."""
    return len(STEP.bands) * STEP.factor**2


def start_and_features(
    reference: np.ndarray,
    others: Sequence[np.ndarray],
    shifts: Sequence[Shift],
    sigma: float,
    masks: Sequence[np.ndarray] | None = None,
    scene: Statistics | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image that is corrected (band, 2 y, 2 x), features (y, x, feature) float32, and the unit of the corrections (band, 1, 1).

    Features are standardised and finite: the bands, the detail of the image that is corrected, coefficients and deviations of
    the evidence.
    """
    factor = STEP.factor
    whole = np.stack([fill(band) for band in reference]).astype(np.float32)
    scene = scene or statistics_of(STEP, np.empty((0, *(factor * n for n in whole.shape[1:])), np.float32), reference, sigma)
    mean, std, unit = (a[:, None, None].astype(np.float32) for a in (scene.band_mean, scene.band_std, scene.band_detail))
    noise = noise_from(scene)
    start = back_project(enlarge(whole, factor), whole, factor, sigma, ROUNDS)
    known = [np.ones(whole.shape[1:], bool)] * (len(others) + 1) if masks is None else masks
    told = evidence(reference, others, shifts, known, start, factor, sigma, noise)
    detail = (start - np.kron(whole, np.ones((factor, factor), np.float32))) / unit
    coefficients = GAIN * told.coefficients * (noise[:, None, None] / unit)
    planes = [
        np.moveaxis((whole - mean) / std, 0, -1),
        pack(np.moveaxis(detail, 0, -1), factor),
        np.moveaxis(np.clip(coefficients, -CLIP, CLIP).reshape(-1, *whole.shape[1:]), 0, -1),
        np.moveaxis(np.sqrt(told.variance), 0, -1),
    ]
    return start, np.concatenate(planes, -1).astype(np.float32), unit


def noise_from(scene: Statistics) -> np.ndarray:
    """`dates.noise_of` of a whole scene (band,), from its statistics."""
    mean, std = scene.band_mean.astype("f8"), scene.band_std.astype("f8")
    return noise_of(np.stack([mean + std, mean - std], -1)[:, None])


def feature_count() -> int:
    """Channels that `start_and_features` gives."""
    bands = len(STEP.bands)
    return bands * (1 + STEP.factor**2 + TERMS) + len(PRIOR)


def build(width: int, blocks: int, seed: int = 0, precision: Precision = "float32") -> Any:
    """(batch, y, x, feature) -> (batch, y, x, channel): packed corrections, then raw deviations; see `network.deviation_of`.

    The last layer starts at zero, so that an untrained network corrects nothing, and computes in float32, not in `precision`.
    """
    import keras
    from keras import layers as kl

    policy = policy_of(precision)
    numbers = iter(np.random.SeedSequence([seed, 23]).generate_state(2 * blocks + 1).tolist())

    def conv(x: Any, label: str, activation: str | None = None) -> Any:
        start = keras.initializers.GlorotUniform(seed=next(numbers))
        return kl.Conv2D(width, 3, padding="same", activation=activation, kernel_initializer=start, dtype=policy, name=label)(x)

    inputs = kl.Input((None, None, feature_count()), name="features")
    x = conv(inputs, "first", "relu")
    for k in range(blocks):
        y = conv(conv(x, f"block{k}_conv1", "relu"), f"block{k}_conv2")
        x = kl.Add(dtype=policy, name=f"block{k}")([x, y])
    outputs = kl.Conv2D(2 * features_out(), 3, padding="same", kernel_initializer="zeros", dtype="float32", name="last")(x)
    return keras.Model(inputs, outputs, name="sharpen_dates")


def save(model: DateModel, path: Path | str) -> None:
    """Write a model as one ``.npz`` file: weights in half precision and a JSON record; nothing in it is code."""
    head = {"step": "dates", "bands": STEP.bands, "width": model.width, "blocks": model.blocks, "record": model.record}
    Path(path).write_bytes(to_npz(head, weights=model.weights.astype("f2")))


def load(path: Path | str) -> DateModel:
    """Read a model written by `save`; ValueError if it cannot be read."""
    try:
        head, arrays = from_npz(Path(path).read_bytes())
        if (head["step"], head["bands"]) != ("dates", list(STEP.bands)):
            raise ValueError(f"it is a model of step {head['step']}")
        return DateModel(head["width"], head["blocks"], arrays["weights"].astype("f4"), head["record"])
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a model of several dates: {str(error).splitlines()[0]}") from error


def shipped() -> DateModel | None:
    """The model that comes with the package; None where there is none."""
    file = resources.files("imperv.layers.sharpening").joinpath("data", "dates.npz")
    with resources.as_file(file) as path:
        return load(path) if path.is_file() else None
