"""Comparison of two maps of the same ground, block by block: differences, areas, transitions, scores against a truth.

Coded maps are counted by pairs of codes, other maps in a few sums: whole tiles take the memory of a block, and the sums of tiles
add up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Literal

import numpy as np
from odc.geo.geobox import GeoBox

from imperv.grids import Block, block_grid
from imperv.layers.catalogue import Layer
from imperv.layers.palette import OUTSIDE
from imperv.layers.statistics.classes import joint_histogram
from imperv.layers.statistics.scores import density_scores, mask_scores
from imperv.tasks.errors import InputError
from imperv.tasks.imperviousness.assessment.codes import SEALED, Reading, reading_of
from imperv.tasks.imperviousness.assessment.truth import Truth
from imperv.tasks.store.records import Record

TRUTHS = {"IMD_then": "imd_then", "IMD_now": "imd_now", "RIMD": "imd_now", "IBU_then": "ibu_then", "IBU_now": "ibu_now",
          "IBUD_now": "ibud_now", "RIBUD": "ibud_now"}  # fmt: skip
"""Truth raster of a layer."""


@dataclass(frozen=True)
class Raster:
    """One map, read block by block."""

    name: str
    grid: GeoBox
    dtype: np.dtype
    nodata: float | None
    read: Callable[[Block], np.ndarray]
    layer: Layer | None = None
    """None where unknown."""
    record: Record | None = None
    """Its record, where known."""


@dataclass(frozen=True)
class Common:
    """The pixels that two maps share."""

    grid: GeoBox
    a: tuple[int, int]
    """Row and column of its first pixel in A."""
    b: tuple[int, int]
    """The same in B."""
    note: str
    """Areas of the maps where they are not the same, in words."""


def common_ground(a: Raster, b: Raster) -> Common:
    """The pixels that two maps share; InputError if there are none, or their grids differ."""
    one, two = a.grid, b.grid
    pixel = one.resolution
    if one.crs != two.crs or (pixel.x, pixel.y) != (two.resolution.x, two.resolution.y):
        pixels = f"{a.name} ({_described(one)}) and {b.name} ({_described(two)}) have different pixels"
        raise InputError(f"{pixels}; bring one to the grid of the other")
    column, row = (two.affine.c - one.affine.c) / pixel.x, (two.affine.f - one.affine.f) / pixel.y
    if max(abs(column - round(column)), abs(row - round(row))) > 1e-3:
        raise InputError(f"the pixels of {a.name} and {b.name} are not aligned; bring one to the grid of the other")
    y, x = round(row), round(column)
    y0, x0 = max(y, 0), max(x, 0)
    y1, x1 = min(one.shape[0], y + two.shape[0]), min(one.shape[1], x + two.shape[1])
    if y0 >= y1 or x0 >= x1:
        raise InputError(f"{a.name} and {b.name} share no ground: {_box(one)} and {_box(two)}")
    grid = Block(y0, x0, y1, x1).geobox(one)
    whole = one.shape == two.shape == grid.shape
    note = "" if whole else f"A covers {_box(one)}, B {_box(two)}; compared is what both cover, {_box(grid)}"
    return Common(grid, (y0, x0), (y0 - y, x0 - x), note)


def _described(grid: GeoBox) -> str:
    crs = f"EPSG:{grid.crs.epsg}" if grid.crs and grid.crs.epsg else "another reference system" if grid.crs else "none"
    return f"{crs}, {abs(grid.resolution.x):g} m"


def _box(grid: GeoBox) -> str:
    return " ".join(f"{value:.0f}" for value in grid.boundingbox)


@dataclass(frozen=True)
class Pair:
    """Two maps of one layer and tile."""

    tile: str
    """Empty for files without a product name."""
    name: str
    """Symbol of the layer, or name of the files."""
    a: Raster
    b: Raster
    ground: Common


def both_blocks(pair: Pair, edge: int | None = None) -> Iterator[tuple[Block, np.ndarray, np.ndarray]]:
    """Pixels of both maps, block by block of the common ground; blocks of 10 km unless an edge in pixels is given."""
    for block in block_grid(pair.ground.grid, edge):
        one, two = (Block(block.y0 + y, block.x0 + x, block.y1 + y, block.x1 + x) for y, x in (pair.ground.a, pair.ground.b))
        yield block, pair.a.read(one), pair.b.read(two)


Score = dict[str, float]
"""A map against a truth: ``pixels``; ``mae``, ``rmse`` and ``bias`` in percent, NaN of masks; ``accuracy`` and ``f1`` of the
sealed or built-up class, of densities from `SEALED` percent."""


SUMMED = {"pixels", "both", "only_a", "only_b", "differing", "sums", "pairs"}


@dataclass
class Tally:
    """Sums over the pixels of two maps; those of several tiles add up."""

    reading: Reading
    metres: float
    """Edge of a pixel."""
    pixels: int = 0
    both: int = 0
    """Pixels with data in both."""
    only_a: int = 0
    only_b: int = 0
    differing: int = 0
    """Of those in both."""
    sums: np.ndarray = field(default_factory=lambda: np.zeros(3))
    """Of B - A, its absolute value and its square, where there are numbers."""
    largest: float = 0
    pairs: np.ndarray = field(default_factory=lambda: np.zeros((256, 256), np.int64))
    """(code of A, code of B) pixels with data in both; of coded maps."""
    truths: np.ndarray | None = None
    """(map, code of the truth, code of the map) pixels with data in all three."""

    def __add__(self, other: Tally) -> Tally:
        summed = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self) if f.name in SUMMED}
        truths = [tally.truths for tally in (self, other) if tally.truths is not None]
        largest = max(self.largest, other.largest)
        return Tally(self.reading, self.metres, largest=largest, truths=np.sum(truths, axis=0) if truths else None, **summed)

    @property
    def coded(self) -> bool:
        """True for coded maps, whose joint histogram is counted."""
        return self.reading.kind != "values"

    @property
    def mean(self) -> float:
        """Mean of B - A; NaN where there are no numbers."""
        return self._mean_of(0)

    @property
    def mean_absolute(self) -> float:
        """Mean of the absolute difference."""
        return self._mean_of(1)

    @property
    def rms(self) -> float:
        """Root mean square of the difference."""
        return math.sqrt(self._mean_of(2))

    def _mean_of(self, k: int) -> float:
        return float(self.sums[k] / self.both) if self.both and self.numbers else math.nan

    @property
    def numbers(self) -> bool:
        """True where the difference of two pixels is a number."""
        return not self.coded or bool(np.isfinite(self.reading.value_of).any())

    @property
    def km2(self) -> float:
        """Area of a pixel, square kilometres."""
        return self.metres**2 / 1e6

    def area(self, which: Literal[0, 1]) -> float:
        """Sealed or built-up area of A (0) or B (1) on the pixels of both, km2: the sum of densities, or the pixels of a mask.

        Of change layers the net change. NaN of other layers.
        """
        histogram = self.pairs.sum(axis=1 - which)
        if self.reading.kind in ("density", "change"):
            return float(np.nansum(self.reading.value_of * histogram)) / 100 * self.km2
        return float(histogram[1]) * self.km2 if self.reading.kind == "binary" else math.nan

    def transitions(self) -> np.ndarray:
        """(class of A, class of B) pixels."""
        count, classes = len(self.reading.names), self.reading.class_of
        some = np.flatnonzero(classes >= 0)
        found = np.zeros((count, count), np.int64)
        np.add.at(found, (classes[some][:, None], classes[some][None, :]), self.pairs[np.ix_(some, some)])
        return found

    def scores(self) -> tuple[Score, Score] | None:
        """A and B against the truth; None without one."""
        return None if self.truths is None else (self._score(self.truths[0]), self._score(self.truths[1]))

    def _score(self, counts: np.ndarray) -> Score:
        """Score of (code of the truth, code of the map) pixels."""
        pixels, hit, right = counts.sum(), counts[SEALED:, SEALED:].sum(), counts[:SEALED, :SEALED].sum()
        false, missed = counts[:SEALED, SEALED:].sum(), counts[SEALED:, :SEALED].sum()
        found = {"mae": math.nan, "rmse": math.nan, "bias": math.nan}
        if self.reading.kind != "binary":
            codes = np.arange(256)
            error = codes[None, :] - codes[:, None]
            sums = [pixels, *((counts * term).sum() for term in (np.abs(error), error**2, error)), 0, 0]
            found = {name: float(value) for name, value in density_scores(np.array(sums)).items() if name != "r2"}
        f1 = float(mask_scores(np.array([hit, false, missed, right]))["f1"])
        return {"pixels": int(pixels), **found, "accuracy": float((hit + right) / pixels) if pixels else math.nan, "f1": f1}


def compare(pair: Pair, truth: Truth | None = None) -> Tally:
    """Compare two maps on their common ground; a truth of the layer scores both, on the pixels that all three have."""
    a, b, metres = pair.a, pair.b, abs(float(pair.ground.grid.resolution.x))
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        tally = Tally(_VALUES, metres)
        for _, one, two in both_blocks(pair):
            _add_values(tally, one, two, a.nodata, b.nodata)
        return tally
    readings = [reading_of(raster.layer, OUTSIDE if raster.layer else raster.nodata) for raster in (a, b)]
    tally = Tally(readings[0], metres)
    pairs = np.zeros((256, 256), np.int64)
    key = TRUTHS.get(a.layer.symbol) if truth and a.layer and metres == 10 else None
    for block, one, two in both_blocks(pair):
        pairs += joint_histogram(one, two)
        real = truth.read(key, block.geobox(pair.ground.grid)) if truth and key else None
        if real is not None:
            known = (real != OUTSIDE) & readings[0].valid[one] & readings[1].valid[two]
            counts = np.stack([joint_histogram(real[known], one[known]), joint_histogram(real[known], two[known])])
            tally.truths = counts if tally.truths is None else tally.truths + counts
    in_a, in_b = (reading.valid for reading in readings)
    tally.pixels = int(pairs.sum())
    tally.only_a, tally.only_b = int(pairs[np.ix_(in_a, ~in_b)].sum()), int(pairs[np.ix_(~in_a, in_b)].sum())
    tally.pairs = np.where(in_a[:, None] & in_b, pairs, 0)
    tally.both = int(tally.pairs.sum())
    tally.differing = tally.both - int(np.trace(tally.pairs))
    if tally.numbers:
        values = [np.nan_to_num(reading.value_of) for reading in readings]
        difference = values[1][None, :] - values[0][:, None]
        tally.sums = np.array([float((tally.pairs * term).sum()) for term in (difference, np.abs(difference), difference**2)])
        tally.largest = float(np.abs(difference)[tally.pairs > 0].max(initial=0))
    return tally


_VALUES = Reading("values", np.full(256, np.nan), np.full(256, -1), ())


def _add_values(tally: Tally, one: np.ndarray, two: np.ndarray, nothing_a: float | None, nothing_b: float | None) -> None:
    in_a, in_b = valid_values(one, nothing_a), valid_values(two, nothing_b)
    both = in_a & in_b
    shared = int(np.count_nonzero(both))
    tally.pixels += both.size
    tally.both += shared
    tally.only_a += int(np.count_nonzero(in_a)) - shared
    tally.only_b += int(np.count_nonzero(in_b)) - shared
    difference = two[both].astype("f8") - one[both].astype("f8")
    tally.differing += int(np.count_nonzero(difference))
    tally.sums = tally.sums + [difference.sum(), np.abs(difference).sum(), np.square(difference).sum()]
    tally.largest = max(tally.largest, float(np.abs(difference).max(initial=0)))


def valid_values(array: np.ndarray, nodata: float | None) -> np.ndarray:
    """Where a map has data."""
    valid = np.isfinite(array)
    return valid if nodata is None or math.isnan(nodata) else valid & (array != nodata)
