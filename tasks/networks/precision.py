"""In which numbers the networks of a production predict, and where 16 bits would take a processor longer."""

from __future__ import annotations

from typing import Any

from imperv.layers.network.precision import Precision, gains_by_bfloat16
from imperv.tasks.job import Job

ENSEMBLE = "ensemble"
"""Group of parameters that says it of networks of one tile or several."""

PRECISION = "precision"
"""In records and keys."""

UNET_SHARE = 0.55
"""Time of a U-Net's prediction in bfloat16 over that in float32, on processors with AMX (docs/performance.md)."""


def precision_of(job: Job, group: str = ENSEMBLE) -> tuple[Precision, tuple[str, ...]]:
    """What this process predicts in, as production and processor allow, and what must be said about it."""
    return precision_here(_wanted(job, group), f"parameters.{group}.precision")


def precision_here(wanted: Precision, key: str) -> tuple[Precision, tuple[str, ...]]:
    """The same where a person asks for it by an option or parameter, `key`."""
    if wanted == "float32" or gains_by_bfloat16():
        return wanted, ()
    return "float32", (f"{key}: this processor has no AMX; predicted in float32",)


def precision_external(job: Job, group: str = ENSEMBLE) -> dict[str, Any]:
    """What is part of a prediction's key, where it is not float32."""
    wanted = _wanted(job, group)
    return {} if wanted == "float32" else {PRECISION: wanted}


def precision_share(job: Job) -> float:
    """Time of the predictions of U-Nets over those in float32, by what they take on processors that have what is asked for."""
    return 1.0 if _wanted(job, ENSEMBLE) == "float32" else UNET_SHARE


def _wanted(job: Job, group: str) -> Precision:
    found: Precision = getattr(job.production.parameters, group).precision
    return found
