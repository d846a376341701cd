"""Features of a tile for its density models (ATBD 4.2.3): read by block, with a halo from the neighbouring tiles.

What a feature is stands in `layers.features`; training and prediction are in `tasks.models` and `tasks.predicting`.
"""

from __future__ import annotations

import numpy as np

from grids import Block, inner_slices
from layers.features import stack_features
from tasks.job import Job


def read_features(job: Job, period: str, block: Block, names: tuple[str, ...]) -> np.ndarray:
    """Features of a block of the tile, NaN where there is no data; parts outside of the tile come from its neighbours.

    Parameters
    ----------
    block : Block
        In pixels of the job's 10 m grid; may reach beyond it.
    names : tuple of str
        Features in order.

    Returns
    -------
    (feature, y, x) float32
    """
    result = np.full((len(names), *block.shape), np.nan, "float32")
    rows, columns = job.grid(10).shape
    beyond = block.y0 < 0 or block.x0 < 0 or block.y1 > rows or block.x1 > columns
    own_row, own_column = job.global_index()
    for part in (job, *(halo_jobs(job, period) if beyond else ())):
        row, column = part.global_index()
        rows, columns = part.grid(10).shape
        shifted = _shift(block, own_row - row, own_column - column)
        inside = Block(
            max(shifted.y0, 0), max(shifted.x0, 0), min(shifted.y1, rows), min(shifted.x1, columns)
        )  # fmt: skip
        if inside.y0 >= inside.y1 or inside.x0 >= inside.x1:
            continue
        group = part.group(f"PP_{period}")
        cut = (slice(None), *inside.slices)
        ndvi_q90 = group["ndvi_q90"][inside.slices] if "NDVI_q90" in names else None
        found = stack_features(group["quantiles"][cut], ndvi_q90, group["harmonics"][cut], names)
        result[(slice(None), *inner_slices(inside, shifted))] = found
    return result


def _shift(block: Block, rows: int, columns: int) -> Block:
    return Block(block.y0 + rows, block.x0 + columns, block.y1 + rows, block.x1 + columns)


def halo_jobs(job: Job, period: str) -> list[Job]:
    """Neighbouring tiles of the area whose features are in the store."""
    return [other for other in job.area_neighbours() if other.usable(f"PP_{period}")]
