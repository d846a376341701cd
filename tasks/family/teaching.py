"""What a family says of being taught: a portal asks these functions, and knows neither its layers nor its session."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imperv.grids import Bounds
from imperv.layers.catalogue import Layer
from imperv.layers.palette import Palette
from imperv.tasks.job import Job
from imperv.tasks.settings.production import Production


@dataclass(frozen=True)
class View:
    """A part of a map, computed at once and kept nowhere."""

    bounds: Bounds
    """(left, bottom, right, top) in EPSG:3035, on the pixels of the map."""
    codes: np.ndarray
    """(y, x) uint8, 255 outside."""
    palette: Palette
    scores: Mapping[str, Any]
    """On polygons that were left out: ``polygons``, ``classes``, ``confusion``, ``scores``."""


@dataclass(frozen=True)
class Taught:
    """The map of a round of a tile, computed where somebody looks at it."""

    number: int
    tile: str
    bounds: Bounds
    """(left, bottom, right, top) in EPSG:3035."""
    version: str
    """Hash of what the pixels depend on."""
    layer: Layer
    """With the classes of the production."""
    period: str
    pixels: Any
    """Its pixels, as `imperv.tasks.maps.pixels.Pixels`."""
    stands: Callable[[], bool]
    """Whether what the pixels are computed from is what it was."""


@dataclass(frozen=True)
class Teaching:
    """How a person teaches a product by polygons, in rounds of a tile; 0 is the base map.

    Its command `imperv <product>` has `tune TILE --polygons FILE` and `restore TILE ROUND`.
    """

    base: str
    """Symbol of the map that no person has taught."""
    tuned: str
    """Symbol of the map of the present round."""
    confidence: str
    """Symbol of the layer that says how sure the base map is."""
    classes: Callable[[Mapping[str, Any]], list[dict[str, Any]]]
    """``code``, ``name`` and ``colour`` (#rrggbb) of the classes of a production file, given as a table."""
    named: Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]]
    """Keys of the production file that name classes, given as by `classes`."""
    check: Callable[[Production], None]
    """InputError where nothing that a production names can tell its classes."""
    missing: Callable[[Job], str]
    """What must be done before a tile can be taught, in a line; empty where it can."""
    state: Callable[[Job], str]
    """Changes with the base map and with the present round."""
    count: Callable[[Job, Path], dict[str, int]]
    """Polygons of a file by class that a tile would be taught with; InputError with all faults."""
    view: Callable[[Job, Path, Bounds], View | None]
    """The map around a place taught by the polygons of a file; None where the tile has no pixel there."""
    rounds: Callable[[Job], list[dict[str, Any]]]
    """All rounds of a tile, oldest first, as `imperv landcover rounds --json`."""
    taught: Callable[[Production], list[Taught]]
    """Maps of all finished rounds, to be shown beside the layers of the store."""
    compare: Callable[[Job, int, int], dict[str, Any]]
    """Two rounds: pixels by class in both, share that differs, scores."""
    suggest: Callable[[Job, int], list[dict[str, Any]]]
    """Where a polygon would tell most: ``bounds`` in EPSG:3035, ``doubt``, ``base``, ``tuned``, ``second``."""
