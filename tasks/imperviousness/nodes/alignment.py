"""PP_shift: the difference of features between `now` and `then` over unchanged ground.

Light, weather and the state of plants differ between two years, and the density models have learnt from one. Nearly all
ground stays the same, so that the median difference of a feature over the land of a tile is no change of the ground. It is
subtracted from the features of `now` before a density model sees them (`features.open_parts`; docs/accuracy.md).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np

from imperv.grids import Block, block_grid
from imperv.layers.catalogue import Layer
from imperv.layers.features import FULL18
from imperv.tasks.imperviousness.nodes.features import Part, open_parts
from imperv.tasks.imperviousness.settings import LACKING
from imperv.tasks.job import Job, Made
from imperv.tasks.settings.scenes import LANDSAT
from imperv.tasks.store.arrays import CHUNK
from imperv.tasks.store.records import digest_of

PIECES = 32
"""Random pieces of the store that are read first: a twelfth of a full tile."""

SAMPLES = 400_000
"""Pixels of these pieces on a lattice, about, that the medians are of."""

ENOUGH = 25_000
"""Pixels of land from which no more pieces are read; a coast may have its land in a few pieces."""

LEAST = 1_000
"""Fewest pixels of land for a shift."""

SEED = 7

LAND = 0.0
"""Mean NDVI from which a pixel is land, in both years: water and snow lie below."""


@dataclass(frozen=True)
class _Difference:
    """Differences of the land of a piece that has features in both years; may travel to another process."""

    then: Part
    now: Part
    step: int
    names: tuple[str, ...] = FULL18

    def __call__(self, block: Block) -> np.ndarray:
        """(pixel, feature) float32."""
        lattice = (slice(None), slice(None, None, self.step), slice(None, None, self.step))
        then, now = (part.read(block, self.names)[lattice].reshape(len(self.names), -1) for part in (self.then, self.now))
        mean = self.names.index("NDVI_c0")
        found = now - then
        return found[:, np.isfinite(found).all(axis=0) & (np.minimum(then[mean], now[mean]) > LAND)].T


def make_shift(job: Job, layer: Layer) -> Made:
    """Measure and store the shift of each feature between the years."""
    names = names_of(job)
    found = _differences(job, layer.symbol, names)
    enough = len(found) >= LEAST
    shift = {name: float(np.median(column)) if enough else 0.0 for name, column in zip(names, found.T, strict=True)}
    text = json.dumps(shift, indent=1) + "\n"
    job.store.replace_text(job.place(layer.symbol), text)
    few = f"tile {job.tile} has {len(found)} pixels of land with features of both years: too few to align the years"
    return Made(digest_of(text), {"shift": shift, "pixels": len(found)}, () if enough else (few,))


def names_of(job: Job) -> tuple[str, ...]:
    """Features that both years have."""
    landsat = any(job.production.scenes.of(role).sensor == LANDSAT for role in ("then", "now"))
    return tuple(name for name in FULL18 if not (landsat and name in LACKING))


def _differences(job: Job, symbol: str, names: tuple[str, ...]) -> np.ndarray:
    """Differences of the years on land, (pixel, feature) float32: from more and more pieces until there are enough."""
    pieces = list(block_grid(job.grid(10), CHUNK))
    order = [pieces[k] for k in np.random.default_rng(SEED).permutation(len(pieces))]
    area = sum(math.prod(piece.shape) for piece in order[:PIECES])
    step = max(1, math.ceil(math.sqrt(area / SAMPLES)))
    then, now = (open_parts(job, period, around=False, aligned=False)[0] for period in ("then", "now"))
    held, piece_bytes = 2 * len(names) * 4 * SAMPLES, 4 * len(names) * 4 * CHUNK**2
    job.engine.at_once(held + piece_bytes, symbol)
    most = max(1, (job.engine.budget - held) // piece_bytes)
    work = _Difference(then, now, step, names)
    found = np.empty((0, len(names)), "f4")
    while order and len(found) < ENOUGH:
        batch, order = order[:PIECES], order[PIECES:]
        found = np.concatenate([found, *job.engine.map(work, batch, piece_bytes, symbol, most=most)])
    return found
