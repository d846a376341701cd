"""How the layers of change are made from scenes to classes, block by block (docs/change.md)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from imperv.grids import Block, inner_slices, pad_clipped
from imperv.grids.mapping import CELL
from imperv.layers.catalogue import CATALOGUE, Layer, Variable
from imperv.layers.catalogue.change import palette_of
from imperv.layers.cva.classes import Centre, assign
from imperv.layers.cva.noise import Noise
from imperv.layers.cva.vectors import MARGIN, change_vectors
from imperv.tasks.change.changed import changed_pixels, classes_of, few_classes
from imperv.tasks.change.comparing import noise_of, seen_by_both
from imperv.tasks.change.dates import Windows, read_date
from imperv.tasks.change.pairing import check_pair
from imperv.tasks.change.quiet import Calibration, calibrate, close_looks, quiet_pairs
from imperv.tasks.change.settings import check_reference
from imperv.tasks.errors import InputError
from imperv.tasks.job import BlockReport, Job, Made, attributes, report, summarise
from imperv.tasks.native.looks import Look, looks_of
from imperv.tasks.scenes.scenes import SceneList
from imperv.tasks.settings.scenes import SceneAccess
from imperv.tasks.store.records import digest_of

DATES = ("CH_first", "CH_second")


def scenes_of(job: Job, symbol: str) -> SceneList:
    """A frozen list."""
    return SceneList.from_json(job.store.read_text(job.place(symbol).data) or "")


def look_of(job: Job, symbol: str) -> Look:
    """The overpass of a date: of several the one with most granules, then the first."""
    looks = looks_of(scenes_of(job, symbol))
    return max(looks, key=lambda look: len(look.scenes))


def bands_of(job: Job) -> tuple[str, ...]:
    """Bands of the production."""
    bands: tuple[str, ...] = job.production.parameters.vectors.bands
    return bands


def edge_of(job: Job) -> float:
    """Pixels around clouds that are left out."""
    return float(job.production.parameters.vectors.cloud_edge / CATALOGUE["CH_first"].resolution)


def require_bands(look: Look, bands: Sequence[str], where: str) -> None:
    """InputError where a granule lacks a band."""
    for scene in look.scenes:
        if missing := [name for name in bands if name not in scene.bands]:
            raise InputError(f"{where}: scene {scene.id} has no {', '.join(missing)}; leave them out of the bands")


@dataclass(frozen=True)
class ReadBlock:
    """One block of a date."""

    look: Look
    bands: tuple[str, ...]
    grid: GeoBox
    edge: float
    out: Any
    layer: Layer
    access: SceneAccess

    def __call__(self, block: Block) -> BlockReport:
        """Read and store it."""
        pixels = read_date(self.look, self.bands, block.geobox(self.grid), self.edge, self.access)
        self.out[(slice(None), *block.slices)] = pixels
        return report({self.layer.symbol: pixels}, self.layer)


def arrays_of_date(job: Job, layer: Layer) -> tuple[Variable, ...]:
    """Arrays of a date, by the bands of the production."""
    return tuple(replace(variable, labels=bands_of(job)) for variable in layer.variables)


def make_date(job: Job, layer: Layer) -> Made:
    """Bands of a date; InputError where it does not show the ground of the area anywhere."""
    look, bands = look_of(job, layer.inputs[0]), bands_of(job)
    require_bands(look, bands, f"{layer.symbol} of tile {job.tile}")
    grid, blocks = job.grid_of(layer), job.blocks_of(layer)
    with job.store.writing_arrays(
        job.place(layer.symbol), grid, layer.resolution, arrays_of_date(job, layer), attributes(job, layer)
    ) as out:
        work = ReadBlock(look, bands, grid, edge_of(job), out[layer.symbol], layer, job.production.scenes.access)
        digest, statistics = summarise(layer, job.engine.map(work, blocks, read_bytes(job, layer), layer.symbol))
        counts = statistics[layer.symbol]
        counts |= {name: counts[name] // len(bands) for name in ("pixels", "outside")}
        if counts["outside"] == counts["pixels"]:
            raise InputError(
                f"{layer.symbol} of tile {job.tile}: {look.name} shows nothing of the area but cloud, shadow, snow or no data; "
                "choose another date"
            )
    return Made(digest, {**statistics, "look": look.name, "clear": 1 - counts["outside"] / counts["pixels"]}, look.warnings)


def read_bytes(job: Job, layer: Layer) -> int:
    """Memory of one block that is read: bands thrice, classes with their margin."""
    rows, columns = job.blocks_of(layer)[0].shape
    margin = 2 * (int(edge_of(job)) + CELL)
    return rows * columns * len(bands_of(job)) * 2 * 3 + (rows + margin) * (columns + margin) * 8 + 32 * 2**20


@dataclass(frozen=True)
class VectorBlock:
    """One block of the change vectors."""

    first: Any
    second: Any
    noise: Noise
    reference: tuple[float, ...]
    shape: tuple[int, int]
    out: Any
    layer: Layer

    def __call__(self, block: Block) -> BlockReport:
        """Compute and store it."""
        outer = pad_clipped(block, MARGIN, self.shape)
        first, second = (np.asarray(date[(slice(None), *outer.slices)]) for date in (self.first, self.second))
        valid = seen_by_both(first, second)
        inner = inner_slices(block, outer)
        # At the edge of the area a pixel's neighbours beyond are taken to be as itself.
        padded = [((0, 0), *_missing(block, self.shape))] * 2
        first, second = (np.pad(date, pad, mode="edge") for date, pad in zip((first, second), padded, strict=True))
        valid = np.pad(valid, padded[0][1:], mode="constant")
        amplitude, angle = change_vectors(first, second, valid, self.noise, self.reference)
        moved = tuple(
            slice(part.start + low, part.stop + low) for part, (low, _) in zip(inner, padded[0][1:], strict=True)
        )  # fmt: skip
        vectors = np.stack([amplitude[moved], angle[moved]])
        self.out[(slice(None), *block.slices)] = vectors
        return report({self.layer.symbol: vectors}, self.layer)


def _missing(block: Block, shape: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Margin that the area does not have on each side of a block: (above, below), (left, right)."""
    above, left = (max(0, MARGIN - first) for first in (block.y0, block.x0))
    below, right = (max(0, last + MARGIN - size) for last, size in zip((block.y1, block.x1), shape, strict=True))
    return (above, below), (left, right)


