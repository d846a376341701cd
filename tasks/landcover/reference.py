"""Labels that the base model learns from: CLC+ Backbone, footprints and density, or a person's own raster and polygons."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from imperv.grids import Block, block_grid, inner_slices, pad_clipped
from imperv.layers.catalogue import Layer
from imperv.layers.landcover.classes import class_numbers
from imperv.layers.landcover.features import BANDS
from imperv.layers.landcover.labels import FARTHEST, UNLABELLED, Shift, footprint_shift, moved, reference_labels, roof_contrast
from imperv.layers.reflectance import ndvi
from imperv.tasks.errors import InputError
from imperv.tasks.family.costs import REFERENCE_NS, by_block
from imperv.tasks.family.task import Task
from imperv.tasks.job import BlockReport, Job, Made, attributes, report, summarise
from imperv.tasks.references.fingerprints import fingerprint
from imperv.tasks.references.footprints import footprints_external, look_at_footprints, make_footprints
from imperv.tasks.references.references import reference_task
from imperv.tasks.references.sources import check_footprints
from imperv.tasks.samples import Sample, rasterise, read_samples
from imperv.tasks.scenes.reading import open_full_resolution, warp

BLOCK_BYTES = 60
"""Bytes of a pixel of a block: bands, density and labels."""

REGISTERED = 12
"""Pieces of ground, those with most buildings, that footprints are brought onto the image by."""

PIECE = 400
"""Edge of these, pixels."""

REACH = int(FARTHEST) + 2
"""Pixels around a block that footprints may come from."""

RED, NEAR = BANDS.index("B04"), BANDS.index("B08")


def is_missing(key: str) -> str:
    """Why a reference that nobody names is not made."""
    return f"references.{key} is missing"


def optional_reference(key: str) -> Task:
    """The task of a reference raster that need not be there."""
    task = reference_task()
    return replace(
        task,
        not_needed=lambda job, symbol: "" if getattr(job.production.references, key) else is_missing(key),
        external=lambda job, layer: task.external(job, layer) if getattr(job.production.references, key) else {},
        preflight=lambda job, symbol: task.preflight(job, symbol) if getattr(job.production.references, key) else None,
        look=lambda job, symbol: task.look(job, symbol) if getattr(job.production.references, key) else iter(()),
        until="models",
    )


def _wanted(job: Job) -> bool:
    return bool(job.production.references.footprints)


FOOTPRINTS = Task(
    make_footprints,
    lambda job, layer: footprints_external(job, layer) if _wanted(job) else {},
    not_needed=lambda job, symbol: "" if _wanted(job) else is_missing("footprints"),
    preflight=lambda job, symbol: check_footprints(job) if _wanted(job) else None,
    look=lambda job, symbol: look_at_footprints(job, symbol) if _wanted(job) else iter(()),
    cost=by_block(REFERENCE_NS),
    until="models",
)
"""The task of the footprints."""


def without_labels(job: Job) -> str:
    """Why there is nothing to learn from, or empty."""
    references = job.production.references
    if references.clcplus or references.labels or references.polygons:
        return ""
    return "references.clcplus, labels and polygons are missing"


def reference_external(job: Job, layer: Layer) -> dict[str, Any]:
    """A person's own raster and polygons."""
    texts = (job.production.references.labels, job.production.references.polygons)
    paths = [job.path(text) for text in texts if text]
    return {"files": fingerprint(job, *paths)} if paths else {}


def check_labels(job: Job, symbol: str) -> None:
    """Refuse labels from CLC+ Backbone where fewer than two classes are FRAME's, and polygons with faults."""
    references, classes = job.production.references, job.production.parameters.classes
    if references.clcplus and not references.labels and len(classes.frames) < 2:
        raise InputError(
            "references.clcplus: it has labels for FRAME's classes only, and parameters.classes.list has fewer than two of them, "
            "by name and code; name references.labels or references.polygons instead"
        )
    if references.polygons:
        read_samples(job.path(references.polygons), classes.classes, job.grid(5), "references.polygons")


