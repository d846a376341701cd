"""U-Net on a ResNet-50 for the classes of pixels of patches, and the whole model that takes digital numbers.

Source: the seed's service 5.2.1; He et al. 2016, arXiv:1512.03385 (`keras.applications.ResNet50`, built for any bands);
Ronneberger et al. 2015, arXiv:1505.04597. TensorFlow is imported inside the functions.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from imperv.layers.network.unet import CLIP, Normalisation

ENDS = ("conv1_relu", "conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out")
"""Layers of ResNet-50 where its stages end; each halves the image once more."""

STAGES = len(ENDS)
"""Stages of the whole ResNet-50."""

FILTERS = (16, 32, 64, 128, 256)
"""Filters of the decoder at 1, 1/2 ... 1/16 of the pixels; our choice."""

MOMENTUM = 0.9
"""Share of the running statistics of normalised batches that a step keeps: trainings here have hundreds of steps, not
hundreds of thousands, for which Keras' 0.99 is made."""

FEATURES = "features"
"""Name of the layer before the head."""


def multiple(stages: int) -> int:
    """What the edges of a patch are multiples of."""
    return int(2**stages)


def build_features(bands: int, stages: int, seed: int) -> Any:
    """All of the U-Net but its head: (batch, y, x, band) standardised -> (batch, y, x, FILTERS[0]).

    The encoder is ResNet-50 to the end of a stage, 2 to 5; edges are multiples of `multiple`. `seed` starts all weights.
    """
    import keras
    from keras import layers as kl

    keras.utils.set_random_seed(seed)  # ResNet50 takes no seed of its own
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This model usually expects")  # 1 or 3 bands, without weights from elsewhere
        encoder = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(None, None, bands))
    for layer in encoder.layers:
        if isinstance(layer, kl.BatchNormalization):
            layer.momentum = MOMENTUM

    def conv(x: Any, filters: int, label: str) -> Any:
        x = kl.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{label}_conv")(x)
        x = kl.BatchNormalization(momentum=MOMENTUM, name=f"{label}_bn")(x)
        return kl.Activation("relu", name=label)(x)

    skips = [conv(encoder.input, FILTERS[0], "own")] + [encoder.get_layer(name).output for name in ENDS[:stages]]
    x = skips.pop()
    for level in reversed(range(stages)):
        x = kl.UpSampling2D(name=f"up{level}_up")(conv(x, FILTERS[level], f"up{level}_narrow"))
        x = kl.Concatenate(name=f"up{level}_skip")([skips.pop(), x])
        x = conv(x, FILTERS[level], f"up{level}" if level else FEATURES)
    return keras.Model(encoder.input, x, name="unet")


def with_head(features: Any, outputs: int, seed: int) -> Any:
    """The features with a head of probabilities: (batch, y, x, output)."""
    import keras

    start = keras.initializers.GlorotUniform(seed=seed)
    answers = keras.layers.Conv2D(outputs, 1, activation="softmax", kernel_initializer=start, name="classes")(features.output)
    return keras.Model(features.input, answers, name="patches")


def whole_model(network: Any, normalisation: Normalisation) -> Any:
    """The network with its normalisation inside: (batch, y, x, band) digital numbers -> probabilities.

    Pixels without data are given the mean of the band. The normalisation is a frozen layer of normalised batches: constants of a
    layer would become inputs of an ONNX graph.
    """
    import keras
    from keras import layers as kl

    inputs = kl.Input((None, None, len(normalisation.names)), name="image")
    layer = kl.BatchNormalization(center=False, scale=False, epsilon=0.0, trainable=False, name="normalisation")
    x = keras.ops.clip(layer(inputs), -CLIP, CLIP)
    model = keras.Model(inputs, network(x), name="model")
    layer.set_weights([np.asarray(normalisation.mean, "f4"), np.square(np.asarray(normalisation.std, "f4"))])
    return model


def normalisation_of(model: Any, names: Sequence[str]) -> Normalisation:
    """That inside a whole model."""
    mean, variance = model.get_layer("normalisation").get_weights()
    return Normalisation(tuple(names), tuple(map(float, mean)), tuple(map(float, np.sqrt(variance))))


def start_from(features: Any, donor: Any) -> None:
    """Give a network the weights of a pretrained one; ValueError if they are of another form."""
    weights = donor.get_weights()
    if [w.shape for w in weights] != [w.shape for w in features.get_weights()]:
        raise ValueError("it is a network of another form (bands or stages)")
    features.set_weights(weights)


def save(model: Any, path: str) -> None:
    """Write a model as a Keras file."""
    model.save(path)


def load(path: str) -> Any:
    """Read a Keras file; ValueError if it is none."""
    import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise ValueError(f"it cannot be read as a Keras model ({str(error).splitlines()[0]})") from None


def predictor(model: Any) -> Any:
    """A whole model as a function on arrays: (batch, y, x, band) float32 -> probabilities float32."""
    import tensorflow as tf

    run = tf.function(lambda x: model(x, training=False), reduce_retracing=True)

    def predicted(x: np.ndarray) -> np.ndarray:
        found: np.ndarray = run(tf.constant(np.ascontiguousarray(x, "f4"))).numpy()
        return found

    return predicted


def export_onnx(model: Any, path: str) -> None:
    """Write a whole model as an ONNX file, with the packages of the group ``onnx``."""
    edge = multiple(STAGES)
    model(np.zeros((1, edge, edge, model.input_shape[-1]), "f4"))  # Keras exports what was called once
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of tf2onnx about NumPy
        model.export(path, format="onnx", verbose=False)
