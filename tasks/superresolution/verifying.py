"""Checks of delivered files of super-resolution against what they were made from, as far as the store holds it.

Sharpened bands, degraded again, must be what the instrument saw; measured ones must be untouched to the bit, with a deviation of
0; no data stand where and only where the input has none. Files are read strip by strip.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

from imperv.grids.specs import UTM_STEP
from imperv.layers.catalogue import Layer
from imperv.layers.catalogue.superresolution import NO_DEVIATION, SHARP
from imperv.layers.reflectance import NO_DATA
from imperv.layers.sharpening.degradation import REACH, degrade
from imperv.tasks.family.findings import Finding, failed, passed
from imperv.tasks.job import Job
from imperv.tasks.scenes.bands import PIXEL
from imperv.tasks.superresolution.models import spread_alone
from imperv.tasks.superresolution.sharpening import CONSISTENT
from imperv.tasks.superresolution.windows import MEASURED, reflectance, spread_of

STRIP_BYTES = 128 * 2**20
"""Memory of one band of a strip as floats; degrading takes three times that."""

NATIVE = ("SR10", "SR5", "SR10_sd", "SR5_sd")
"""Products on the grid of the measured bands."""


@dataclass
class Seen:
    """What strips of one band have shown."""

    squares: float = 0.0
    count: int = 0
    changed: int = 0
    """Measured pixels that are not as they were."""
    lost: int = 0
    """Pixels without data where the input has some."""
    invented: int = 0
    """Pixels with data where the input has none."""
    deviating: int = 0
    """Measured pixels with a deviation."""


def check_against_input(job: Job, layer: Layer, path: Path) -> list[Finding]:
    """Findings of one file; none for products on other grids."""
    if layer.symbol not in NATIVE:
        return []
    needed = ("SR_B10", "SR_B20", "SR_B60")
    if gone := [s for s in needed if (record := job.record(s)) is None or not job.store.data_in_place(record)]:
        return [
            passed("input", f"not held against the input: {', '.join(gone)} of tile {job.tile} is not in the store", note=True)
        ]
    grid = job.grid_of(layer)
    with rasterio.open(path) as source:
        if source.shape != tuple(grid.shape) or source.transform != grid.affine or source.count != len(SHARP):
            return [failed("input", "the grid or the bands are not those of the production; deliver the layer again")]
        seen = {name: Seen() for name in SHARP}
        for name, found in seen.items():
            for strip in _strips(source, job, layer, name):
                strip.add_to(found)
    return list(_findings(layer, seen))


@dataclass
class Strip:
    """Rows of one band, from whole pixels of 60 m on."""

    pixels: np.ndarray
    """(y, x) uint16 of the file, with what the point spread reaches around."""
    measured: np.ndarray
    """(y, x) uint16 of the same rows."""
    factor: int
    """Pixels of the file along a measured one."""
    sigma: float
    """Point spread in pixels of the file."""
    inner: slice
    """Measured rows that are judged."""
    deviation: bool
    """Whether the file holds deviations."""

    def add_to(self, seen: Seen) -> None:
        """Judge it."""
        fine = slice(*(None if v is None else v * self.factor for v in (self.inner.start, self.inner.stop)))
        mine, measured = self.pixels[fine], self.measured[self.inner]
        empty = (measured == NO_DATA).repeat(self.factor, 0).repeat(self.factor, 1)
        without = mine == (NO_DEVIATION if self.deviation else NO_DATA)
        seen.lost += int((without & ~empty).sum())
        seen.invented += int((~without & empty).sum())
        if self.deviation:
            seen.deviating += int(((mine != 0) & ~empty).sum()) if self.factor == 1 else 0
        elif self.factor == 1:
            seen.changed += int((mine != measured).sum())
        else:
            lack = reflectance(self.measured) - degrade(reflectance(self.pixels), self.factor, self.sigma)
            known = np.isfinite(lack[self.inner])
            seen.squares += float((lack[self.inner][known].astype("f8") ** 2).sum())
            seen.count += int(known.sum())


def _strips(source: rasterio.DatasetReader, job: Job, layer: Layer, name: str) -> Iterator[Strip]:
    resolution, size = int(layer.resolution), PIXEL[name]
    array: Any = job.array(f"SR_B{size}")
    band, factor, each = MEASURED[size].index(name), size // resolution, UTM_STEP // resolution
    deviation = layer.symbol.endswith("_sd")
    model = spread_alone(job)
    sigma = 0.0 if deviation else spread_of(name, resolution, model)
    around = -(-int(np.ceil(REACH * sigma)) // each) + 1 if sigma else 0  # pixels of 60 m
    high, unit = source.height // each, UTM_STEP // size
    rows = max(1, STRIP_BYTES // (4 * source.width * each))
    for first in range(0, high, rows):
        last = min(first + rows, high)
        top, bottom = max(first - around, 0), min(last + around, high)
        pixels = source.read(SHARP.index(name) + 1, window=Window(0, top * each, source.width, (bottom - top) * each))
        measured = np.asarray(array[band, top * unit : bottom * unit, :])
        inner = slice((first - top) * unit, (last - top) * unit)
        yield Strip(pixels, measured, factor, sigma, inner, deviation)


def _findings(layer: Layer, seen: dict[str, Seen]) -> Iterator[Finding]:
    if layer.symbol.endswith("_sd"):
        wrong = {name: s.deviating for name, s in seen.items() if s.deviating}
        text = f"measured pixels have one: {_counts(wrong)}" if wrong else "0 where measured"
        yield Finding("deviation", not wrong, text)
    else:
        lacks = {name: (s.squares / s.count) ** 0.5 for name, s in seen.items() if s.count}
        wrong_lacks = {name: lack for name, lack in lacks.items() if lack > CONSISTENT}
        most = max(lacks, key=lambda name: lacks[name], default="")
        told = ", ".join(f"{name} {lack:.1f}" for name, lack in wrong_lacks.items()) or (
            f"{most} {lacks[most]:.2f}" if most else ""
        )
        yield Finding(
            "consistency", not wrong_lacks, f"degraded again, off the input by {told or 'nothing'}, at most {CONSISTENT:g}"
        )
        if layer.resolution == min(MEASURED):
            changed = {name: s.changed for name, s in seen.items() if s.changed}
            yield Finding("measured", not changed, f"changed: {_counts(changed)}" if changed else "untouched to the bit")
    lost, invented = ({name: n for name, s in seen.items() if (n := getattr(s, what))} for what in ("lost", "invented"))
    text = "; ".join(
        f"{what}: {_counts(found)}" for what, found in (("lost", lost), ("where the input has none", invented)) if found
    )
    yield Finding("data", not text, text or "where and only where the input has some")


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{name} {count} pixels" for name, count in found.items())
