"""What a request means: symbols of the layers asked for, and the steps that they need, in order."""

from __future__ import annotations

from collections.abc import Sequence

from imperv.layers.catalogue import CATALOGUE, resolve, topological_order
from imperv.tasks.errors import InputError

DELIVER = "deliver "
"""Start of the name of a delivery's task run."""

FEATURES = ("PP_then", "PP_now", "IMD_then", "CLCP_then", "IBUD_ref")

PASSES: dict[str, tuple[str, ...] | None] = {
    "features": FEATURES,
    "models": (*FEATURES, "IMD_model", "IBUD_model", "NDVI_p0_then", "IMD_MSK_then", "IBU_then"),
    "all": None,
}
"""Runs of several tiles: what the next pass of neighbouring tiles uses is made for all of them first (`flows.production.waves`).

Models of small windows learn from the features of their neighbours; predictions use the neighbours' models and features,
calibrations their samples.
"""


def resolve_targets(targets: Sequence[str] | None) -> list[str] | None:
    """Symbols of the layers asked for, None for all; InputError if there is no such layer."""
    try:
        return [resolve(name) for name in targets] if targets else None
    except ValueError as error:
        raise InputError(f"--target: {error}") from None


def steps(targets: Sequence[str] | None, until: str = "all") -> tuple[list[str], list[str]]:
    """Nodes to make, in order, and final layers to deliver; before the last of `PASSES` nothing is delivered."""
    order = topological_order(targets)
    wanted_now = PASSES[until]
    if wanted_now is not None:
        return topological_order([s for s in wanted_now if s in order]), []
    wanted = CATALOGUE if targets is None else targets
    return order, [s for s in CATALOGUE if s in wanted and CATALOGUE[s].delivery]
