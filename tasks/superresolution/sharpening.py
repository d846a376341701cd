"""The sharpened layers: all bands at 10 m and 5 m on the native UTM grid, their deviation, and both in EPSG:3035."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from imperv.grids import Block
from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.layers.catalogue.superresolution import SHARP
from imperv.layers.network.precision import Precision
from imperv.layers.sharpening.scene import SceneModel
from imperv.tasks.errors import WorkError
from imperv.tasks.family.costs import TENSORFLOW, Cost, resident
from imperv.tasks.job import BlockReport, Job, Made, attributes, report, summarise
from imperv.tasks.networks.precision import precision_of
from imperv.tasks.projections import moved
from imperv.tasks.scenes.warping import warp_bands
from imperv.tasks.superresolution.dates import ReadDates, dates_reader
from imperv.tasks.superresolution.models import SHARPENING, measured_bands, scene_model
from imperv.tasks.superresolution.windows import Outlook, Read, consistency, sharpen_block

CONSISTENT = 2.0
"""Root mean square, reflectance x 10 000, that a sharpened band may lack of the measured one when it is degraded again."""

SHARPEN_NS = {10: 6000.0, 5: 45_000.0}
"""Core nanoseconds by pixel of 10 m, with networks."""

REGRESSION_NS = {10: 1000.0, 5: 9500.0}
"""The same without."""

BFLOAT16_SHARE = {10: 0.5, 5: 0.4}
"""Time of the networks in bfloat16 over that in float32, on processors with AMX (docs/performance.md)."""

SHARPEN_BYTES = {10: 300, 5: 1800}
"""Bytes by pixel of 10 m that is read for a block; of 2184 x 2184 pixels 260 were measured at 10 m."""

WARP_NS = 150.0
"""Core nanoseconds by pixel of the target and band."""

AROUND = 4
"""Pixels of the source around a block that interpolation may reach."""


@dataclass(frozen=True)
class SharpenBlock:
    """One block of bands and of their deviation."""

    read: Read
    shape: tuple[int, int]
    out: Any
    layer: Layer
    model: SceneModel
    dates: ReadDates | None = None

    def __call__(self, block: Block) -> tuple[BlockReport, dict[str, tuple[float, int]]]:
        """Sharpen and store it."""
        outlook = Outlook.of(block, int(self.layer.resolution), self.shape)
        found = sharpen_block(self.read, outlook, self.model, self.dates)
        written = {self.layer.symbol: found.bands, "sd": found.deviation}
        for name, pixels in written.items():
            self.out[name][(slice(None), *block.slices)] = pixels
        return report(written, self.layer), found.lack


def make_sharp(job: Job, layer: Layer) -> Made:
    """All bands at the layer's pixel size; WorkError where they are not what the instrument saw when they are degraded again."""
    grid, blocks = job.grid_of(layer), job.blocks_of(layer)
    model = scene_model(job)
    with job.store.writing_arrays(
        job.place(layer.symbol), grid, layer.resolution, layer.variables, attributes(job, layer)
    ) as out:
        dates = dates_reader(job) if layer.resolution == 5 else None
        work = SharpenBlock(measured_bands(job), grid.shape.yx, out, layer, model, dates)
        found = job.engine.map(work, blocks, sharpen_bytes(job, layer), layer.symbol)
        lack = consistency([part for _, part in found])
        if wrong := {name: value for name, value in lack.items() if value > CONSISTENT}:
            raise WorkError(
                f"{layer.symbol} of tile {job.tile}: degraded again, bands differ from the measured ones by "
                f"{', '.join(f'{name} {value:.1f}' for name, value in wrong.items())} (at most {CONSISTENT:g}); "
                "set parameters.sharpening.point_spread to that of the instrument"
            )
    digest, statistics = summarise(layer, [part for part, _ in found])
    warnings = precision_of(job, SHARPENING)[1] if model.networks else ()
    return Made(digest, {**statistics, "consistency": lack, "precision": model.precision}, warnings)


def not_at_5(job: Job, symbol: str) -> str:
    """Why layers at 5 m need not be made."""
    return "" if job.production.parameters.sharpening.to == 5 else "parameters.sharpening.to is 10"


def sharpen_bytes(job: Job, layer: Layer) -> int:
    """Memory of the largest block."""
    shape, size = job.grid_of(layer).shape.yx, int(layer.resolution)
    return max(Outlook.of(block, size, shape).pixels for block in job.blocks_of(layer)) * SHARPEN_BYTES[size]


