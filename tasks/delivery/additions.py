"""What a family adds to the plain form of delivery (`tasks.delivery.cog`): more to say, more files beside, more checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imperv.layers.catalogue import Layer
from imperv.tasks.delivery.lineage import Lineage
from imperv.tasks.family.findings import Finding
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production


@dataclass(frozen=True)
class Additions:
    """Additions of a family; none by default."""

    version: int = 0
    """Raised when they would give other files."""
    properties: Callable[[Job, Layer, Lineage], Mapping[str, Any]] = lambda job, layer, lineage: {}
    """Properties of a product's STAC Item, besides or instead of those that all have."""
    layer: Callable[[Production, Layer], Layer] = lambda production, layer: layer
    """The layer as it is delivered here: with the production's own classes (`Delivery.own_classes`)."""
    files: Callable[[Layer], Mapping[str, str]] = lambda layer: {}
    """Further files of a product: key of the asset -> ending of the name, after a dot."""
    write: Callable[[Job, Layer, Mapping[str, Path]], None] = lambda job, layer, files: None
    """Write these, by key; the GeoTIFF is among them as ``data``."""
    check: Callable[[Job, Layer, Path], list[Finding]] = lambda job, layer, path: []
    """Findings of a delivered file against what it was made from, where the store has it."""


PLAIN = Additions()
"""Nothing added."""
