"""The mosaic of a span: sharpened bands, clear looks of each pixel, and what is filled from the months around."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from imperv.grids import Block
from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.layers.catalogue.landcover import LOOKS, NO_LOOK
from imperv.layers.landcover.features import BANDS
from imperv.layers.palette import FILLED
from imperv.layers.reflectance import SCL, median_of_data, shift_offset
from imperv.layers.scl import scl_weights
from imperv.tasks.family.costs import Cost, resident
from imperv.tasks.job import BlockReport, Job, Made, attributes, report, summarise
from imperv.tasks.scenes.reading import read_band
from imperv.tasks.scenes.scenes import Scene, SceneList
from imperv.tasks.settings.periods import Period
from imperv.tasks.settings.scenes import SceneAccess

CLEAR_WEIGHT = 50
"""SCL weight of vegetation, soil and water (ATBD Table 6)."""

MOST_LOOKS = 200
"""Looks beyond which no more are counted."""

STRIP_BYTES = 256 * 2**20
"""Memory of the looks at one band of a strip of rows that is filled; our choice."""

NOTABLE = 0.001
"""Share of the area from which a person is told of what is filled or missing."""

LOOKS_PLANNED = 24
"""Looks of three months that are planned for before the catalogue was asked."""

LOOK_NS = 12.0
"""Core nanoseconds to read the classes of a look on a pixel of 5 m."""

PIXEL_NS = 60.0
"""Core nanoseconds to copy the bands of a pixel."""


@dataclass(frozen=True)
class MosaicBlock:
    """One block of the mosaic."""

    sharp: Any
    """Sharpened bands, (band, y, x)."""
    places: tuple[int, ...]
    """Where the mosaic's bands lie among them."""
    overpasses: tuple[tuple[Scene, ...], ...]
    """Granules by overpass."""
    span: Period
    grid: GeoBox
    out: Any
    layer: Layer
    fill: bool
    access: SceneAccess

    def __call__(self, block: Block) -> BlockReport:
        """Read, fill and store it."""
        here = block.geobox(self.grid)
        bands = np.stack([np.asarray(self.sharp[(k, *block.slices)]) for k in self.places])
        bands[:, (bands == 0).any(axis=0)] = 0
        looks = np.zeros(here.shape.yx, "uint8")
        for scenes in self.overpasses:
            if self._in_span(scenes):
                clear = np.logical_or.reduce([clear_ground(scene, here, self.access) for scene in scenes])
                looks += clear & (looks < MOST_LOOKS)
        empty = bands[0] == 0
        if self.fill and empty.any():
            others = [scenes for scenes in self.overpasses if not self._in_span(scenes)]
            fill_holes(bands, empty, others, here, self.access)
            looks[empty & (bands[0] > 0)] = FILLED
        looks[bands[0] == 0] = NO_LOOK
        self.out[self.layer.symbol][(slice(None), *block.slices)] = bands
        self.out[LOOKS][block.slices] = looks
        return report({self.layer.symbol: bands, LOOKS: looks}, self.layer)

    def _in_span(self, scenes: Sequence[Scene]) -> bool:
        return self.span.start <= scenes[0].day <= self.span.end


def clear_ground(scene: Scene, grid: GeoBox, access: SceneAccess) -> np.ndarray:
    """Where a granule shows vegetation, soil or water, (y, x) bool."""
    codes = read_band(scene.bands[SCL], scene.id, grid, classes=True, access=access)
    found: np.ndarray = scl_weights(codes) >= CLEAR_WEIGHT
    return found


def fill_holes(
    bands: np.ndarray, empty: np.ndarray, overpasses: Sequence[Sequence[Scene]], grid: GeoBox, access: SceneAccess
) -> None:
    """Put the median of the clear looks of other months where a mosaic (band, y, x) is empty; strips of rows, in place."""
    step = max(1, STRIP_BYTES // (max(len(overpasses), 1) * grid.shape.x * 4))
    for first in range(0, grid.shape.y, step):
        rows = slice(first, min(first + step, grid.shape.y))
        holes = empty[rows]
        if not holes.any() or not overpasses:
            continue
        strip = grid[rows, :]
        scenes = [scene for group in overpasses for scene in group]
        clear = [clear_ground(scene, strip, access) & holes for scene in scenes]
        used = [(scene, ground) for scene, ground in zip(scenes, clear, strict=True) if ground.any()]
        if not used:
            continue
        found = np.zeros((len(BANDS), *holes.shape), "uint16")
        for k, band in enumerate(BANDS):
            stack = np.zeros((len(used), *holes.shape), "uint16")
            for values, (scene, ground) in zip(stack, used, strict=True):
                dn = read_band(scene.bands[band], scene.id, strip, access=access)
                values[ground] = shift_offset(dn, scene.subtract)[ground]
            found[k] = median_of_data(stack)
        whole = holes & (found > 0).all(axis=0)
        bands[:, rows][:, whole] = found[:, whole]


def make_mosaic(job: Job, layer: Layer) -> Made:
    """The mosaic, its looks, and what is filled; a warning names what stays without data."""
    scenes = SceneList.from_json(job.store.read_text(job.place(layer.inputs[0]).data) or "")
    sharp, grid, blocks = CATALOGUE[layer.inputs[1]], job.grid_of(layer), job.blocks_of(layer)
    names = sharp.variables[0].labels
    with job.store.writing_arrays(
        job.place(layer.symbol), grid, layer.resolution, layer.variables, attributes(job, layer)
    ) as out:
        work = MosaicBlock(
            job.array(sharp.symbol), tuple(names.index(band) for band in BANDS),
            tuple(tuple(group) for group in scenes.overpasses.values()), job.period(layer)[0], grid, out, layer,
            job.production.parameters.mosaic.fill, job.production.scenes.access,
        )  # fmt: skip
        digest, statistics = summarise(layer, job.engine.map(work, blocks, mosaic_bytes(job, layer), layer.symbol))
    histogram = statistics[LOOKS]["histogram"]
    pixels = max(sum(histogram.values()), 1)
    filled, missing = (histogram.get(str(code), 0) / pixels for code in (FILLED, NO_LOOK))
    warnings = []
    if filled >= NOTABLE:
        warnings.append(f"{filled:.1%} of the area had no clear look and was filled from the months around")
    if missing >= NOTABLE:
        filling = job.production.parameters.mosaic.fill
        remedy = "choose a longer span" if filling else "set parameters.mosaic.fill, or choose a longer span"
        warnings.append(f"{missing:.1%} of the area has no data: no look shows it clear; {remedy}")
    return Made(digest, {**statistics, "filled": filled, "missing": missing}, tuple(warnings))


def mosaic_bytes(job: Job, layer: Layer) -> int:
    """Memory of one block: bands twice, masks, and a strip that is filled."""
    rows, columns = job.blocks_of(layer)[0].shape
    return rows * columns * (len(BANDS) * 2 * 2 + 8) + STRIP_BYTES


def mosaic_cost(job: Job, layer: Layer) -> Cost:
    """Classes of all looks, and the bands once."""
    rows, columns = job.grid_of(layer).shape
    pixels = rows * columns
    memory = resident(job, mosaic_bytes(job, layer) * job.engine.settings.workers)
    return Cost(pixels * (LOOKS_PLANNED * LOOK_NS + PIXEL_NS) / 1e9, memory, pixels * LOOKS_PLANNED // 16)