def sharpen_cost(job: Job, layer: Layer) -> Cost:
    """By pixels of 10 m, margins of blocks included."""
    shape, size = job.grid_of(layer).shape.yx, int(layer.resolution)
    pixels = sum(Outlook.of(block, size, shape).pixels for block in job.blocks_of(layer))
    memory = resident(job, sharpen_bytes(job, layer) * job.engine.settings.workers)
    if job.production.parameters.sharpening.networks:
        return Cost(pixels * network_ns(size, job.production.parameters.sharpening.precision) / 1e9, memory + TENSORFLOW)
    return Cost(pixels * REGRESSION_NS[size] / 1e9, memory)


def network_ns(size: int, precision: Precision) -> float:
    """Core nanoseconds by pixel of 10 m with networks, on processors that have the numbers asked for."""
    share = 1.0 if precision == "float32" else BFLOAT16_SHARE[size]
    return REGRESSION_NS[size] + share * (SHARPEN_NS[size] - REGRESSION_NS[size])


@dataclass(frozen=True)
class CopyBlock:
    """One block of the deviation."""

    source: Any
    out: Any
    layer: Layer

    def __call__(self, block: Block) -> BlockReport:
        """Copy it."""
        pixels = np.asarray(self.source[(slice(None), *block.slices)])
        self.out[(slice(None), *block.slices)] = pixels
        return report({self.layer.symbol: pixels}, self.layer)


def make_deviation(job: Job, layer: Layer) -> Made:
    """The deviation as a layer of its own, to be delivered."""
    source = job.group(layer.inputs[0])["sd"]
    with job.store.writing_arrays(
        job.place(layer.symbol), job.grid_of(layer), layer.resolution, layer.variables, attributes(job, layer)
    ) as out:
        blocks = job.blocks_of(layer)
        rows, columns = blocks[0].shape
        work = CopyBlock(source, out[layer.symbol], layer)
        digest, statistics = summarise(layer, job.engine.map(work, blocks, rows * columns * len(SHARP) * 8, layer.symbol))
    return Made(digest, statistics)


@dataclass(frozen=True)
class WarpBlock:
    """One block in EPSG:3035, by cubic convolution from the native grid; no data of a band takes no part in it."""

    source: Any
    native: GeoBox
    grid: GeoBox
    out: Any
    layer: Layer

    def __call__(self, block: Block) -> BlockReport:
        """Warp and store it."""
        here = block.geobox(self.grid)
        pixels = np.zeros((len(SHARP), *here.shape.yx), "uint16")
        area = source_window(self.native, here)
        if area is not None:
            found = np.asarray(self.source[(slice(None), *area.slices)])
            pixels = warp_bands(found, area.geobox(self.native), here, Resampling.cubic, 0)
        self.out[(slice(None), *block.slices)] = pixels
        return report({self.layer.symbol: pixels}, self.layer)


def source_window(native: GeoBox, here: GeoBox) -> Block | None:
    """Pixels of the native grid that a grid needs; None where they do not meet."""
    box = here.boundingbox
    left, bottom, right, top = moved(box.bbox, str(here.crs), str(native.crs))
    columns, rows = zip(*(~native.affine * corner for corner in ((left, top), (right, bottom))), strict=True)
    x0, y0 = (max(int(np.floor(min(v))) - AROUND, 0) for v in (columns, rows))
    x1 = min(int(np.ceil(max(columns))) + AROUND, native.shape.x)
    y1 = min(int(np.ceil(max(rows))) + AROUND, native.shape.y)
    return Block(y0, x0, y1, x1) if y0 < y1 and x0 < x1 else None


def make_warped(job: Job, layer: Layer) -> Made:
    """All bands in EPSG:3035."""
    source = CATALOGUE[layer.inputs[0]]
    grid, blocks = job.grid_of(layer), job.blocks_of(layer)
    with job.store.writing_arrays(
        job.place(layer.symbol), grid, layer.resolution, layer.variables, attributes(job, layer)
    ) as out:
        work = WarpBlock(job.array(source.symbol), job.grid_of(source), grid, out[layer.symbol], layer)
        digest, statistics = summarise(layer, job.engine.map(work, blocks, warp_bytes(job, layer), layer.symbol))
    return Made(digest, statistics)


def warp_bytes(job: Job, layer: Layer) -> int:
    """Memory of one block: the source of it lies turned."""
    rows, columns = job.blocks_of(layer)[0].shape
    return rows * columns * len(SHARP) * 2 * 5


def warp_cost(job: Job, layer: Layer) -> Cost:
    """By pixels of the target."""
    rows, columns = job.grid_of(layer).shape
    return Cost(rows * columns * len(SHARP) * WARP_NS / 1e9, resident(job, warp_bytes(job, layer) * job.engine.settings.workers))
