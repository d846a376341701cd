"""Features of a year as they are written, shard by shard, and what must have been observed, whatever sensor saw them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from imperv.grids import Block, block_grid, spec_of
from imperv.layers.catalogue import Layer
from imperv.tasks.errors import InputError
from imperv.tasks.job import BlockReport, Job, report, summarise
from imperv.tasks.references.land import Land

SHARD = spec_of(10).block
"""Edge in pixels of what is written at once; blocks are made of whole ones."""

LEAST_OBSERVED = 0.9
"""Share of the land of a whole tile that must be observed unless the production file says otherwise."""

ALL_OBSERVED = 0.999
"""Share of the land from which nothing is said of the rest."""

MOST_LOOKS = 400
"""Longest histogram of clear looks a pixel; no tile has more overpasses a year."""


@dataclass(frozen=True)
class Shard:
    """What was written at once."""

    place: tuple[int, int]
    """Row and column of its first pixel."""
    report: BlockReport
    looks: np.ndarray
    """Observed pixels by their number of clear looks."""
    land: int
    """Pixels of land that were observed."""


PARTS = (500, 250, 100)
"""Edges in pixels of 10 m of the parts in which a shard is computed: the first that fits into memory; even, so that 20 m pixels
are never cut."""


def assembled(
    here: GeoBox, shape: tuple[int, int], compute: Callable[[GeoBox], Mapping[str, np.ndarray]]
) -> Mapping[str, np.ndarray]:
    """Arrays (..., y, x) of a block from those of its parts of (rows, columns) pixels, row by row of parts."""
    arrays: dict[str, np.ndarray] = {}
    for part in block_grid(here, shape):
        found = compute(part.geobox(here))
        if part.shape == here.shape.yx:
            return found
        for name, values in found.items():
            whole = arrays.setdefault(name, np.empty((*values.shape[:-2], *here.shape.yx), values.dtype))
            whole[(..., *part.slices)] = values
    return arrays


def write_shard(out: Any, layer: Layer, land: Land, arrays: Mapping[str, np.ndarray], block: Block, shard: Block) -> Shard:
    """Write the part `shard` of a block, in pixels of the block, to the arrays of a layer."""
    mine = {name: np.ascontiguousarray(values[(..., *shard.slices)]) for name, values in arrays.items()}
    y, x = block.y0 + shard.y0, block.x0 + shard.x0
    for name, values in mine.items():
        out[name][..., y : y + shard.shape[0], x : x + shard.shape[1]] = values
    observed = np.isfinite(mine["harmonics"][0])
    looks = np.bincount(mine["observations"][observed], minlength=MOST_LOOKS + 1)[: MOST_LOOKS + 1]
    here = land(Block(y, x, y + shard.shape[0], x + shard.shape[1]))
    return Shard((y, x), report(mine, layer), looks, int(np.count_nonzero(observed & here)))


@dataclass(frozen=True)
class Observed:
    """What the shards of a tile tell together."""

    digest: str
    statistics: dict[str, Any]
    warnings: tuple[str, ...]


def sum_up(job: Job, layer: Layer, land: Land, shards: Sequence[Shard]) -> Observed:
    """Digest and statistics of all shards; InputError if too few pixels of the land, or too few clear looks, were observed."""
    settings = job.production.parameters.preprocessing
    # In the order of the shards, so that the digest does not tell how the blocks were cut.
    shards = sorted(shards, key=lambda shard: shard.place)
    seen = np.sum([shard.looks for shard in shards], axis=0)
    observed, clear = int(seen.sum()), int(seen[settings.min_clear :].sum())
    if not observed:
        raise InputError(
            f"{layer.symbol} of tile {job.tile}: the scenes hold no data inside the area; check scenes.catalogue and area.bbox"
        )
    share = sum(shard.land for shard in shards) / land.pixels
    if share < least_observed(job):
        raise InputError(too_little(job, layer, land, share))
    if clear < settings.min_valid_share * observed:
        raise InputError(
            f"{layer.symbol} of tile {job.tile}: too few valid observations, only {100 * clear / observed:.0f} % "
            f"of the observed pixels have {settings.min_clear} clear looks; "
            "add scenes or lower parameters.preprocessing.min_valid_share"
        )
    digest, statistics = summarise(layer, [shard.report for shard in shards])
    statistics |= {
        "observed_pixels": observed,
        "observed_share": share,
        "land_pixels": land.pixels,
        "land_known_by": list(land.known_by),
        "looks": seen.tolist(),
        "well_observed_pixels": clear,
    }
    warnings: tuple[str, ...] = ()
    if share < ALL_OBSERVED:
        missing = (1 - share) * land.pixels / 10_000
        warnings = (f"only {_percent(share)} of the {land.words} was observed, {missing:.3g} km² were not",)
    return Observed(digest, statistics, warnings)


def least_observed(job: Job) -> float:
    """Share of the land that must be observed."""
    given = job.production.parameters.preprocessing.min_observed_share
    return given if given is not None else 0.0 if job.windowed else LEAST_OBSERVED


def too_little(job: Job, layer: Layer, land: Land, share: float, most: str = "") -> str:
    """Message for a tile of which too little is observed."""
    sea = "" if land.known_by else ", name references.clcplus_then, so that the sea does not count,"
    return (
        f"{layer.symbol} of tile {job.tile}: {most or 'only'} {_percent(share)} of the {land.words} "
        f"{'lies inside of any scene' if most else 'was observed'}, {_percent(least_observed(job))} are needed; "
        f"add scenes to scenes.catalogue{sea} or lower parameters.preprocessing.min_observed_share"
    )


def _percent(share: float) -> str:
    """With three digits, but not rounded up to all."""
    return f"{min(100 * share, 99.9) if share < 1 else 100:.3g} %"
