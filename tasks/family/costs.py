"""What a node costs, by arithmetic from measured rates: core time, memory, and bytes decoded from scenes.

The rates are those of docs/performance.md, of one core of the machine that it names; `imperv plan` adds them up. Each task has
its own (`Task.cost`); here is what they share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from imperv.layers.catalogue import Layer
from imperv.tasks.engine import RESERVED
from imperv.tasks.job import Job

BLOCK_NS = 18.0
"""Core nanoseconds by pixel of 10 m of a tile of layers made block by block that say nothing else."""

REFERENCE_NS = 35.0
"""Core nanoseconds to bring a pixel of a reference raster to the grid."""

BLOCK_BYTES = 200
"""Bytes by pixel that is computed at once."""

TENSORFLOW = 768 * 2**20
"""Bytes that TensorFlow and compiled networks add to a process. Flanders took 1670 MiB at most, 780 before its first network."""

UNIT = 10
"""Rates are by pixel of so many metres, whatever the layer's own resolution."""


@dataclass(frozen=True)
class Cost:
    """What a node takes."""

    core_seconds: float = 0
    memory: int = 0
    """Highest resident memory of the process, bytes."""
    bytes_decoded: int = 0
    """Of scenes, bytes after decoding; files are about three quarters of it."""


CostOf = Callable[[Job, Layer], Cost]


def pixels_of(job: Job) -> int:
    """Pixels of 10 m of a tile or its window."""
    rows, columns = job.grid(UNIT).shape
    return int(rows * columns)


def resident(job: Job, size: int) -> int:
    """Memory of the process while so many bytes are computed at once, within what the engine allows."""
    return RESERVED + min(job.engine.budget, size)


def by_block(ns: float = BLOCK_NS) -> CostOf:
    """Of a layer that is made block by block: core nanoseconds by pixel of 10 m, with the store's decoding and encoding."""

    def cost(job: Job, layer: Layer) -> Cost:
        pixels = pixels_of(job)
        size = min(pixels, 1000 * 1000 * job.engine.settings.workers) * BLOCK_BYTES
        return Cost(pixels * ns / 1e9, resident(job, size))

    return cost


def nothing(job: Job, layer: Layer) -> Cost:
    """Of what takes no time."""
    return Cost(0, RESERVED)
