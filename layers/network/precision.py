"""Numbers in which the layers of a network compute while it predicts."""

from __future__ import annotations

from functools import cache
from typing import Literal

Precision = Literal["float32", "bfloat16"]
"""Of all layers but the last, which answers in float32: 32 bits, or 16 with the same range and 8 significant bits."""

_INSTRUCTIONS = ("amx-bf16", "avx512bf16", "bf16")
"""What processors call theirs, the last one those of ARM."""


@cache
def has_bfloat16() -> bool:
    """Whether a device here multiplies numbers of 16 bits: a processor with AMX or AVX-512 BF16, or a GPU.

    Without them every product is computed by float32 all the same, and takes longer for it.
    """
    import tensorflow as tf
    from llvmlite.binding import get_host_cpu_features

    found = get_host_cpu_features()
    return any(found.get(name, False) for name in _INSTRUCTIONS) or bool(tf.config.list_logical_devices("GPU"))


def policy_of(precision: Precision) -> str:
    """Keras' number policy of layers: weights stay float32."""
    return "mixed_bfloat16" if precision == "bfloat16" else "float32"