@dataclass(frozen=True)
class LabelBlock:
    """One block of labels."""

    bands: Any
    clcplus: Any
    density: Any
    footprints: Any
    raster: str
    codes: tuple[int, ...]
    frames: tuple[int, ...]
    """Codes that CLC+ Backbone tells."""
    samples: tuple[Sample, ...]
    grid: GeoBox
    out: Any
    layer: Layer
    green: float
    shift: Shift = (0.0, 0.0)

    def __call__(self, block: Block) -> BlockReport:
        """Make and store it."""
        here = block.geobox(self.grid)
        labels = np.full(here.shape.yx, UNLABELLED, "u1")
        if self.raster:
            with open_full_resolution(self.raster) as source:
                found = warp(source, here, Resampling.nearest, UNLABELLED if source.nodata is None else int(source.nodata))
            labels = np.where(np.isin(found, self.codes), found, UNLABELLED).astype("u1")
        elif self.clcplus is not None:
            near, red = (np.asarray(self.bands[(k, *block.slices)]) for k in (NEAR, RED))
            index = np.where((near > 0) & (red > 0), ndvi(near, red), np.float32(np.nan))
            labels = reference_labels(
                self._doubled(self.clcplus, block),
                None if self.footprints is None else self._moved(block),
                None if self.density is None else self._doubled(self.density, block),
                index,
                self.green,
            )
            labels = np.where(np.isin(labels, self.frames), labels, UNLABELLED).astype("u1")
        if self.samples:
            drawn, _ = rasterise(self.samples, here)
            labels = np.where(drawn > 0, drawn, labels)
        self.out[block.slices] = labels
        return report({self.layer.symbol: labels}, self.layer)

    def _moved(self, block: Block) -> np.ndarray:
        """Footprints of a block, brought onto the image."""
        outer = pad_clipped(block, REACH, self.footprints.shape)
        return moved(np.asarray(self.footprints[outer.slices]), self.shift)[inner_slices(block, outer)]

    @staticmethod
    def _doubled(array: Any, block: Block) -> np.ndarray:
        """Pixels of 10 m of a block of 5 m."""
        pixels = np.asarray(array[block.coarser(2).slices])
        found: np.ndarray = pixels.repeat(2, axis=0).repeat(2, axis=1)
        return found


def make_reference_labels(job: Job, layer: Layer) -> Made:
    """Labels; not made where nothing is named that tells them: a model of elsewhere may serve."""
    if reason := without_labels(job):
        return Made("", made=False, reason=reason)
    references, classes = job.production.references, job.production.parameters.classes.classes
    sources = dict(zip(("clcplus", "density", "footprints"), layer.inputs[1:], strict=True))
    arrays = {key: job.array(symbol) if _is_made(job, symbol) else None for key, symbol in sources.items()}
    samples: tuple[Sample, ...] = ()
    if references.polygons:
        samples = read_samples(job.path(references.polygons), classes, job.grid_of(layer), "references.polygons")
    grid, blocks = job.grid_of(layer), job.blocks_of(layer)
    shift, gain = registration(job, layer, arrays["footprints"])
    with job.store.writing_arrays(
        job.place(layer.symbol), grid, layer.resolution, layer.variables, attributes(job, layer)
    ) as out:
        work = LabelBlock(
            job.array(layer.inputs[0]), **arrays, raster=job.path(references.labels) if references.labels else "",
            codes=tuple(c.code for c in classes), frames=job.production.parameters.classes.frames, samples=samples, grid=grid,
            out=out[layer.symbol], layer=layer, green=job.production.parameters.labels.green_ndvi, shift=shift,
        )  # fmt: skip
        rows, columns = blocks[0].shape
        reports = job.engine.map(work, blocks, rows * columns * BLOCK_BYTES, layer.symbol)
    digest, statistics = summarise(layer, reports)
    counts = statistics[layer.symbol]["histogram"]
    absent = [c.name for c in classes if not counts.get(str(c.code))]
    warnings = (f"no label of {', '.join(absent)}: the base model cannot know it here",) if absent else ()
    metres = [value * layer.resolution for value in (-shift[0], shift[1])]
    return Made(digest, {**statistics, "footprints_moved_north_east": metres, "correlation_gain": gain}, warnings)


def registration(job: Job, layer: Layer, footprints: Any) -> tuple[Shift, float]:
    """The shift that brings footprints onto the mosaic, and the gain of their correlation; by the pieces with most buildings."""
    if footprints is None or job.production.references.labels:
        return (0.0, 0.0), 0.0
    bands = job.array(layer.inputs[0])
    built = []
    for block in block_grid(job.grid_of(layer), PIECE):
        shares = np.asarray(footprints[block.slices])
        built.append((float(shares.sum()), block))
    chosen = sorted(built, key=lambda one: (-one[0], one[1].y0, one[1].x0))[:REGISTERED]
    parts = []
    for share, block in chosen:
        if share:
            red = np.asarray(bands[(RED, *block.slices)]).astype("f4")
            parts.append((np.asarray(footprints[block.slices]), roof_contrast(np.where(red > 0, red, np.float32(np.nan)))))
    return footprint_shift(parts) if parts else ((0.0, 0.0), 0.0)


def _is_made(job: Job, symbol: str) -> bool:
    record = job.record(symbol)
    return record is not None and record.made


def labels_of(job: Job, block: Block) -> np.ndarray:
    """Number of the class of each pixel of a block, (y, x) float32 from 0, NaN where there is no label."""
    return with_gaps(
        class_numbers(np.asarray(job.array("LC_reference")[block.slices]), job.production.parameters.classes.classes)
    )


def with_gaps(numbers: np.ndarray) -> np.ndarray:
    """Numbers of classes as networks learn them: float32, NaN where there is none."""
    return np.where(numbers >= 0, numbers, np.nan).astype("f4")