def make_noise(job: Job, layer: Layer) -> Made:
    """Noise of the two dates, from windows of the tile; InputError where they have too little clear ground in common."""
    arrays, grid = [job.array(symbol) for symbol in DATES], job.grid_of(CATALOGUE["CH_first"])
    check_pair(*(look_of(job, CATALOGUE[symbol].inputs[0]) for symbol in DATES))
    windows = Windows.of(grid)
    pairs = [tuple(np.asarray(array[(slice(None), *block.slices)]) for array in arrays) for block in windows.blocks]
    clear = sum(int(seen_by_both(first, second).sum()) for first, second in pairs)
    if not clear:
        raise InputError(
            f"{layer.symbol} of tile {job.tile}: the two dates show no ground in common: where one is clear the other has cloud "
            "or no data; choose another date"
        )
    try:
        noise = noise_of(((first, second) for first, second in pairs), clear)
    except ValueError as error:
        raise InputError(f"{layer.symbol} of tile {job.tile}: {error}; choose other dates or a larger area") from None
    text = json.dumps(noise.to_json(), indent=1) + "\n"
    job.store.replace_text(job.place(layer.symbol), text)
    share = clear / sum(first[0].size for first, _ in pairs)
    return Made(digest_of(text), {**noise.to_json(), "bands": list(bands_of(job)), "clear": share})


def read_noise(job: Job) -> Noise:
    """The noise of the pair."""
    return Noise.from_json(json.loads(job.store.read_text(job.place("CH_noise").data) or "{}"))


def make_threshold(job: Job, layer: Layer) -> Made:
    """Threshold of the amplitude, by quiet pairs around either date."""
    settings, bands = job.production.parameters.threshold, bands_of(job)
    noise, grid = read_noise(job), job.grid_of(CATALOGUE["CH_first"])
    windows, edge, access = Windows.of(grid), edge_of(job), job.production.scenes.access
    pairs, said = [], []
    if settings.method in ("auto", "quiet") and settings.days:
        days = [look_of(job, symbol).day for symbol in layer.inputs[:2]]

        def read(look: Look) -> list[np.ndarray]:
            window = WindowBlock(look, bands, grid, edge, access)
            return job.engine.map(window, windows.blocks, read_bytes(job, CATALOGUE["CH_first"]), layer.symbol)

        for symbol, day, other in zip(layer.inputs[2:4], days, days[::-1], strict=True):
            looks = [look for look in looks_of(scenes_of(job, symbol)) if all(set(bands) <= set(s.bands) for s in look.scenes)]
            found, left = quiet_pairs(close_looks(looks, day, other, settings.days), windows, read, settings.gap, {})
            pairs += found
            said += left
    try:
        made = calibrate(noise, settings.level, settings.method, pairs, said)
    except InputError as error:
        raise InputError(f"{layer.symbol} of tile {job.tile}: parameters.{error}") from None
    text = json.dumps(made.to_json(), indent=1) + "\n"
    job.store.replace_text(job.place(layer.symbol), text)
    return Made(digest_of(text), made.to_json(), made.warnings)


