"""Layers of a store that a test makes up: real arrays and a real record, as if a task had made them."""

from __future__ import annotations

import numpy as np

from imperv.layers.catalogue import CATALOGUE
from imperv.tasks.job import Job, attributes
from imperv.tasks.store.records import Record


def put(job: Job, symbol: str, *arrays: np.ndarray, **statistics) -> None:
    """Store a layer with its record: an array for each of its variables in order, or none, and nothing is known anywhere."""
    layer, place = CATALOGUE[symbol], job.place(symbol)
    with job.store.writing_arrays(place, job.grid(10), 10, layer.variables, attributes(job, layer)) as out:
        for variable, array in zip(layer.variables if arrays else (), arrays, strict=True):
            out[variable.name][:] = array
    files, size = job.store.measure(place.data)
    job.store.write_record(
        place.record,
        Record(layer.stem, str(job.tile), "key", href=place.data, bbox=job.bounds, start="2018-01-01", end="2018-12-31",
               statistics=statistics, files=files, size=size),
    )  # fmt: skip
