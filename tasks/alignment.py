"""PP_shift: how much the features of `now` differ from those of `then` over ground that has not changed.

Light, weather and the state of plants differ between two years, and the density models have seen one only. Nearly all ground
stays what it is, so that the median of each feature's difference over the land of a tile is no change of the ground. It is
taken off the features of `now` before a model sees them (`features.open_parts`; docs/accuracy.md).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np

from grids import Block, block_grid
from layers.catalogue import Layer
from layers.features import FULL18
from tasks.arrays import CHUNK
from tasks.features import Part, open_parts
from tasks.job import Job, Made
from tasks.records import digest_of

PIECES = 128
"""Most pieces of the store that are read, by chance all over the tile: a twelfth of a full one."""

SAMPLES = 1_000_000
"""About how many pixels the medians are taken of, on a lattice within the pieces."""

SEED = 7

LAND = 0.0
"""Mean NDVI from which a pixel is land, in both years: water and snow lie below, and change in other ways."""


@dataclass(frozen=True)
class _Difference:
    """Differences of the land of a piece that has features in both years; may travel to another process."""

    then: Part
    now: Part
    step: int

    def __call__(self, block: Block) -> np.ndarray:
        """(pixel, feature) float32."""
        lattice = (slice(None), slice(None, None, self.step), slice(None, None, self.step))
        then, now = (part.read(block, FULL18)[lattice].reshape(len(FULL18), -1) for part in (self.then, self.now))
        mean = FULL18.index("NDVI_c0")
        found = now - then
        return found[:, np.isfinite(found).all(axis=0) & (np.minimum(then[mean], now[mean]) > LAND)].T


def make_shift(job: Job, layer: Layer) -> Made:
    """Measure and store the shift of each feature between the years.

    Raises
    ------
    InputError
        If the samples do not fit into memory.
    """
    grid = job.grid(10)
    pieces = list(block_grid(grid, CHUNK))
    if len(pieces) > PIECES:
        chosen = np.random.default_rng(SEED).choice(len(pieces), PIECES, replace=False)
        pieces = [pieces[k] for k in sorted(chosen)]
    area = sum(math.prod(piece.shape) for piece in pieces)
    step = max(1, math.ceil(math.sqrt(area / SAMPLES)))
    then, now = (open_parts(job, period, around=False, aligned=False)[0] for period in ("then", "now"))
    piece_bytes = CHUNK**2 * len(FULL18) * 4 * 6
    job.engine.at_once(piece_bytes + 2 * len(FULL18) * 4 * area // step**2, layer.symbol)
    differences = np.concatenate(job.engine.map(_Difference(then, now, step), pieces, piece_bytes, layer.symbol))
    shift = {name: float(np.median(column)) if len(column) else 0.0 for name, column in zip(FULL18, differences.T, strict=True)}
    text = json.dumps(shift, indent=1) + "\n"
    place = job.place(layer.symbol)
    job.store.remove_record(place.record)
    job.store.write_text(place.data, text)
    warnings = (
        () if len(differences) else (f"tile {job.tile} has no land with features of both years: those of now stay as they are",)
    )
    return Made(digest_of(text), {"shift": shift, "pixels": len(differences)}, warnings)
