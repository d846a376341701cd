"""Numbers in which the layers of a network compute while it predicts."""

from __future__ import annotations

from typing import Literal

from llvmlite.binding import get_host_cpu_features

Precision = Literal["float32", "bfloat16"]
"""Of all layers but the last, which answers in float32: 32 bits, or 16 with the same range and 8 significant bits."""

AMX = "amx-bf16"
"""Instructions of processors that multiply tiles of such numbers."""


def gains_by_bfloat16() -> bool:
    """Whether networks are faster in 16 bits here: by a processor with AMX.

    AVX-512 alone takes 1.3 times as long as for float32 with instructions for bfloat16, and 3.4 times without.
    """
    return bool(get_host_cpu_features().get(AMX, False))


def policy_of(precision: Precision) -> str:
    """Keras' number policy of layers: weights stay float32."""
    return "mixed_bfloat16" if precision == "bfloat16" else "float32"
