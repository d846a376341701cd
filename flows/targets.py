"""What a request means: symbols of the layers asked for, and the steps that they need, in order."""

from __future__ import annotations

from collections.abc import Sequence

from layers.catalogue import CATALOGUE, resolve, topological_order
from tasks.errors import InputError

DELIVER = "deliver "
"""Start of the name of a delivery's task run."""

SHARED_WITH_NEIGHBOURS = ("IMD_model", "IBUD_model", "PP_now", "NDVI_p0_then", "IMD_MSK_then", "IBU_then")
"""What the prediction and the calibration of neighbouring tiles use: made for all tiles first."""


def resolve_targets(targets: Sequence[str] | None) -> list[str] | None:
    """Symbols of the layers asked for; None for all.

    Raises
    ------
    InputError
        If there is no such layer.
    """
    try:
        return [resolve(name) for name in targets] if targets else None
    except ValueError as error:
        raise InputError(f"--target: {error}") from None


def steps(targets: Sequence[str] | None, first_pass: bool = False) -> tuple[list[str], list[str]]:
    """Nodes to make, in order, and final layers to deliver.

    With `first_pass`, only what neighbouring tiles need of this one.
    """
    order = topological_order(targets)
    if first_pass:
        return topological_order([s for s in SHARED_WITH_NEIGHBOURS if s in order]) if order else [], []
    wanted = CATALOGUE if targets is None else targets
    return order, [s for s in CATALOGUE if s in wanted and CATALOGUE[s].delivery]
