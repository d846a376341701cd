"""What the layers of change cost, by rates measured on a whole tile (docs/change.md, Cost)."""

from __future__ import annotations

from imperv.layers.catalogue import Layer
from imperv.tasks.change.dates import MOST_PIXELS
from imperv.tasks.change.nodes import bands_of, read_bytes, vector_bytes
from imperv.tasks.change.quiet import DATES
from imperv.tasks.family.costs import Cost, pixels_of, resident
from imperv.tasks.job import Job

READ_NS = 95.0
"""Core nanoseconds to read a pixel of one band, write it, and its share of the classes."""

VECTOR_NS = 140.0
"""Core nanoseconds of the vector of a pixel for each band, with reading and writing."""

CLASS_NS = 90.0
"""Core nanoseconds of the class of a pixel, with both readings of its vector."""

FIT_SECONDS = 0.3
"""Core seconds to fit the noise of a pair, by band."""


def date_cost(job: Job, layer: Layer) -> Cost:
    """Decoding of the bands of a date and of its classes."""
    values = pixels_of(job) * len(bands_of(job))
    return Cost(values * READ_NS / 1e9, resident(job, read_bytes(job, layer) * job.engine.settings.workers), values * 2)


def _sampled(job: Job) -> int:
    return min(pixels_of(job), MOST_PIXELS) * len(bands_of(job))


def noise_cost(job: Job, layer: Layer) -> Cost:
    """Windows of two dates, and the fit."""
    values = 2 * _sampled(job)
    return Cost(FIT_SECONDS * len(bands_of(job)) + values * READ_NS / 1e9, resident(job, values * 6))


def threshold_cost(job: Job, layer: Layer) -> Cost:
    """Windows of the quiet dates on both sides, and the fits of their pairs."""
    settings = job.production.parameters.threshold
    if settings.method not in ("auto", "quiet") or not settings.days:
        return Cost(0, resident(job, 0))
    values, pairs = 2 * DATES * _sampled(job), 2 * (DATES - 1)
    seconds = values * (READ_NS + VECTOR_NS) / 1e9 + pairs * FIT_SECONDS * len(bands_of(job))
    return Cost(seconds, resident(job, values * 2 + pairs * 3 * 2**20), values * 2)


def vectors_cost(job: Job, layer: Layer) -> Cost:
    """Both dates read, compared, and two floats written."""
    memory = resident(job, vector_bytes(job, layer) * job.engine.settings.workers)
    return Cost(pixels_of(job) * len(bands_of(job)) * VECTOR_NS / 1e9, memory)


def classes_cost(job: Job, layer: Layer) -> Cost:
    """Vectors read twice, one byte written."""
    rows, columns = job.blocks_of(layer)[0].shape
    return Cost(pixels_of(job) * CLASS_NS / 1e9, resident(job, rows * columns * 40 * job.engine.settings.workers))
