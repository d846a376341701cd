"""What composites cost: every look is decoded as for the features of a year, and each month writes all bands."""

from __future__ import annotations

from imperv.layers.catalogue import Layer
from imperv.layers.catalogue.composites import MONTHLY
from imperv.tasks.composites.making import kept_bytes, looks_between, looks_bytes
from imperv.tasks.family.costs import Cost, pixels_of, resident
from imperv.tasks.job import Job
from imperv.tasks.scenes.scenes import SceneList
from imperv.tasks.yearly.costs import OVERPASSES, looking_cost, unseen

LOOK_NS = 85.0
"""Core nanoseconds for what a look at a pixel of 10 m takes beside decoding: mapping, interpolation, weights and median."""

STORE_NS = 500.0
"""Core nanoseconds to compress and to write all bands of a pixel."""

COPY_NS = 110.0
"""Core nanoseconds to copy the looks of all months at a pixel."""

DAYS = 365.25


def composite_cost(job: Job, layer: Layer) -> Cost:
    """Of a month, or of the metrics: by the frozen list of scenes where there is one."""
    monthly, period = layer.symbol in MONTHLY, job.period(layer)[0]
    wide = job.production.periods.around(layer.role) if monthly and job.production.parameters.composites.fill else period
    text = job.store.read_text(job.place(layer.inputs[0]).data)
    if text is not None:
        looks = looks_between(SceneList.from_json(text), wide, {}, job, layer)
    else:
        count = max(1, round(OVERPASSES * ((wide.end - wide.start).days + 1) / DAYS))
        looks = unseen(count, count)
    planes = layer.variables[0].bands / 10
    return looking_cost(job, looks, kept_bytes(layer), LOOK_NS, STORE_NS * planes)


def looks_cost(job: Job, layer: Layer) -> Cost:
    """Of the looks of all months."""
    return Cost(pixels_of(job) * COPY_NS / 1e9, resident(job, looks_bytes(job, layer) * job.engine.settings.workers))