@dataclass(frozen=True)
class WindowBlock:
    """One window of a date."""

    look: Look
    bands: tuple[str, ...]
    grid: GeoBox
    edge: float
    access: SceneAccess

    def __call__(self, block: Block) -> np.ndarray:
        """(band, y, x) reflectance as of `read_date`."""
        return read_date(self.look, self.bands, block.geobox(self.grid), self.edge, self.access)


def read_threshold(job: Job) -> Calibration:
    """The threshold of the pair."""
    return Calibration.from_json(json.loads(job.store.read_text(job.place("CH_threshold").data) or "{}"))


def make_vectors(job: Job, layer: Layer) -> Made:
    """Amplitude and angle of every pixel that both dates show."""
    vectors = job.production.parameters.vectors
    grid, blocks = job.grid_of(layer), job.blocks_of(layer)
    with job.store.writing_arrays(
        job.place(layer.symbol), grid, layer.resolution, layer.variables, attributes(job, layer)
    ) as out:
        work = VectorBlock(
            job.array(DATES[0]), job.array(DATES[1]), read_noise(job), check_reference(vectors.reference, vectors.bands),
            grid.shape.yx, out[layer.symbol], layer,
        )  # fmt: skip
        digest, statistics = summarise(layer, job.engine.map(work, blocks, vector_bytes(job, layer), layer.symbol))
    return Made(digest, statistics)


def vector_bytes(job: Job, layer: Layer) -> int:
    """Memory of one block: both dates, their difference, mean and gradients as floats, and the result."""
    rows, columns = job.blocks_of(layer)[0].shape
    return rows * columns * (len(bands_of(job)) * 26 + 24)


def make_classes(job: Job, layer: Layer) -> Made:
    """Classes of change: fitted to changed pixels of all blocks, then given to every pixel."""
    number, calibration = job.production.parameters.classes.number, read_threshold(job)
    vectors, grid, blocks = job.array(layer.inputs[0]), job.grid_of(layer), job.blocks_of(layer)
    rows, columns = blocks[0].shape
    size = rows * columns * 40
    collect = ChangedBlock(vectors, calibration.threshold, len(blocks))
    changed = job.engine.map(collect, blocks, size, layer.symbol, tell=False)
    centres = classes_of(changed, calibration.threshold, number)
    coded = replace(layer, codes=palette_of(number).codes)
    with job.store.writing_arrays(
        job.place(layer.symbol), grid, layer.resolution, layer.variables, attributes(job, layer)
    ) as out:
        work = ClassBlock(vectors, calibration.threshold, centres, out[layer.symbol], coded)
        digest, statistics = summarise(coded, job.engine.map(work, blocks, size, layer.symbol))
    warnings = []
    if len(centres) < number:
        warnings.append(few_classes(len(centres), number))
    told = [{"amplitude": c.amplitude, "angle": c.angle} for c in centres]
    return Made(digest, {**statistics, "classes": told, "threshold": calibration.threshold}, tuple(warnings))


@dataclass(frozen=True)
class ChangedBlock:
    """The changed pixels of one block."""

    vectors: Any
    threshold: float
    blocks: int

    def __call__(self, block: Block) -> np.ndarray:
        """(2, pixel), evenly thinned."""
        return changed_pixels(np.asarray(self.vectors[(slice(None), *block.slices)]), self.threshold, self.blocks)


@dataclass(frozen=True)
class ClassBlock:
    """One block of the classes."""

    vectors: Any
    threshold: float
    centres: tuple[Centre, ...]
    out: Any
    layer: Layer

    def __call__(self, block: Block) -> BlockReport:
        """Classify and store it."""
        amplitude, angle = np.asarray(self.vectors[(slice(None), *block.slices)])
        codes = assign(amplitude, angle, self.threshold, self.centres)
        self.out[block.slices] = codes
        return report({self.layer.symbol: codes}, self.layer)
