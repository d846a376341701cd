"""Coded maps from what the base model answers, and from what polygons change of it: LC_base, LC_confidence, LC_tuned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from imperv.grids import Block, block_grid, inner_slices, pad_clipped
from imperv.layers.catalogue import CATALOGUE, Layer
from imperv.layers.catalogue.landcover import SEEN
from imperv.layers.landcover.sieve import sieve
from imperv.layers.landcover.tuning import STEPS, Head, Samples, answer, nothing
from imperv.layers.statistics.classes import joint_histogram
from imperv.tasks.family.costs import Cost, resident
from imperv.tasks.job import BlockReport, Job, Made, attributes, report, summarise

NO_DATA = 255

PIECE = 500
"""Edge of what is computed at once, pixels: a chunk of the store."""

PIXEL_BYTES = 400
"""Memory of a pixel of a piece: probabilities and features in float32."""

MAP_NS = 250.0
"""Core nanoseconds of a pixel of a map."""


@dataclass(frozen=True)
class Answers:
    """The stored answers of a tile."""

    shares: Any
    """(class, y, x) uint8."""
    seen: Any
    """(channel, y, x) uint8."""

    @classmethod
    def of(cls, job: Job) -> Answers:
        """Those of a finished LC_probability."""
        group = job.group("LC_probability")
        return cls(group["LC_probability"], group[SEEN])

    @property
    def nothing(self) -> Head:
        """The head that changes nothing."""
        return nothing(self.shares.shape[0], self.seen.shape[0])

    def read(self, block: Block, head: Head) -> tuple[Samples, np.ndarray]:
        """Pixels of a block with data, and where they are, (y, x) bool; features only where the head wants them."""
        shares = np.asarray(self.shares[(slice(None), *block.slices)])
        known = shares[0] != NO_DATA
        wanted = head.weights.any()
        seen = np.asarray(self.seen[(slice(None), *block.slices)]) if wanted else np.zeros((self.seen.shape[0], 0, 0), "u1")
        last = seen[:, known].T if wanted else np.zeros((int(known.sum()), self.seen.shape[0]), "u1")
        return Samples(np.ascontiguousarray(shares[:, known].T), np.ascontiguousarray(last)), known


class Way(Protocol):
    """What answers for the pixels of a tile."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the tile."""

    def logits(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        """Logits (pixel, class) of the pixels of a block with data, and where these are, (y, x) bool."""


@dataclass(frozen=True)
class Headed:
    """The base model's stored answer, and what a head adds to it."""

    answers: Answers
    head: Head

    @property
    def shape(self) -> tuple[int, int]:
        """As of `Way`."""
        rows, columns = self.answers.shares.shape[1:]
        return rows, columns

    def logits(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        """As of `Way`."""
        samples, known = self.answers.read(block, self.head)
        return answer(self.head, samples), known


def classes_of(way: Way, block: Block, codes: tuple[int, ...], least: int) -> np.ndarray:
    """The map of a block: the most probable class of each pixel, sieved; the first of the list where two are alike."""
    outer = pad_clipped(block, least + 2, way.shape) if least else block
    out = np.full(outer.shape, NO_DATA, "u1")
    logits, known = way.logits(outer)
    out[known] = np.asarray(codes, "u1")[logits.argmax(axis=1)]
    return sieve(out, least)[inner_slices(block, outer)]


@dataclass(frozen=True)
class MapBlock:
    """One block of a coded map."""

    way: Way
    codes: tuple[int, ...]
    least: int
    out: Any
    layer: Layer
    base: Any = None
    """The base map, where changes are counted."""

    def __call__(self, block: Block) -> tuple[BlockReport, np.ndarray]:
        """Compute and store it; with the pixels of each class of the base map (row) and of this one."""
        pixels = np.empty(block.shape, "u1")
        for piece in block.pieces(PIECE):
            here = inner_slices(piece, block)
            pixels[here] = classes_of(self.way, piece, self.codes, self.least)
        self.out[block.slices] = pixels
        changed = np.zeros((256, 256), "i8")
        if self.base is not None:
            changed = joint_histogram(np.asarray(self.base[block.slices]), pixels)
        return report({self.layer.symbol: pixels}, self.layer), changed


def make_map(
    job: Job, layer: Layer, way: Way, base: str = "", run: Callable[..., Any] | None = None
) -> tuple[str, dict[str, Any]]:
    """Write a coded map: digest and statistics, with ``changed`` (from, to, pixels) against the layer `base`.

    Blocks are made by `run`, by default the engine's `map`.
    """
    parameters = job.production.parameters
    codes = tuple(c.code for c in parameters.classes.classes)
    with job.store.writing_arrays(
        job.place(layer.symbol), job.grid_of(layer), layer.resolution, layer.variables, attributes(job, layer)
    ) as out:
        work = MapBlock(way, codes, parameters.map.sieve, out[layer.symbol], layer, job.array(base) if base else None)
        found = (run or job.engine.map)(work, job.blocks_of(layer), map_bytes(job, layer), layer.symbol)
    digest, statistics = summarise(layer, [part for part, _ in found])
    table = sum((changed for _, changed in found), np.zeros((256, 256), "i8"))
    np.fill_diagonal(table, 0)
    if base:
        statistics["changed"] = [[int(a), int(b), int(table[a, b])] for a, b in np.argwhere(table)]
    return digest, statistics


def make_base(job: Job, layer: Layer) -> Made:
    """LC_base."""
    answers = Answers.of(job)
    digest, statistics = make_map(job, layer, Headed(answers, answers.nothing))
    return Made(digest, statistics)


@dataclass(frozen=True)
class ConfidenceBlock:
    """One block of the confidence."""

    shares: Any
    out: Any
    layer: Layer

    def __call__(self, block: Block) -> BlockReport:
        """Percent of the highest probability."""
        pixels = np.empty(block.shape, "u1")
        for piece in block.pieces(PIECE):
            shares = np.asarray(self.shares[(slice(None), *piece.slices)])
            here = inner_slices(piece, block)
            known = shares[0] != NO_DATA
            pixels[here] = np.where(known, np.rint(100 * np.where(known, shares.max(axis=0), 0).astype("f4") / STEPS), NO_DATA)
        self.out[block.slices] = pixels
        return report({self.layer.symbol: pixels}, self.layer)


def make_confidence(job: Job, layer: Layer) -> Made:
    """LC_confidence."""
    with job.store.writing_arrays(
        job.place(layer.symbol), job.grid_of(layer), layer.resolution, layer.variables, attributes(job, layer)
    ) as out:
        work = ConfidenceBlock(Answers.of(job).shares, out[layer.symbol], layer)
        digest, statistics = summarise(layer, job.engine.map(work, job.blocks_of(layer), map_bytes(job, layer), layer.symbol))
    return Made(digest, statistics)


def map_bytes(job: Job, layer: Layer) -> int:
    """Memory of a block: its map, and one piece."""
    rows, columns = job.blocks_of(layer)[0].shape
    return rows * columns * 4 + PIECE * PIECE * PIXEL_BYTES


def map_cost(job: Job, layer: Layer) -> Cost:
    """Reading what the base model answered, and one product of matrices."""
    rows, columns = job.grid_of(CATALOGUE[layer.symbol]).shape
    return Cost(rows * columns * MAP_NS / 1e9, resident(job, map_bytes(job, layer) * job.engine.settings.workers))


def block_of_tile(job: Job) -> list[Block]:
    """Pieces of the whole tile, in order."""
    return list(block_grid(job.grid_of(CATALOGUE["LC_probability"]), PIECE))
