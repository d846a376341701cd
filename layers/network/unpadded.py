"""U-Nets without padding, as they predict: a window's answer is that of endless ground (docs/dev/algorithms.md, section 7).

Networks learn with padding (`unet`). The weights are the same here; convolutions take what lies around a window in place of
zeros, and each level computes no more than the next one sees.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from imperv.layers.network.precision import Precision, policy_of
from imperv.layers.network.unet import split_members


def depth_of(model: Any) -> int:
    """Times that the members of a joined model halve the image."""
    return sum(layer.name.endswith("_pool") for layer in split_members(model)[0].layers)


def filters_of(model: Any) -> int:
    """Filters of the first level of a joined model."""
    return int(split_members(model)[0].get_layer("down0_conv1").filters)


@lru_cache(maxsize=16)
def unpadded(model: Any, precision: Precision = "float32") -> tuple[Any, ...]:
    """The members of a joined model without padding, with weights of float32 and layers that compute in `precision`.

    Each takes (batch, y + 2 `windows.reach`, x + 2 `windows.reach`, feature) standardised features, y and x multiples of 2 to the
    depth, and gives (batch, y, x, output).
    """
    return tuple(_unpadded(member, depth_of(model), policy_of(precision)) for member in split_members(model))


def with_last_features(member: Any) -> Any:
    """An unpadded member that gives its answer and what its last layer sees, (batch, y, x, channel)."""
    import keras

    return keras.Model(member.inputs, [member.output, member.get_layer("up0_conv2").output], name=member.name)


def _unpadded(member: Any, depth: int, policy: str) -> Any:
    import keras
    from keras import layers as kl

    def again(name: str, x: Any) -> Any:
        layer = member.get_layer(name)
        config = layer.get_config()
        if layer is not member.layers[-1]:
            config["dtype"] = policy
        if isinstance(layer, kl.Conv2D):
            config["padding"] = "valid"
        copy = type(layer).from_config(config)
        y = copy(x)
        copy.set_weights(layer.get_weights())
        return y

    def double(x: Any, label: str) -> Any:
        return again(f"{label}_conv2", again(f"{label}_conv1", x))

    inputs = x = kl.Input(member.input_shape[1:], name="features")
    skips = []
    for level in range(depth):
        x = double(x, f"down{level}")
        skips.append(x)
        x = again(f"down{level}_pool", x)
    x = double(x, "bottom")
    for level in reversed(range(depth)):
        x = again(f"up{level}_up", x)
        # A level and those below it lose so many pixels on each side between its skip and what comes up.
        lost = 6 * 2 ** (depth - level) - 8
        if level == 0:  # of the pixels that a window has too many (`windows.reach`)
            x, lost = kl.Cropping2D(2, dtype=policy, name="even")(x), lost + 2
        x = again(f"up{level}_skip", [kl.Cropping2D(lost, dtype=policy, name=f"up{level}_crop")(skips[level]), x])
        x = double(x, f"up{level}")
    return keras.Model(inputs, again(member.layers[-1].name, x), name=member.name)
